package webauthn_test

import (
	"encoding/json"
	"testing"

	"github.com/fidokey/fidokey/webauthn"
)

// FuzzAttestation judges attestation objects of every format.
func FuzzAttestation(f *testing.F) {
	for _, k := range ours(f) {
		f.Add([]byte(k.response.Response.AttestationObject), false)
	}
	registrations, _ := specification(f)
	for _, k := range registrations {
		f.Add([]byte(k.response.Response.AttestationObject), true)
	}
	known := ours(f)[0].want
	f.Fuzz(func(t *testing.T, object []byte, rootless bool) {
		want := known
		if rootless {
			want.Roots = nil
		}
		judge(t, response(object, clientData(), []byte("id")), want)
	})
}

// FuzzRegistration reads a saved registration and judges it.
func FuzzRegistration(f *testing.F) {
	for _, k := range ours(f) {
		text, err := json.Marshal(k.response)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	want := expected()
	f.Fuzz(func(t *testing.T, text []byte) {
		var r webauthn.RegistrationResponse
		if json.Unmarshal(text, &r) == nil {
			judge(t, &r, want)
		}
	})
}

// judge holds a judgement together: what cannot be read is not described, and what
// go-webauthn refuses is refused.
func judge(t *testing.T, r *webauthn.RegistrationResponse, want webauthn.Expected) {
	credential, data, err := r.Credential()
	if err == nil && (credential == nil || data == nil) {
		t.Error("neither a credential nor an error")
	}
	checks, described := webauthn.CheckRegistration(r, want), webauthn.DescribeAttestation(r, want)
	if unread := checks[0].Name == webauthn.CheckEncoding; unread != (described == nil) || unread && webauthn.Failed(checks) == nil {
		t.Errorf("%v, described as %+v", checks, described)
	}
}

// FuzzAuthentication reads a saved assertion and judges it.
func FuzzAuthentication(f *testing.F) {
	registrations, ceremonies := specification(f)
	for _, k := range registrations {
		text, err := json.Marshal(assertionOf(ceremonies[k.name], k))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	want := registrations[0].want
	want.Registration = registrations[0].response
	f.Fuzz(func(t *testing.T, text []byte) {
		var r webauthn.AuthenticationResponse
		if json.Unmarshal(text, &r) == nil && len(webauthn.CheckAuthentication(&r, want)) == 0 {
			t.Error("nothing was checked")
		}
	})
}
