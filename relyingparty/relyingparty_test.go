package relyingparty_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/relyingparty"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/webauthn"
)

// A site is a server, and the browser that shows its page.
type site struct {
	t       *testing.T
	server  *httptest.Server
	browser *webauthn.Client
	key     *client.Key
	told    []*relyingparty.Ceremony
}

func newSite(t *testing.T) *site {
	l, err := relyingparty.Listen("localhost:0", false)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	s := &site{t: t, browser: &webauthn.Client{Origin: "http://localhost:" + port, InsecureLocalhost: true}}
	handler, err := relyingparty.New(relyingparty.Config{
		RPID: "localhost", Origin: s.browser.Origin, Report: func(c *relyingparty.Ceremony) { s.told = append(s.told, c) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.server = httptest.NewUnstartedServer(handler)
	s.server.Listener.Close()
	s.server.Listener = l
	s.server.Start()
	t.Cleanup(s.server.Close)
	profile, err := simulator.LoadProfile("ctap-2.3")
	if err != nil {
		t.Fatal(err)
	}
	authenticator, err := simulator.New(simulator.Config{Profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { authenticator.Close() })
	device, err := hid.Open(t.Context(), simulator.NewHID(authenticator).Port())
	if err != nil {
		t.Fatal(err)
	}
	s.key = client.New(device, client.Options{Prompt: client.Prompt{
		PIN:    func(context.Context, client.PINRequest) ([]byte, error) { return []byte("123456"), nil },
		NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return []byte("123456"), nil },
	}})
	t.Cleanup(func() { s.key.Close() })
	if err := s.key.SetPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// post sends JSON as the page does, and returns the status.
func (s *site) post(path string, body, answer any) int {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := http.Post(s.browser.Origin+path, "application/json", bytes.NewReader(text))
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	if answer != nil {
		if err := json.NewDecoder(r.Body).Decode(answer); err != nil {
			s.t.Fatal(path, err)
		}
	}
	return r.StatusCode
}

// ceremony is the server's answer.
type ceremony struct {
	Type, User, Error string
	Verified          bool
	CredentialID      webauthn.Base64URL
	Checks            []struct{ Name, Outcome, Detail, Error string }
	Attestation       *webauthn.Attestation
}

func (c *ceremony) failing() (names []string) {
	for _, check := range c.Checks {
		if check.Outcome == "fail" {
			names = append(names, check.Name)
		}
	}
	return names
}

// create lets the browser answer options of a registration.
func (s *site) create(choice relyingparty.RegistrationChoice) *webauthn.RegistrationResponse {
	s.t.Helper()
	var text json.RawMessage
	if status := s.post("/api/registration/options", choice, &text); status != 200 {
		s.t.Fatalf("%d: %s", status, text)
	}
	options, err := webauthn.ParseCreationOptions(text)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := s.browser.Create(s.t.Context(), s.key, options)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *site) get(choice relyingparty.AuthenticationChoice) *webauthn.AuthenticationResponse {
	s.t.Helper()
	var text json.RawMessage
	if status := s.post("/api/authentication/options", choice, &text); status != 200 {
		s.t.Fatalf("%d: %s", status, text)
	}
	options, err := webauthn.ParseRequestOptions(text)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := s.browser.Get(s.t.Context(), s.key, options, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

func (s *site) list() (list []relyingparty.Credential) {
	s.t.Helper()
	r, err := http.Get(s.browser.Origin + "/api/credentials")
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
		s.t.Fatal(err)
	}
	return list
}

// TestCeremonies registers and signs in as a browser does, with the simulator.
func TestCeremonies(t *testing.T) {
	s := newSite(t)
	for _, choice := range []relyingparty.RegistrationChoice{
		{User: "alice", ResidentKey: "required", Attestation: "direct"},
		{User: "<b>bob</b>", ResidentKey: "discouraged", Attestation: "none", CredProtect: "userVerificationOptional", LargeBlob: true, PRF: true},
		{User: "alice", ResidentKey: "required", Algorithms: []cose.Algorithm{-8}},
	} {
		var c ceremony
		if status := s.post("/api/registration", s.create(choice), &c); status != 200 || !c.Verified || c.User != choice.User || c.Attestation == nil || len(c.Checks) < 25 {
			t.Fatalf("%d %+v", status, c)
		}
	}
	list := s.list()
	if len(list) != 3 || list[0].User != "alice" || list[2].Algorithm != "EdDSA" || !bytes.Equal(list[0].UserHandle, list[2].UserHandle) {
		t.Errorf("%+v", list)
	}
	for _, choice := range []relyingparty.AuthenticationChoice{{}, {Allow: true}, {PRF: true, LargeBlob: false}} {
		var c ceremony
		if status := s.post("/api/authentication", s.get(choice), &c); status != 200 || !c.Verified || c.Type != "assertion" {
			t.Fatalf("%d %+v", status, c)
		}
	}
	signIns := 0
	for _, c := range s.list() {
		signIns += c.SignIns
	}
	if signIns != 3 || len(s.told) != 6 {
		t.Errorf("%d sign-ins, told of %d", signIns, len(s.told))
	}
	if status := s.post("/api/reset", struct{}{}, nil); status != 204 || len(s.list()) != 0 {
		t.Errorf("reset: %d", status)
	}
	if status := s.post("/api/authentication/options", relyingparty.AuthenticationChoice{Allow: true}, nil); status != 409 {
		t.Errorf("nobody to sign in: %d", status)
	}
}

// TestRefused: answers that are not taken, and why.
func TestRefused(t *testing.T) {
	s := newSite(t)
	var c ceremony
	r := s.create(relyingparty.RegistrationChoice{User: "alice", ResidentKey: "required"})
	again := *r
	r.Response.AttestationObject = slices.Clone(r.Response.AttestationObject)
	i := bytes.Index(r.Response.AttestationObject, []byte("authData")) + 12
	r.Response.AttestationObject[i] ^= 1
	if status := s.post("/api/registration", r, &c); status != 200 || c.Verified || !slices.Contains(c.failing(), webauthn.CheckRPIDHash) || len(s.list()) != 0 {
		t.Errorf("damaged: %d %q", status, c.failing())
	}
	if status := s.post("/api/registration", again, &c); status != 409 || !strings.Contains(c.Error, "challenge") {
		t.Errorf("a challenge for the second time: %d %+v", status, c)
	}
	good := s.create(relyingparty.RegistrationChoice{User: "alice", ResidentKey: "required"})
	if status := s.post("/api/registration", good, nil); status != 200 {
		t.Fatal(status)
	}
	signIn := s.get(relyingparty.AuthenticationChoice{Allow: true})
	if status := s.post("/api/registration", signIn, nil); status != 409 {
		t.Errorf("a sign-in for a registration: %d", status)
	}
	signIn = s.get(relyingparty.AuthenticationChoice{Allow: true})
	signIn.Response.Signature[9] ^= 1
	c = ceremony{}
	if status := s.post("/api/authentication", signIn, &c); status != 200 || c.Verified || !slices.Contains(c.failing(), webauthn.CheckSignature) {
		t.Errorf("damaged signature: %d %q", status, c.failing())
	}
	signIn = s.get(relyingparty.AuthenticationChoice{})
	s.browser.Origin = strings.Replace(s.browser.Origin, "localhost", "127.0.0.1", 1)
	if status := s.post("/api/authentication", signIn, &c); status != http.StatusMisdirectedRequest {
		t.Errorf("by address: %d", status)
	}
	s.browser.Origin = strings.Replace(s.browser.Origin, "127.0.0.1", "localhost", 1)
	signIn.RawID, signIn.ID = []byte("nobody's"), []byte("nobody's")
	if status := s.post("/api/authentication", signIn, &c); status != 404 {
		t.Errorf("unknown credential: %d", status)
	}
	for path, body := range map[string]any{
		"/api/registration": 7, "/api/authentication": map[string]any{"response": map[string]any{"clientDataJSON": "AAAA"}},
		"/api/registration/options": []int{1}, "/api/authentication/options": strings.Repeat("x", 2<<20),
	} {
		if status := s.post(path, body, nil); status != 400 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

// TestPageIsGuarded: no other page gets in, and the page gets nothing from outside.
func TestPageIsGuarded(t *testing.T) {
	s := newSite(t)
	r, err := http.Get(s.browser.Origin + "/")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r.Body)
	r.Body.Close()
	policy := r.Header.Get("Content-Security-Policy")
	if err != nil || r.StatusCode != 200 || !strings.Contains(string(text), "<title>fidokey relying party") || !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("%d %v %q\n%s", r.StatusCode, err, policy, text)
	}
	for _, file := range []string{"/", "/page.js", "/style.css"} {
		r, err := http.Get(s.browser.Origin + file)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r.Body)
		r.Body.Close()
		for _, bad := range []string{"http:", "https:", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", " style=", "onclick"} {
			if r.StatusCode != 200 || strings.Contains(string(text), bad) {
				t.Errorf("%s (%d) has %q", file, r.StatusCode, bad)
			}
		}
	}
	for name, change := range map[string]func(*http.Request){
		"another origin": func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
		"a form":         func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
		"another name":   func(r *http.Request) { r.Host = "evil.example" },
	} {
		q, _ := http.NewRequest("POST", s.browser.Origin+"/api/registration/options", strings.NewReader("{}"))
		q.Header.Set("Content-Type", "application/json")
		change(q)
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode < 400 {
			t.Errorf("%s: %d", name, r.StatusCode)
		}
	}
	follow := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if r, err = follow.Get(strings.Replace(s.browser.Origin, "localhost", "127.0.0.1", 1) + "/"); err != nil || r.Header.Get("Location") != s.browser.Origin+"/" {
		t.Errorf("%v, %v", r, err)
	}
}

// TestMemoryIsBounded: options that nobody answers do not pile up.
func TestMemoryIsBounded(t *testing.T) {
	s := newSite(t)
	first := s.create(relyingparty.RegistrationChoice{User: "alice", ResidentKey: "required"})
	for range 100 {
		s.post("/api/registration/options", relyingparty.RegistrationChoice{}, nil)
	}
	if status := s.post("/api/registration", first, nil); status != 409 {
		t.Errorf("the oldest of 101: %d", status)
	}
}

func TestListen(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", "[::]:0", ":0", "example.com:80"} {
		if _, err := relyingparty.Listen(address, false); !errors.Is(err, relyingparty.ErrNotLoopback) {
			t.Errorf("%s: %v", address, err)
		}
	}
	if l, err := relyingparty.Listen("0.0.0.0:0", true); err != nil {
		t.Error(err)
	} else {
		l.Close()
	}
	if _, err := relyingparty.New(relyingparty.Config{Origin: "localhost"}); err == nil {
		t.Error("an origin without a scheme is taken")
	}
	l, err := relyingparty.Listen("127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- relyingparty.Serve(ctx, l, http.NotFoundHandler()) }()
	if r, err := http.Get("http://" + l.Addr().String()); err != nil || r.StatusCode != 404 {
		t.Errorf("%v, %v", r, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
