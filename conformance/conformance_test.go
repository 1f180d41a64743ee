package conformance_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/simulator"
)

func TestCases(t *testing.T) {
	cases := conformance.Cases()
	if len(cases) != 709 {
		t.Errorf("%d cases, not 709", len(cases))
	}
	seen := map[string]bool{}
	for _, c := range cases {
		if seen[c.ID] {
			t.Errorf("%s is there twice", c.ID)
		}
		seen[c.ID] = true
	}
	if missing := conformance.Missing(); len(missing) > 0 {
		t.Errorf("not implemented: %s", strings.Join(missing, " "))
	}
}

// all is how many cases there are, and all of them pass.
const all = 709

// TestSimulator runs the cases against the simulator. FIDOKEY_CASES, a list of
// prefixes of identifiers, limits them.
func TestSimulator(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sel := conformance.Selection{Strict: true}
		if only := strings.Fields(os.Getenv("FIDOKEY_CASES")); len(only) > 0 {
			sel.Match = func(c *conformance.Case) bool {
				return slices.ContainsFunc(only, func(prefix string) bool { return strings.HasPrefix(c.ID, prefix) })
			}
		}
		count := map[conformance.Outcome]int{}
		sel.Report = func(r *conformance.Result) {
			if r.Part != "" {
				if r.Outcome == conformance.Fail || r.Outcome == conformance.Warning {
					t.Log(r)
				}
				return
			}
			count[r.Outcome]++
			switch r.Outcome {
			case conformance.Fail:
				t.Error(r)
			case conformance.Warning:
				t.Log(r)
			case conformance.NotApplicable:
				if testing.Verbose() {
					t.Logf("%s: not applicable: %s", r.ID(), r.Reason)
				}
			}
		}
		bench, _ := newSimulated(t, simulator.Full23())
		conformance.Run(t.Context(), bench, sel)
		t.Logf("%d pass, %d warning, %d not applicable, %d failed", count[conformance.Pass],
			count[conformance.Warning], count[conformance.NotApplicable], count[conformance.Fail])
		if sel.Match == nil && count[conformance.Pass] != all {
			t.Errorf("not all %d pass", all)
		}
	})
}
