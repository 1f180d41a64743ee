package entra

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// The words of the policy.
const (
	StateEnabled = "enabled"

	EnforcementAllow = "allow"
	EnforcementBlock = "block"

	AttestationDisabled         = "disabled"
	AttestationRegistrationOnly = "registrationOnly"

	TypeDeviceBound = "deviceBound"
	TypeSynced      = "synced"

	AllUsers = "all_users" // a target that everybody is in

	// DefaultProfileID is the ID of the profile that every migrated tenant has.
	DefaultProfileID = "00000000-0000-0000-0000-000000000001"

	// PolicyType is what Graph calls the policy.
	PolicyType = "#microsoft.graph.fido2AuthenticationMethodConfiguration"
)

// Policy is the passkey (FIDO2) authentication method policy
// (fido2AuthenticationMethodConfiguration), of v1.0 and beta. Pointers and nil mean
// that a member is absent or null. A policy that is read and written keeps the
// members that are not known.
type Policy struct {
	ODataType                        string           `json:"@odata.type,omitempty"`
	ID                               string           `json:"id,omitempty"`
	State                            string           `json:"state,omitempty"`
	IsSelfServiceRegistrationAllowed *bool            `json:"isSelfServiceRegistrationAllowed,omitempty"`
	IsAttestationEnforced            *bool            `json:"isAttestationEnforced,omitempty"` // legacy
	KeyRestrictions                  *KeyRestrictions `json:"keyRestrictions,omitempty"`       // legacy
	DefaultPasskeyProfile            *string          `json:"defaultPasskeyProfile,omitempty"` // nil: the tenant has no profiles yet
	PasskeyProfiles                  []PasskeyProfile `json:"passkeyProfiles,omitzero"`
	IncludeTargets                   []IncludeTarget  `json:"includeTargets,omitzero"`
	ExcludeTargets                   []ExcludeTarget  `json:"excludeTargets,omitzero"`

	Others Members `json:"-"`
}

// PasskeyProfile is a set of rules for the users of some targets.
type PasskeyProfile struct {
	ID                     string           `json:"id,omitempty"`
	Name                   string           `json:"name,omitempty"`
	PasskeyTypes           string           `json:"passkeyTypes,omitempty"` // deviceBound, synced, or both with a comma
	AttestationEnforcement string           `json:"attestationEnforcement,omitempty"`
	KeyRestrictions        *KeyRestrictions `json:"keyRestrictions,omitempty"`

	Others Members `json:"-"`
}

// KeyRestrictions name models that are allowed or blocked.
type KeyRestrictions struct {
	IsEnforced      *bool    `json:"isEnforced,omitempty"`
	EnforcementType string   `json:"enforcementType,omitempty"`
	AAGUIDs         []string `json:"aaGuids,omitzero"`

	Others Members `json:"-"`
}

// IncludeTarget is a group whose members may have passkeys.
type IncludeTarget struct {
	TargetType             string   `json:"targetType,omitempty"`
	ID                     string   `json:"id,omitempty"`
	IsRegistrationRequired *bool    `json:"isRegistrationRequired,omitempty"`
	AllowedPasskeyProfiles []string `json:"allowedPasskeyProfiles,omitzero"`

	Others Members `json:"-"`
}

// ExcludeTarget is a group whose members may not.
type ExcludeTarget struct {
	TargetType string `json:"targetType,omitempty"`
	ID         string `json:"id,omitempty"`

	Others Members `json:"-"`
}

func (p *Policy) UnmarshalJSON(text []byte) (err error) {
	type fields Policy
	if err = json.Unmarshal(text, (*fields)(p)); err == nil {
		p.Others, err = others(text, fields{})
	}
	return err
}

func (p Policy) MarshalJSON() ([]byte, error) {
	type fields Policy
	return p.Others.with(fields(p))
}

func (p *PasskeyProfile) UnmarshalJSON(text []byte) (err error) {
	type fields PasskeyProfile
	if err = json.Unmarshal(text, (*fields)(p)); err == nil {
		p.Others, err = others(text, fields{})
	}
	return err
}

func (p PasskeyProfile) MarshalJSON() ([]byte, error) {
	type fields PasskeyProfile
	return p.Others.with(fields(p))
}

func (r *KeyRestrictions) UnmarshalJSON(text []byte) (err error) {
	type fields KeyRestrictions
	if err = json.Unmarshal(text, (*fields)(r)); err == nil {
		r.Others, err = others(text, fields{})
	}
	return err
}

func (r KeyRestrictions) MarshalJSON() ([]byte, error) {
	type fields KeyRestrictions
	return r.Others.with(fields(r))
}

func (t *IncludeTarget) UnmarshalJSON(text []byte) (err error) {
	type fields IncludeTarget
	if err = json.Unmarshal(text, (*fields)(t)); err == nil {
		t.Others, err = others(text, fields{})
	}
	return err
}

func (t IncludeTarget) MarshalJSON() ([]byte, error) {
	type fields IncludeTarget
	return t.Others.with(fields(t))
}

func (t *ExcludeTarget) UnmarshalJSON(text []byte) (err error) {
	type fields ExcludeTarget
	if err = json.Unmarshal(text, (*fields)(t)); err == nil {
		t.Others, err = others(text, fields{})
	}
	return err
}

func (t ExcludeTarget) MarshalJSON() ([]byte, error) {
	type fields ExcludeTarget
	return t.Others.with(fields(t))
}

// ParsePolicy reads a policy as Graph gives it: the configuration of FIDO2 alone, or
// the policy of all authentication methods with that in it. Text in UTF-16, as some
// shells save it, is read too, and so are the objects of PowerShell's modules for Graph.
func ParsePolicy(text []byte) (*Policy, error) {
	text, err := fromShell(text)
	if err != nil {
		return nil, err
	}
	text = unwrapped(text)
	var all struct {
		Configurations []json.RawMessage `json:"authenticationMethodConfigurations"`
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("not the JSON of a policy: %w", err)
	}
	for _, text := range all.Configurations {
		var p Policy
		if err := json.Unmarshal(text, &p); err == nil && p.isFIDO2() {
			return &p, p.check()
		}
	}
	if all.Configurations != nil {
		return nil, errors.New("the policy has no configuration of FIDO2 in it")
	}
	p := new(Policy)
	if err := json.Unmarshal(text, p); err != nil {
		return nil, fmt.Errorf("not the JSON of a policy: %w", err)
	}
	return p, p.check()
}

// isFIDO2 tells the configuration from those of other methods.
func (p *Policy) isFIDO2() bool {
	return p.ODataType == PolicyType || strings.EqualFold(p.ID, "fido2")
}

func (p *Policy) check() error {
	switch {
	case p.State == "":
		return errors.New("this is no FIDO2 policy: it has no state. Graph has it at policies/authenticationMethodsPolicy/authenticationMethodConfigurations/fido2")
	case (p.ID != "" || p.ODataType != "") && !p.isFIDO2():
		return fmt.Errorf("this is the configuration of another method: %s", strings.TrimSpace(p.ID+" "+p.ODataType))
	}
	return nil
}

// fromShell returns text in UTF-8 without a byte order mark.
func fromShell(text []byte) ([]byte, error) {
	decoded, _, err := transform.Bytes(unicode.BOMOverride(transform.Nop), text)
	return decoded, err
}

// migrated reports whether the tenant has passkey profiles.
func (p *Policy) migrated() bool {
	return p.DefaultPasskeyProfile != nil && *p.DefaultPasskeyProfile != ""
}

// profile returns the profile with an ID, or nil. Default profile and legacy members
// mirror each other, so one stands for the other.
func (p *Policy) profile(id string) *PasskeyProfile {
	i := slices.IndexFunc(p.PasskeyProfiles, func(q PasskeyProfile) bool { return same(q.ID, id) })
	switch {
	case i >= 0:
		return &p.PasskeyProfiles[i]
	case p.DefaultPasskeyProfile != nil && same(id, *p.DefaultPasskeyProfile):
		return p.legacy("default profile (as the legacy settings have it)")
	}
	return nil
}

// legacy returns the profile that the legacy members are.
func (p *Policy) legacy(name string) *PasskeyProfile {
	q := &PasskeyProfile{
		Name: name, KeyRestrictions: p.KeyRestrictions,
		PasskeyTypes: TypeDeviceBound + "," + TypeSynced, AttestationEnforcement: AttestationDisabled,
	}
	if p.IsAttestationEnforced != nil && *p.IsAttestationEnforced {
		q.PasskeyTypes, q.AttestationEnforcement = TypeDeviceBound, AttestationRegistrationOnly
	}
	return q
}

// allowed is the union of the profiles of targets.
func (p *Policy) allowed(targets []IncludeTarget) (ids []string) {
	for _, t := range targets {
		for _, id := range t.AllowedPasskeyProfiles {
			if !contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	if len(ids) == 0 {
		ids = append(ids, *p.DefaultPasskeyProfile)
	}
	return ids
}

func (q *PasskeyProfile) attested() bool {
	return strings.EqualFold(q.AttestationEnforcement, AttestationRegistrationOnly)
}

// has reports whether a type of passkeys is allowed.
func (q *PasskeyProfile) has(passkeyType string) bool {
	return slices.ContainsFunc(strings.Split(q.PasskeyTypes, ","), func(s string) bool { return same(s, passkeyType) })
}

// enforced returns the restrictions that count, or nil.
func (q *PasskeyProfile) enforced() *KeyRestrictions {
	r := q.KeyRestrictions
	if r == nil || r.IsEnforced == nil || !*r.IsEnforced {
		return nil
	}
	return r
}

// Title is what a person calls it.
func (q *PasskeyProfile) Title() string {
	switch {
	case q.Name != "":
		return q.Name
	case same(q.ID, DefaultProfileID):
		return "default profile"
	}
	return q.ID
}

// same compares identifiers and words, which Graph writes in upper and lower case.
func same(a, b string) bool { return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b)) }

func contains(list []string, wanted string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return same(s, wanted) })
}
