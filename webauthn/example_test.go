package webauthn_test

import (
	"context"
	"fmt"
	"log"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/webauthn"
)

// A page registers, and then signs in, with a key in software.
func ExampleClient() {
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
	key := client.New(dev, client.Options{})
	defer key.Close()

	page := webauthn.Client{Origin: "https://login.example.com"}
	creation, err := webauthn.ParseCreationOptions([]byte(`{"publicKey": {
		"rp": {"id": "example.com", "name": "Example"},
		"user": {"id": "AQID", "name": "alice", "displayName": "Alice"},
		"challenge": "AAECAwQFBgcICQoLDA0ODw",
		"pubKeyCredParams": [{"type": "public-key", "alg": -7}],
		"authenticatorSelection": {"residentKey": "required"}}}`))
	if err != nil {
		log.Fatal(err)
	}
	registered, err := page.Create(ctx, key, creation)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(registered.Response.ClientDataJSON))
	request, err := webauthn.ParseRequestOptions([]byte(`{"challenge": "AAECAwQFBgcICQoLDA0ODw", "rpId": "example.com"}`))
	if err != nil {
		log.Fatal(err)
	}
	signed, err := page.Get(ctx, key, request, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(signed.ID.String() == registered.ID.String(), signed.Response.UserHandle)
	// Output:
	// {"type":"webauthn.create","challenge":"AAECAwQFBgcICQoLDA0ODw","origin":"https://login.example.com","crossOrigin":false}
	// true AQID
}
