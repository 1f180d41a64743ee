package usage

import (
	"strings"

	"github.com/fidokey/fidokey/entra/graph"
)

// A Credential is one that a key holds for login.microsoft.com.
type Credential struct {
	ID       []byte
	UserName string // the UPN when it was made
}

// Owned is a passkey of a user.
type Owned struct {
	User   graph.UserMethods
	Method graph.Method
}

// OnKey compares a key with what is registered.
type OnKey struct {
	// Registered has an entry for each credential of the key: the registration that
	// belongs to it, or nil.
	Registered []*Owned
	// Elsewhere are passkeys with the key's AAGUID that are on another key of the model,
	// of users who were named or have to do with this key.
	Elsewhere []Owned
}

// Compare looks for the credentials of a key among the passkeys of users, and for the
// passkeys of its model that are not on it. Of the latter those of users who were named
// are of interest, or who have to do with the key: a whole tenant has many keys of a
// model.
func Compare(credentials []Credential, aaguid string, users []graph.UserMethods, named bool) OnKey {
	r := OnKey{Registered: make([]*Owned, len(credentials))}
	at, names := map[string]int{}, map[string]bool{}
	for i, c := range credentials {
		at[string(c.ID)] = i
		names[strings.ToLower(c.UserName)] = true
	}
	for _, u := range users {
		concerned := named || u.UPN != "" && names[strings.ToLower(u.UPN)]
		var others []Owned
		for _, m := range u.Methods {
			id, err := m.CredentialID()
			i, onKey := at[string(id)]
			switch {
			case err == nil && onKey:
				r.Registered[i], concerned = &Owned{u, m}, true
			case strings.EqualFold(aaguidOf(&m), aaguid):
				others = append(others, Owned{u, m})
			}
		}
		if concerned {
			r.Elsewhere = append(r.Elsewhere, others...)
		}
	}
	return r
}

// Unasked returns the users whose names stand in credentials that nobody was found to
// have, and who were not asked for: the registration report may not know yet that they
// have a passkey.
func Unasked(credentials []Credential, r OnKey, users []graph.UserMethods) (names []string) {
	asked := map[string]bool{"": true}
	for _, u := range users {
		asked[strings.ToLower(u.UPN)], asked[strings.ToLower(u.User)] = true, true
	}
	for i, c := range credentials {
		if name := strings.ToLower(c.UserName); r.Registered[i] == nil && !asked[name] {
			asked[name] = true
			names = append(names, c.UserName)
		}
	}
	return names
}
