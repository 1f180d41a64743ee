package entratest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

const (
	policyType     = "#microsoft.graph.fido2AuthenticationMethodConfiguration"
	defaultProfile = "00000000-0000-0000-0000-000000000001"
	maxPolicy      = 20 << 10
	maxProfiles    = 3
)

// OpenPolicy is one without restrictions, in the form of a tenant that has profiles.
const OpenPolicy = `{
  "@odata.type": "#microsoft.graph.fido2AuthenticationMethodConfiguration",
  "id": "Fido2", "state": "enabled",
  "isSelfServiceRegistrationAllowed": true, "isAttestationEnforced": false,
  "keyRestrictions": {"isEnforced": false, "enforcementType": "block", "aaGuids": []},
  "includeTargets": [{"targetType": "group", "id": "all_users", "isRegistrationRequired": false, "allowedPasskeyProfiles": ["` + defaultProfile + `"]}],
  "excludeTargets": [],
  "defaultPasskeyProfile": "` + defaultProfile + `",
  "passkeyProfiles": [{"id": "` + defaultProfile + `", "name": "Default passkey profile", "passkeyTypes": "deviceBound,synced",
    "attestationEnforcement": "disabled", "keyRestrictions": {"isEnforced": false, "enforcementType": "block", "aaGuids": []}}]
}`

type restrictions struct {
	IsEnforced      bool     `json:"isEnforced"`
	EnforcementType string   `json:"enforcementType"`
	AAGUIDs         []string `json:"aaGuids"`
}

type profile struct {
	ID                     string       `json:"id"`
	Name                   string       `json:"name"`
	PasskeyTypes           string       `json:"passkeyTypes"`
	AttestationEnforcement string       `json:"attestationEnforcement"`
	KeyRestrictions        restrictions `json:"keyRestrictions"`
}

type target struct {
	TargetType             string   `json:"targetType"`
	ID                     string   `json:"id"`
	AllowedPasskeyProfiles []string `json:"allowedPasskeyProfiles"`
}

// policyRead is what the tenant goes by.
type policyRead struct {
	State                 string       `json:"state"`
	SelfService           bool         `json:"isSelfServiceRegistrationAllowed"`
	IsAttestationEnforced bool         `json:"isAttestationEnforced"`
	KeyRestrictions       restrictions `json:"keyRestrictions"`
	IncludeTargets        []target     `json:"includeTargets"`
	ExcludeTargets        []target     `json:"excludeTargets"`
	DefaultPasskeyProfile *string      `json:"defaultPasskeyProfile"`
	PasskeyProfiles       []profile    `json:"passkeyProfiles"`
}

// readPolicy takes members by their names as they are written.
func readPolicy(members map[string]json.RawMessage) (p policyRead, err error) {
	members = maps.Clone(members)
	maps.DeleteFunc(members, func(name string, _ json.RawMessage) bool { _, known := knownMembers[name]; return !known })
	text, err := json.Marshal(members)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	return p, err
}

func getPolicy(t *Tenant, _ *http.Request) (done, error) { return done{http.StatusOK, t.policy}, nil }

// patchPolicy replaces members; profiles and the older members follow each other.
func patchPolicy(t *Tenant, r *http.Request) (done, error) {
	text, err := object(r, "fido2AuthenticationMethodConfiguration")
	if err != nil {
		return done{}, err
	}
	var changes map[string]json.RawMessage
	if err := json.Unmarshal(text, &changes); err != nil {
		return done{}, badRequest(err.Error())
	}
	if string(changes["@odata.type"]) != `"`+policyType+`"` {
		return done{}, badRequest("@odata.type must be " + policyType)
	}
	changed := maps.Clone(t.policy)
	for name, value := range changes {
		if strings.HasPrefix(name, "@odata.") || name == "id" {
			continue
		}
		if _, known := knownMembers[name]; !known {
			return done{}, badRequest("The property '" + name + "' does not exist on type " + policyType)
		}
		changed[name] = value
	}
	if err := mirror(changed, changes); err != nil {
		return done{}, err
	}
	if err := checkPolicy(changed); err != nil {
		return done{}, err
	}
	if err := checkDefault(t.policy, changed); err != nil {
		return done{}, err
	}
	if !t.switches.LosePolicyChanges {
		t.policy = changed
	}
	return done{status: http.StatusNoContent}, nil
}

var knownMembers = map[string]struct{}{
	"state": {}, "isSelfServiceRegistrationAllowed": {}, "isAttestationEnforced": {}, "keyRestrictions": {},
	"includeTargets": {}, "excludeTargets": {}, "defaultPasskeyProfile": {}, "passkeyProfiles": {},
	"includeTargets@odata.context": {},
}

// mirror makes the default profile and the older members say the same, after the one
// that was changed. New profiles get their IDs.
func mirror(policy, changes map[string]json.RawMessage) error {
	p, err := readPolicy(policy)
	if err != nil {
		return badRequest(err.Error())
	}
	var list []map[string]json.RawMessage // with what is not known here
	if len(p.PasskeyProfiles) > 0 {
		if err := json.Unmarshal(policy["passkeyProfiles"], &list); err != nil {
			return badRequest(err.Error())
		}
	}
	_, profiles := changes["passkeyProfiles"]
	for i, one := range p.PasskeyProfiles {
		if list[i] == nil {
			return badRequest("passkeyProfiles has a null")
		}
		if one.ID == "" {
			set(list[i], "id", newGUID())
		}
		switch {
		case one.ID != defaultProfile:
		case profiles:
			set(policy, "defaultPasskeyProfile", defaultProfile)
			set(policy, "isAttestationEnforced", one.AttestationEnforcement == "registrationOnly")
			set(policy, "keyRestrictions", one.KeyRestrictions)
		default:
			set(list[i], "attestationEnforcement", map[bool]string{true: "registrationOnly", false: "disabled"}[p.IsAttestationEnforced])
			set(list[i], "keyRestrictions", p.KeyRestrictions)
		}
	}
	if len(list) > 0 {
		set(policy, "passkeyProfiles", list)
	}
	return nil
}

func set(policy map[string]json.RawMessage, name string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err) // values of this file only
	}
	policy[name] = text
}

// checkPolicy refuses what the service does: too long a policy, a profile that is gone
// and still used, the default profile gone or renamed.
func checkPolicy(policy map[string]json.RawMessage) error {
	p, err := readPolicy(policy)
	if err != nil {
		return badRequest(err.Error())
	}
	var ids []string
	for _, one := range p.PasskeyProfiles {
		ids = append(ids, one.ID)
	}
	switch {
	case p.size() > maxPolicy:
		return badRequest(fmt.Sprintf("The policy has %.0f bytes, and may have %d", p.size(), maxPolicy))
	case len(ids) > maxProfiles:
		return badRequest(fmt.Sprintf("There may be %d passkey profiles", maxProfiles))
	case p.DefaultPasskeyProfile != nil && !slices.Contains(ids, *p.DefaultPasskeyProfile):
		return badRequest("The default passkey profile cannot be deleted")
	case p.State != "enabled" && p.State != "disabled":
		return badRequest("state must be enabled or disabled")
	}
	for _, one := range p.PasskeyProfiles {
		if err := checkProfile(one); err != nil {
			return err
		}
	}
	for _, target := range p.IncludeTargets {
		for _, id := range target.AllowedPasskeyProfiles {
			if !slices.Contains(ids, id) {
				return badRequest("The passkey profile " + id + " is assigned to a target and cannot be deleted")
			}
		}
	}
	return checkRestrictions(p.KeyRestrictions)
}

// size is what the policy takes of the room that there is, by the figures that are
// published: KB for the rest, a profile, ten AAGUIDs, a target.
func (p *policyRead) size() float64 {
	lists := p.KeyRestrictions.AAGUIDs
	if len(p.PasskeyProfiles) > 0 {
		lists = nil
	}
	for _, one := range p.PasskeyProfiles {
		lists = append(lists, one.KeyRestrictions.AAGUIDs...)
	}
	kilobytes := 1.44 + 0.4*float64(len(p.PasskeyProfiles)) + 0.03*float64(len(lists)) + 0.4*float64(len(p.IncludeTargets)) + 0.23*float64(len(p.ExcludeTargets))
	return kilobytes * 1024
}

// checkDefault refuses another name for the default profile.
func checkDefault(before, after map[string]json.RawMessage) error {
	name := func(policy map[string]json.RawMessage) string {
		p, err := readPolicy(policy)
		i := slices.IndexFunc(p.PasskeyProfiles, func(p profile) bool { return p.ID == defaultProfile })
		if err != nil || i < 0 {
			return ""
		}
		return p.PasskeyProfiles[i].Name
	}
	if had, has := name(before), name(after); had != "" && had != has {
		return badRequest("The default passkey profile cannot be renamed")
	}
	return nil
}

func checkProfile(p profile) error {
	for kind := range strings.SplitSeq(p.PasskeyTypes, ",") {
		if kind = strings.TrimSpace(kind); kind != "deviceBound" && kind != "synced" {
			return badRequest("passkeyTypes of " + p.Name + " must be of deviceBound and synced")
		}
	}
	if p.AttestationEnforcement != "disabled" && p.AttestationEnforcement != "registrationOnly" {
		return badRequest("attestationEnforcement of " + p.Name + " must be disabled or registrationOnly")
	}
	return checkRestrictions(p.KeyRestrictions)
}

func checkRestrictions(r restrictions) error {
	if r.EnforcementType != "allow" && r.EnforcementType != "block" {
		return badRequest("enforcementType must be allow or block")
	}
	for _, id := range r.AAGUIDs {
		if !isGUID(id) {
			return badRequest("aaGuids: " + id + " is no GUID")
		}
	}
	return nil
}

func isGUID(s string) bool { return len(s) == 36 && strings.Count(s, "-") == 4 }

// gate is what comes before any key: whether the user may have a passkey at all.
func (p *policyRead) gate(u *User) (targets []target, err error) {
	is := func(t target) bool { return t.ID == "all_users" || slices.Contains(u.Groups, t.ID) }
	for _, one := range p.IncludeTargets {
		if is(one) {
			targets = append(targets, one)
		}
	}
	switch {
	case p.State != "enabled":
		return nil, badRequest("The passkey method is disabled")
	case slices.ContainsFunc(p.ExcludeTargets, is):
		return nil, badRequest("The user is in a group that the passkey policy excludes")
	case len(targets) == 0:
		return nil, badRequest("The passkey policy does not target the user")
	case !p.SelfService:
		return nil, badRequest("Self-service setup is off in the passkey policy")
	case u.Type == "Guest":
		return nil, badRequest("Guests cannot have passkeys here")
	}
	return targets, nil
}

// profilesOf returns the profiles of which one must pass.
func (p *policyRead) profilesOf(targets []target) (profiles []profile) {
	if p.DefaultPasskeyProfile == nil {
		older := profile{Name: "policy", PasskeyTypes: "deviceBound,synced", AttestationEnforcement: "disabled", KeyRestrictions: p.KeyRestrictions}
		if p.IsAttestationEnforced {
			older.PasskeyTypes, older.AttestationEnforcement = "deviceBound", "registrationOnly"
		}
		return []profile{older}
	}
	var ids []string
	for _, t := range targets {
		ids = append(ids, t.AllowedPasskeyProfiles...)
	}
	if len(ids) == 0 {
		ids = []string{*p.DefaultPasskeyProfile}
	}
	for _, one := range p.PasskeyProfiles {
		if slices.Contains(ids, one.ID) {
			profiles = append(profiles, one)
		}
	}
	return profiles
}

// made is what a new credential shows of its key.
type made struct {
	aaguid   string
	synced   bool
	attested error // nil: a chain ends at a root of the model
}

// judge says whether one of the profiles lets the key pass.
func (p *policyRead) judge(targets []target, m made) error {
	var reasons []string
	for _, one := range p.profilesOf(targets) {
		reason := one.refuses(m)
		if reason == "" {
			return nil
		}
		reasons = append(reasons, fmt.Sprintf("%s: %s", one.Name, reason))
	}
	return badRequest("The passkey policy refuses the key: " + strings.Join(reasons, "; "))
}

func (p *profile) refuses(m made) string {
	kind := map[bool]string{true: "synced", false: "deviceBound"}[m.synced]
	listed := slices.ContainsFunc(p.KeyRestrictions.AAGUIDs, func(id string) bool { return strings.EqualFold(id, m.aaguid) })
	allow := p.KeyRestrictions.EnforcementType == "allow"
	switch {
	case !strings.Contains(p.PasskeyTypes, kind):
		return "passkeys of the type " + kind + " are not allowed"
	case p.KeyRestrictions.IsEnforced && allow && (!listed || m.aaguid == zeroAAGUID):
		return "the AAGUID is not in the allow list"
	case p.KeyRestrictions.IsEnforced && !allow && listed:
		return "the AAGUID is in the block list"
	case p.AttestationEnforcement == "registrationOnly" && m.attested != nil:
		return "attestation: " + m.attested.Error()
	}
	return ""
}
