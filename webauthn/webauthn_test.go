package webauthn_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/webauthn"
)

const (
	origin = "https://example.com"
	rpID   = "example.com"
)

// challenge is the one in the client data of the vectors.
var challenge = []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}

var aaguid = ctap2.AAGUID{0xf1, 0xd0, 0xce, 0x1f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}

func TestClientData(t *testing.T) {
	var v struct {
		ClientDataJSON string
		ClientDataHash ctaptest.Hex
	}
	ctaptest.Vectors(t, "attestation-packed", &v)
	got := webauthn.ClientData{Type: webauthn.TypeCreate, Challenge: challenge, Origin: origin}.JSON()
	if string(got) != v.ClientDataJSON || !bytes.Equal(webauthn.Hash(got), v.ClientDataHash) {
		t.Errorf("%s", got)
	}
	// What section 5.8.1.1 escapes, and nothing else.
	odd := webauthn.ClientData{Type: webauthn.TypeGet, Origin: "https://a\"b\\c\n<d>&é\u2028"}.JSON()
	for char, want := range map[string]string{
		"\x00": `\u0000`, "\b": `\u0008`, "\t": `\u0009`, "\r": `\u000d`, "\x1f": `\u001f`, " ": " ", "\x7f": "\x7f", "/": "/", "'": "'",
		"\u0080": "\u0080", "\u2028": "\u2028", "\ufeff": "\ufeff", "例": "例", "🔑": "🔑", `\u0041`: `\\u0041`,
	} {
		got := string(webauthn.ClientData{Type: webauthn.TypeGet, Origin: char}.JSON())
		if got != `{"type":"webauthn.get","challenge":"","origin":"`+want+`","crossOrigin":false}` {
			t.Errorf("%q: %s", char, got)
		}
		var read struct{ Origin string }
		if err := json.Unmarshal([]byte(got), &read); err != nil || read.Origin != char {
			t.Errorf("%q is read as %q, %v", char, read.Origin, err)
		}
	}
	if want := "{\"type\":\"webauthn.get\",\"challenge\":\"\",\"origin\":\"https://a\\\"b\\\\c\\u000a<d>&é\u2028\",\"crossOrigin\":false}"; string(odd) != want {
		t.Errorf("got  %s\nwant %s", odd, want)
	}
}

// registrations are those of the vectors, as a key answered.
func registrations(t *testing.T) map[string]*ctap2.MakeCredentialResponse {
	var packed struct {
		Basic, Self struct{ MakeCredentialResponse ctaptest.Hex }
	}
	var none struct{ MakeCredentialResponse ctaptest.Hex }
	var u2f struct {
		AsCtap2 struct{ MakeCredentialResponse ctaptest.Hex }
	}
	ctaptest.Vectors(t, "attestation-packed", &packed)
	ctaptest.Vectors(t, "attestation-none", &none)
	ctaptest.Vectors(t, "u2f", &u2f)
	answers := map[string]*ctap2.MakeCredentialResponse{}
	for name, raw := range map[string]ctaptest.Hex{
		"packed chain": packed.Basic.MakeCredentialResponse,
		"packed self":  packed.Self.MakeCredentialResponse,
		"none":         none.MakeCredentialResponse,
		"fido-u2f":     u2f.AsCtap2.MakeCredentialResponse,
	} {
		answers[name] = new(ctap2.MakeCredentialResponse)
		if err := ctap2.Decode(t.Context(), raw, ctap2.CommandMakeCredential, answers[name]); err != nil {
			t.Fatal(name, err)
		}
	}
	return answers
}

func clientData() []byte {
	return webauthn.ClientData{Type: webauthn.TypeCreate, Challenge: challenge, Origin: origin}.JSON()
}

func expected() webauthn.Expected {
	return webauthn.Expected{
		Challenge: challenge, Origin: origin, RPID: rpID,
		Algorithms: []cose.Algorithm{cose.ES256}, AAGUID: aaguid,
	}
}

// failing returns the names of the checks that do not hold.
func failing(checks []webauthn.Check) (names []string) {
	for _, c := range checks {
		if c.Err != nil {
			names = append(names, c.Name)
		}
	}
	return names
}

func TestCheckRegistrationVectors(t *testing.T) {
	for name, made := range registrations(t) {
		t.Run(name, func(t *testing.T) {
			r, err := webauthn.NewRegistration(clientData(), made, []string{"usb"})
			if err != nil {
				t.Fatal(err)
			}
			checks := webauthn.CheckRegistration(r, expected())
			if err := webauthn.Failed(checks); err != nil || len(checks) != 27 {
				t.Errorf("%d checks: %v", len(checks), err)
			}
		})
	}
}

// TestAttestationObjectVectors compares with the attestation object of the
// vectors: the bytes of the key are passed on as they are.
func TestAttestationObjectVectors(t *testing.T) {
	var packed struct {
		Basic, Self struct{ AttestationObject ctaptest.Hex }
	}
	var none struct{ AttestationObject ctaptest.Hex }
	var u2f struct {
		AsCtap2 struct{ AttestationObject ctaptest.Hex }
	}
	ctaptest.Vectors(t, "attestation-packed", &packed)
	ctaptest.Vectors(t, "attestation-none", &none)
	ctaptest.Vectors(t, "u2f", &u2f)
	made := registrations(t)
	for name, want := range map[string]ctaptest.Hex{
		"packed chain": packed.Basic.AttestationObject, "packed self": packed.Self.AttestationObject,
		"none": none.AttestationObject, "fido-u2f": u2f.AsCtap2.AttestationObject,
	} {
		r, err := webauthn.NewRegistration(clientData(), made[name], nil)
		if err != nil {
			t.Fatal(name, err)
		}
		if !bytes.Equal(r.Response.AttestationObject, want) {
			t.Errorf("%s:\n got %x\nwant %x", name, r.Response.AttestationObject, want)
		}
		back, err := webauthn.ParseAttestationObject(want)
		if err != nil || back.Format != made[name].Format || !bytes.Equal(back.AuthData, made[name].AuthData) {
			t.Errorf("%s read back: %+v, %v", name, back, err)
		}
	}
}

// assertion is the one of the vectors: by the credential of their registrations,
// with a counter of 2 where "packed self" has 1.
func assertion(t *testing.T) *ctap2.GetAssertionResponse {
	var v struct {
		GetAssertion struct{ ResponseCbor ctaptest.Hex }
	}
	ctaptest.Vectors(t, "messages", &v)
	a := new(ctap2.GetAssertionResponse)
	if err := ctap2.Decode(t.Context(), v.GetAssertion.ResponseCbor, ctap2.CommandGetAssertion, a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCheckAuthentication(t *testing.T) {
	type damage func(a *ctap2.GetAssertionResponse, want *webauthn.Expected)
	for _, tt := range []struct {
		name   string
		damage damage
		check  string // that fails; empty: none does
	}{
		{name: "as it is", damage: func(*ctap2.GetAssertionResponse, *webauthn.Expected) {}},
		{name: "user verification required", damage: func(_ *ctap2.GetAssertionResponse, want *webauthn.Expected) { want.UserVerified = true }},
		{name: "no registration to compare with", damage: func(_ *ctap2.GetAssertionResponse, want *webauthn.Expected) { want.Registration = nil }},
		{"another challenge", func(_ *ctap2.GetAssertionResponse, want *webauthn.Expected) { want.Challenge = []byte("other") }, "challenge"},
		{"another RP ID", func(_ *ctap2.GetAssertionResponse, want *webauthn.Expected) { want.RPID = "example.org" }, "RP ID hash"},
		{"not present", func(a *ctap2.GetAssertionResponse, _ *webauthn.Expected) { a.AuthData[32] &^= 1 }, "user present"},
		{"not verified", func(a *ctap2.GetAssertionResponse, want *webauthn.Expected) {
			a.AuthData[32] &^= 4
			want.UserVerified = true
		}, "user verified"},
		{"another credential", func(a *ctap2.GetAssertionResponse, _ *webauthn.Expected) { a.Credential.ID[0] ^= 1 }, "credential ID"},
		{"counter falls", func(a *ctap2.GetAssertionResponse, _ *webauthn.Expected) { a.AuthData[36] = 0 }, "signature counter"},
		{"signature damaged", func(a *ctap2.GetAssertionResponse, _ *webauthn.Expected) { a.Signature[len(a.Signature)-1] ^= 1 }, "signature"},
		{"another origin", func(_ *ctap2.GetAssertionResponse, want *webauthn.Expected) { want.Origin = "https://example.org" }, "origin"},
		{"eligible for backup all at once", func(a *ctap2.GetAssertionResponse, _ *webauthn.Expected) { a.AuthData[32] |= 8 }, "backup flags"},
		{"another user", func(a *ctap2.GetAssertionResponse, want *webauthn.Expected) {
			a.User = &ctap2.User{ID: []byte{1}}
			want.UserHandle = []byte{2}
		}, "user handle"},
		{"counter of another time", func(_ *ctap2.GetAssertionResponse, want *webauthn.Expected) { want.SignCount = 2 }, "signature counter"},
		{"authenticator data cut off", func(a *ctap2.GetAssertionResponse, _ *webauthn.Expected) { a.AuthData = a.AuthData[:36] }, "encoding"},
		{"a registration that is none", func(_ *ctap2.GetAssertionResponse, want *webauthn.Expected) {
			want.Registration = new(webauthn.RegistrationResponse)
		}, "saved registration"},
		{"counter changed", func(a *ctap2.GetAssertionResponse, _ *webauthn.Expected) { a.AuthData[36] = 9 }, "signature"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			registration, err := webauthn.NewRegistration(clientData(), registrations(t)["packed self"], nil)
			if err != nil {
				t.Fatal(err)
			}
			a := assertion(t)
			want := webauthn.Expected{Challenge: challenge, Origin: origin, RPID: rpID, Registration: registration}
			tt.damage(a, &want)
			clientDataJSON := webauthn.ClientData{Type: webauthn.TypeGet, Challenge: challenge, Origin: origin}.JSON()
			checks := webauthn.CheckAuthentication(webauthn.NewAuthentication(clientDataJSON, a), want)
			agree(t, checks, webauthn.CheckCredentialID) // which is for whoever looks it up
			got := failing(checks)
			if tt.check == "" && len(got) > 0 || tt.check != "" && !slices.Contains(got, tt.check) {
				t.Errorf("failing checks: %q, want %q", got, tt.check)
			}
		})
	}
}

func TestResponsesSurviveJSON(t *testing.T) {
	made := registrations(t)["packed self"]
	r, err := webauthn.NewRegistration(clientData(), made, []string{"usb", "nfc"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again webauthn.RegistrationResponse
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if err := webauthn.Failed(webauthn.CheckRegistration(&again, expected())); err != nil {
		t.Error(err)
	}
	credential, _, err := again.Credential()
	if err != nil || !bytes.Equal(credential.ID, r.RawID) {
		t.Errorf("%v, %v", credential, err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"id", "rawId", "response", "clientExtensionResults", "type"} {
		if members[name] == nil {
			t.Errorf("member %s is missing in %s", name, text)
		}
	}
}

func TestNewRegistrationRefuses(t *testing.T) {
	if _, err := webauthn.ParseAttestationObject([]byte{0x01}); !errors.Is(err, ctap2.ErrMalformed) {
		t.Errorf("a number for an attestation object: %v", err)
	}
	made := registrations(t)["none"]
	for name, authData := range map[string][]byte{
		"cut off":       made.AuthData[:60],
		"no credential": append(append(bytes.Clone(made.AuthData[:32]), 0x01), 0, 0, 0, 0),
	} {
		broken := *made
		broken.AuthData = authData
		if _, err := webauthn.NewRegistration(clientData(), &broken, nil); !errors.Is(err, ctap2.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWithoutAttestation: nothing that the key vouched for is left, but what it
// signed with the credential itself and without its model.
func TestWithoutAttestation(t *testing.T) {
	for name, made := range registrations(t) {
		stripped := webauthn.WithoutAttestation(made)
		if stripped.Format != "none" || len(stripped.AttStmt) != 0 || !bytes.Equal(stripped.AuthData, made.AuthData) {
			t.Errorf("%s: %s, statement %x", name, stripped.Format, stripped.AttStmt)
		}
		r, err := webauthn.NewRegistration(clientData(), stripped, nil)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := webauthn.Failed(webauthn.CheckRegistration(r, expected())); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	anonymous := *registrations(t)["packed self"]
	anonymous.AuthData = slices.Clone(anonymous.AuthData)
	clear(anonymous.AuthData[37:53]) // the AAGUID
	if kept := webauthn.WithoutAttestation(&anonymous); kept.Format != "packed" {
		t.Errorf("self attestation without a model became %s", kept.Format)
	}
}
