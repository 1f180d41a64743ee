package conformance_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
)

// TestShippedProfiles: every profile of the simulator without a quirk passes what
// applies to it, through the doors that it has.
func TestShippedProfiles(t *testing.T) {
	if ctaptest.Sample(t, 2) > 1 {
		t.Skip("TestSimulator has all cases")
	}
	tried := 0
	for _, name := range simulator.ProfileNames() {
		profile, err := simulator.LoadProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		quirk := strings.HasPrefix(profile.Name, "quirk-") || !slices.Contains(profile.GetInfo.Versions, "FIDO_2_0")
		if quirk || profile.Name == simulator.Full23().Name { // is TestSimulator's
			continue
		}
		tried++
		t.Run(profile.Name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				bench, _ := newSimulated(t, profile)
				bench.Become, bench.Endurance = nil, 3
				passed := 0
				short := func(c *conformance.Case) bool { return c.Group() != "HID" && c.ID != "STA-011" } // which are the same for all
				conformance.Run(t.Context(), bench, conformance.Selection{Match: short, Report: func(r *conformance.Result) {
					switch {
					case r.Outcome == conformance.Fail:
						t.Error(r)
					case r.Outcome == conformance.Pass && r.Part == "":
						passed++
					}
				}})
				if passed < 150 {
					t.Errorf("only %d cases pass", passed)
				}
			})
		})
	}
	if tried < 20 {
		t.Errorf("only %d profiles", tried)
	}
}
