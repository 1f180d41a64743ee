package simulator_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// A key in memory that is touched whenever it asks.
func ExampleNew() {
	key, err := simulator.New(simulator.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer key.Close()

	made, err := ctap2.Do(context.Background(), key, ctap2.MakeCredential{
		ClientDataHash:   make([]byte, 32),
		RP:               ctap2.RP{ID: "example.com"},
		User:             ctap2.User{ID: []byte{1}},
		PubKeyCredParams: []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}},
	})
	if err != nil {
		log.Fatal(err)
	}
	data, err := ctap2.ParseAuthenticatorData(made.AuthData)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(made.Format, data.Flags, data.Credential.PublicKey.Algorithm)
	// Output: packed UP|AT ES256
}
