package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/simulator/control"
)

const secret = "correct horse"

// A bench is a key with its control interface.
type bench struct {
	*testing.T
	key     *simulator.Authenticator
	clock   *simulator.VirtualClock
	touch   *simulator.TouchPlan
	finger  *simulator.FingerPlan
	results []string
	handler http.Handler
}

func newBench(t *testing.T, set func(c *control.Config)) *bench {
	t.Helper()
	b := &bench{T: t, clock: simulator.NewVirtualClock()}
	b.touch = simulator.NewTouchPlan(b.clock, simulator.Touch{Action: simulator.TouchNever})
	b.finger = simulator.NewFingerPlan(b.clock, 0)
	var err error
	if b.key, err = simulator.New(simulator.Config{Clock: b.clock, Presence: b.touch.Presence}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.key.Close() })
	c := control.Config{
		Key: b.key, Touch: b.touch, Clock: b.clock, Finger: b.finger, Token: secret,
		Results: func(report []byte) { b.results = append(b.results, string(report)) },
	}
	if set != nil {
		set(&c)
	}
	b.handler = control.New(c)
	return b
}

// do sends a request, with the token unless header says otherwise.
func (b *bench) do(method, path, body string, header ...string) (status int, answer string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+secret)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	b.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func (b *bench) expect(want int, method, path, body string) string {
	b.Helper()
	status, answer := b.do(method, path, body)
	if status != want {
		b.Fatalf("%s %s %s: %d %s, want %d", method, path, body, status, answer, want)
	}
	return answer
}

func (b *bench) status(msg ...byte) byte {
	b.Helper()
	answer, err := b.key.Exchange(b.Context(), msg)
	if err != nil {
		b.Fatal(err)
	}
	return answer[0]
}

var selection = byte(ctap2.CommandSelection)

func TestToken(t *testing.T) {
	b := newBench(t, nil)
	for _, header := range [][]string{
		{"Authorization", ""},
		{"Authorization", "Bearer wrong"},
		{"Authorization", "Basic " + secret},
		{"Authorization", secret},
	} {
		if status, _ := b.do("GET", "/v1/power", "", header...); status != http.StatusUnauthorized {
			t.Errorf("%v: %d", header, status)
		}
	}
	if status, _ := b.do("GET", "/v1/power", "", "Origin", "https://example.com"); status != http.StatusForbidden {
		t.Errorf("a page: %d", status)
	}
	b.expect(http.StatusOK, "GET", "/v1/power", "")
	b.expect(http.StatusNotFound, "GET", "/v1/nothing", "")
	b.expect(http.StatusMethodNotAllowed, "POST", "/v1/power", "")
	b.expect(http.StatusNotFound, "GET", "/", "")
	b.expect(http.StatusNotFound, "POST", "/conformance/powercycle", "")

	open := newBench(t, func(c *control.Config) { c.Token = "" })
	if status, _ := open.do("GET", "/v1/power", "", "Authorization", "Bearer "); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
}

func TestTouch(t *testing.T) {
	b := newBench(t, nil)
	b.expect(http.StatusNoContent, "PUT", "/v1/touch", `{"usual": "0"}`)
	if s := b.status(selection); s != 0 {
		t.Errorf("touched: %#02x", s)
	}
	b.expect(http.StatusNoContent, "POST", "/v1/touch/next", `{"touches": ["decline", "ask"]}`)
	if s := b.status(selection); s != byte(ctap2.ErrOperationDenied) {
		t.Errorf("declined: %#02x", s)
	}
	done := make(chan byte)
	go func() { done <- b.status(selection) }()
	for !strings.Contains(b.expect(http.StatusOK, "GET", "/v1/touch", ""), `"waiting":[{"command":11}]`) {
	}
	b.expect(http.StatusNoContent, "POST", "/v1/touch/answer", `{"answer": "touched"}`)
	if s := <-done; s != 0 {
		t.Errorf("answered: %#02x", s)
	}
	for _, bad := range [][3]string{
		{"POST", "/v1/touch/answer", `{"answer": "touched"}`}, // nobody waits
		{"POST", "/v1/touch/answer", `{"answer": "perhaps"}`},
		{"PUT", "/v1/touch", `{"usual": "sometimes"}`},
		{"PUT", "/v1/touch", `{}`},
		{"PUT", "/v1/touch", `{"usually": "never"}`},
		{"PUT", "/v1/touch", `nonsense`},
		{"PUT", "/v1/power", `{}`},
	} {
		b.expect(http.StatusBadRequest, bad[0], bad[1], bad[2])
	}
}

func TestFinger(t *testing.T) {
	b := newBench(t, nil)
	b.expect(http.StatusNoContent, "PUT", "/v1/finger", `{"finger": "thumb"}`)
	b.expect(http.StatusNoContent, "POST", "/v1/finger/next", `{"samples": [{"finger": "index", "quality": 5}]}`)
	for _, want := range []simulator.Sample{{Finger: "index", Quality: simulator.SampleTooFast}, {Finger: "thumb"}} {
		if got := b.finger.Finger(t.Context(), simulator.FingerRequest{}); got != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	b.expect(http.StatusNoContent, "PUT", "/v1/finger", `{"finger": ""}`)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if got := b.finger.Finger(gone, simulator.FingerRequest{}); got.Quality != simulator.SampleNoActivity {
		t.Errorf("nobody's finger: %v", got)
	}
	b.expect(http.StatusBadRequest, "PUT", "/v1/finger", `{"toe": "big"}`)
	b.expect(http.StatusBadRequest, "POST", "/v1/finger/next", `[]`)

	none := newBench(t, func(c *control.Config) { c.Finger = nil })
	none.expect(http.StatusBadRequest, "PUT", "/v1/finger", `{"finger": "thumb"}`)
	none.expect(http.StatusBadRequest, "POST", "/v1/finger/next", `{"samples": []}`)
}

func TestPowerAndClock(t *testing.T) {
	b := newBench(t, nil)
	b.expect(http.StatusNoContent, "PUT", "/v1/power", `{"on": false}`)
	if answer := b.expect(http.StatusOK, "GET", "/v1/power", ""); answer != "{\"on\":false}\n" {
		t.Errorf("%s", answer)
	}
	if _, err := b.key.Exchange(t.Context(), []byte{4}); err == nil {
		t.Error("unplugged, it answers")
	}
	b.expect(http.StatusNoContent, "PUT", "/v1/power", `{"on": true}`)
	b.expect(http.StatusNoContent, "PUT", "/v1/touch", `{"usual": "0"}`)
	if s := b.status(7); s != 0 {
		t.Errorf("reset after power-up: %#02x", s)
	}
	b.expect(http.StatusOK, "POST", "/v1/clock/advance", `{"ms": 11000}`)
	if s := b.status(7); s != byte(ctap2.ErrNotAllowed) {
		t.Errorf("reset 11 s later: %#02x", s)
	}
	b.expect(http.StatusNoContent, "PUT", "/v1/reset-window", `{"on": false}`)
	if s := b.status(7); s != 0 {
		t.Errorf("reset without a window: %#02x", s)
	}
	b.expect(http.StatusNoContent, "PUT", "/v1/reset-window", `{"on": true}`)
	b.expect(http.StatusNoContent, "POST", "/v1/power/cycle", "")
	if s := b.status(7); s != 0 {
		t.Errorf("reset after a power cycle: %#02x", s)
	}
	b.expect(http.StatusOK, "GET", "/v1/clock", "")
}

func TestFaultsAndCounters(t *testing.T) {
	b := newBench(t, nil)
	b.expect(http.StatusNoContent, "POST", "/v1/faults", `{"kind": "canned", "command": 4, "answer": "7f"}`)
	b.expect(http.StatusNoContent, "POST", "/v1/faults", `{"kind": "lost", "skip": 3}`)
	b.expect(http.StatusBadRequest, "POST", "/v1/faults", `{"kind": "gremlins"}`)
	if s := b.status(4); s != 0x7f {
		t.Errorf("canned: %#02x", s)
	}
	if answer := b.expect(http.StatusOK, "GET", "/v1/faults", ""); answer != "[{\"kind\":\"lost\",\"skip\":3,\"times\":1}]\n" {
		t.Errorf("to come: %s", answer)
	}
	b.expect(http.StatusNoContent, "DELETE", "/v1/faults", "")
	if answer := b.expect(http.StatusOK, "GET", "/v1/faults", ""); answer != "[]\n" {
		t.Errorf("cleared: %s", answer)
	}
	var counts simulator.Counts
	if err := json.Unmarshal([]byte(b.expect(http.StatusOK, "GET", "/v1/counters", "")), &counts); err != nil ||
		counts.Commands["04"] != 1 || counts.Statuses["04 7f"] != 1 || counts.Faults["canned"] != 1 {
		t.Errorf("%+v, %v", counts, err)
	}
	b.expect(http.StatusNoContent, "DELETE", "/v1/counters", "")
	if answer := b.expect(http.StatusOK, "GET", "/v1/counters", ""); strings.Contains(answer, "canned") {
		t.Errorf("%s", answer)
	}
}

func TestSnapshotAndProfile(t *testing.T) {
	b := newBench(t, nil)
	snapshot := b.expect(http.StatusOK, "GET", "/v1/snapshot", "")
	b.expect(http.StatusNoContent, "PUT", "/v1/touch", `{"usual": "0"}`)
	if s := b.status(7); s != 0 {
		t.Fatalf("reset: %#02x", s)
	}
	b.expect(http.StatusNoContent, "PUT", "/v1/snapshot", snapshot)
	if again := b.expect(http.StatusOK, "GET", "/v1/snapshot", ""); again != snapshot {
		t.Error("another state")
	}
	b.expect(http.StatusBadRequest, "PUT", "/v1/snapshot", "nonsense")

	b.expect(http.StatusNoContent, "PUT", "/v1/profile", `{"name": "no-pin"}`)
	if s := b.status(6); s != byte(ctap2.ErrInvalidCommand) {
		t.Errorf("clientPIN without PIN support: %#02x", s)
	}
	profile := b.expect(http.StatusOK, "GET", "/v1/profile", "")
	b.expect(http.StatusNoContent, "PUT", "/v1/profile", profile)
	b.expect(http.StatusNoContent, "PUT", "/v1/profile", "name: own\npurpose: a test\nbase: default")
	if name := b.key.Profile().Name; name != "own" {
		t.Errorf("plays %s", name)
	}
	for _, bad := range []string{`{"name": "utopia"}`, `{"name": "../go.mod"}`, `{"name": "/etc/passwd.yaml"}`, "hue: red"} {
		b.expect(http.StatusBadRequest, "PUT", "/v1/profile", bad)
	}
}

func TestBenchDialect(t *testing.T) {
	b := newBench(t, func(c *control.Config) { c.Bench = true })
	get := func(path string, want int) {
		t.Helper()
		if status, answer := b.do("GET", path, "", "Authorization", ""); status != want {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	get("/", http.StatusOK)
	get("/usb1/touch/on", http.StatusOK)
	if s := b.status(selection); s != 0 {
		t.Errorf("finger on: %#02x", s)
	}
	get("/usb1/touch/off", http.StatusOK)
	if u := b.touch.Usual(); u.Action != simulator.TouchNever {
		t.Errorf("finger off: %v", u)
	}
	get("/usb1/power/off", http.StatusOK)
	if on, _ := b.key.Powered(); on {
		t.Error("still on")
	}
	get("/usb1/power/on", http.StatusOK)
	if s := b.status(4); s != 0 {
		t.Errorf("plugged in again: %#02x", s)
	}
	get("/usb1/power/perhaps", http.StatusBadRequest)
	get("/usb1/smell/on", http.StatusBadRequest)
	get("/pci1/power/off", http.StatusBadRequest)
	get("/v1/power", http.StatusUnauthorized)
}

func TestCertificationDialect(t *testing.T) {
	b := newBench(t, func(c *control.Config) { c.Certification = true })
	post := func(path, body string) {
		t.Helper()
		if status, answer := b.do("POST", path, body, "Authorization", ""); status != http.StatusOK {
			t.Errorf("%s: %d %s", path, status, answer)
		}
	}
	post("/conformance/userpresence", "")
	if s := b.status(selection); s != 0 {
		t.Errorf("touched: %#02x", s)
	}
	post("/conformance/powercycle", "")
	if n := b.key.Counters().PowerCycles; n != 1 {
		t.Errorf("%d power cycles", n)
	}
	post("/conformance/results", `{"passed": 3}`)
	if len(b.results) != 1 || b.results[0] != `{"passed": 3}` {
		t.Errorf("results %q", b.results)
	}
}

func TestServe(t *testing.T) {
	b := newBench(t, nil)
	if err := control.Serve(t.Context(), "0.0.0.0:0", false, b.handler, nil); err == nil {
		t.Error("served to everybody")
	}
	ctx, stop := context.WithCancel(t.Context())
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		done <- control.Serve(ctx, "127.0.0.1:0", false, b.handler, func(a net.Addr) { ready <- a })
	}()
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+(<-ready).String()+"/v1/power", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secret)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !bytes.Equal(body, []byte("{\"on\":true}\n")) {
		t.Errorf("%s, %v", body, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestServeLocalhost is asked at both addresses that the name has.
func TestServeLocalhost(t *testing.T) {
	if l, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("this machine has no IPv6:", err)
	} else {
		l.Close()
	}
	b := newBench(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	ready, done := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		done <- control.Serve(ctx, "localhost:0", false, b.handler, func(a net.Addr) { ready <- a })
	}()
	_, port, _ := net.SplitHostPort((<-ready).String())
	for _, host := range []string{"127.0.0.1", "::1"} {
		resp, err := http.Get("http://" + net.JoinHostPort(host, port) + "/v1/power")
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %s", host, resp.Status)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
