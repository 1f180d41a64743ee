package usage

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/fidokey/fidokey/entra/graph"
)

// A Kind is what sort of account somebody has.
type Kind string

// Members sign in here; guests do elsewhere, and cannot have passkeys here. Disabled
// accounts of either sort sign in nowhere.
const (
	Member   Kind = "member"
	Guest    Kind = "guest"
	Disabled Kind = "disabled"
)

// Person is an account with what is registered for it.
type Person struct {
	graph.UserMethods
	Kind       Kind
	Registered []string // the registration report's words for methods of any sort
}

// People asks for all accounts of a tenant, what they have registered and their
// passkeys. Where there is no registration report every account is asked for its
// passkeys, and noReport is true. seen is called with the number of accounts whose
// passkeys were read.
func People(ctx context.Context, g *graph.Client, seen func(n int)) (people []Person, noReport bool, err error) {
	at := map[string]int{}
	for u, err := range g.Users(ctx) {
		if err != nil {
			return nil, false, err
		}
		at[u.ID] = len(people)
		people = append(people, Person{
			UserMethods: graph.UserMethods{User: u.ID, UPN: u.UPN, DisplayName: u.DisplayName}, Kind: kindOf(u),
		})
	}
	var ids []string
	for r, err := range g.UserRegistrations(ctx) {
		if noReport = errors.Is(err, graph.ErrNonPremium); noReport {
			break
		}
		if err != nil {
			return nil, false, err
		}
		if i, ok := at[r.ID]; ok { // the report may be older than the list
			people[i].Registered = r.Methods
			if slices.ContainsFunc(r.Methods, graph.IsPasskey) {
				ids = append(ids, r.ID)
			}
		}
	}
	if noReport {
		for _, p := range people {
			ids = append(ids, p.User)
		}
	}
	n := 0
	for u, err := range g.MethodsOf(ctx, slices.Values(ids)) {
		if err != nil {
			return nil, noReport, err
		}
		p := &people[at[u.User]]
		p.Methods, p.Err = u.Methods, u.Err
		if noReport {
			p.Registered = words(p.Methods)
		}
		n++
		seen(n)
	}
	return people, noReport, nil
}

func kindOf(u graph.User) Kind {
	switch {
	case u.Enabled != nil && !*u.Enabled:
		return Disabled
	case strings.EqualFold(u.Type, "guest"):
		return Guest
	}
	return Member
}

// words are what the registration report would say of passkeys.
func words(passkeys []graph.Method) (list []string) {
	for _, m := range passkeys {
		word := "passKeyDeviceBound"
		if m.PasskeyType == "synced" {
			word = "passKeySynced"
		}
		if !slices.Contains(list, word) {
			list = append(list, word)
		}
	}
	return list
}
