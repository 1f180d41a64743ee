package webauthn_test

import (
	"encoding/json"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/webauthn"
)

// FuzzRegistration reads a saved registration and judges it.
func FuzzRegistration(f *testing.F) {
	var none struct{ AttestationObject ctaptest.Hex }
	ctaptest.Vectors(f, "attestation-none", &none)
	seed, err := json.Marshal(webauthn.RegistrationResponse{Response: webauthn.AttestationResponse{
		AttestationObject: webauthn.Base64URL(none.AttestationObject), ClientDataJSON: clientData(),
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, text []byte) {
		var r webauthn.RegistrationResponse
		if json.Unmarshal(text, &r) != nil {
			return
		}
		if credential, data, err := r.Credential(); err == nil && (credential == nil || data == nil) {
			t.Error("neither a credential nor an error")
		}
		webauthn.CheckRegistration(&r, expected())
	})
}

// FuzzOptions reads options of servers, and has a client look at them.
func FuzzOptions(f *testing.F) {
	for _, text := range serverOptions {
		f.Add([]byte(text))
	}
	f.Add([]byte(`{"publicKey": {"challenge": "AAECAw", "rpId": "example.com", "allowCredentials": [{"type": "public-key", "id": "AAE1"}],
		"extensions": {"prf": {"evalByCredential": {"AAE1": {"first": "AA", "second": ""}}}, "largeBlob": {"write": "AAAA"}}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		page := webauthn.Client{Origin: origin}
		if o, err := webauthn.ParseCreationOptions(text); err == nil {
			if c, err := page.NewCreation(t.Context(), o); err == nil {
				c.Registration(&ctap2.GetInfoResponse{})
			}
			again, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := webauthn.ParseCreationOptions(again); err != nil {
				t.Errorf("%s, written as\n%s: %v", text, again, err)
			}
		}
		if o, err := webauthn.ParseRequestOptions(text); err == nil {
			if r, err := page.NewRequest(t.Context(), o); err == nil {
				r.Assertion()
			}
		}
	})
}
