package entra

import (
	"slices"
	"strings"
)

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
