package conformance_test

import (
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/conformance/simulated"
	"github.com/fidokey/fidokey/simulator"
)

// TestOtherKeys runs the cases against keys that have less, or something else,
// and against which no case may fail.
func TestOtherKeys(t *testing.T) {
	odd := simulated.VariantOf(simulated.VariantOf(simulator.Full23(), "nomcga"), "largeblob")
	odd.GetInfo.MaxPINLength = new(uint(20))
	odd.GetInfo.Certifications = map[string]uint{"FIDO": 1}
	keys := map[string]*simulator.Profile{"default": simulator.DefaultProfile(), "odd": odd}
	for _, name := range []string{"ctap-2.0", "preview", "enterprise", "no-pin"} {
		p, err := simulator.LoadProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		keys[name] = p
	}
	passed := map[string]bool{}
	for name, profile := range keys {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				bench, _ := newSimulated(t, profile)
				bench.Become, bench.Endurance = nil, 20
				count := map[conformance.Outcome]int{}
				conformance.Run(t.Context(), bench, conformance.Selection{Report: func(r *conformance.Result) {
					switch {
					case r.Part != "":
						return
					case r.Outcome == conformance.Fail:
						t.Error(r)
					case r.Outcome == conformance.Warning:
						t.Log(r)
					case r.Outcome == conformance.Pass:
						passed[r.ID()] = true
					}
					count[r.Outcome]++
				}})
				t.Log(count)
			})
		})
	}
	for _, id := range []string{"INF-021", "INF-026", "INF-037", "MCR-011", "PIN-025"} {
		if !passed[id] {
			t.Errorf("%s, which the full key cannot pass, passed on no key", id)
		}
	}
}
