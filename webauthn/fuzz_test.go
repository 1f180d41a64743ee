package webauthn_test

import (
	"encoding/json"
	"testing"

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
