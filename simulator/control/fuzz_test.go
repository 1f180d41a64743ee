package control_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/simulator/control"
)

// FuzzControl sends anything to the control interface: a request that is wrong is one
// for the sender, and the key is there afterwards.
func FuzzControl(f *testing.F) {
	for _, seed := range [][3]string{
		{"PUT", "/v1/touch", `{"usual":{"action":"touch","delayMs":18446744073709551615}}`}, {"POST", "/v1/touch/next", `[{"action":"decline"}]`}, {"POST", "/v1/touch/answer", `{"action":"touch"}`},
		{"PUT", "/v1/finger", `{"usual":{"finger":"thumb"}}`}, {"POST", "/v1/finger/next", `[{"finger":"thumb"}]`}, {"PUT", "/v1/power", `{"on":false}`}, {"POST", "/v1/power/cycle", ""},
		{"POST", "/v1/clock/advance", `{"ms":9223372036854775807}`}, {"POST", "/v1/faults", `{"kind":"canned","command":4,"answer":"00a0","skip":1}`}, {"DELETE", "/v1/faults", ""},
		{"PUT", "/v1/profile", `{"name":"u2f"}`}, {"PUT", "/v1/snapshot", "00"}, {"PUT", "/v1/reset-window", `{"on":false}`}, {"GET", "/v1/counters", ""},
		{"GET", "/1/power/off", ""}, {"POST", "/conformance/results", "{}"}, {"POST", "/conformance/userpresence", ""},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, method, path, body string) {
		if method == "" || strings.ContainsFunc(method, func(r rune) bool { return r < 'A' || r > 'Z' }) || !strings.HasPrefix(path, "/") {
			return
		}
		b := newBench(t, func(c *control.Config) { c.Bench, c.Certification = true, true })
		r := httptest.NewRequest("GET", "/", strings.NewReader(body))
		r.Method, r.URL.Path, r.URL.RawQuery = method, path, ""
		if before, query, ok := strings.Cut(path, "?"); ok {
			r.URL.Path, r.URL.RawQuery = before, query
		}
		r.Header.Set("Authorization", "Bearer "+secret)
		w := httptest.NewRecorder()
		b.handler.ServeHTTP(w, r)
		if strings.Contains(w.Body.String(), secret) {
			t.Errorf("the token is in %q", w.Body)
		}
		if w.Code >= 500 && !strings.HasPrefix(path, "/v1/") {
			t.Errorf("%s %q: %d %q", method, path, w.Code, w.Body)
		}
		b.key.PowerOn()
		b.key.Faults().Clear()
		if answer, err := b.key.Exchange(t.Context(), []byte{4}); err != nil || len(answer) == 0 {
			t.Errorf("%s %q %q: then getInfo %x, %v", method, path, body, answer, err)
		}
	})
}
