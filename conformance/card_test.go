package conformance_test

import (
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/simulator"
)

// TestCardOnly runs the cases against a key that has no other door than a
// reader.
func TestCardOnly(t *testing.T) {
	profile, err := simulator.LoadProfile("nfc-card")
	if err != nil {
		t.Fatal(err)
	}
	inBubble(t, func(t *testing.T) {
		bench, _ := newSimulated(t, profile)
		bench.Port, bench.Become, bench.Endurance = nil, nil, 20
		noFailures(t, bench)
	})
}

// noFailures runs all cases.
func noFailures(t *testing.T, bench *conformance.Bench) {
	t.Helper()
	count := map[conformance.Outcome]int{}
	conformance.Run(t.Context(), bench, conformance.Selection{Report: func(r *conformance.Result) {
		if r.Outcome == conformance.Fail {
			t.Error(r)
		}
		if r.Part == "" {
			count[r.Outcome]++
		}
	}})
	t.Log(count)
}
