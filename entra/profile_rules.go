package entra

import (
	"fmt"
)

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
