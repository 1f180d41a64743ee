package webauthn_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/webauthn"
)

// TestRPIDForOrigin: which pages may use which RP ID, as browsers decide it.
func TestRPIDForOrigin(t *testing.T) {
	for _, tt := range []struct {
		origin, rpID string
		ok           bool
	}{
		{"https://example.com", "example.com", true},
		{"https://login.example.com", "example.com", true},
		{"https://a.b.example.com:8443", "example.com", true},
		{"https://a.b.example.com", "b.example.com", true},
		{"https://example.com", "login.example.com", false},
		{"https://example.com", "example.org", false},
		{"https://badexample.com", "example.com", false},
		{"https://example.com", "com", false},
		{"https://example.com", "", true}, // the host
		{"https://EXAMPLE.com", "example.com", true},
		{"https://example.com", "Example.com", false},
		{"https://example.com", "example.com:443", false},
		{"https://example.com", "https://example.com", false},
		{"https://example.com/", "example.com", false}, // a URL
		{"https://user@example.com", "example.com", false},
		{"http://example.com", "example.com", false},
		{"ftp://example.com", "example.com", false},
		{"example.com", "example.com", false},
		// Public suffixes: of registries, of companies, and unknown ones.
		{"https://shop.example.co.uk", "example.co.uk", true},
		{"https://example.co.uk", "co.uk", false},
		{"https://example.co.uk", "uk", false},
		{"https://alice.github.io", "alice.github.io", true},
		{"https://alice.github.io", "github.io", false},
		{"https://www.alice.github.io", "alice.github.io", true},
		{"https://github.io", "github.io", true}, // equal
		{"https://foo.ck", "ck", false},
		{"https://www.ck", "ck", false}, // an exception of the list
		{"https://a.www.ck", "www.ck", true},
		{"https://host.corp.internal", "corp.internal", true},
		{"https://host.internal", "internal", false},
		{"https://intranet", "intranet", true},
		// Addresses are no domains.
		{"https://127.0.0.1", "127.0.0.1", false},
		{"https://127.0.0.1", "0.1", false},
		{"https://[::1]", "::1", false},
		{"https://[::1]:8443", "", false},
		// A dot at the end makes another name.
		{"https://example.com.", "example.com", false},
		{"https://example.com", "example.com.", false},
		{"https://example.com.", "example.com.", true},
		{"https://login.example.com.", "example.com.", true},
		{"https://example.com.", "com.", false},
		// Names in other scripts have one form, that of ASCII.
		{"https://bücher.example", "xn--bcher-kva.example", true},
		{"https://xn--bcher-kva.example", "xn--bcher-kva.example", true},
		{"https://shop.bücher.example", "xn--bcher-kva.example", true},
		{"https://bücher.example", "bücher.example", false},
		{"https://BÜCHER.example", "xn--bcher-kva.example", true},
		{"https://例え.テスト", "xn--r8jz45g.xn--zckzah", true},
		{"https://a_b.example", "example", false},
	} {
		t.Run(tt.origin+" for "+tt.rpID, func(t *testing.T) {
			c := webauthn.Client{Origin: tt.origin}
			r, err := c.NewRequest(t.Context(), &webauthn.RequestOptions{Challenge: challenge, RPID: tt.rpID})
			var refused *webauthn.Error
			switch {
			case tt.ok != (err == nil):
				t.Errorf("%v", err)
			case err != nil && (!errors.As(err, &refused) || refused.Name != "SecurityError"):
				t.Errorf("%T %v", err, err)
			case err == nil && tt.rpID != "" && r.RPID != tt.rpID:
				t.Errorf("RP ID %s", r.RPID)
			}
		})
	}
}

func TestInsecureLocalhost(t *testing.T) {
	for _, tt := range []struct {
		origin, rpID string
		allowed, ok  bool
	}{
		{"http://localhost", "localhost", true, true},
		{"http://localhost:8080", "localhost", true, true},
		{"http://localhost:8080", "localhost", false, false},
		{"http://app.localhost:3000", "app.localhost", true, true},
		{"http://app.localhost", "localhost", true, false},
		{"http://localhost.example", "localhost.example", true, false},
		{"http://127.0.0.1", "127.0.0.1", true, false},
		{"https://localhost", "localhost", false, true},
	} {
		c := webauthn.Client{Origin: tt.origin, InsecureLocalhost: tt.allowed}
		if _, err := c.NewRequest(t.Context(), &webauthn.RequestOptions{RPID: tt.rpID}); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// TestOriginInClientData: one form, whatever was typed.
func TestOriginInClientData(t *testing.T) {
	for given, want := range map[string]string{
		"https://example.com:443":  "https://example.com",
		"https://Example.COM:8443": "https://example.com:8443",
		"http://localhost:80":      "http://localhost",
		"http://localhost:443":     "http://localhost:443",
		"https://bücher.example":   "https://xn--bcher-kva.example",
		"https://[2001:DB8::1]:44": "https://[2001:DB8::1]:44",
	} {
		if got, err := webauthn.Canonical(given); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", given, got, err, want)
		}
	}
}

func TestAppID(t *testing.T) {
	for _, tt := range []struct {
		origin, appID, want string // want empty: refused
	}{
		{"https://example.com", "https://example.com/u2f.json", "https://example.com/u2f.json"},
		{"https://example.com", "https://example.com", "https://example.com"},
		{"https://login.example.com", "https://u2f.example.com/app.json", "https://u2f.example.com/app.json"},
		{"https://login.example.com:8443", "", "https://login.example.com:8443"},
		{"https://example.com", "https://example.org/u2f.json", ""},
		{"https://example.com", "https://com/", ""},
		{"https://example.com", "http://example.com", ""},
		{"https://example.com", "example.com", ""},
		{"https://example.com", "https://", ""},
		{"https://alice.github.io", "https://bob.github.io/u2f.json", ""},
		{"https://a.example.co.uk", "https://b.example.co.uk/u2f.json", "https://b.example.co.uk/u2f.json"},
		{"https://a.co.uk", "https://b.co.uk/u2f.json", ""},
		{"http://localhost", "https://localhost/u2f.json", ""},
		// The exception that browsers make.
		{"https://accounts.google.com", "https://www.gstatic.com/securitykey/origins.json", "https://www.gstatic.com/securitykey/origins.json"},
		{"https://accounts.google.com", "https://www.gstatic.com/securitykey/a/google.com/origins.json", "https://www.gstatic.com/securitykey/a/google.com/origins.json"},
		{"https://accounts.google.com", "https://www.gstatic.com/other", ""},
		{"https://notgoogle.com", "https://www.gstatic.com/securitykey/origins.json", ""},
	} {
		got, err := webauthn.AppIDFor(tt.origin, tt.appID)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s for %s: %q, %v", tt.appID, tt.origin, got, err)
		}
	}
}

func TestRelatedOrigins(t *testing.T) {
	six := `{"origins": ["https://one.example", "https://two.example", "https://www.two.example", "https://three.example", "https://four.example",
		"https://five.example", "https://six.example", "https://five.test", "https://six.test"]}`
	for _, tt := range []struct {
		name, origin, document string
		want, broken           bool
	}{
		{name: "named", origin: "https://one.example", document: six, want: true},
		{name: "with a subdomain", origin: "https://www.two.example", document: six, want: true},
		{name: "another port", origin: "https://one.example:8443", document: six},
		{name: "a subdomain that is not named", origin: "https://www.one.example", document: six},
		{name: "the fifth name", origin: "https://five.example", document: six, want: true},
		{name: "the sixth name", origin: "https://six.example", document: six},
		{name: "a name that counts already", origin: "https://five.test", document: six, want: true},
		{name: "broken entries", origin: "https://one.example", document: `{"origins": ["::", "com", "https://com", "https://127.0.0.1", "https://one.example/"], "more": 1}`, want: true},
		{name: "a public suffix has no name", origin: "https://co.uk", document: `{"origins": ["https://co.uk"]}`},
		{name: "empty", origin: "https://one.example", document: `{"origins": []}`},
		{name: "no list", origin: "https://one.example", document: `{}`, broken: true},
		{name: "no JSON", origin: "https://one.example", document: `<html>`, broken: true},
		{name: "no strings", origin: "https://one.example", document: `{"origins": [1]}`, broken: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := webauthn.Related(tt.origin, []byte(tt.document))
			if got != tt.want || (err != nil) != tt.broken {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}

// TestFetchRelatedOrigins asks a server that believes to be example.com.
func TestFetchRelatedOrigins(t *testing.T) {
	kind, status, location := "application/json; charset=utf-8", http.StatusOK, ""
	var asked *http.Request
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		w.Header().Set("Content-Type", kind)
		if location != "" {
			w.Header().Set("Location", location)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, `{"origins": ["https://example.net"]}`)
	}))
	defer server.Close()
	c := server.Client()
	c.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	get := func(origin string) error {
		page := webauthn.Client{Origin: origin, RelatedOrigins: webauthn.FetchRelatedOrigins(c)}
		_, err := page.NewRequest(t.Context(), &webauthn.RequestOptions{RPID: "example.com"})
		return err
	}
	if err := get("https://login.example.com"); err != nil || asked != nil {
		t.Errorf("asked %v without need: %v", asked, err)
	}
	if err := get("https://example.net"); err != nil {
		t.Error(err)
	}
	if asked == nil || asked.URL.Path != "/.well-known/webauthn" || asked.Host != "example.com" {
		t.Errorf("asked %+v", asked)
	}
	var refused *webauthn.Error
	if err := get("https://example.org"); !errors.As(err, &refused) {
		t.Errorf("%v", err)
	}
	kind = "text/html"
	if err := get("https://example.net"); err == nil || !strings.Contains(err.Error(), "text/html") {
		t.Errorf("HTML: %v", err)
	}
	kind, status = "application/json", http.StatusNotFound
	if err := get("https://example.net"); err == nil {
		t.Error("404 is taken")
	}
	status, location = http.StatusFound, "http://example.com/.well-known/webauthn"
	if err := get("https://example.net"); err == nil || !strings.Contains(err.Error(), "sent on to http://") {
		t.Errorf("sent on to HTTP: %v", err)
	}
}
