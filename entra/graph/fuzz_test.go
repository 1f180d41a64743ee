package graph

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// canned answers every request with the same.
type canned struct {
	status int
	body   []byte
	asked  int
}

func (c *canned) Do(r *http.Request) (*http.Response, error) {
	if c.asked++; c.asked > 100 {
		panic("the client does not stop asking")
	}
	if strings.Contains(r.URL.String(), bearer) || !strings.HasPrefix(r.URL.String(), "https://graph.example/") {
		panic("the token goes to " + r.URL.String())
	}
	return &http.Response{
		StatusCode: c.status, Status: http.StatusText(c.status), Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(c.body)), Request: r,
	}, nil
}

// FuzzAnswers has Graph say anything to everything. Nothing is asked of another host,
// no list goes on for ever, and no error tells the token or is unbearably long.
func FuzzAnswers(f *testing.F) {
	for _, body := range []string{
		`{"value":[{"id":"u1","userPrincipalName":"user1@example.onmicrosoft.com","displayName":"A"}],"@odata.nextLink":"https://graph.example/v1.0/users?$skiptoken=2"}`,
		`{"value":[],"@odata.nextLink":"https://evil.example/"}`, `{"value":[]}`, `{}`, `null`, `[]`, ``,
		`{"id":"AAEC0","displayName":"key","creationDateTime":"2024-08-16T03:33:00Z","aaGuid":"` + anAAGUID + `","model":"M","attestationCertificates":["x"],"attestationLevel":"attested"}`,
		`{"error":{"code":"Authorization_RequestDenied","message":"no\u001b[2J","innerError":{"request-id":"1","client-request-id":"2","date":"x"},"details":[{"code":"a"}]}}`,
		`{"challengeTimeoutDateTime":"2024-08-16T03:33:00Z","publicKey":{"challenge":"AAAA","rp":{"id":"login.microsoft.com"},"user":{"id":"T0Y","name":"a","displayName":"A"},"pubKeyCredParams":[{"type":"public-key","alg":-7}]}}`,
		`{"responses":[{"id":"0","status":200,"headers":{"Retry-After":"1"},"body":{"value":[{"id":"AAEC0","aaGuid":"x"}]}},{"id":"7","status":429}]}`,
		`{"value":[{"createdDateTime":"2024-08-16T03:33:00Z","userId":"u","authenticationDetails":[{"authenticationMethod":"Passkey","succeeded":true}]}]}`,
	} {
		for _, status := range []int{200, 403} {
			f.Add(status, []byte(body))
		}
	}
	credential, err := SignIn{Token: bearer}.Credential()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			return
		}
		answers := &canned{status: status, body: body}
		c, err := New(credential, Options{
			Cloud: Cloud{Name: "fuzz", Graph: "https://graph.example"}, Transport: answers, Retry: policy.RetryOptions{MaxRetries: -1},
		})
		if err != nil {
			t.Fatal(err)
		}
		bearable := func(err error) {
			t.Helper()
			if err != nil && (strings.Contains(err.Error(), bearer) || len(err.Error()) > 10_000 || strings.ContainsAny(err.Error(), "\x1b\x07\x00")) {
				t.Errorf("error %.300q", err)
			}
		}
		ctx := t.Context()
		for _, err := range c.Users(ctx) {
			bearable(err)
			if err != nil {
				break
			}
		}
		_, err = c.User(ctx, firstUser)
		bearable(err)
		_, err = c.Groups(ctx, firstUser)
		bearable(err)
		_, err = c.Policy(ctx)
		bearable(err)
		_, err = c.Strengths(ctx)
		bearable(err)
		_, err = c.Methods(ctx, firstUser)
		bearable(err)
		_, err = c.Method(ctx, firstUser, "AAEC0")
		bearable(err)
		_, err = c.Register(ctx, firstUser, Registration{})
		bearable(err)
		if o, err := c.CreationOptions(ctx, firstUser, time.Minute); err != nil {
			bearable(err)
		} else if o == nil {
			t.Error("neither options nor an error")
		}
		n := 0
		for _, err := range c.SignIns(ctx, time.Time{}) {
			bearable(err)
			if n++; err != nil || n > 1000 {
				break
			}
		}
	})
}

// FuzzParseCertificate reads certificates; there is a key with each that is taken.
func FuzzParseCertificate(f *testing.F) {
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"), []byte("secret-password"))
	f.Add([]byte("\x30\x82\x01\x00\x02\x01\x03"), []byte(""))
	f.Fuzz(func(t *testing.T, data, password []byte) {
		c, err := ParseCertificate(data, password)
		if err == nil && (len(c.Chain) == 0 || c.Key == nil) {
			t.Errorf("%+v without an error", c)
		}
		if err != nil && len(password) > 8 && strings.Contains(err.Error(), string(password)) {
			t.Errorf("the password is in %q", err)
		}
	})
}
