package metadata

import (
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed aaguids.json
var aaguids []byte

// Model is what is known of an AAGUID. The name is a label, not a proof: only an
// attestation that was verified says which model a key is.
type Model struct {
	Name string `json:"name"`
	// Source says where the name comes from; see README.md.
	Source string `json:"source"`
	// EntraAttestable is true for models that Microsoft Entra was documented to
	// accept with attestation enforced, on the day that README.md gives.
	EntraAttestable bool `json:"entraAttestable,omitempty"`
}

var models = sync.OnceValue(func() map[string]Model {
	var m map[string]Model
	if err := json.Unmarshal(aaguids, &m); err != nil {
		panic("metadata: aaguids.json: " + err.Error()) // embedded, and tested
	}
	return m
})

// Lookup returns the model with an AAGUID in the form with dashes and lower-case
// digits.
func Lookup(aaguid string) (Model, bool) {
	m, ok := models()[aaguid]
	return m, ok
}

// Named returns the AAGUIDs of the models whose name has words in it, upper or lower
// case, in their order.
func Named(words string) (aaguids []string) {
	words = strings.ToLower(words)
	for aaguid, m := range models() {
		if strings.Contains(strings.ToLower(m.Name), words) {
			aaguids = append(aaguids, aaguid)
		}
	}
	slices.Sort(aaguids)
	return aaguids
}

// Count returns how many models are known.
func Count() int { return len(models()) }

// Date is the day of the newest source of the names; see README.md.
func Date() time.Time { return time.Date(2026, time.October, 6, 0, 0, 0, 0, time.UTC) }
