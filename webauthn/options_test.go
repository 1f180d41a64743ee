package webauthn_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/webauthn"
)

// serverOptions are what servers send, in the shapes of their libraries.
var serverOptions = map[string]string{
	"SimpleWebAuthn": `{"challenge":"AAECAwQFBgcICQoLDA0ODw","rp":{"name":"Example","id":"example.com"},
		"user":{"id":"AQIDBA","name":"alice","displayName":""},
		"pubKeyCredParams":[{"alg":-8,"type":"public-key"},{"alg":-7,"type":"public-key"},{"alg":-257,"type":"public-key"}],
		"timeout":60000,"attestation":"none","excludeCredentials":[],
		"authenticatorSelection":{"residentKey":"preferred","userVerification":"preferred","requireResidentKey":false},
		"extensions":{"credProps":true},"hints":[]}`,
	"go-webauthn": `{"publicKey":{"rp":{"name":"Example","id":"example.com"},"user":{"name":"alice","displayName":"Alice","id":"AQIDBA"},
		"challenge":"AAECAwQFBgcICQoLDA0ODw","pubKeyCredParams":[{"type":"public-key","alg":-7},{"type":"public-key","alg":-35},
		{"type":"public-key","alg":-36},{"type":"public-key","alg":-257},{"type":"public-key","alg":-258},{"type":"public-key","alg":-259},
		{"type":"public-key","alg":-37},{"type":"public-key","alg":-38},{"type":"public-key","alg":-39},{"type":"public-key","alg":-8}],
		"timeout":300000,"excludeCredentials":[{"type":"public-key","id":"AAAAAAAAAAAAAAAAAAAAAA","transports":["usb","smart-card"]}],
		"authenticatorSelection":{"requireResidentKey":false,"userVerification":"preferred"},"attestation":"direct"},"mediation":"optional"}`,
	"java-webauthn-server": `{"publicKey":{"rp":{"name":"Example","id":"example.com"},"user":{"name":"alice","displayName":"Alice","id":"AQIDBA"},
		"challenge":"AAECAwQFBgcICQoLDA0ODw","pubKeyCredParams":[{"alg":-7,"type":"public-key"},{"alg":-8,"type":"public-key"},{"alg":-257,"type":"public-key"}],
		"hints":["security-key"],"excludeCredentials":[],"authenticatorSelection":{"requireResidentKey":true,"residentKey":"required","userVerification":"required"},
		"attestation":"enterprise","extensions":{"appidExclude":"https://example.com/u2f.json","credProps":true,"largeBlob":{"support":"required"},"uvm":true}}}`,
	"py_webauthn": `{"rp": {"name": "Example", "id": "example.com"}, "user": {"id": "AQIDBA==", "name": "alice", "displayName": "Alice"},
		"challenge": "AAECAwQFBgcICQoLDA0ODw==", "pubKeyCredParams": [{"type": "public-key", "alg": -7}], "timeout": 60000,
		"excludeCredentials": [], "attestation": "none", "authenticatorSelection": null, "extensions": null}`,
	"Microsoft Graph": `{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#microsoft.graph.webauthnCredentialCreationOptions",
		"challengeTimeoutDateTime":"2030-01-01T00:05:00Z","publicKey":{"@odata.type":"#microsoft.graph.webauthnPublicKeyCredentialCreationOptions",
		"rp":{"id":"example.com","name":"Microsoft"},"user":{"id":"AQIDBA","name":"alice","displayName":"Alice"},
		"challenge":"AAECAwQFBgcICQoLDA0ODw","pubKeyCredParams":[{"type":"public-key","alg":-7},{"type":"public-key","alg":-257}],"timeout":0,
		"excludeCredentials":[{"id":"AAECAwQFBgcICQoLDA0ODw2","type":"public-key","transports":[]},{"id":"-_-_","type":"public-key","transports":[]}],
		"authenticatorSelection":{"authenticatorAttachment":"cross-platform","requireResidentKey":true,"userVerification":"required"},"attestation":"direct",
		"extensions":{"hmacCreateSecret":true,"enforceCredentialProtectionPolicy":true,"credentialProtectionPolicy":"userVerificationOptional"}}}`,
	"Microsoft Graph, the sample": `{"value":{"challengeTimeoutDateTime":"2030-01-01T00:05:00Z","publicKey":{"rp":{"id":"example.com","name":"Microsoft"},
		"user":{"id":"AQIDBA","name":"alice","displayName":"Alice"},"challenge":"AAECAwQFBgcICQoLDA0ODw","pubKeyCredParams":[{"type":"public-key","alg":-7}]}}}`,
}

func TestParseCreationOptions(t *testing.T) {
	for name, text := range serverOptions {
		t.Run(name, func(t *testing.T) {
			o, err := webauthn.ParseCreationOptions([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if string(o.Challenge) != string(challenge) || o.RP.ID != rpID || string(o.User.ID) != "\x01\x02\x03\x04" || o.User.Name != "alice" || len(o.PubKeyCredParams) == 0 {
				t.Errorf("%+v", o)
			}
			c, err := (&webauthn.Client{Origin: origin}).NewCreation(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if c.ClientDataJSON == nil || string(c.ClientDataJSON) != string(clientData()) {
				t.Errorf("%s", c.ClientDataJSON)
			}
			again, err := json.Marshal(o) // what --json tells is options again
			if err != nil {
				t.Fatal(err)
			}
			if back, err := webauthn.ParseCreationOptions(again); err != nil || fmt.Sprintf("%+v", back.User) != fmt.Sprintf("%+v", o.User) || len(back.PubKeyCredParams) != len(o.PubKeyCredParams) {
				t.Errorf("%v, %s", err, again)
			}
		})
	}
}

func TestParseOptionsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                            "rp is missing",
		`{"publicKey": null}`:           "rp is missing",
		`[]`:                            "array",
		`{"publicKey": 1}`:              "number",
		`{"rp": {}, "challenge": "AA"}`: "user is missing",
		`{"rp": {}, "challenge": "AA", "user": {}}`:                                                                      "user.id is missing",
		`{"rp": {}, "challenge": null, "user": {"id": "AA"}}`:                                                            "challenge is missing",
		`{"rp": {}, "challenge": "?", "user": {"id": "AA"}}`:                                                             "illegal base64",
		`{"rp": {}, "challenge": 1, "user": {"id": "AA"}}`:                                                               "number",
		`{"rp": {}, "challenge": "AA", "user": {"id": "AA"}, "timeout": "long"}`:                                         "string",
		`{"rp": {}, "challenge": "AA", "user": {"id": "AA"}, "excludeCredentials": [{"type": "public-key", "id": "?"}]}`: "illegal base64",
	} {
		if o, err := webauthn.ParseCreationOptions([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", text, o, err)
		}
	}
	if _, err := webauthn.ParseRequestOptions([]byte(`{"rpId": "example.com"}`)); err == nil {
		t.Error("a sign-in without a challenge")
	}
	o, err := webauthn.ParseRequestOptions([]byte(`{"publicKey": {"challenge": "AA", "rpId": "example.com", "allowCredentials": [{"type": "public-key", "id": "AQID"}], "new": 1}}`))
	if err != nil || o.RPID != rpID || len(o.AllowCredentials) != 1 || string(o.AllowCredentials[0].ID) != "\x01\x02\x03" {
		t.Errorf("%+v, %v", o, err)
	}
}

// TestCredentialIDEncodings: for IDs of each length every encoding leads back to
// the ID, and to at most one other.
func TestCredentialIDEncodings(t *testing.T) {
	for size := 1; size < 40; size++ {
		for fill := range 256 {
			id := make([]byte, size)
			for i := range id {
				id[i] = byte(fill * (i + 1))
			}
			padded := base64.URLEncoding.EncodeToString(id)
			bare := strings.TrimRight(padded, "=")
			forms := map[string]string{
				"base64url": bare, "padded": padded, "standard": base64.StdEncoding.EncodeToString(id),
				"with a digit": fmt.Sprintf("%s%d", bare, len(padded)-len(bare)),
			}
			for name, text := range forms {
				got, err := webauthn.IDs(text)
				found := false
				for _, one := range got {
					found = found || string(one) == string(id)
				}
				if err != nil || !found || len(got) > 2 {
					t.Fatalf("%s %q of %x: %x, %v", name, text, id, got, err)
				}
			}
		}
	}
	if ids, err := webauthn.IDs(""); err != nil || len(ids) != 1 || len(ids[0]) != 0 {
		t.Errorf("%x, %v", ids, err)
	}
}

func TestLifetime(t *testing.T) {
	for milliseconds, want := range map[uint]time.Duration{
		0: 5 * time.Minute, 1: 5 * time.Minute, 60_000: 5 * time.Minute, 300_000: 5 * time.Minute, 420_000: 7 * time.Minute,
		600_000: 10 * time.Minute, 86_400_000: 10 * time.Minute, math.MaxUint: 10 * time.Minute,
	} {
		if got := webauthn.Lifetime(milliseconds); got != want {
			t.Errorf("%d: %v", milliseconds, got)
		}
	}
}

// TestClientRefuses: what a page must not ask for is an error with the name that
// pages know, and reaches no key.
func TestClientRefuses(t *testing.T) {
	create := func(members string) error {
		o, err := webauthn.ParseCreationOptions([]byte(`{"rp": {"id": "example.com", "name": ""}, "user": {"id": "AQ", "name": "alice", "displayName": ""}, "challenge": "AA"` + members + `}`))
		if err == nil {
			_, err = (&webauthn.Client{Origin: origin}).NewCreation(t.Context(), o)
		}
		return err
	}
	get := func(members string) error {
		o, err := webauthn.ParseRequestOptions([]byte(`{"rpId": "example.com", "challenge": "AA"` + members + `}`))
		if err == nil {
			_, err = (&webauthn.Client{Origin: origin}).NewRequest(t.Context(), o)
		}
		return err
	}
	const one, two = `{"type": "public-key", "id": "AQ"}`, `{"type": "public-key", "id": "Ag"}`
	for _, tt := range []struct {
		do            func(string) error
		members, want string // want empty: all right
	}{
		{create, ``, ""},
		{create, `, "user": {"id": ""}`, "TypeError"},
		{create, `, "user": {"id": "` + strings.Repeat("AAAA", 22) + `"}`, "TypeError"},
		{create, `, "user": {"id": "` + strings.Repeat("AAAA", 21) + `AA"}`, ""},
		{create, `, "pubKeyCredParams": [{"type": "password", "alg": -7}]`, "NotSupportedError"},
		{create, `, "pubKeyCredParams": [{"type": "password", "alg": -7}, {"type": "public-key", "alg": -65535}]`, ""},
		{create, `, "authenticatorSelection": {"authenticatorAttachment": "platform"}`, "NotAllowedError"},
		{create, `, "authenticatorSelection": {"authenticatorAttachment": "something", "residentKey": "x", "userVerification": "y"}, "attestation": "z", "hints": ["h"]`, ""},
		{create, `, "extensions": {"appid": "https://example.com"}`, "NotSupportedError"},
		{create, `, "extensions": {"appidExclude": "https://example.org"}`, "SecurityError"},
		{create, `, "extensions": {"appidExclude": ""}`, ""},
		{create, `, "extensions": {"credentialProtectionPolicy": "sometimes"}`, "TypeError"},
		{create, `, "extensions": {"prf": {"evalByCredential": {}}}`, "NotSupportedError"},
		{create, `, "extensions": {"prf": {"eval": {"first": "AA"}}}`, ""},
		{create, `, "extensions": {"largeBlob": {"read": true}}`, "NotSupportedError"},
		{create, `, "extensions": {"largeBlob": {"write": "AA"}}`, "NotSupportedError"},
		{create, `, "extensions": {"largeBlob": {"support": "something"}}`, ""},
		{create, `, "extensions": {"unheardOf": {"a": [1]}}`, ""},
		{get, ``, ""},
		{get, `, "allowCredentials": [{"type": "other", "id": "AQ"}]`, "NotAllowedError"},
		{get, `, "allowCredentials": [{"type": "other", "id": "AQ"}, ` + one + `]`, ""},
		{get, `, "extensions": {"appidExclude": "https://example.com"}`, "NotSupportedError"},
		{get, `, "extensions": {"appid": "https://example.org"}`, "SecurityError"},
		{get, `, "extensions": {"largeBlob": {"support": "required"}}`, "NotSupportedError"},
		{get, `, "allowCredentials": [` + one + `], "extensions": {"largeBlob": {"read": true, "write": "AA"}}`, "NotSupportedError"},
		{get, `, "extensions": {"largeBlob": {"write": "AA"}}`, "NotSupportedError"},
		{get, `, "allowCredentials": [` + one + `, ` + two + `], "extensions": {"largeBlob": {"write": "AA"}}`, "NotSupportedError"},
		{get, `, "allowCredentials": [` + one + `], "extensions": {"largeBlob": {"write": ""}}`, ""},
		{get, `, "extensions": {"largeBlob": {"read": true}}`, ""},
		{get, `, "extensions": {"prf": {"evalByCredential": {"AQ": {"first": "AA"}}}}`, "NotSupportedError"},
		{get, `, "allowCredentials": [` + one + `], "extensions": {"prf": {"evalByCredential": {"Ag": {"first": "AA"}}}}`, "SyntaxError"},
		{get, `, "allowCredentials": [` + one + `], "extensions": {"prf": {"evalByCredential": {"": {"first": "AA"}}}}`, "SyntaxError"},
		{get, `, "allowCredentials": [` + one + `], "extensions": {"prf": {"evalByCredential": {"?": {"first": "AA"}}}}`, "SyntaxError"},
		{get, `, "allowCredentials": [` + one + `], "extensions": {"prf": {"evalByCredential": {"AQ": {"first": "AA"}}, "eval": {"first": ""}}}`, ""},
		{get, `, "extensions": {"hmacGetSecret": {"salt1": "AA"}}`, "TypeError"},
		{get, `, "extensions": {"hmacGetSecret": {"salt1": "` + strings.Repeat("A", 43) + `"}, "prf": {}}`, "NotSupportedError"},
	} {
		var refused *webauthn.Error
		switch err := tt.do(tt.members); {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.members, err)
		case tt.want != "" && (!errors.As(err, &refused) || refused.Name != tt.want):
			t.Errorf("%s: %v, want a %s", tt.members, err, tt.want)
		}
	}
}
