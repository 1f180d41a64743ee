package entra

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Case is a question: would this key be accepted?
type Case struct {
	Key      Key
	Policy   *Policy   // nil: what Entra needs of every key is judged, and nothing else
	Strength *Strength // nil: sign-in is not judged
	User     User
	Metadata Metadata // nil: there is none
	Now      time.Time
}

// User is whose key it is to be.
type User struct {
	Groups []string // IDs
	// AnyGroup means that the groups are not known: every target counts, and nobody is
	// excluded.
	AnyGroup bool
	Guest    bool
	Member   bool // as the tenant says; else it is assumed of who is no guest
}

// Outcome is what a rule comes to.
type Outcome string

const (
	Passed  Outcome = "pass"
	Refused Outcome = "refuse"
	Warning Outcome = "warning" // accepted, but something is to be known or done
	Unknown Outcome = "unknown" // what it needs to know is not there
	Noted   Outcome = "note"    // nothing depends on it
)

// Stage is when a rule counts.
type Stage string

const (
	Registration Stage = "registration"
	SignIn       Stage = "sign-in"
)

// The rules.
const (
	RuleState       = "method enabled"
	RuleExcluded    = "excluded group"
	RuleTargeted    = "targeted"
	RuleSelfService = "self-service setup"
	RuleMember      = "member"

	RuleProfile      = "profile"
	RuleType         = "type"
	RuleRestrictions = "key restrictions"
	RuleWindowsHello = "Windows Hello"
	RuleStrength     = "authentication strength"

	RuleVersion          = "FIDO 2.0"
	RuleDiscoverable     = "discoverable credentials"
	RuleUserVerification = "user verification"
	RuleHMACSecret       = "hmac-secret"
	RuleAlgorithm        = "algorithm"
	RuleCredProtect      = "credProtect"
	RuleAccounts         = "several accounts"
	RuleAttestation      = "attestation"
	RuleAAGUID           = "AAGUID"
	RuleCertification    = "certification"
	RuleMetadata         = "metadata"
	RulePINLength        = "PIN length"
	RuleManagement       = "credential management"
	RuleProvisioning     = "enterprise provisioning"
	RuleGetInfo          = "getInfo"
)

// Reason is what one rule comes to.
type Reason struct {
	Stage   Stage   `json:"stage"`
	Profile string  `json:"profile,omitempty"` // empty: it is about no profile
	Rule    string  `json:"rule"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail"`
}

// Verdict is the answer.
type Verdict string

const (
	VerdictAccepted Verdict = "accepted"
	VerdictRefused  Verdict = "refused"
	VerdictUnknown  Verdict = "unknown"
)

// Result is the answer with all its reasons.
type Result struct {
	Verdict Verdict
	Summary string // the verdict in one line
	Reasons []Reason
}

// Judge says whether a key would be accepted at registration, and if there is a
// strength also at sign-in.
func Judge(c Case) *Result {
	stages := []*judge{newJudge(&c, Registration)}
	if c.Strength != nil {
		stages = append(stages, newJudge(&c, SignIn))
	}
	r := &Result{Verdict: VerdictAccepted}
	for _, j := range stages {
		verdict, summary := j.decide()
		r.Reasons = append(r.Reasons, j.reasons...)
		if r.Summary == "" || worse(verdict, r.Verdict) {
			r.Verdict, r.Summary = verdict, summary
		}
	}
	return r
}

// JudgeSignIn says whether a key that is registered would be accepted at sign-in.
func JudgeSignIn(c Case) *Result {
	j := newJudge(&c, SignIn)
	verdict, summary := j.decide()
	return &Result{verdict, summary, j.reasons}
}

// worse orders verdicts: refused, unknown, accepted.
func worse(a, b Verdict) bool {
	order := []Verdict{VerdictAccepted, VerdictUnknown, VerdictRefused}
	return slices.Index(order, a) > slices.Index(order, b)
}

// A judge collects the reasons of one stage.
type judge struct {
	*Case
	model
	stage   Stage
	profile string // whose rules are looked at now
	reasons []Reason
}

func newJudge(c *Case, stage Stage) *judge {
	return &judge{Case: c, model: c.Key.find(c.Metadata), stage: stage}
}

func (j *judge) say(rule string, outcome Outcome, format string, args ...any) {
	j.reasons = append(j.reasons, Reason{j.stage, j.profile, rule, outcome, fmt.Sprintf(format, args...)})
}

// verdict is that of the reasons from one on.
func (j *judge) verdict(from int) Verdict {
	v := VerdictAccepted
	for _, r := range j.reasons[from:] {
		switch r.Outcome {
		case Refused:
			return VerdictRefused
		case Unknown:
			v = VerdictUnknown
		}
	}
	return v
}

// decide looks at everything: the gates, the key, then each profile. One profile that
// takes the key is enough.
func (j *judge) decide() (Verdict, string) {
	profiles, open := j.gates()
	if !open {
		return j.ended()
	}
	if j.stage == Registration {
		j.requirements()
	} else {
		j.strength()
	}
	everywhere := len(j.reasons)
	best, through := VerdictRefused, ""
	for _, q := range profiles {
		from := len(j.reasons)
		j.profile = q.Title()
		j.judgeProfile(q)
		if v := j.verdict(from); through == "" || worse(best, v) {
			best, through = v, j.profile
		}
	}
	j.profile = ""
	general := j.verdictOf(j.reasons[:everywhere])
	if worse(general, best) || len(profiles) == 0 {
		best = general
	}
	return best, j.summary(best, general, through)
}

func (j *judge) verdictOf(reasons []Reason) Verdict {
	return (&judge{reasons: reasons}).verdict(0)
}

// ended is the answer of a gate that is closed.
func (j *judge) ended() (Verdict, string) {
	last := j.reasons[len(j.reasons)-1]
	return VerdictRefused, fmt.Sprintf("Refused at %s: %s.", j.stage, last.Detail)
}

// summary says the verdict in a line.
func (j *judge) summary(v, general Verdict, through string) string {
	switch v {
	case VerdictRefused:
		return fmt.Sprintf("Refused at %s: %s.", j.stage, j.why(Refused, general == VerdictRefused))
	case VerdictUnknown:
		return fmt.Sprintf("It cannot be said whether it is accepted at %s: %s.", j.stage, j.why(Unknown, general == VerdictUnknown))
	}
	if j.Policy == nil && j.stage == Registration {
		return j.withoutPolicy()
	}
	s := fmt.Sprintf("Accepted at %s", j.stage)
	if through != "" {
		s += fmt.Sprintf(" by %q", through)
	}
	for _, r := range j.reasons {
		if r.Outcome == Warning && r.Profile == through && r.Rule == RuleRestrictions {
			s += ", not verified"
		}
	}
	return s + j.first() + "."
}

// first is what is to be done before a registration.
func (j *judge) first() string {
	for _, r := range j.reasons {
		if r.Outcome == Warning && r.Profile == "" && r.Rule == RuleUserVerification {
			return "; first: " + r.Detail
		}
	}
	return ""
}

// withoutPolicy is the summary of a key that is good enough where attestation is not
// enforced.
func (j *judge) withoutPolicy() string {
	const s = "The key has what Entra needs"
	refused, unknown := j.rules(Refused, profileEnforced), j.rules(Unknown, profileEnforced)
	switch {
	case refused != "":
		return fmt.Sprintf("%s where attestation is not enforced; where it is, the key is refused: %s%s.", s, refused, j.first())
	case unknown != "":
		return fmt.Sprintf("%s where attestation is not enforced; where it is, that cannot be said: %s%s.", s, unknown, j.first())
	}
	return s + ", also where attestation is enforced" + j.first() + "."
}

// rules are those of a profile with an outcome.
func (j *judge) rules(outcome Outcome, profile string) string {
	var rules []string
	for _, r := range j.reasons {
		if r.Outcome == outcome && r.Profile == profile {
			rules = append(rules, r.Rule)
		}
	}
	return strings.Join(rules, ", ")
}

// profileEnforced and profileNotEnforced stand for the profiles where there is no
// policy.
const (
	profileEnforced    = "attestation enforced"
	profileNotEnforced = "attestation not enforced"
)

// why names the rules with an outcome: those for every profile, or profile by
// profile.
func (j *judge) why(outcome Outcome, general bool) string {
	var parts, done []string
	for _, r := range j.reasons {
		if r.Outcome != outcome || general != (r.Profile == "") || slices.Contains(done, r.Profile) {
			continue
		}
		done = append(done, r.Profile)
		part := j.rules(outcome, r.Profile)
		if r.Profile != "" {
			part = fmt.Sprintf("%s (%s)", part, r.Profile)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}
