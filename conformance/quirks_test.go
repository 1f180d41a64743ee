package conformance_test

import (
	"testing"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/simulator"
)

// TestQuirks proves that the cases find what the simulator does wrong on
// purpose. Some keys in the field do the same.
func TestQuirks(t *testing.T) {
	for quirk, found := range map[string]string{
		"all-discoverable":      "MC-058",
		"any-channel":           "HID-034",
		"card-unusable":         "NFC-005",
		"corrupt-large-blobs":   "LB-028",
		"cut-names":             "MC-022",
		"empty-body":            "CM-012",
		"false-eddsa":           "GA-001",
		"key-agreement-es256":   "PIN-012",
		"lying-capabilities":    "HID-006",
		"no-credential":         "GA-054",
		"no-extensions":         "INF-013",
		"no-keepalive":          "HID-042",
		"no-names":              "GA-053",
		"no-protocols":          "INF-009",
		"no-rp-list":            "CM-015",
		"no-totals":             "CM-013",
		"no-user":               "MC-017",
		"protocol-two-fails":    "PIN-042",
		"refuses-algorithms":    "MC-036",
		"refuses-empty-lists":   "MC-039",
		"refuses-extensions":    "MC-053",
		"refuses-transports":    "MC-047",
		"refuses-up":            "MC-062",
		"refuses-uv-with-token": "MC-067",
		"select-u2f":            "NFC-002",
		"silent-wink":           "HID-039",
		"status-probe":          "GA-016",
		"status-unknown":        "GA-016",
		"u2f-needs-lc":          "U2F-001",
		"u2f-wrong-length":      "U2F-009",
		"unknown-getinfo":       "INF-003",
		"unsorted-maps":         "INF-001",
		"uv-false":              "MC-066",
		"which-key-costs":       "MC-069",
		"which-key-protocol":    "MC-068",
		"zero-limits":           "INF-031",
		"zero-total":            "CM-012",
	} {
		t.Run(quirk, func(t *testing.T) {
			profile, err := simulator.LoadProfile("quirk-" + quirk)
			if err != nil {
				t.Fatal(err)
			}
			inBubble(t, func(t *testing.T) {
				bench, _ := newSimulated(t, profile)
				bench.Become = nil
				results := conformance.Run(t.Context(), bench, conformance.Selection{
					Match: func(c *conformance.Case) bool { return c.ID == found },
				})
				if last := results[len(results)-1]; last.Outcome < conformance.Warning {
					t.Errorf("not found: %s", &last)
				}
			})
		})
	}
}
