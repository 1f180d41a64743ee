package bench

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// TestServe speaks the three dialects to a bench with two keys.
func TestServe(t *testing.T) {
	blue, green := newSoft(t, "ctap-2.3"), newSoft(t, "ctap-2.1")
	b := newBench(t, Options{}, blue.entry("blue", released), green.entry("green", ""))
	var results, did []string
	var lost error
	s := &Server{
		Places: b.Places(), Token: "open sesame", Bench: true, Certified: place(t, b, "blue"),
		Results: func(report []byte) error { results = append(results, string(report)); return lost },
		Did: func(key, what string, err error) {
			if err != nil {
				what += " failed"
			}
			did = append(did, key+" "+what)
		},
	}
	handler := s.Handler()
	ask := func(method, path, body, token string, want int) string {
		t.Helper()
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s %s: %d %s, want %d", method, path, w.Code, w.Body, want)
		}
		return w.Body.String()
	}
	powered := func(s *soft, want bool) {
		t.Helper()
		if on, _ := s.key.Powered(); on != want {
			t.Errorf("power is on: %v", on)
		}
	}

	// That of test benches.
	if health := ask("GET", "/", "", "", http.StatusOK); !strings.Contains(health, `{"port":2,"name":"green","power":"simulator","touch":"simulator"}`) {
		t.Error(health)
	}
	ask("GET", "/usb2/power/off", "", "", http.StatusOK)
	powered(green, false)
	powered(blue, true)
	ask("GET", "/green/power/on", "", "", http.StatusOK)
	powered(green, true)
	ask("GET", "/usb1/touch/on", "", "", http.StatusOK)
	if answer, err := blue.key.Exchange(t.Context(), []byte{byte(ctap2.CommandSelection)}); err != nil || answer[0] != 0 {
		t.Errorf("%x, %v", answer, err)
	}
	ask("GET", "/usb1/touch/off", "", "", http.StatusOK)
	if u := blue.plan.Usual(); u.Action != simulator.TouchNever {
		t.Errorf("the finger stays: %v", u)
	}
	ask("GET", "/usb3/power/on", "", "", http.StatusNotFound)
	ask("GET", "/usb1/smell/on", "", "", http.StatusBadRequest)
	ask("GET", "/usb1/power/perhaps", "", "", http.StatusBadRequest)

	// That of the certification tool.
	before := blue.key.Counters().PowerCycles
	ask("POST", "/conformance/powercycle", "", "", http.StatusOK)
	if n := blue.key.Counters().PowerCycles - before; n != 1 {
		t.Errorf("%d power cycles", n)
	}
	answered := make(chan byte)
	go func() {
		answer, err := blue.key.Exchange(t.Context(), []byte{byte(ctap2.CommandSelection)})
		if err != nil {
			answer = []byte{0xff}
		}
		answered <- answer[0]
	}()
	for len(blue.plan.Waiting()) == 0 {
	}
	ask("POST", "/conformance/userpresence", "", "", http.StatusOK)
	if status := <-answered; status != 0 {
		t.Errorf("touched: %#02x", status)
	}
	ask("POST", "/conformance/results", `{"passed": 3}`, "", http.StatusOK)
	if !slices.Equal(results, []string{`{"passed": 3}`}) {
		t.Errorf("%q", results)
	}

	ask("POST", "/conformance/results", " \n", "", http.StatusBadRequest)
	lost = errors.New("the disk is full")
	ask("POST", "/conformance/results", `{"passed": 4}`, "", http.StatusInternalServerError)
	ask("POST", "/conformance/other", "", "", http.StatusNotFound)
	ask("GET", "/conformance/powercycle", "", "", http.StatusNotFound)

	// Ours.
	for _, token := range []string{"", "wrong"} {
		ask("GET", "/v1/keys", "", token, http.StatusUnauthorized)
		ask("POST", "/v1/keys/blue/reset", "", token, http.StatusUnauthorized)
	}
	const token = "open sesame"
	ask("GET", "/v1/keys", "", token, http.StatusOK)
	ask("PUT", "/v1/keys/blue/power", `{"on": false}`, token, http.StatusOK)
	powered(blue, false)
	ask("PUT", "/v1/keys/blue/power", `{"on": true}`, token, http.StatusOK)
	ask("PUT", "/v1/keys/blue/power", `{}`, token, http.StatusBadRequest)
	ask("PUT", "/v1/keys/blue/touch", `{"on": true, "hard": true}`, token, http.StatusBadRequest)
	ask("PUT", "/v1/keys/blue/touch", `{"on": false}`, token, http.StatusOK)
	ask("POST", "/v1/keys/blue/touch/press", `{"ms": 10}`, token, http.StatusOK)
	ask("POST", "/v1/keys/blue/power/cycle", "", token, http.StatusOK)
	ask("POST", "/v1/keys/pink/power/cycle", "", token, http.StatusNotFound)
	ask("POST", "/v1/keys/green/reset", "", token, http.StatusForbidden)
	ask("POST", "/v1/keys/blue/reset", "", token, http.StatusForbidden) // nobody has adopted it
	if _, err := place(t, b, "blue").Adopt(t.Context()); err != nil {
		t.Fatal(err)
	}
	var report Reset
	if err := json.Unmarshal([]byte(ask("POST", "/v1/keys/blue/reset", "", token, http.StatusOK)), &report); err != nil || report.Done == 0 {
		t.Errorf("%+v, %v", report, err)
	}
	for _, want := range []string{"green power off", "blue touch on", "blue power cycle", "blue touch", "blue reset failed", "blue reset"} {
		if !slices.Contains(did, want) {
			t.Errorf("nobody was told of %q: %q", want, did)
		}
	}

	// A web page that the user has open.
	r := httptest.NewRequest("POST", "/conformance/powercycle", nil)
	r.Header.Set("Origin", "https://evil.example")
	w := httptest.NewRecorder()
	if handler.ServeHTTP(w, r); w.Code != http.StatusForbidden {
		t.Errorf("a page: %d", w.Code)
	}
}

// TestServeLeft has a client leave: a power cycle that was begun is finished, and what
// was asked for while another had the key is not done any more.
func TestServeLeft(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	b := newBench(t, Options{}, blue.entry("blue", ""))
	p := place(t, b, "blue")
	entered, left := make(chan struct{}), make(chan struct{})
	p.Power.Switch = &slowSwitch{p.Power.Switch, entered, left}
	handler := (&Server{Places: b.Places(), Certified: p}).Handler()
	ctx, leave := context.WithCancel(t.Context())
	ended := make(chan int)
	for range 2 {
		go func() {
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequest("POST", "/conformance/powercycle", nil).WithContext(ctx))
			ended <- w.Code
		}()
	}
	<-entered // by one of them; the other waits for its turn
	leave()
	close(left)
	<-ended
	<-ended
	if on, _ := blue.key.Powered(); !on {
		t.Error("the key was left without power")
	}
	if n := blue.key.Counters().PowerCycles; n != 1 {
		t.Errorf("%d power cycles", n)
	}
}

// slowSwitch waits after it cut the power.
type slowSwitch struct {
	Switch
	entered, left chan struct{}
}

func (s *slowSwitch) Set(ctx context.Context, on bool) error {
	err := s.Switch.Set(ctx, on)
	if !on {
		close(s.entered)
		<-s.left
	}
	return err
}

// TestServeLess: dialects that were not asked for.
func TestServeLess(t *testing.T) {
	blue := newSoft(t, "ctap-2.3")
	b := newBench(t, Options{}, blue.entry("blue", ""))
	handler := (&Server{Places: b.Places()}).Handler()
	for path, want := range map[string]int{
		"GET /": http.StatusNotFound, "GET /usb1/power/off": http.StatusNotFound,
		"POST /conformance/powercycle": http.StatusNotFound, "GET /v1/keys": http.StatusUnauthorized,
	} {
		method, path, _ := strings.Cut(path, " ")
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, httptest.NewRequest(method, path, nil)); w.Code != want {
			t.Errorf("%s %s: %d", method, path, w.Code)
		}
	}
	if on, _ := blue.key.Powered(); !on {
		t.Error("it was unplugged")
	}
}
