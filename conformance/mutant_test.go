package conformance_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// TestMutant is what package test/mutation runs: the cases of FIDOKEY_CASES, or
// all, against a simulator that is broken in one place, the switch of
// FIDOKEY_MUTANT, with a reader as the only door if FIDOKEY_DOOR is "nfc". It
// prints how each ends. The key is broken only while a case is
// at work, so that none falls because it could not be prepared.
func TestMutant(t *testing.T) {
	name := os.Getenv("FIDOKEY_MUTANT")
	if name == "" {
		t.Skip("for test/mutation")
	}
	playCases(t, strings.Fields(os.Getenv("FIDOKEY_CASES")), nil, func() { os.Setenv("FIDOKEY_MUTATION", name) },
		func() { os.Unsetenv("FIDOKEY_MUTATION") }, func(r *conformance.Result) { fmt.Printf("mutant: %s %s\n", r.ID(), r.Outcome) })
}

// playCases runs cases, all if there are none. begin and end are called around the
// part of each that is the case's own.
func playCases(t *testing.T, ids []string, teller *liar, begin, end func(), report func(*conformance.Result)) {
	profile := *simulator.Full23()
	profile.GetInfo.Algorithms = slices.DeleteFunc(slices.Clone(profile.GetInfo.Algorithms), func(c ctap2.CredentialParameters) bool {
		return c.Algorithm == cose.RS256 // to make RSA keys would take half of the time
	})
	inBubble(t, func(t *testing.T) {
		bench, _ := newSimulated(t, &profile)
		if teller != nil {
			teller.tell(bench)
		}
		bench.Endurance = 5
		if os.Getenv("FIDOKEY_DOOR") == "nfc" {
			bench.Port = nil
		}
		conformance.Run(t.Context(), bench, conformance.Selection{
			Match: func(c *conformance.Case) bool { return len(ids) == 0 || slices.Contains(ids, c.ID) },
			Begin: func(*conformance.Case) { begin() },
			Report: func(r *conformance.Result) {
				end()
				if r.Part == "" {
					report(r)
				}
			},
		})
	})
}
