package conformance_test

import (
	"regexp"
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/simulator"
)

// TestLiar proves that the cases notice: a key on which nothing ever fails, and
// one on which everything does.
func TestLiar(t *testing.T) {
	one := regexp.MustCompile(`^(OK|[A-Z]+_[A-Z_]+)$`) // expected is this status and no other
	for name, lie := range map[string]struct {
		lie  lie
		must func(expected string) bool // fail
	}{
		"nothing fails":    {lie{ctap: first(func(byte) byte { return 0 })}, func(expected string) bool { return expected != "OK" }},
		"everything fails": {lie{ctap: first(func(byte) byte { return 0x7f })}, func(string) bool { return true }},
		"wrong errors": {lie{ctap: first(func(s byte) byte {
			if s != 0 {
				s = 0x7f
			}
			return s
		})}, func(expected string) bool { return expected != "OK" }},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				bench, _ := newSimulated(t, simulator.DefaultProfile())
				teller := &liar{}
				teller.tell(bench)
				bench.Card, bench.Endurance = nil, 10
				fell := 0
				conformance.Run(t.Context(), bench, conformance.Selection{
					Begin: func(*conformance.Case) { teller.told = &lie.lie },
					Report: func(r *conformance.Result) {
						teller.told = nil
						if r.Part != "" || r.Case.Group() == "HID" || !one.MatchString(r.Case.Expected) || !lie.must(r.Case.Expected) {
							return
						}
						switch r.Outcome {
						case conformance.Pass, conformance.Warning:
							t.Errorf("%s does not notice: %s -> %s", r.ID(), r.Case.Title, r.Case.Expected)
						case conformance.Fail:
							fell++
						}
					},
				})
				if t.Logf("%d cases noticed", fell); fell < 50 {
					t.Error("too few")
				}
			})
		})
	}
}

// first changes the status of every answer.
func first(change func(status byte) byte) func(request, answer []byte) []byte {
	return func(_, answer []byte) []byte { return append([]byte{change(answer[0])}, answer[1:]...) }
}
