package metadata_test

import (
	"testing"
	"time"

	"github.com/fidokey/fidokey/metadata"
)

func TestStatus(t *testing.T) {
	for _, tt := range []struct {
		status    metadata.Status
		severity  metadata.Severity
		certified bool
		meaning   string
	}{
		{"FIDO_CERTIFIED", metadata.SeverityGood, true, "certified by FIDO"},
		{"FIDO_CERTIFIED_L1", metadata.SeverityGood, true, "certified by FIDO, level 1"},
		{"FIDO_CERTIFIED_L3plus", metadata.SeverityGood, true, "certified by FIDO, level 3+"},
		{"FIPS140_CERTIFIED_L2", metadata.SeverityGood, false, "certified by FIPS 140, level 2"},
		{"NOT_FIDO_CERTIFIED", metadata.SeverityNotice, false, "not certified by FIDO"},
		{"REVOKED", metadata.SeverityBad, false, "revoked: not to be trusted any more"},
		{"ATTESTATION_KEY_COMPROMISE", metadata.SeverityBad, false, "an attestation key is in wrong hands: what it vouches for may be forged"},
		{"UPDATE_AVAILABLE", metadata.SeverityNotice, false, "the maker has newer firmware"},
		{"SHINY", metadata.SeverityNotice, false, "a status that this program does not know"},
	} {
		if s := tt.status; s.Severity() != tt.severity || s.Certified() != tt.certified || s.Meaning() != tt.meaning {
			t.Errorf("%s: %s, %v, %q", s, s.Severity(), s.Certified(), s.Meaning())
		}
	}
}

func TestCertification(t *testing.T) {
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC)
	on := func(status metadata.Status, date string) metadata.StatusReport {
		if date == "" {
			return metadata.StatusReport{Status: status}
		}
		day, err := time.Parse(time.DateOnly, date)
		if err != nil {
			t.Fatal(err)
		}
		return metadata.StatusReport{Status: status, EffectiveDate: &metadata.Day{Time: day}}
	}
	for _, tt := range []struct {
		name    string
		reports []metadata.StatusReport
		want    metadata.Status
		bad     int
	}{
		{"nothing", nil, "", 0},
		{"one without a date", []metadata.StatusReport{on("NOT_FIDO_CERTIFIED", "")}, "NOT_FIDO_CERTIFIED", 0},
		{"the level counts on the same day", []metadata.StatusReport{on("FIDO_CERTIFIED_L1", "2020-05-12"), on("FIDO_CERTIFIED", "2020-05-12")}, "FIDO_CERTIFIED_L1", 0},
		{"the latest counts, in any order", []metadata.StatusReport{on("FIDO_CERTIFIED_L2", "2022-01-01"), on("FIDO_CERTIFIED_L1", "2020-01-01"), on("NOT_FIDO_CERTIFIED", "2019-01-01")}, "FIDO_CERTIFIED_L2", 0},
		{"not in effect yet", []metadata.StatusReport{on("FIDO_CERTIFIED_L1", "2020-01-01"), on("REVOKED", "2026-10-02")}, "FIDO_CERTIFIED_L1", 0},
		{"in effect today", []metadata.StatusReport{on("FIDO_CERTIFIED_L1", "2020-01-01"), on("REVOKED", "2026-10-01")}, "REVOKED", 1},
		{"an update says nothing of it", []metadata.StatusReport{on("FIDO_CERTIFIED_L1", "2020-01-01"), on("UPDATE_AVAILABLE", "2021-01-01")}, "FIDO_CERTIFIED_L1", 0},
		{"a later certificate takes nothing back", []metadata.StatusReport{on("USER_VERIFICATION_BYPASS", "2021-01-01"), on("FIDO_CERTIFIED_L1", "2022-01-01")}, "FIDO_CERTIFIED_L1", 1},
	} {
		e := metadata.Entry{StatusReports: tt.reports}
		var got metadata.Status
		if r := e.Certification(now); r != nil {
			got = r.Status
		}
		if bad := e.Bad(now); got != tt.want || len(bad) != tt.bad {
			t.Errorf("%s: %q, bad: %v", tt.name, got, bad)
		}
	}
}
