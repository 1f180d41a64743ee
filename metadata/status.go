package metadata

import (
	"strings"
	"time"
)

// StatusReport is what happened to a model at a time (MDS 3.1, section 3.1.3).
type StatusReport struct {
	Status                           Status   `json:"status"`
	EffectiveDate                    *Day     `json:"effectiveDate,omitempty"` // nil: from the start
	AuthenticatorVersion             *uint64  `json:"authenticatorVersion,omitempty"`
	Certificate                      string   `json:"certificate,omitempty"` // the one that is meant; empty: all
	URL                              string   `json:"url,omitempty"`
	CertificationDescriptor          string   `json:"certificationDescriptor,omitempty"`
	CertificateNumber                string   `json:"certificateNumber,omitempty"`
	CertificationPolicyVersion       string   `json:"certificationPolicyVersion,omitempty"`
	CertificationProfiles            []string `json:"certificationProfiles,omitempty"`
	CertificationRequirementsVersion string   `json:"certificationRequirementsVersion,omitempty"`
}

// InEffect reports whether the day of a report has come.
func (r *StatusReport) InEffect(now time.Time) bool {
	return r.EffectiveDate == nil || !r.EffectiveDate.After(now)
}

// Status is an AuthenticatorStatus (MDS 3.1, section 3.1.4).
type Status string

// The statuses that a program decides by; the others are in statuses.
const (
	StatusNotCertified    Status = "NOT_FIDO_CERTIFIED"
	StatusSelfAssertion   Status = "SELF_ASSERTION_SUBMITTED"
	StatusCertified       Status = "FIDO_CERTIFIED"
	StatusRevoked         Status = "REVOKED"
	StatusUpdateAvailable Status = "UPDATE_AVAILABLE"
)

// Severity is what a status means to whoever trusts the model.
type Severity string

const (
	SeverityGood   Severity = "good"
	SeverityNotice Severity = "notice"
	SeverityBad    Severity = "bad" // do not trust it
)

// statuses says in words what there is.
var statuses = map[Status]struct {
	severity Severity
	meaning  string
}{
	StatusNotCertified:             {SeverityNotice, "not certified by FIDO"},
	StatusSelfAssertion:            {SeverityNotice, "the maker says that it conforms; nobody has checked"},
	StatusUpdateAvailable:          {SeverityNotice, "the maker has newer firmware"},
	"RETIRED":                      {SeverityNotice, "no longer made or supported"},
	StatusRevoked:                  {SeverityBad, "revoked: not to be trusted any more"},
	"USER_VERIFICATION_BYPASS":     {SeverityBad, "its user verification can be got around"},
	"ATTESTATION_KEY_COMPROMISE":   {SeverityBad, "an attestation key is in wrong hands: what it vouches for may be forged"},
	"USER_KEY_REMOTE_COMPROMISE":   {SeverityBad, "users' keys can be stolen from afar"},
	"USER_KEY_PHYSICAL_COMPROMISE": {SeverityBad, "users' keys can be stolen by whoever holds it"},
	StatusCertified:                {SeverityGood, "certified by FIDO"},
}

// levels are the certification levels, rising.
var levels = []string{"", "1", "1+", "2", "2+", "3", "3+"}

// Level returns the level of a certification: "1" to "3+", or empty where the
// status names none.
func (s Status) Level() string {
	level, ok := strings.CutPrefix(string(s), string(StatusCertified)+"_L")
	if !ok {
		return ""
	}
	return strings.Replace(level, "plus", "+", 1)
}

// Certified reports whether a status says that the model is certified by FIDO.
func (s Status) Certified() bool {
	return s == StatusCertified || s.Level() != ""
}

// Severity of a status that is not known is a notice.
func (s Status) Severity() Severity {
	switch known, ok := statuses[s]; {
	case ok:
		return known.severity
	case s.Certified() || s.fips() != "":
		return SeverityGood
	}
	return SeverityNotice
}

// Meaning says a status in words.
func (s Status) Meaning() string {
	switch known, ok := statuses[s]; {
	case ok:
		return known.meaning
	case s.Certified():
		return "certified by FIDO, level " + s.Level()
	case s.fips() != "":
		return "certified by FIPS 140, level " + s.fips()
	}
	return "a status that this program does not know"
}

func (s Status) fips() string {
	level, _ := strings.CutPrefix(string(s), "FIPS140_CERTIFIED_L")
	if level == string(s) {
		return ""
	}
	return level
}

// rank orders what is said of certification on one day; -1: it is about something
// else.
func (s Status) rank() int {
	switch s {
	case StatusNotCertified:
		return 0
	case StatusSelfAssertion:
		return 1
	case StatusRevoked:
		return 100
	}
	if s.Certified() {
		rank := 2
		for i, level := range levels {
			if s.Level() == level {
				rank += i
			}
		}
		return rank
	}
	return -1
}

// Certification returns the report that says how the model stands with FIDO: the
// latest in effect that is about that, and of one day the one that says most. It
// is nil if there is none.
func (e *Entry) Certification(now time.Time) *StatusReport {
	var latest *StatusReport
	for i := range e.StatusReports {
		r := &e.StatusReports[i]
		if r.Status.rank() < 0 || !r.InEffect(now) {
			continue
		}
		if latest == nil || r.day().After(latest.day()) ||
			r.day().Equal(latest.day()) && r.Status.rank() > latest.Status.rank() {
			latest = r
		}
	}
	return latest
}

func (r *StatusReport) day() time.Time {
	if r.EffectiveDate == nil {
		return time.Time{}
	}
	return r.EffectiveDate.Time
}

// Bad returns the reports in effect because of which the model is not to be
// trusted. A later certificate does not take them back: it may be for newer
// firmware.
func (e *Entry) Bad(now time.Time) (bad []StatusReport) {
	for _, r := range e.StatusReports {
		if r.Status.Severity() == SeverityBad && r.InEffect(now) {
			bad = append(bad, r)
		}
	}
	return bad
}
