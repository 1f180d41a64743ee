package webauthn_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/webauthn"
)

// FuzzOptions is a page that asks for anything: a registration or a sign-in, as a browser
// takes it. What it is told to ask a key for is never for an RP ID that is not the
// page's.
func FuzzOptions(f *testing.F) {
	for _, text := range []string{
		`{"rp":{"id":"example.com","name":"Example"},"user":{"id":"AQ","name":"a","displayName":"A"},"challenge":"AAAA","pubKeyCredParams":[{"type":"public-key","alg":-7}],"timeout":60000,` +
			`"excludeCredentials":[{"type":"public-key","id":"AAAA","transports":["usb"]}],"authenticatorSelection":{"residentKey":"required","userVerification":"required"},"attestation":"direct",` +
			`"extensions":{"credProps":true,"hmacCreateSecret":true,"credProtect":2,"prf":{"eval":{"first":"AA"}},"largeBlob":{"support":"preferred"},"appidExclude":"https://example.com/a"}}`,
		`{"publicKey":{"challenge":"AAAA","rpId":"example.com","allowCredentials":[{"type":"public-key","id":"AAAA"}],"userVerification":"preferred",` +
			`"extensions":{"appid":"https://example.com/a","prf":{"evalByCredential":{"AAAA":{"first":"AA","second":"AQ"}}},"largeBlob":{"read":true},"getCredBlob":true,"uvm":true}}}`,
		`{"@odata.context":"x","challengeTimeoutDateTime":"2024-08-16T03:33:00Z","publicKey":{"rp":{"id":"login.microsoft.com"},"user":{"id":"T0Y"},"challenge":"AAAA","pubKeyCredParams":[]}}`,
		strings.Repeat(`{"publicKey":`, 5000) + "1" + strings.Repeat("}", 5000),
		`{"rp":{"id":"com"},"user":{"id":"AQ"},"challenge":"AA"}`,
	} {
		f.Add([]byte(text), "https://login.example.com", []byte(`{"origins":["https://example.org","https://login.microsoft.com"]}`))
	}
	f.Fuzz(func(t *testing.T, text []byte, origin string, related []byte) {
		c := &webauthn.Client{Origin: origin, InsecureLocalhost: true, RelatedOrigins: func(context.Context, string) ([]byte, error) { return related, nil }}
		refused := func(err error) {
			var told *webauthn.Error
			if err != nil && !errors.As(err, &told) {
				t.Errorf("a page would get %v", err)
			}
		}
		if o, err := webauthn.ParseCreationOptions(text); err == nil {
			again, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := webauthn.ParseCreationOptions(again); err != nil {
				t.Errorf("%s is not read again: %v", again, err)
			}
			made, err := c.NewCreation(t.Context(), o)
			refused(err)
			if err == nil && webauthn.CheckRPID(made.RPID) != nil && o.RP.ID != "" {
				t.Errorf("RP ID %q", made.RPID)
			}
		}
		if o, err := webauthn.ParseRequestOptions(text); err == nil {
			_, err := c.NewRequest(t.Context(), o)
			refused(err)
		}
	})
}
