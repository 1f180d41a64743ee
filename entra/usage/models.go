// Package usage counts the passkeys of a tenant: which models there are, who has one
// and since when, what people sign in with, and which registrations belong to a key.
package usage

import (
	"cmp"
	"slices"
	"strings"

	"github.com/fidokey/fidokey/entra/graph"
)

// A Namer returns the name of the model with an AAGUID, or nothing if it knows none.
type Namer func(aaguid string) string

// Model says how much a model of authenticators is used. The names are those of JSON.
type Model struct {
	AAGUID      string `json:"aaguid,omitempty"` // in lower case; empty where Graph has none
	Name        string `json:"name"`
	Model       string `json:"model,omitempty"` // what Microsoft calls it
	Passkeys    int    `json:"passkeys"`
	Users       int    `json:"users"`
	DeviceBound int    `json:"deviceBound"`
	Synced      int    `json:"synced"`
	Attested    int    `json:"attested"`
}

// Models counts the passkeys of users by AAGUID, the most frequent first.
func Models(users []graph.UserMethods, name Namer) []Model {
	found := map[string]*Model{}
	for _, u := range users {
		has := map[string]bool{}
		for _, m := range u.Methods {
			aaguid := aaguidOf(&m)
			model := found[aaguid]
			if model == nil {
				model = &Model{AAGUID: aaguid}
				found[aaguid] = model
			}
			model.count(&m)
			if !has[aaguid] {
				has[aaguid] = true
				model.Users++
			}
		}
	}
	list := []Model{}
	for _, m := range found {
		m.Name = name.of(m.AAGUID, m.Model)
		list = append(list, *m)
	}
	slices.SortFunc(list, func(a, b Model) int {
		return cmp.Or(cmp.Compare(b.Passkeys, a.Passkeys), cmp.Compare(a.Name, b.Name), cmp.Compare(a.AAGUID, b.AAGUID))
	})
	return list
}

func (m *Model) count(passkey *graph.Method) {
	m.Passkeys++
	m.Model = cmp.Or(m.Model, passkey.Model)
	switch passkey.PasskeyType {
	case "deviceBound":
		m.DeviceBound++
	case "synced":
		m.Synced++
	}
	if passkey.AttestationLevel == "attested" {
		m.Attested++
	}
}

// of is the name of a model: ours, else Microsoft's.
func (n Namer) of(aaguid, microsoft string) string {
	if aaguid == "" {
		return cmp.Or(microsoft, "no AAGUID")
	}
	return cmp.Or(n(aaguid), microsoft, "unknown model")
}

func aaguidOf(m *graph.Method) string { return strings.ToLower(strings.TrimSpace(m.AAGUID)) }

// Count is how many users there are of something.
type Count struct {
	Name  string `json:"name"`
	Users int    `json:"users"`
}

// Passkey reports whether it is the registration report's word for one.
func (c Count) Passkey() bool { return graph.IsPasskey(c.Name) }

// counts are sorted by number, the greatest first.
func counts(users map[string]int) []Count {
	list := []Count{}
	for name, n := range users {
		list = append(list, Count{name, n})
	}
	slices.SortFunc(list, func(a, b Count) int { return cmp.Or(cmp.Compare(b.Users, a.Users), cmp.Compare(a.Name, b.Name)) })
	return list
}
