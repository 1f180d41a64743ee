package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/trace"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// A key in software takes the place of a real one, for which the port comes from
// hid.OpenPath.
func Example() {
	ctx := context.Background()
	authenticator, err := simulator.New(simulator.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer authenticator.Close()
	dev, err := hid.Open(ctx, simulator.NewHID(authenticator).Port())
	if err != nil {
		log.Fatal(err)
	}
	key := client.New(dev, client.Options{Prompt: client.Prompt{
		Touch:  func(client.Touch) { fmt.Println("Touch your key") },
		PIN:    func(context.Context, client.PINRequest) ([]byte, error) { return []byte("123456"), nil },
		NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return []byte("123456"), nil },
	}})
	defer key.Close()

	info, err := key.Info(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("AAGUID", info.AAGUID)
	if err := key.SetPIN(ctx); err != nil {
		log.Fatal(err)
	}
	clientDataHash := sha256.Sum256([]byte("client data"))
	made, err := key.Register(ctx, client.Registration{
		ClientDataHash: clientDataHash[:],
		RP:             ctap2.RP{ID: "example.com"},
		User:           ctap2.User{ID: []byte{1}, Name: "alice"},
		Parameters:     []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}},
		Discoverable:   true,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("flags", made.Data.Flags)
	// Output:
	// AAGUID f1d0ce1f-5e1f-4b1d-8a2c-6b0d1e9a7c35
	// Touch your key
	// flags UP|UV|AT
}

// plugIn stands for a key in the USB port, of the model that a profile of the
// simulator describes.
func plugIn(profile string) transport.Device {
	p, err := simulator.LoadProfile(profile)
	if err != nil {
		log.Fatal(err)
	}
	authenticator, err := simulator.New(simulator.Config{Profile: p})
	if err != nil {
		log.Fatal(err)
	}
	dev, err := hid.Open(context.Background(), simulator.NewHID(authenticator).Port())
	if err != nil {
		log.Fatal(err)
	}
	return dev
}

// answers stands for a person who types the same PIN whenever asked.
func answers(pin string) client.Prompt {
	return client.Prompt{
		PIN:    func(context.Context, client.PINRequest) ([]byte, error) { return []byte(pin), nil },
		NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return []byte(pin), nil },
	}
}

// register makes a credential for example.com.
func register(ctx context.Context, key *client.Key, clientDataHash []byte) (*client.Registered, error) {
	return key.Register(ctx, client.Registration{
		ClientDataHash: clientDataHash,
		RP:             ctap2.RP{ID: "example.com"},
		User:           ctap2.User{ID: []byte{1}, Name: "alice"},
		Parameters:     []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}},
		Discoverable:   true,
	})
}

// What a key is and can do.
func ExampleKey_Info() {
	ctx := context.Background()
	key := client.New(plugIn("ctap-2.1"), client.Options{})
	defer key.Close()

	info, err := key.Info(ctx)
	if err != nil {
		log.Fatal(err)
	}
	hasPIN, canHavePIN := info.Option(ctap2.OptionClientPIN)
	fmt.Println("versions", info.Versions)
	fmt.Println("can have a PIN:", canHavePIN, "has one:", hasPIN)
	// Output:
	// versions [FIDO_2_0 FIDO_2_1]
	// can have a PIN: true has one: false
}

// The first PIN of a key. It is checked against the rules that the key states
// before anything is sent.
func ExampleKey_SetPIN() {
	ctx := context.Background()
	key := client.New(plugIn("default"), client.Options{Prompt: client.Prompt{
		NewPIN: func(_ context.Context, r client.NewPINRequest) ([]byte, error) {
			fmt.Println("at least", r.MinLength, "characters")
			return []byte("correct horse"), nil
		},
	}})
	defer key.Close()

	if err := key.SetPIN(ctx); err != nil {
		log.Fatal(err)
	}
	state, err := key.PINState(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("set:", state.Set)
	fmt.Println(state.Retries)
	// Output:
	// at least 4 characters
	// set: true
	// 8 tries left
}

// A wrong PIN costs one try, which the error counts. Nothing is tried twice.
func ExampleKey_VerifyPIN() {
	ctx := context.Background()
	dev := plugIn("default")
	owner := client.New(dev, client.Options{Prompt: answers("1234")})
	if err := owner.SetPIN(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println("right:", owner.VerifyPIN(ctx))

	stranger := client.New(dev, client.Options{Prompt: answers("0000")})
	defer stranger.Close()
	err := stranger.VerifyPIN(ctx)
	var refused *pin.Error
	if errors.As(err, &refused) && errors.Is(err, ctap2.ErrPINInvalid) {
		fmt.Println("wrong:", refused.Retries)
	}
	// Output:
	// right: <nil>
	// wrong: 7 tries left
}

// A new credential, with user verification where the key can do it.
func ExampleKey_Register() {
	ctx := context.Background()
	key := client.New(plugIn("default"), client.Options{Prompt: answers("1234")})
	defer key.Close()

	clientDataHash := sha256.Sum256([]byte("client data"))
	made, err := register(ctx, key, clientDataHash[:])
	if err != nil {
		log.Fatal(err)
	}
	data, err := ctap2.ParseAuthenticatorData(made.AuthData)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("attestation", made.Format)
	fmt.Println("algorithm", data.Credential.PublicKey.Algorithm)
	// Output:
	// attestation packed
	// algorithm ES256
}

// Sign-in without a user name: the key finds the account.
func ExampleKey_Authenticate() {
	ctx := context.Background()
	key := client.New(plugIn("default"), client.Options{Prompt: answers("1234")})
	defer key.Close()
	clientDataHash := sha256.Sum256([]byte("client data"))
	made, err := register(ctx, key, clientDataHash[:])
	if err != nil {
		log.Fatal(err)
	}

	assertions, err := key.Authenticate(ctx, client.Assertion{RPID: "example.com", ClientDataHash: clientDataHash[:]})
	if err != nil {
		log.Fatal(err)
	}
	registered, err := ctap2.ParseAuthenticatorData(made.AuthData)
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range assertions {
		signed := append(a.AuthData[:len(a.AuthData):len(a.AuthData)], clientDataHash[:]...)
		fmt.Printf("user %x, signature: %v\n", a.User.ID, registered.Credential.PublicKey.Verify(signed, a.Signature))
	}
	// Output:
	// user 01, signature: <nil>
}

// What a key does otherwise than the specification says, and is put up with.
func ExampleOptions_findings() {
	ctx := context.Background()
	key := client.New(plugIn("quirk-protocol-two-fails"), client.Options{
		Prompt:   answers("1234"),
		Findings: func(f ctap2.Finding) { fmt.Println(f.Where+":", f.What) },
	})
	defer key.Close()

	if err := key.SetPIN(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// authenticatorGetInfo: PIN/UV auth protocol 2 is listed first and fails: authenticatorClientPIN: CTAP2_ERR_PIN_AUTH_INVALID (0x33)
}

// A trace for a bug report, and how it is played back to a test.
func ExampleOptions_trace() {
	ctx := context.Background()
	var file bytes.Buffer
	w := trace.NewWriter(&file, trace.Header{Tool: "example"})
	key := client.New(plugIn("default"), client.Options{Prompt: answers("1234"), Trace: w})
	if err := key.SetPIN(ctx); err != nil {
		log.Fatal(err)
	}
	key.Close()
	if err := w.Err(); err != nil {
		log.Fatal(err)
	}

	recorded, err := trace.Read(&file)
	if err != nil {
		log.Fatal(err)
	}
	for _, e := range recorded.Exchanges {
		fmt.Println(ctap2.Command(e.Request[0]), ctap2.Status(e.Response[0]))
	}
	again := client.New(simulator.NewPlayback(recorded, simulator.PlaybackOptions{}), client.Options{Prompt: answers("5678")})
	fmt.Println("played back:", again.SetPIN(ctx))
	// Output:
	// authenticatorGetInfo CTAP2_OK (0x00)
	// authenticatorClientPIN CTAP2_OK (0x00)
	// authenticatorClientPIN CTAP2_OK (0x00)
	// played back: <nil>
}
