package conformance_test

import (
	"bytes"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/trace"
)

// playbackFuzzed are the cases of the recording that the fuzzer begins with, which is in
// testdata.
var playbackFuzzed = []string{"INF-001", "HID-001", "MC-001"}

var fuzzedSelection = conformance.Selection{Match: func(c *conformance.Case) bool { return slices.Contains(playbackFuzzed, c.ID) }}

// FuzzPlayback plays recordings: a case that is in one has a verdict, or the playback
// says where it is not as recorded.
func FuzzPlayback(f *testing.F) {
	f.Add([]byte(`{"fidokey":"run 1"}`))
	f.Add([]byte(`{"trace":1}`)) // and nothing in it
	f.Fuzz(func(t *testing.T, text []byte) {
		synctest.Test(t, func(t *testing.T) {
			recorded, err := trace.Read(bytes.NewReader(text))
			if err != nil {
				return
			}
			p, err := conformance.NewPlayback(recorded)
			if err != nil {
				return
			}
			recordedCases := 0
			for _, id := range playbackFuzzed {
				if slices.ContainsFunc(p.Runs(), func(r *trace.Run) bool { return slices.Contains(r.Cases, id) }) {
					recordedCases++
				}
			}
			results, err := p.Run(t.Context(), fuzzedSelection)
			if len(p.Runs()) == 0 || len(results) < recordedCases && err == nil {
				t.Errorf("%d results of %d cases in %d runs, and nothing is amiss", len(results), recordedCases, len(p.Runs()))
			}
		})
	})
}
