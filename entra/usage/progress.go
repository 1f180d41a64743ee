package usage

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/fidokey/fidokey/entra/graph"
)

// Progress is how far passkeys have come in a tenant. All but Guests and Disabled is
// about members whose accounts are enabled.
type Progress struct {
	Members  Group `json:"members"`
	Guests   Group `json:"guests"`
	Disabled Group `json:"disabled"`

	Passkeys int      `json:"passkeys"`
	Methods  []Count  `json:"methods"` // of any sort, as the registration report calls them
	Models   []Model  `json:"models"`
	By       Unit     `json:"by"`
	Periods  []Period `json:"periods"`
	Undated  int      `json:"undated"` // passkeys of which it is not known when they were made
	Without  []Name   `json:"without"` // members who have none
}

// Group is a part of the accounts.
type Group struct {
	Users       int `json:"users"`
	WithPasskey int `json:"withPasskey"`
	Unread      int `json:"unread"` // of whom it is not known
}

// share is how many of a hundred.
func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return 100 * float64(part) / float64(whole)
}

// Name is a person.
type Name struct {
	User        string `json:"user"` // the UPN
	DisplayName string `json:"displayName"`
}

// Period is a span of time, with the passkeys made in it that there still are.
type Period struct {
	Name     string        `json:"period"` // 2026-05, 2026-Q2 or 2026
	Passkeys int           `json:"passkeys"`
	Synced   int           `json:"synced"`   // of these; the others stay on their keys
	NewUsers int           `json:"newUsers"` // whose first it was
	Users    int           `json:"users"`    // who had one at its end
	Models   []PeriodModel `json:"models"`
}

// PeriodModel is the part of a model in a period.
type PeriodModel struct {
	AAGUID   string `json:"aaguid,omitempty"`
	Name     string `json:"name"`
	Passkeys int    `json:"passkeys"`
	Users    int    `json:"users"`
}

// A Unit is how long a period is.
type Unit string

// The units.
const (
	Month   Unit = "month"
	Quarter Unit = "quarter"
	Year    Unit = "year"
)

// start is when the period began that a time is in.
func (u Unit) start(t time.Time) time.Time {
	t = t.UTC()
	month := t.Month()
	switch u {
	case Quarter:
		month = (month-1)/3*3 + 1
	case Year:
		month = time.January
	}
	return time.Date(t.Year(), month, 1, 0, 0, 0, 0, time.UTC)
}

func (u Unit) next(start time.Time) time.Time {
	return start.AddDate(0, map[Unit]int{Month: 1, Quarter: 3, Year: 12}[u], 0)
}

func (u Unit) name(start time.Time) string {
	switch u {
	case Quarter:
		return fmt.Sprintf("%d-Q%d", start.Year(), (start.Month()+2)/3)
	case Year:
		return fmt.Sprint(start.Year())
	}
	return start.Format("2006-01")
}

// firstYear is before any passkey: what claims to be older has no date.
const firstYear = 2015

func dated(t, now time.Time) bool { return t.Year() >= firstYear && !t.After(now.AddDate(0, 0, 1)) }

// NewProgress counts. Passkeys made in the future, or before there were any, have no
// date that is worth anything.
func NewProgress(people []Person, by Unit, now time.Time, name Namer) *Progress {
	p := &Progress{By: by, Without: []Name{}}
	methods := map[string]int{}
	var members []graph.UserMethods
	for _, person := range people {
		p.group(person.Kind).count(person)
		if person.Kind != Member {
			continue
		}
		for _, m := range person.Registered {
			methods[m]++
		}
		p.Passkeys += len(person.Methods)
		if has, known := hasPasskey(person); known && !has {
			p.Without = append(p.Without, Name{person.UPN, person.DisplayName})
		}
		members = append(members, person.UserMethods)
	}
	p.Methods, p.Models = counts(methods), Models(members, name)
	p.addPeriods(members, now)
	return p
}

func (p *Progress) group(k Kind) *Group {
	switch k {
	case Guest:
		return &p.Guests
	case Disabled:
		return &p.Disabled
	}
	return &p.Members
}

func (g *Group) count(person Person) {
	g.Users++
	switch has, known := hasPasskey(person); {
	case !known:
		g.Unread++
	case has:
		g.WithPasskey++
	}
}

// hasPasskey goes by the list of passkeys, which is never behind.
func hasPasskey(p Person) (has, known bool) { return len(p.Methods) > 0, p.Err == nil }

// addPeriods goes from the first passkey to now without a gap.
func (p *Progress) addPeriods(users []graph.UserMethods, now time.Time) {
	made := map[time.Time][]graph.UserMethods{} // the passkeys of users by period
	firsts := map[time.Time]int{}
	had := 0 // users of whose first passkey the date is not known
	for _, u := range users {
		byPeriod, first := map[time.Time][]graph.Method{}, time.Time{}
		undated := false
		for _, m := range u.Methods {
			if !dated(m.Created.Time, now) {
				p.Undated++
				undated = true
				continue
			}
			start := p.By.start(m.Created.Time)
			byPeriod[start] = append(byPeriod[start], m)
			if first.IsZero() || start.Before(first) {
				first = start
			}
		}
		for start, methods := range byPeriod {
			made[start] = append(made[start], graph.UserMethods{User: u.User, Methods: methods})
		}
		switch {
		case undated:
			had++
		case !first.IsZero():
			firsts[first]++
		}
	}
	p.Periods = []Period{}
	if len(made) == 0 {
		return
	}
	names := map[string]string{}
	for _, m := range p.Models {
		names[m.AAGUID] = m.Name
	}
	starts := append(slices.Collect(maps.Keys(made)), p.By.start(now))
	last := slices.MaxFunc(starts, time.Time.Compare)
	for start := slices.MinFunc(starts, time.Time.Compare); !start.After(last); start = p.By.next(start) {
		period := Period{Name: p.By.name(start), NewUsers: firsts[start], Models: []PeriodModel{}}
		had += firsts[start]
		period.Users = had
		for _, m := range Models(made[start], func(aaguid string) string { return names[aaguid] }) {
			period.Passkeys += m.Passkeys
			period.Synced += m.Synced
			period.Models = append(period.Models, PeriodModel{m.AAGUID, m.Name, m.Passkeys, m.Users})
		}
		p.Periods = append(p.Periods, period)
	}
}
