package conformance_test

import (
	"regexp"
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
)

// liar is a port whose answers to CBOR messages are changed on the way: the
// first report of each, which has the status at byte 7.
type liar struct {
	hid.Port
	change func(report []byte)
}

func (l *liar) Read(report []byte) (int, error) {
	n, err := l.Port.Read(report)
	if err == nil && report[4] == 0x90 {
		l.change(report)
	}
	return n, err
}

// TestLiar proves that the cases notice: a key on which nothing ever fails, and
// one on which everything does.
func TestLiar(t *testing.T) {
	one := regexp.MustCompile(`^(OK|[A-Z]+_[A-Z_]+)$`) // expected is this status and no other
	for name, lie := range map[string]struct {
		change func(report []byte)
		must   func(expected string) bool // fail
	}{
		"nothing fails":    {func(r []byte) { r[7] = 0 }, func(expected string) bool { return expected != "OK" }},
		"everything fails": {func(r []byte) { r[7] = 0x7f }, func(string) bool { return true }},
		"wrong errors": {func(r []byte) {
			if r[7] != 0 {
				r[7] = 0x7f
			}
		}, func(expected string) bool { return expected != "OK" }},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				bench, _ := newSimulated(t, simulator.DefaultProfile())
				open := bench.Port
				change := func([]byte) {}
				bench.Port = func() (hid.Port, error) {
					port, err := open()
					return &liar{port, func(report []byte) { change(report) }}, err
				}
				bench.Card, bench.Endurance = nil, 10
				fell := 0
				conformance.Run(t.Context(), bench, conformance.Selection{
					Begin: func(*conformance.Case) { change = lie.change },
					Report: func(r *conformance.Result) {
						change = func([]byte) {}
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
