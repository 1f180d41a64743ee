package metadata_test

import (
	"encoding/json"
	"testing"

	stranger "github.com/go-webauthn/webauthn/metadata"

	"github.com/fidokey/fidokey/metadata"
)

// TestStrangerReadsEntries: what the index gives is what go-webauthn takes as an
// entry, and it reads the same in it.
func TestStrangerReadsEntries(t *testing.T) {
	n := 0
	err := open(t, stored(t)).Each(func(e *metadata.Entry) error {
		var raw stranger.EntryJSON
		if err := json.Unmarshal(e.Raw, &raw); err != nil {
			return err
		}
		theirs, err := raw.Parse()
		if err != nil {
			return err
		}
		ours, err := e.Statement.Roots()
		if err != nil {
			return err
		}
		s := theirs.MetadataStatement
		if e.AAGUID != "" && theirs.AaGUID.String() != e.AAGUID || s.Description != e.Statement.Description ||
			len(s.AttestationRootCertificates) != len(ours) || !s.AttestationRootCertificates[0].Equal(ours[0]) ||
			string(theirs.StatusReports[0].Status) != string(e.StatusReports[0].Status) ||
			!theirs.StatusReports[0].EffectiveDate.Equal(e.StatusReports[0].EffectiveDate.Time) {
			t.Errorf("%v: %+v", e.IDs(), theirs)
		}
		n++
		return nil
	})
	if err != nil || n != models {
		t.Errorf("%d entries, %v", n, err)
	}
}
