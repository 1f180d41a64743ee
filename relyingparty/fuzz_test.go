package relyingparty_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/relyingparty"
)

// FuzzServer posts anything to the website, which never takes it for its own fault, nor
// for a credential.
func FuzzServer(f *testing.F) {
	for _, path := range []string{"/api/registration/options", "/api/registration", "/api/authentication/options", "/api/authentication"} {
		f.Add(path, []byte(`{}`))
		f.Add(path, []byte(`{"name":"alice","userVerification":"required","residentKey":"required","extensions":{"prf":{}}}`))
		f.Add(path, []byte(`{"id":"AA","rawId":"AA","type":"public-key","response":{"clientDataJSON":"eyJ0eXBlIjoid2ViYXV0aG4uY3JlYXRlIiwiY2hhbGxlbmdlIjoiQUEifQ","attestationObject":"oA","authenticatorData":"AA","signature":"AA","userHandle":null}}`))
	}
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		if !strings.HasPrefix(path, "/api/") || strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r > '~' || r == '%' || r == '#' || r == '?' }) {
			return
		}
		s, err := relyingparty.New(relyingparty.Config{RPID: "localhost", Origin: "http://localhost:1"})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "http://localhost:1"+path, strings.NewReader(string(body)))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %q: %d %q", path, body, w.Code, w.Body)
		}
		w = httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", "http://localhost:1/api/credentials", nil))
		if w.Code != 200 || strings.Contains(w.Body.String(), `"id"`) {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	})
}
