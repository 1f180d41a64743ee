package webauthn_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/webauthn"
)

// plugIn returns a key with the PIN 123456, if the profile has PINs.
func plugIn(t *testing.T, profile string) *client.Key {
	t.Helper()
	p, err := simulator.LoadProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	authenticator, err := simulator.New(simulator.Config{Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { authenticator.Close() })
	dev, err := hid.Open(t.Context(), simulator.NewHID(authenticator).Port())
	if err != nil {
		t.Fatal(err)
	}
	pin := []byte("123456")
	key := client.New(dev, client.Options{Prompt: client.Prompt{
		PIN:    func(context.Context, client.PINRequest) ([]byte, error) { return bytes.Clone(pin), nil },
		NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return bytes.Clone(pin), nil },
	}})
	t.Cleanup(func() { key.Close() })
	if err := key.SetPIN(t.Context()); err != nil && !errors.Is(err, client.ErrPINUnsupported) && !errors.Is(err, client.ErrU2FOnly) {
		t.Fatal(err)
	}
	return key
}

func creationOptions(t *testing.T, members string) *webauthn.CreationOptions {
	t.Helper()
	o, err := webauthn.ParseCreationOptions([]byte(`{"rp": {"id": "example.com", "name": "Example"}, "user": {"id": "AQID", "name": "alice", "displayName": "Alice"},
		"challenge": "AAECAwQFBgcICQoLDA0ODw"` + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func requestOptions(t *testing.T, members string) *webauthn.RequestOptions {
	t.Helper()
	o, err := webauthn.ParseRequestOptions([]byte(`{"rpId": "example.com", "challenge": "AAECAwQFBgcICQoLDA0ODw"` + members + `}`))
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// taken has a server's library read a response, and returns its text.
func taken[T any](t *testing.T, response any, parse func([]byte) (T, error)) (T, string) {
	t.Helper()
	text, err := json.Marshal(response)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parse(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return parsed, string(text)
}

// TestCreate: what a server gets for what it asks for.
func TestCreate(t *testing.T) {
	for _, tt := range []struct {
		name, profile, members string
		format, results        string
		resident               bool
		err                    error
	}{
		{name: "nothing asked for", members: ``, format: "none", results: `{}`},
		{name: "attestation", members: `, "attestation": "direct"`, format: "packed", results: `{}`},
		{name: "indirect attestation", members: `, "attestation": "indirect"`, format: "packed", results: `{}`},
		{name: "enterprise attestation", members: `, "attestation": "enterprise"`, format: "packed", results: `{}`},
		{name: "a format", members: `, "attestation": "direct", "attestationFormats": ["none"]`, format: "none", results: `{}`},
		{name: "an unknown word", members: `, "attestation": "perhaps"`, format: "none", results: `{}`},
		{name: "residentKey required", members: `, "authenticatorSelection": {"residentKey": "required"}, "extensions": {"credProps": true}`,
			format: "none", results: `{"credProps":{"rk":true}}`, resident: true},
		{name: "residentKey preferred", members: `, "authenticatorSelection": {"residentKey": "preferred"}, "extensions": {"credProps": true}`,
			format: "none", results: `{"credProps":{"rk":true}}`, resident: true},
		{name: "residentKey preferred of a key without", profile: "variant-no-rk", members: `, "authenticatorSelection": {"residentKey": "preferred"}, "extensions": {"credProps": true}`,
			format: "none", results: `{"credProps":{"rk":false}}`},
		{name: "residentKey required of a key without", profile: "variant-no-rk", members: `, "authenticatorSelection": {"residentKey": "required"}`, err: client.ErrNoDiscoverable},
		{name: "residentKey goes before requireResidentKey", members: `, "authenticatorSelection": {"residentKey": "discouraged", "requireResidentKey": true}, "extensions": {"credProps": true}`,
			format: "none", results: `{"credProps":{"rk":false}}`},
		{name: "requireResidentKey", members: `, "authenticatorSelection": {"requireResidentKey": true}, "extensions": {"credProps": true}`,
			format: "none", results: `{"credProps":{"rk":true}}`, resident: true},
		{name: "Entra", members: `, "attestation": "direct", "authenticatorSelection": {"authenticatorAttachment": "cross-platform", "requireResidentKey": true, "userVerification": "required"},
			"extensions": {"hmacCreateSecret": true, "enforceCredentialProtectionPolicy": true, "credentialProtectionPolicy": "userVerificationOptional"}`,
			format: "packed", results: `{"credProtect":"userVerificationOptional","hmacCreateSecret":true}`, resident: true},
		{name: "every extension", members: `, "authenticatorSelection": {"residentKey": "required"},
			"extensions": {"credBlob": "AAAA", "minPinLength": true, "pinComplexityPolicy": true, "thirdPartyPayment": true, "largeBlob": {"support": "required"}, "prf": {}}`,
			format: "none", results: `{"credBlob":true,"largeBlob":{"supported":true},"prf":{"enabled":true}}`, resident: true},
		{name: "appidExclude", members: `, "extensions": {"appidExclude": "https://example.com/u2f.json"}`, format: "none", results: `{"appidExclude":true}`},
		{name: "a blob that is too long", members: `, "extensions": {"credBlob": "` + string(bytes.Repeat([]byte("AAAA"), 100)) + `"}`, err: &webauthn.Error{}},
		{name: "protection that the key does not have", profile: "u2f", members: `, "authenticatorSelection": {"userVerification": "discouraged"},
			"extensions": {"credentialProtectionPolicy": "userVerificationRequired", "enforceCredentialProtectionPolicy": true}`, err: client.ErrExtensionUnsupported},
		{name: "U2F", profile: "u2f", members: `, "attestation": "direct", "authenticatorSelection": {"residentKey": "preferred"}`, format: "fido-u2f", results: `{}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			profile := tt.profile
			if profile == "" {
				profile = "ctap-2.3"
			}
			key := plugIn(t, profile)
			o := creationOptions(t, tt.members)
			page := webauthn.Client{Origin: origin}
			r, err := page.Create(t.Context(), key, o)
			var refused *webauthn.Error
			switch {
			case tt.err == nil && err == nil:
			case tt.err == nil, err == nil:
				t.Fatalf("%v", err)
			case !errors.Is(err, tt.err) && !(errors.As(err, &refused) && errors.As(tt.err, &refused)):
				t.Fatalf("%v, want %v", err, tt.err)
			default:
				return
			}
			parsed, text := taken(t, r, protocol.ParseCredentialCreationResponseBytes)
			results, err := json.Marshal(r.ClientExtensionResults)
			if err != nil || parsed.Response.AttestationObject.Format != tt.format || string(results) != tt.results {
				t.Errorf("format %s, results %s, %v", parsed.Response.AttestationObject.Format, results, err)
			}
			if !slices.IsSorted(r.Response.Transports) || string(r.Response.ClientDataJSON) != string(clientData()) || r.AuthenticatorAttachment != "cross-platform" {
				t.Errorf("%s", text)
			}
			checks := webauthn.CheckRegistration(r, webauthn.Expected{Challenge: challenge, Origin: origin, RPID: rpID, Algorithms: algorithms(t, o), AAGUID: parsedAAGUID(t, key, tt.format)})
			if err := webauthn.Failed(checks); err != nil {
				t.Error(err)
			}
			_, err = page.Get(t.Context(), key, requestOptions(t, ``), nil)
			if found := err == nil; found != tt.resident {
				t.Errorf("discoverable: %v, %v", found, err)
			}
		})
	}
}

// algorithms are those that a client takes from options.
func algorithms(t *testing.T, o *webauthn.CreationOptions) (list []cose.Algorithm) {
	t.Helper()
	c, err := (&webauthn.Client{Origin: origin}).NewCreation(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(c.Algorithms()); len(o.PubKeyCredParams) == 0 && got != "[ES256 RS256]" {
		t.Errorf("algorithms by default: %s", got)
	}
	return c.Algorithms()
}

func parsedAAGUID(t *testing.T, key *client.Key, format string) ctap2.AAGUID {
	t.Helper()
	info, err := key.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if format == "fido-u2f" {
		return ctap2.AAGUID{}
	}
	return info.AAGUID
}

// TestGet: a sign-in with each extension, and one of several accounts.
func TestGet(t *testing.T) {
	key, page := plugIn(t, "ctap-2.3"), webauthn.Client{Origin: origin}
	var registered []*webauthn.RegistrationResponse
	for _, id := range []string{"AQ", "Ag"} {
		r, err := page.Create(t.Context(), key, creationOptions(t, `, "user": {"id": "`+id+`", "name": "`+id+`", "displayName": ""},
			"authenticatorSelection": {"residentKey": "required"}, "extensions": {"prf": {}, "largeBlob": {"support": "required"}, "credBlob": "AAAA"}`))
		if err != nil {
			t.Fatal(err)
		}
		registered = append(registered, r)
	}
	one := registered[0].ID.String()
	allow := `, "allowCredentials": [{"type": "unknown", "id": "AAAA"}, {"type": "public-key", "id": "` + one + `", "transports": ["ble"]}]`
	only := `, "allowCredentials": [{"type": "public-key", "id": "` + one + `"}]`
	for _, tt := range []struct{ members, results string }{
		{allow, `{}`},
		{allow + `, "extensions": {"appid": "https://example.com/u2f.json", "getCredBlob": true}`, `{"appid":false,"getCredBlob":"AAAA"}`},
		{only + `, "extensions": {"largeBlob": {"read": true}}`, `{"largeBlob":{}}`},
		{only + `, "extensions": {"largeBlob": {"write": "AQIDBA"}}`, `{"largeBlob":{"written":true}}`},
		{only + `, "extensions": {"largeBlob": {"read": true}}`, `{"largeBlob":{"blob":"AQIDBA"}}`},
	} {
		r, err := page.Get(t.Context(), key, requestOptions(t, tt.members), nil)
		if err != nil {
			t.Fatalf("%s: %v", tt.members, err)
		}
		_, text := taken(t, r, protocol.ParseCredentialRequestResponseBytes)
		if results, err := json.Marshal(r.ClientExtensionResults); err != nil || string(results) != tt.results || r.ID.String() != one {
			t.Errorf("%s: %s, %v, %s", tt.members, results, err, text)
		}
		checks := webauthn.CheckAuthentication(r, webauthn.Expected{Challenge: challenge, Origin: origin, RPID: rpID, Registration: registered[0]})
		if err := webauthn.Failed(checks); err != nil {
			t.Error(err)
		}
	}
	// The secret of a credential is that of its own input, else of the common one.
	secret := func(members string) string {
		r, err := page.Get(t.Context(), key, requestOptions(t, members), nil)
		if err != nil {
			t.Fatalf("%s: %v", members, err)
		}
		text, err := json.Marshal(r.ClientExtensionResults["prf"])
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	common := secret(only + `, "extensions": {"prf": {"eval": {"first": "AQ"}}}`)
	own := secret(only + `, "extensions": {"prf": {"eval": {"first": "Ag"}, "evalByCredential": {"` + one + `": {"first": "AQ"}}}}`)
	if other := secret(only + `, "extensions": {"prf": {"eval": {"first": "Ag"}}}`); common != own || other == own || len(own) < 60 {
		t.Errorf("%s, %s, %s", common, own, other)
	}
	// Of several accounts one is chosen, else the newest answers.
	choose := func(n int) func([]*client.Asserted) (int, error) {
		return func(all []*client.Asserted) (int, error) { return n, nil }
	}
	for n, want := range []int{1, 0} {
		r, err := page.Get(t.Context(), key, requestOptions(t, ``), choose(n))
		if err != nil || !bytes.Equal(r.ID, registered[want].ID) {
			t.Errorf("account %d: %v, %v", n, r, err)
		}
	}
	if _, err := page.Get(t.Context(), key, requestOptions(t, ``), choose(2)); err == nil {
		t.Error("there is no third account")
	}
	// What is in the exclude list is not made again, in whatever encoding.
	_, err := page.Create(t.Context(), key, creationOptions(t, `, "excludeCredentials": [{"type": "public-key", "id": "`+one+`=", "transports": ["internal"]}]`))
	if !errors.Is(err, ctap2.ErrCredentialExcluded) {
		t.Errorf("excluded: %v", err)
	}
	if _, err = page.Create(t.Context(), key, creationOptions(t, `, "excludeCredentials": [{"type": "other", "id": "`+one+`"}]`)); err != nil {
		t.Errorf("of another type: %v", err)
	}
}

// TestNoWeb: an RP ID that no page can use is for programs that say so.
func TestNoWeb(t *testing.T) {
	key := plugIn(t, "ctap-2.3")
	o := creationOptions(t, `, "rp": {"id": "ssh:", "name": ""}`)
	if _, err := (&webauthn.Client{Origin: origin}).Create(t.Context(), key, o); err == nil {
		t.Error("a page may use ssh:")
	}
	r, err := (&webauthn.Client{Origin: "ssh://openssh", NoWeb: true}).Create(t.Context(), key, o)
	if err != nil {
		t.Fatal(err)
	}
	checks := webauthn.CheckRegistration(r, webauthn.Expected{Challenge: challenge, Origin: "ssh://openssh", RPID: "ssh:", Algorithms: algorithms(t, creationOptions(t, ``)), AAGUID: parsedAAGUID(t, key, "none")})
	if err := webauthn.Failed(checks); err != nil {
		t.Error(err)
	}
}
