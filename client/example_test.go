package client_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
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
