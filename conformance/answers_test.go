package conformance_test

import (
	"slices"
	"testing"

	"github.com/fidokey/fidokey/conformance"
)

func caseOf(t *testing.T, id string) *conformance.Case {
	t.Helper()
	for _, c := range conformance.Cases() {
		if c.ID == id {
			return &c
		}
	}
	t.Fatal("no case", id)
	return nil
}

func TestAnswers(t *testing.T) {
	for id, want := range map[string]conformance.Answers{
		"MC-002":  {Accepted: []string{"CTAP2_ERR_MISSING_PARAMETER"}},
		"MC-009":  {Accepted: []string{"CTAP1_ERR_INVALID_PARAMETER"}, Tolerated: []string{"CTAP2_OK"}, AnyError: true},
		"MC-069":  {Accepted: []string{"CTAP2_ERR_PIN_INVALID"}, Tolerated: []string{"CTAP2_ERR_PIN_AUTH_INVALID"}},
		"CBR-004": {Accepted: []string{"CTAP2_ERR_INVALID_CBOR", "CTAP2_OK"}, Record: true},
		"HID-007": {Accepted: []string{"CTAPHID INVALID_LEN"}},
		"HID-003": {},
		"NFC-021": {Accepted: []string{"CTAP2_OK", "SW 6A86", "SW 6B00"}, Record: true},
		"U2F-010": {Accepted: []string{"SW 9000"}, Tolerated: []string{"SW 6985", "SW 6A86"}},
	} {
		got := caseOf(t, id).Answers()
		if !slices.Equal(got.Accepted, want.Accepted) || !slices.Equal(got.Tolerated, want.Tolerated) || got.AnyError != want.AnyError || got.Record != want.Record {
			t.Errorf("%s: %+v, want %+v", id, got, want)
		}
	}
}

// TestSections: every case has a section.
func TestSections(t *testing.T) {
	for _, c := range conformance.Cases() {
		if s := c.Section(); s.Document == "" || s.Number == "" || s.Title == "" {
			t.Errorf("%s has no section: %+v", c.ID, s)
		}
	}
	for id, want := range map[string]string{
		"MC-074": "CTAP 2.3, section 6.1.2, authenticatorMakeCredential Algorithm", "LB-033": "CTAP 2.3, section 6.10.2, Reading and writing serialised data",
		"U2F-006": "FIDO U2F Raw Message Formats 1.2, section 5, Authentication Messages",
	} {
		if got := caseOf(t, id).Section().String(); got != want {
			t.Errorf("%s: %s, want %s", id, got, want)
		}
	}
}
