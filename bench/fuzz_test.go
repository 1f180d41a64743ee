package bench

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/transport/hid"
)

// FuzzParse reads bench files: each error is of the file, and a file that is taken has
// keys.
func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("../docs/bench.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, good := range goodFiles {
		f.Add([]byte(good))
	}
	f.Add([]byte("keys: &a {a: *a}"))
	f.Add([]byte("a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nkeys: {k: {match: *c}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("bench.yaml", text)
		switch {
		case err == nil && len(file.Keys) == 0:
			t.Error("a bench without keys")
		case err != nil && !strings.HasPrefix(err.Error(), "bench.yaml"):
			t.Errorf("error %q", err)
		}
	})
}

// FuzzState reads what lies in the folder of state: a lock that cannot be read is nobody's
// to take, what was noted of another key counts for nothing, and an error names the file.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"owner":"nightly","pid":1,"host":"elsewhere","since":"2026-01-02T03:04:05Z"}`), []byte(`{"identity":{"device":"tcp:127.0.0.1:1"},"pinRefused":"2026-01-02T03:04:05Z"}`))
	f.Add([]byte(`{"owner":"nightly","until":"2026-01-02T03:04:05Z"}`), []byte(`{"identity":{"device":"tcp:127.0.0.1:2"},"run":{"owner":"x"}}`))
	f.Add([]byte(`{"owner":"ours","pid":-1}`), []byte(`{"identity":null,"store":{"credentials":-1}}`))
	f.Add([]byte(`null`), []byte(`null`))
	f.Add([]byte(`{"owner":"half`), []byte(`{"identity`))
	b := newBench(f, Options{Owner: "ours"}, "  red:\n    match: {device: 'tcp:127.0.0.1:1'}\n")
	p := place(f, b, "red")
	if err := os.MkdirAll(b.State, 0o700); err != nil {
		f.Fatal(err)
	}
	lock, noted := filepath.Join(b.State, "red.lock"), filepath.Join(b.State, "red.json")
	f.Fuzz(func(t *testing.T, locked, note []byte) {
		if err := errors.Join(os.WriteFile(lock, locked, 0o600), os.WriteFile(noted, note, 0o600)); err != nil {
			t.Fatal(err)
		}
		held, unread := p.Holder()
		if unread != nil && !strings.Contains(unread.Error(), lock) || unread == nil && held.Owner == "" {
			t.Errorf("%q is held by %v, %v", locked, held, unread)
		}
		taken, err := p.Lock(t.Context(), 0)
		left, _ := os.ReadFile(lock)
		switch {
		case err != nil && string(left) != string(locked):
			t.Errorf("%q became %q: %v", locked, left, err)
		case err == nil && (unread != nil || taken.ours && !held.Stale()):
			t.Errorf("%q was taken", locked)
		}
		if _, err := p.Unlock(false); err != nil && unread == nil && !errors.Is(err, ErrLocked) {
			t.Error(err)
		}
		s, err := p.readState(&Found{HID: hid.Info{}})
		if err != nil && !strings.Contains(err.Error(), noted) || s.Identity["device"] != "tcp:127.0.0.1:1" {
			t.Errorf("%q is noted as %+v, %v", note, s, err)
		}
	})
}

// FuzzServe sends anything to a bench: without the token nobody is let in, a body that is
// wrong is the client's fault, and nothing that is not released is wiped.
func FuzzServe(f *testing.F) {
	for _, seed := range [][3]string{
		{"GET", "/v1/keys", ""}, {"PUT", "/v1/keys/blue/power", `{"on":true}`}, {"PUT", "/v1/keys/usb1/touch", `{"on":false}`},
		{"POST", "/v1/keys/blue/touch/press", `{"ms":65535,"long":true}`}, {"POST", "/v1/keys/blue/touch/press", ``}, {"POST", "/v1/keys/blue/reset", ``},
		{"POST", "/v1/keys/blue/power/cycle", `{}`}, {"GET", "/usb1/power/on", ""}, {"GET", "/blue/touch/off", ""}, {"GET", "/usb99999999999999999999/touch/off", ""},
		{"POST", "/conformance/results", `{"passed":3}`}, {"POST", "/conformance/userpresence", ""}, {"PUT", "/v1/keys/blue/power", `{"on":true,"hard":1}`},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	blue := newSoft(f, "ctap-2.3")
	b := newBench(f, Options{}, blue.entry("blue", ""))
	s := &Server{Places: b.Places(), Token: "open sesame", Bench: true, Certified: place(f, b, "blue"), Results: func([]byte) error { return nil }}
	handler := s.Handler()
	f.Fuzz(func(t *testing.T, method, path, body string) {
		if method == "" || strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) || !strings.HasPrefix(path, "/") {
			return
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		before := blue.key.Counters().Commands["07"]
		ask := func(token string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", "/", strings.NewReader(body)).WithContext(ctx)
			r.Method, r.URL.Path = method, path
			r.Header.Set("Authorization", "Bearer "+token)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w
		}
		if w := ask("wrong"); strings.HasPrefix(path, "/v1/") && w.Code < 300 {
			t.Errorf("%s %q is let in: %d %s", method, path, w.Code, w.Body)
		}
		if w := ask(s.Token); w.Code >= 500 && ctx.Err() == nil || strings.Contains(w.Body.String(), s.Token) {
			t.Errorf("%s %q %q: %d %s", method, path, body, w.Code, w.Body)
		}
		if n := blue.key.Counters().Commands["07"]; n != before {
			t.Errorf("%s %q %q: %d resets", method, path, body, n-before)
		}
		blue.key.PowerOn()
		if answer, err := blue.key.Exchange(t.Context(), []byte{4}); err != nil || len(answer) == 0 || answer[0] != 0 {
			t.Errorf("%s %q %q: then getInfo %x, %v", method, path, body, answer, err)
		}
	})
}

// FuzzTools reads what programs that switch hubs say: a port counts only by its number.
func FuzzTools(f *testing.F) {
	f.Add("Current status for hub 1-1 [05e3:0608 USB2.0 Hub, USB 2.00, 4 ports, ppps]\n  Port 2: 0103 power enable connect [1050:0407]\n", 2)
	f.Add("  Port 2: 0000 off\n  Port 2: 0080 power\n", 2)
	f.Add("Downstream port 1 is ON\n", 1)
	f.Add("Port 15 OFF", 1)
	f.Add("Downstream port is OFF", 0)
	f.Fuzz(func(t *testing.T, said string, port int) {
		number := strconv.Itoa(port)
		if on, seen := (&uhubctl{Port: port}).status(said); on && !seen || seen && !strings.Contains(said, "Port "+number+": ") {
			t.Errorf("uhubctl, port %d: %q is on %v, seen %v", port, said, on, seen)
		}
		y := &ykushcmd{Board: "ykushxs", Port: max(port, 0)}
		if _, err := y.read(said); err == nil && port > 0 && !strings.Contains(said, number) {
			t.Errorf("ykushcmd, port %d: %q is read", port, said)
		}
	})
}
