package record

import (
	"slices"
	"sync"

	"github.com/fidokey/fidokey/conformance"
)

// places are those of the cases in cases.txt.
var places = sync.OnceValue(func() map[string]int {
	places := map[string]int{}
	for i, c := range conformance.Cases() {
		places[c.ID] = i
	}
	return places
})

// sort puts the results into the order of the cases; parts stay before their case.
func (r *Report) sort() {
	slices.SortStableFunc(r.Results, func(a, b Result) int { return places()[a.Case] - places()[b.Case] })
}
