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

// gates are looked at in their order; the first that is closed ends it. They return
// the profiles for the user.
func (j *judge) gates() (profiles []*PasskeyProfile, open bool) {
	p := j.Policy
	switch {
	case p == nil && j.stage == SignIn:
		return nil, true
	case p == nil:
		return []*PasskeyProfile{
			{Name: profileEnforced, PasskeyTypes: TypeDeviceBound, AttestationEnforcement: AttestationRegistrationOnly},
			{Name: profileNotEnforced, PasskeyTypes: TypeDeviceBound + "," + TypeSynced, AttestationEnforcement: AttestationDisabled},
		}, true
	case !same(p.State, StateEnabled):
		j.say(RuleState, Refused, "the method is %s in the policy", p.State)
		return nil, false
	}
	j.say(RuleState, Passed, "the method is enabled")
	if !j.notExcluded() {
		return nil, false
	}
	targets := slices.DeleteFunc(slices.Clone(p.IncludeTargets), func(t IncludeTarget) bool { return !j.User.in(t.ID) && !j.User.AnyGroup })
	if len(targets) == 0 {
		j.say(RuleTargeted, Refused, "the policy does not target the user: no group of the user is among its %d targets", len(p.IncludeTargets))
		return nil, false
	}
	j.say(RuleTargeted, Passed, "%s", targetsInWords(targets))
	if j.stage == Registration && !j.selfService() {
		return nil, false
	}
	if j.User.Guest {
		j.say(RuleMember, Refused, "the user is a guest, and guests cannot have passkeys registered in this tenant")
		return nil, false
	}
	if j.User.Member {
		j.say(RuleMember, Passed, "the user is a member")
	} else {
		j.say(RuleMember, Passed, "the user is taken for a member")
	}
	return j.profiles(targets), true
}

// in reports whether the user belongs to a target.
func (u *User) in(target string) bool {
	return same(target, AllUsers) || contains(u.Groups, target)
}

// notExcluded is the gate of the excluded groups, which win over targets.
func (j *judge) notExcluded() bool {
	for _, t := range j.Policy.ExcludeTargets {
		if j.User.in(t.ID) {
			j.say(RuleExcluded, Refused, "the user is in an excluded group: %s", t.ID)
			return false
		}
	}
	switch n := len(j.Policy.ExcludeTargets); {
	case n > 0 && j.User.AnyGroup:
		j.say(RuleExcluded, Warning, "the user's groups are not known; members of %d excluded groups are refused", n)
	default:
		j.say(RuleExcluded, Passed, "the user is in no excluded group")
	}
	return true
}

// selfService is the gate of registrations; it holds for provisioning too.
func (j *judge) selfService() bool {
	switch allowed := j.Policy.IsSelfServiceRegistrationAllowed; {
	case allowed == nil:
		j.say(RuleSelfService, Unknown, "the policy does not say whether self-service setup is allowed")
	case !*allowed:
		j.say(RuleSelfService, Refused, "self-service setup is off, which also blocks provisioning")
		return false
	default:
		j.say(RuleSelfService, Passed, "self-service setup is allowed")
	}
	return true
}

func targetsInWords(targets []IncludeTarget) string {
	var ids []string
	for _, t := range targets {
		ids = append(ids, t.ID)
	}
	return "targeted through " + strings.Join(ids, ", ")
}

// profiles are those of all targets together.
func (j *judge) profiles(targets []IncludeTarget) (profiles []*PasskeyProfile) {
	if !j.Policy.migrated() {
		return []*PasskeyProfile{j.Policy.legacy("legacy settings")}
	}
	for _, id := range j.Policy.allowed(targets) {
		q := j.Policy.profile(id)
		if q == nil {
			j.profile = id
			j.say(RuleProfile, Warning, "a target allows this profile, and the policy has none of this ID")
			j.profile = ""
			continue
		}
		profiles = append(profiles, q)
	}
	if len(profiles) == 0 {
		j.say(RuleProfile, Unknown, "the policy has none of the profiles that its targets allow")
	}
	return profiles
}

// judgeProfile looks at the rules of one profile.
func (j *judge) judgeProfile(q *PasskeyProfile) {
	j.passkeyType(q)
	j.restrictions(q)
	if j.stage == SignIn {
		return
	}
	if j.windowsHello(q) {
		return
	}
	switch {
	case q.attested():
		j.enforced()
	case same(q.AttestationEnforcement, AttestationDisabled):
		j.notEnforced()
	default:
		j.say(RuleAttestation, Unknown, "%q is no kind of enforcement that is known here", q.AttestationEnforcement)
	}
}

func (j *judge) passkeyType(q *PasskeyProfile) {
	found, how := TypeDeviceBound, "assumed, for a key that is carried around"
	if a := j.Key.Attestation; a != nil {
		how = "by its flag BE"
		if a.BackupEligible {
			found = TypeSynced
		}
	} else if own[j.Key.AAGUID.String()].passkeySynced {
		found, how = TypeSynced, "by its model"
	}
	switch {
	case q.PasskeyTypes == "":
		j.say(RuleType, Unknown, "%s (%s); the profile does not say which types it takes", found, how)
	case !q.has(found):
		j.say(RuleType, Refused, "%s (%s); the profile takes %s", found, how, q.PasskeyTypes)
	default:
		j.say(RuleType, Passed, "%s (%s)", found, how)
	}
}

func (j *judge) restrictions(q *PasskeyProfile) {
	r := q.enforced()
	if r == nil {
		j.say(RuleRestrictions, Passed, "the profile takes every model")
		return
	}
	listed := contains(r.AAGUIDs, j.Key.AAGUID.String())
	switch {
	case same(r.EnforcementType, EnforcementAllow) && !listed:
		j.say(RuleRestrictions, Refused, "%v is not in the allow list, which has %d", j.Key.AAGUID, len(r.AAGUIDs))
	case same(r.EnforcementType, EnforcementBlock) && listed:
		j.say(RuleRestrictions, Refused, "%v is blocked", j.Key.AAGUID)
	case !same(r.EnforcementType, EnforcementAllow) && !same(r.EnforcementType, EnforcementBlock):
		j.say(RuleRestrictions, Unknown, "%q is no kind of restriction that is known here", r.EnforcementType)
	case !q.attested():
		j.say(RuleRestrictions, Warning, "%s; not verified: without attestation a key can claim any AAGUID, so the list is only advisory", listInWords(r, j))
	default:
		j.say(RuleRestrictions, Passed, "%s", listInWords(r, j))
	}
}

func listInWords(r *KeyRestrictions, j *judge) string {
	if same(r.EnforcementType, EnforcementAllow) {
		return fmt.Sprintf("%v is in the allow list", j.Key.AAGUID)
	}
	return fmt.Sprintf("%v is not in the block list", j.Key.AAGUID)
}

// windowsHello is the rule of the preview of 2026, which goes before all about
// attestation; it reports whether it is one.
func (j *judge) windowsHello(q *PasskeyProfile) bool {
	if !own[j.Key.AAGUID.String()].windowsHello {
		return false
	}
	r := q.enforced()
	allowed := r != nil && same(r.EnforcementType, EnforcementAllow) && contains(r.AAGUIDs, j.Key.AAGUID.String())
	if q.attested() || !allowed {
		j.say(RuleWindowsHello, Refused, "Windows Hello is accepted only where attestation is off and an allow list names it")
	} else {
		j.say(RuleWindowsHello, Passed, "an allow list names it, and attestation is off")
	}
	return true
}

// strength is asked for at sign-in.
func (j *judge) strength() {
	s := j.Strength
	if s == nil {
		return
	}
	aaguids := s.AllowedAAGUIDs()
	switch {
	case !contains(s.AllowedCombinations, combinationFIDO2):
		j.say(RuleStrength, Refused, "%q does not allow passkeys (fido2)", s.Title())
	case len(aaguids) == 0:
		j.say(RuleStrength, Passed, "%q allows every passkey", s.Title())
	case !contains(aaguids, j.Key.AAGUID.String()):
		j.say(RuleStrength, Refused, "%v is not among the %d models that %q allows", j.Key.AAGUID, len(aaguids), s.Title())
	default:
		j.say(RuleStrength, Passed, "%q allows %v", s.Title(), j.Key.AAGUID)
	}
}
