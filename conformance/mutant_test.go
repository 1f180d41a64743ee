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
// FIDOKEY_MUTANT. It prints how each ends. The key is broken only while a case is
// at work, so that none falls because it could not be prepared.
func TestMutant(t *testing.T) {
	name := os.Getenv("FIDOKEY_MUTANT")
	if name == "" {
		t.Skip("for test/mutation")
	}
	playCases(t, strings.Fields(os.Getenv("FIDOKEY_CASES")), nil, func() { os.Setenv("FIDOKEY_MUTATION", name) },
		func() { os.Unsetenv("FIDOKEY_MUTATION") }, func(r *conformance.Result) { fmt.Printf("mutant: %s %s\n", r.ID(), r.Outcome) })
}

// TestLies is the other half: it prints by which wrong answer each of the cases of
// FIDOKEY_CASES falls, the first that there is.
func TestLies(t *testing.T) {
	standing := strings.Fields(os.Getenv("FIDOKEY_CASES"))
	if len(standing) == 0 || os.Getenv("FIDOKEY_LIES") == "" {
		t.Skip("for test/mutation")
	}
	teller := &liar{}
	for _, l := range lies() {
		var ids, fell []string
		for _, id := range standing {
			about := strings.Fields(l.about)
			if len(about) == 0 || slices.ContainsFunc(about, func(prefix string) bool { return strings.HasPrefix(id, prefix) }) {
				ids = append(ids, id)
			}
		}
		if len(ids) == 0 {
			continue
		}
		playCases(t, ids, teller, func() { teller.told = &l }, func() { teller.told = nil }, func(r *conformance.Result) {
			if r.Outcome >= conformance.Warning {
				fell = append(fell, r.ID())
			}
		})
		standing = slices.DeleteFunc(standing, func(id string) bool { return slices.Contains(fell, id) })
		if len(fell) > 0 {
			fmt.Printf("lie: %s: %s\n", strings.Join(fell, " "), l.name)
		}
	}
}

// playCases runs cases, all if there are none, on the keys that they are for.
// begin and end are called around the part of each that is the case's own.
func playCases(t *testing.T, ids []string, teller *liar, begin, end func(), report func(*conformance.Result)) {
	full, odd := *simulator.Full23(), oddProfile()
	full.GetInfo.Algorithms = slices.DeleteFunc(slices.Clone(full.GetInfo.Algorithms), func(c ctap2.CredentialParameters) bool {
		return c.Algorithm == cose.RS256 // to make RSA keys would take half of the time
	})
	odd.Attestation = simulator.AttestationSelf
	for _, profile := range []*simulator.Profile{&full, odd} {
		inBubble(t, func(t *testing.T) {
			bench, _ := newSimulated(t, profile)
			if teller != nil {
				teller.tell(bench)
			}
			bench.Endurance = 5
			conformance.Run(t.Context(), bench, conformance.Selection{
				Match: func(c *conformance.Case) bool {
					return (len(ids) == 0 || slices.Contains(ids, c.ID)) && slices.Contains(notOfTheFull, c.ID) == (profile == odd)
				},
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
}
