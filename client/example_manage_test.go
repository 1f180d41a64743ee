package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// What is on a key, and one credential less. The PIN is asked for once.
func ExampleKey_Credentials() {
	ctx := context.Background()
	key := client.New(plugIn("ctap-2.1"), client.Options{Prompt: answers("1234")})
	defer key.Close()
	clientDataHash := sha256.Sum256([]byte("client data"))
	if err := key.SetPIN(ctx); err != nil {
		log.Fatal(err)
	}
	if _, err := register(ctx, key, clientDataHash[:]); err != nil {
		log.Fatal(err)
	}

	rps, err := key.Credentials(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, rp := range rps {
		for _, c := range rp.Credentials {
			fmt.Println(rp.ID, c.User.Name, c.PublicKey.Algorithm)
			if _, err := key.DeleteCredential(ctx, c.ID); err != nil {
				log.Fatal(err)
			}
		}
	}
	left, err := key.CredentialMetadata(ctx)
	fmt.Println("left:", left.Existing, err)
	// Output:
	// example.com alice ES256
	// left: 0 <nil>
}

// A finger, sample by sample.
func ExampleKey_EnrollFingerprint() {
	ctx := context.Background()
	prompt := answers("1234")
	prompt.Sample = func(s ctap2.SampleStatus, remaining uint) { fmt.Printf("%v, %d more\n", s, remaining) }
	key := client.New(plugIn("fingerprint"), client.Options{Prompt: prompt})
	defer key.Close()
	if err := key.SetPIN(ctx); err != nil {
		log.Fatal(err)
	}

	if _, err := key.EnrollFingerprint(ctx, client.Enrollment{Name: "thumb"}); err != nil {
		log.Fatal(err)
	}
	fingers, err := key.Fingerprints(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(fingers[0].Name)
	// Output:
	// good, 3 more
	// good, 2 more
	// good, 1 more
	// good, 0 more
	// thumb
}

// A secret that is always the same for a credential and an input, to unlock a
// disk for instance.
func ExamplePRF() {
	ctx := context.Background()
	key := client.New(plugIn("ctap-2.1"), client.Options{Prompt: answers("1234")})
	defer key.Close()
	if err := key.SetPIN(ctx); err != nil {
		log.Fatal(err)
	}
	clientDataHash := sha256.Sum256([]byte("client data"))
	made, err := key.Register(ctx, client.Registration{
		ClientDataHash: clientDataHash[:],
		RP:             ctap2.RP{ID: "example.com"},
		User:           ctap2.User{ID: []byte{1}, Name: "alice"},
		Parameters:     registration().Parameters,
		Extensions:     client.RegistrationExtensions{PRF: &client.PRF{}},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("enabled:", made.Extensions.PRF.Enabled)

	secret := func() []byte {
		signed, err := key.Authenticate(ctx, client.Assertion{
			ClientDataHash: clientDataHash[:],
			RPID:           "example.com",
			Allow:          []ctap2.Descriptor{{ID: made.Data.Credential.ID, Type: ctap2.PublicKeyType}},
			Extensions:     client.AssertionExtensions{PRF: &client.PRF{Eval: &client.PRFValues{First: []byte("disk 1")}}},
		})
		if err != nil {
			log.Fatal(err)
		}
		return signed[0].Extensions.PRF.First
	}
	first := secret()
	fmt.Println(len(first), "bytes, the same again:", bytes.Equal(first, secret()))
	// Output:
	// enabled: true
	// 32 bytes, the same again: true
}

// Several keys: the person touches the one that is meant.
func ExampleSelectByTouch() {
	ctx := context.Background()
	var keys []*client.Key
	for range 2 {
		key := client.New(plugIn("ctap-2.1"), client.Options{})
		defer key.Close()
		keys = append(keys, key)
	}
	chosen, err := client.SelectByTouch(ctx, keys)
	if err != nil {
		log.Fatal(err)
	}
	info, err := chosen.Info(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Versions)
	// Output:
	// [FIDO_2_0 FIDO_2_1]
}

// simulatedSlot is a USB port that the example itself pulls keys out of. For a
// real one there is hid.NewSlot.
type simulatedSlot struct{ *simulator.Authenticator }

func (s simulatedSlot) Removed(context.Context) error { s.PowerCycle(); return nil }

func (s simulatedSlot) Inserted(ctx context.Context) (transport.Device, error) {
	return hid.Open(ctx, simulator.NewHID(s.Authenticator).Port())
}

// A reset, which most keys take only right after they were plugged in.
func ExampleKey_ResetGuided() {
	ctx := context.Background()
	authenticator, err := simulator.New(simulator.Config{})
	if err != nil {
		log.Fatal(err)
	}
	slot := simulatedSlot{authenticator}
	dev, err := slot.Inserted(ctx)
	if err != nil {
		log.Fatal(err)
	}
	prompt := answers("1234")
	prompt.Replug = func(r client.Replug) {
		switch r {
		case client.Unplug:
			fmt.Println("Unplug the key")
		case client.PlugIn:
			fmt.Println("Plug it in again")
		}
	}
	prompt.Touch = func(client.Touch) { fmt.Println("Touch it") }
	key := client.New(dev, client.Options{Prompt: prompt})
	defer key.Close()
	if err := key.SetPIN(ctx); err != nil {
		log.Fatal(err)
	}

	switch err := key.ResetGuided(ctx, slot); {
	case errors.Is(err, client.ErrResetWindow):
		log.Fatal("too late, once more")
	case err != nil:
		log.Fatal(err)
	}
	state, err := key.PINState(ctx)
	fmt.Println("PIN set:", state.Set, err)
	// Output:
	// Unplug the key
	// Plug it in again
	// Touch it
	// PIN set: false <nil>
}
