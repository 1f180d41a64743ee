package conformance

import "github.com/fidokey/fidokey/trace"

// Thrown are the first bytes that the dice of a case show.
func Thrown(seed, id string, protocol int, phase string, n int) []byte {
	return newDice(seed, &Case{ID: id}, protocol, phase).random(n)
}

// Babble records n reports in a row.
func Babble(w *trace.Writer, n int) {
	t := &tape{w: w, sizes: []int{64, 64}}
	for range n {
		t.add(&trace.Exchange{Kind: trace.KindReport, Response: make([]byte, 64)})
	}
	t.flush()
}
