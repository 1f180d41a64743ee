package entra

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fidokey/fidokey/ctap2"
)

// Note is something that is to be known of a change.
type Note struct {
	Profile string `json:"profile,omitempty"`
	Warning bool   `json:"warning"` // somebody is shut out or let in, or the change is of no use
	Text    string `json:"text"`
}

// What is not done.
var (
	ErrNotEnforced = errors.New("key restrictions are not enforced, so no model is blocked")
	ErrAllBlocked  = errors.New("the allow list would be empty, which refuses every key")
	ErrRefusedEdit = errors.New("the policy cannot be changed so")
)

// Clone returns a copy that shares nothing with the policy.
func (p *Policy) Clone() *Policy {
	text, err := json.Marshal(p)
	c := new(Policy)
	if err == nil {
		err = json.Unmarshal(text, c)
	}
	if err != nil {
		panic(err) // what was read from JSON can be written
	}
	return c
}

// Profiles returns the profiles that the policy goes by; of a tenant that has none, the
// one that the legacy members are.
func (p *Policy) Profiles() (profiles []*PasskeyProfile) {
	if !p.migrated() {
		return []*PasskeyProfile{p.legacy(legacyTitle)}
	}
	for i := range p.PasskeyProfiles {
		profiles = append(profiles, &p.PasskeyProfiles[i])
	}
	if p.defaultProfile() == nil {
		profiles = append(profiles, p.profile(*p.DefaultPasskeyProfile))
	}
	return profiles
}

const legacyTitle = "legacy settings"

// Profile returns the profile of an ID or name; "" is the default one.
func (p *Policy) Profile(name string) (*PasskeyProfile, error) {
	profiles := p.Profiles()
	var titles []string
	for _, fits := range []func(q *PasskeyProfile) bool{
		func(q *PasskeyProfile) bool { return name == "" && p.IsDefault(q) || name != "" && same(q.ID, name) },
		func(q *PasskeyProfile) bool { return name != "" && same(q.Title(), name) },
	} {
		if i := slices.IndexFunc(profiles, fits); i >= 0 {
			return profiles[i], nil
		}
	}
	for _, q := range profiles {
		titles = append(titles, fmt.Sprintf("%q", q.Title()))
	}
	return nil, fmt.Errorf("the policy has no profile %q; it has %s", name, strings.Join(titles, ", "))
}

// IsDefault reports whether a profile of the policy is the one that the legacy members
// mirror.
func (p *Policy) IsDefault(q *PasskeyProfile) bool {
	return q.ID == "" && p.defaultProfile() == nil || p.migrated() && same(q.ID, *p.DefaultPasskeyProfile)
}

// defaultProfile is that of the list, or nil.
func (p *Policy) defaultProfile() *PasskeyProfile {
	i := slices.IndexFunc(p.PasskeyProfiles, func(q PasskeyProfile) bool { return p.migrated() && same(q.ID, *p.DefaultPasskeyProfile) })
	if i < 0 {
		return nil
	}
	return &p.PasskeyProfiles[i]
}

// UsedBy returns the targets whose users a profile is for. Targets that name no profile
// have the default one.
func (p *Policy) UsedBy(q *PasskeyProfile) (targets []string) {
	for _, t := range p.IncludeTargets {
		if contains(t.AllowedPasskeyProfiles, q.ID) || len(t.AllowedPasskeyProfiles) == 0 && p.IsDefault(q) || !p.migrated() {
			targets = append(targets, t.ID)
		}
	}
	return targets
}

// Allow makes a profile take models: they are added to its allow list, or go from its
// block list. Restrictions that are not enforced take every model; with enforce they
// become an allow list. A note says why there was nothing to do.
func (p *Policy) Allow(profile string, models []ctap2.AAGUID, enforce bool) ([]Note, error) {
	return p.restrict(profile, func(r *KeyRestrictions) (string, error) { return r.allow(models, enforce) })
}

// Block makes a profile refuse models: they are added to its block list, or go from its
// allow list. Restrictions that are not enforced become a block list with enforce.
func (p *Policy) Block(profile string, models []ctap2.AAGUID, enforce bool) ([]Note, error) {
	return p.restrict(profile, func(r *KeyRestrictions) (string, error) { return r.block(models, enforce) })
}

func (p *Policy) restrict(profile string, change func(r *KeyRestrictions) (string, error)) (notes []Note, err error) {
	q, err := p.Profile(profile)
	if err != nil {
		return nil, err
	}
	r := q.KeyRestrictions
	if r == nil {
		r = &KeyRestrictions{}
	}
	nothing, err := change(r)
	if err != nil {
		return nil, fmt.Errorf("profile %q: %w", q.Title(), err)
	}
	if nothing != "" {
		return []Note{{Profile: q.Title(), Text: nothing}}, nil
	}
	q.KeyRestrictions = r
	if p.IsDefault(q) {
		p.mirror(q)
	}
	return nil, nil
}

// mirror makes the legacy members say what the default profile says. Those that the
// tenant does not have any more do not come back.
func (p *Policy) mirror(q *PasskeyProfile) {
	if p.KeyRestrictions != nil || !p.migrated() {
		p.KeyRestrictions = q.KeyRestrictions
	}
	if p.IsAttestationEnforced != nil {
		p.IsAttestationEnforced = new(q.attested())
	}
}

func (r *KeyRestrictions) enforced() bool { return r.IsEnforced != nil && *r.IsEnforced }

func (r *KeyRestrictions) allow(models []ctap2.AAGUID, enforce bool) (nothing string, err error) {
	switch {
	case !r.enforced() && !enforce:
		return "it restricts no models, so it takes these already", nil
	case !r.enforced():
		r.enforce(EnforcementAllow, models)
	case same(r.EnforcementType, EnforcementAllow):
		if r.add(models) == 0 {
			return "its allow list has these already", nil
		}
	case same(r.EnforcementType, EnforcementBlock):
		if r.remove(models) == 0 {
			return "its block list has none of these, so it takes them already", nil
		}
	default:
		return "", r.unknownKind()
	}
	return "", nil
}

func (r *KeyRestrictions) block(models []ctap2.AAGUID, enforce bool) (nothing string, err error) {
	switch {
	case !r.enforced() && !enforce:
		return "", ErrNotEnforced
	case !r.enforced():
		r.enforce(EnforcementBlock, models)
	case same(r.EnforcementType, EnforcementBlock):
		if r.add(models) == 0 {
			return "its block list has these already", nil
		}
	case same(r.EnforcementType, EnforcementAllow):
		switch gone := r.remove(models); {
		case gone == 0:
			return "its allow list has none of these, so it refuses them already", nil
		case len(r.AAGUIDs) == 0:
			return "", ErrAllBlocked
		}
	default:
		return "", r.unknownKind()
	}
	return "", nil
}

func (r *KeyRestrictions) unknownKind() error {
	return fmt.Errorf("%q is no kind of restriction that is known here", r.EnforcementType)
}

// enforce makes a list out of restrictions that did not count. What a list of the same
// kind had stays in it.
func (r *KeyRestrictions) enforce(kind string, models []ctap2.AAGUID) {
	if !same(r.EnforcementType, kind) {
		r.AAGUIDs = nil
	}
	r.IsEnforced, r.EnforcementType = new(true), kind
	r.add(models)
}

func (r *KeyRestrictions) add(models []ctap2.AAGUID) (added int) {
	before := len(r.AAGUIDs)
	r.AAGUIDs = with(r.AAGUIDs, models)
	return len(r.AAGUIDs) - before
}

func (r *KeyRestrictions) remove(models []ctap2.AAGUID) (gone int) {
	before := len(r.AAGUIDs)
	r.AAGUIDs = without(r.AAGUIDs, models)
	return before - len(r.AAGUIDs)
}

// with adds what a list does not have yet.
func with(list []string, models []ctap2.AAGUID) []string {
	for _, a := range models {
		if !contains(list, a.String()) {
			list = append(list, a.String())
		}
	}
	return list
}

// without takes out of a list. The empty list stays a list: what is left out is not
// changed by Graph.
func without(list []string, models []ctap2.AAGUID) []string {
	kept := []string{}
	for _, s := range list {
		if !slices.ContainsFunc(models, func(a ctap2.AAGUID) bool { return same(s, a.String()) }) {
			kept = append(kept, s)
		}
	}
	return kept
}

// RefusedAllTheSame says why a profile refuses a model whatever its key restrictions
// are: then allowing it is of no use.
func (p *Policy) RefusedAllTheSame(q *PasskeyProfile, c Case) []Reason {
	c.Policy = p
	j := newJudge(&c, Registration)
	j.profile = q.Title()
	j.judgeProfile(q)
	return slices.DeleteFunc(j.reasons, func(r Reason) bool { return r.Outcome != Refused || r.Rule == RuleRestrictions })
}

// Limits of a policy, as of March 2026.
const (
	MaxProfiles = 3
	MaxSize     = 20 << 10
)

// What the parts of a policy take, by the figures that Microsoft documents: 1.44 KB at
// first, 0.4 KB for a profile, 0.3 KB for ten AAGUIDs, 0.23 to 0.4 KB for a target.
const (
	sizeBase    = 1475
	sizeProfile = 410
	SizeAAGUID  = 31
	sizeTarget  = 410
	sizeExclude = 236
)

// Size estimates how many of the MaxSize bytes that Graph allows a policy takes.
func (p *Policy) Size() int {
	size := sizeBase + len(p.IncludeTargets)*sizeTarget + len(p.ExcludeTargets)*sizeExclude
	for _, q := range p.Profiles() {
		if p.migrated() {
			size += sizeProfile
		}
		if q.KeyRestrictions != nil {
			size += len(q.KeyRestrictions.AAGUIDs) * SizeAAGUID
		}
	}
	return size
}

// CheckEdit says why the policy cannot be changed into another, or nothing. The errors
// are ErrRefusedEdit.
func (p *Policy) CheckEdit(to *Policy) error {
	var problems []error
	refuse := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("%w: %s", ErrRefusedEdit, fmt.Sprintf(format, args...)))
	}
	switch before, after := p.defaultProfile(), to.defaultProfile(); {
	case !p.migrated() && (to.migrated() || len(to.PasskeyProfiles) > len(p.PasskeyProfiles)):
		refuse("the tenant has no passkey profiles yet, and going over to them is for the admin center")
	case p.migrated() && (!to.migrated() || !same(*p.DefaultPasskeyProfile, *to.DefaultPasskeyProfile)):
		refuse("the default profile cannot be another one")
	case before != nil && after == nil:
		refuse("the default profile cannot be deleted")
	case before != nil && before.Name != after.Name:
		refuse("the default profile cannot be renamed from %q to %q", before.Name, after.Name)
	}
	if n := len(to.PasskeyProfiles); n > MaxProfiles {
		refuse("it would have %d profiles, and there may be %d", n, MaxProfiles)
	}
	if size := to.Size(); size > MaxSize && size > p.Size() {
		refuse("it would take %d bytes, and there may be %d", size, MaxSize)
	}
	if !same(to.State, StateEnabled) && !same(to.State, "disabled") && !same(to.State, p.State) {
		refuse("state %q is neither enabled nor disabled", to.State)
	}
	for _, q := range to.Profiles() {
		before := p.profile(q.ID)
		if before == nil {
			before = &PasskeyProfile{}
		}
		q.check(before, refuse)
	}
	to.checkTargets(p, refuse)
	return errors.Join(problems...)
}

// check refuses words that Graph does not know, but for those that it wrote itself.
func (q *PasskeyProfile) check(before *PasskeyProfile, refuse func(format string, args ...any)) {
	for word := range strings.SplitSeq(q.PasskeyTypes, ",") {
		if !same(word, TypeDeviceBound) && !same(word, TypeSynced) && !before.has(word) {
			refuse("profile %q: %q is no type of passkeys", q.Title(), word)
		}
	}
	if !same(q.AttestationEnforcement, AttestationDisabled) && !q.attested() && !same(q.AttestationEnforcement, before.AttestationEnforcement) {
		refuse("profile %q: attestation enforcement is %q, which is neither %s nor %s", q.Title(), q.AttestationEnforcement, AttestationDisabled, AttestationRegistrationOnly)
	}
	r, was := q.KeyRestrictions, before.KeyRestrictions
	if r == nil {
		return
	}
	if was == nil {
		was = &KeyRestrictions{}
	}
	if !same(r.EnforcementType, EnforcementAllow) && !same(r.EnforcementType, EnforcementBlock) && !same(r.EnforcementType, was.EnforcementType) {
		refuse("profile %q: %v", q.Title(), r.unknownKind())
	}
	for _, s := range r.AAGUIDs {
		if _, err := ctap2.ParseAAGUID(strings.TrimSpace(s)); err != nil && !contains(was.AAGUIDs, s) {
			refuse("profile %q: %q is no AAGUID", q.Title(), s)
		}
	}
}

// checkTargets refuses targets of profiles that are not there, before the change or
// through it.
func (p *Policy) checkTargets(before *Policy, refuse func(format string, args ...any)) {
	if !p.migrated() {
		return
	}
	for _, t := range p.IncludeTargets {
		for _, id := range t.AllowedPasskeyProfiles {
			switch was := before.profile(id); {
			case p.profile(id) != nil:
			case was != nil:
				refuse("profile %q cannot be deleted, for target %s uses it", was.Title(), t.ID)
			default:
				refuse("target %s uses the profile %s, which is not there", t.ID, id)
			}
		}
	}
}

// Patch returns what Graph is to be sent to make another policy of this one: the
// members that differ, each as a whole; nil if none does.
func (p *Policy) Patch(to *Policy) json.RawMessage {
	before, after := members(p), members(to)
	patch := Members{}
	for name := range after {
		if strings.Contains(name, "@odata.") || name == "id" {
			continue
		}
		d := differ{}
		if d.walk(name, name, tree(before[name]), tree(after[name])); len(d.changes) > 0 {
			patch[name] = after[name]
		}
	}
	if len(patch) == 0 {
		return nil
	}
	text, err := patch.with(struct {
		ODataType string `json:"@odata.type"`
	}{PolicyType})
	if err != nil {
		panic(err) // what was read from JSON can be written
	}
	return text
}

// members are those of the policy as JSON.
func members(p *Policy) (m Members) {
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		panic(err) // what was read from JSON can be written
	}
	return m
}

// Applied returns the policy with the members of another, as from a file. What that
// does not have, or has as null, stays. The default profile and the legacy members
// follow the one of both that was changed.
func (p *Policy) Applied(file *Policy) (*Policy, error) {
	all := members(p)
	for name, value := range members(file) {
		if !strings.Contains(name, "@odata.") && name != "id" && string(value) != "null" {
			all[name] = value
		}
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	to := new(Policy)
	if err := json.Unmarshal(text, to); err != nil {
		return nil, err
	}
	for i, q := range to.PasskeyProfiles {
		named := slices.IndexFunc(p.PasskeyProfiles, func(old PasskeyProfile) bool { return old.Name == q.Name })
		if q.ID == "" && named >= 0 {
			to.PasskeyProfiles[i].ID = p.PasskeyProfiles[named].ID
		}
	}
	return to, to.settleMirror(p)
}

// settleMirror makes default profile and legacy members of a changed policy agree.
func (p *Policy) settleMirror(before *Policy) error {
	q, was := p.defaultProfile(), before.defaultProfile()
	if q == nil || was == nil || agree(q, p.legacy("")) {
		return nil
	}
	profileChanged, legacyChanged := !agree(q, was), !agree(p.legacy(""), before.legacy(""))
	switch {
	case profileChanged && legacyChanged:
		return fmt.Errorf("%w: isAttestationEnforced and keyRestrictions say something else than the default profile, which they mirror; change one of both", ErrRefusedEdit)
	case profileChanged:
		p.mirror(q)
	case legacyChanged:
		q.KeyRestrictions = p.KeyRestrictions
		q.AttestationEnforcement = p.legacy("").AttestationEnforcement
	}
	return nil
}

// agree compares what is mirrored.
func agree(a, b *PasskeyProfile) bool {
	var d differ
	d.walk("", "", tree(a.KeyRestrictions), tree(b.KeyRestrictions))
	return a.attested() == b.attested() && len(d.changes) == 0
}
