package conformance

import (
	"testing"
)

// TestDevice runs every case on a key as a subtest under its identifier, so that
// the flag -run of "go test" chooses among them. A case that is not applicable is
// skipped and says why; a warning is logged.
//
// A bubble of testing/synctest has no subtests: a simulated key in virtual time is
// what [Run] is for.
func TestDevice(t *testing.T, bench *Bench) {
	r := newRunner(bench, Selection{Seed: NewSeed()})
	defer r.close()
	plays := bench.plays()
	for _, c := range order(nil, plays) {
		t.Run(c.ID, func(t *testing.T) {
			r.results = nil
			r.runCase(t.Context(), c, r.play(plays(c)))
			for i := range r.results {
				r.results[i].tell(t)
			}
		})
	}
}

// tell passes a result on to a test.
func (r *Result) tell(t *testing.T) {
	t.Helper()
	switch {
	case r.Outcome == Fail:
		t.Errorf("%v\n%v", r, r.Case.Section())
	case r.Outcome == Warning:
		t.Log(r)
	case r.Outcome == NotApplicable && r.Part == "":
		t.Skip(r.Reason)
	}
}
