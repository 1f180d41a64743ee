package conformance_test

import (
	"regexp"
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/simulator"
)

// TestLiar proves that the cases notice: a key on which nothing ever fails, and
// one on which everything does,
// through each of the doors.
func TestLiar(t *testing.T) {
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
			noticed(t, simulator.DefaultProfile(), &lie.lie, lie.must, func(bench *conformance.Bench) { bench.Card = nil })
		})
		t.Run(name+" on the reader", func(t *testing.T) {
			card, err := simulator.LoadProfile("nfc-card")
			if err != nil {
				t.Fatal(err)
			}
			noticed(t, card, &lie.lie, lie.must, func(bench *conformance.Bench) { bench.Port, bench.Become = nil, nil })
		})
	}
}

// statusAlone are the expectations of one status and no other.
var statusAlone = regexp.MustCompile(`^(OK|[A-Z]+_[A-Z_]+)$`)

// noticed runs the cases through one door against a lie, and checks that those
// fall that expect one status alone and that must fall.
func noticed(t *testing.T, profile *simulator.Profile, told *lie, must func(expected string) bool, door func(*conformance.Bench)) {
	inBubble(t, func(t *testing.T) {
		bench, _ := newSimulated(t, profile)
		teller := &liar{}
		teller.tell(bench)
		door(bench)
		bench.Endurance = 10
		fell := 0
		conformance.Run(t.Context(), bench, conformance.Selection{
			Match: func(c *conformance.Case) bool {
				return c.Group() != "HID" && statusAlone.MatchString(c.Expected) && must(c.Expected)
			},
			Begin: func(*conformance.Case) { teller.told = told },
			Report: func(r *conformance.Result) {
				teller.told = nil
				switch {
				case r.Part != "":
				case r.Outcome == conformance.Pass, r.Outcome == conformance.Warning:
					t.Errorf("%s does not notice: %s -> %s", r.ID(), r.Case.Title, r.Case.Expected)
				case r.Outcome == conformance.Fail:
					fell++
				}
			},
		})
		if t.Logf("%d cases noticed", fell); fell < 50 {
			t.Error("too few")
		}
	})
}

// first changes the status of every answer.
func first(change func(status byte) byte) func(request, answer []byte) []byte {
	return func(_, answer []byte) []byte { return append([]byte{change(answer[0])}, answer[1:]...) }
}
