package entra

import (
	"fmt"
	"slices"
)

// Consequences says whom a change of the policy shuts out, and what it lets in. Key
// restrictions and types count at sign-in too, so passkeys that are in use are
// concerned.
func (p *Policy) Consequences(to *Policy) (notes []Note) {
	warn := func(profile, format string, args ...any) {
		notes = append(notes, Note{profile, true, fmt.Sprintf(format, args...)})
	}
	if same(p.State, StateEnabled) && !same(to.State, StateEnabled) {
		warn("", "the method is %s: nobody signs in with a passkey any more", to.State)
	}
	if to.IsSelfServiceRegistrationAllowed != nil && !*to.IsSelfServiceRegistrationAllowed && (p.IsSelfServiceRegistrationAllowed == nil || *p.IsSelfServiceRegistrationAllowed) {
		warn("", "self-service setup is off, which also stops administrators from registering passkeys for users")
	}
	for _, t := range p.IncludeTargets {
		if !to.targets(t.ID) {
			warn("", "users who are targeted through %s only cannot use passkeys any more", t.ID)
		}
	}
	for _, t := range to.ExcludeTargets {
		if !p.excludes(t.ID) {
			warn("", "members of %s cannot use passkeys any more", t.ID)
		}
	}
	for _, q := range to.Profiles() {
		if before := p.profileLike(q); before != nil {
			before.consequences(q, func(format string, args ...any) { warn(q.Title(), format, args...) })
		}
	}
	return notes
}

func (p *Policy) targets(id string) bool {
	return slices.ContainsFunc(p.IncludeTargets, func(t IncludeTarget) bool { return same(t.ID, id) })
}

func (p *Policy) excludes(id string) bool {
	return slices.ContainsFunc(p.ExcludeTargets, func(t ExcludeTarget) bool { return same(t.ID, id) })
}

// ShutOut names the profiles by which a passkey signs in now, and no longer after a
// change. Only those count that a target uses. The type may be unknown: "".
func (p *Policy) ShutOut(to *Policy, aaguid, passkeyType string) (profiles []string) {
	for _, q := range p.Profiles() {
		if len(p.UsedBy(q)) == 0 || !q.signsIn(aaguid, passkeyType) {
			continue
		}
		if after := to.profileLike(q); after == nil || !after.signsIn(aaguid, passkeyType) {
			profiles = append(profiles, q.Title())
		}
	}
	return profiles
}

func (q *PasskeyProfile) signsIn(aaguid, passkeyType string) bool {
	return q.enforced().takes(aaguid) && (passkeyType == "" || q.PasskeyTypes == "" || q.has(passkeyType))
}

// ShutOut reports whether a passkey on a model signs in now, and no longer after a
// change.
func (s *Strength) ShutOut(to *Strength, aaguid string) bool {
	takes := func(s *Strength) bool {
		list := s.AllowedAAGUIDs()
		return s.AllowsPasskeys() && (len(list) == 0 || contains(list, aaguid))
	}
	return takes(s) && !takes(to)
}

// profileLike finds what a profile of a changed policy was before.
func (p *Policy) profileLike(q *PasskeyProfile) *PasskeyProfile {
	for _, before := range p.Profiles() {
		if same(before.ID, q.ID) {
			return before
		}
	}
	return nil
}

func (q *PasskeyProfile) consequences(to *PasskeyProfile, warn func(format string, args ...any)) {
	for _, kind := range []string{TypeDeviceBound, TypeSynced} {
		if q.has(kind) && !to.has(kind) {
			warn("%s passkeys no longer sign in by it", kind)
		}
	}
	if to.attested() && to.has(TypeSynced) && !(q.attested() && q.has(TypeSynced)) {
		warn("attestation is enforced, which synced passkeys never pass: it takes those that stay on a key only")
	}
	before, after := q.enforced(), to.enforced()
	switch {
	case before.isAllowList() && !after.isAllowList():
		warn("it takes every model now that it does not block")
	case !after.isAllowList():
	case len(after.AAGUIDs) == 0 && !(before.isAllowList() && len(before.AAGUIDs) == 0):
		warn("its allow list is empty, so it takes no key at all")
		return
	case !before.isAllowList():
		warn("from now on it takes %s and no others: passkeys on others no longer sign in by it", models(len(after.AAGUIDs)))
		return
	}
	if n := before.taken(after); n > 0 {
		warn("passkeys on %s no longer sign in by it", models(n))
	}
}

func (r *KeyRestrictions) isAllowList() bool {
	return r != nil && same(r.EnforcementType, EnforcementAllow)
}

// taken counts the models, of those in either list, that were taken and are not any
// more. nil are restrictions that do not count.
func (r *KeyRestrictions) taken(after *KeyRestrictions) (n int) {
	var named []string
	for _, list := range []*KeyRestrictions{r, after} {
		if list == nil {
			continue
		}
		for _, s := range list.AAGUIDs {
			if !contains(named, s) {
				named = append(named, s)
			}
		}
	}
	for _, s := range named {
		if r.takes(s) && !after.takes(s) {
			n++
		}
	}
	return n
}

func (r *KeyRestrictions) takes(aaguid string) bool {
	return r == nil || contains(r.AAGUIDs, aaguid) == r.isAllowList()
}

func models(n int) string {
	if n == 1 {
		return "1 model"
	}
	return fmt.Sprintf("%d models", n)
}

// Consequences says whom a change of the strength shuts out, and what it lets in.
func (s *Strength) Consequences(to *Strength) (notes []Note) {
	const where = "where Conditional Access asks for this strength, "
	before, after := s.AllowedAAGUIDs(), to.AllowedAAGUIDs()
	gone := 0
	for _, a := range before {
		if !contains(after, a) {
			gone++
		}
	}
	switch {
	case len(before) == 0 && len(after) > 0:
		notes = append(notes, Note{Warning: true, Text: fmt.Sprintf(where+"passkeys on others than %s no longer sign in", models(len(after)))})
	case len(before) > 0 && len(after) == 0:
		notes = append(notes, Note{Warning: true, Text: where + "every passkey signs in now"})
	case gone > 0:
		notes = append(notes, Note{Warning: true, Text: fmt.Sprintf(where+"passkeys on %s no longer sign in", models(gone))})
	}
	return notes
}
