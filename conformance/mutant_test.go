package conformance_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/simulator"
)

// TestMutant runs the cases against a simulator that package test/mutation has
// broken in one place, and prints those that notice. The environment has the
// name of the switch; the key is broken only while a case is at work, so that no
// case falls because it could not be prepared.
func TestMutant(t *testing.T) {
	name := os.Getenv("FIDOKEY_MUTANT")
	if name == "" {
		t.Skip("run by test/mutation")
	}
	inBubble(t, func(t *testing.T) {
		bench, _ := newSimulated(t, simulator.Full23())
		bench.Endurance = 5
		conformance.Run(t.Context(), bench, conformance.Selection{
			Begin: func(*conformance.Case) { os.Setenv("FIDOKEY_MUTATION", name) },
			Report: func(r *conformance.Result) {
				os.Unsetenv("FIDOKEY_MUTATION")
				if r.Part == "" {
					fmt.Println("mutant:", r.ID(), r.Outcome)
				}
			},
		})
	})
}
