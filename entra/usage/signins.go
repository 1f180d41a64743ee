package usage

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fidokey/fidokey/entra/graph"
)

// SignIns is what the sign-in log says of passkeys.
type SignIns struct {
	Since   time.Time     `json:"since"`
	All     Signed        `json:"all"`     // successful, with whatever
	Passkey Signed        `json:"passkey"` // successful, with a passkey
	Failed  int           `json:"failed"`  // with a passkey, in vain
	Methods []SignedWith  `json:"methods"` // by the log's words for passkeys
	Models  []SignedModel `json:"models"`  // successful ones by model
	Unnamed int           `json:"unnamed"` // successful ones of which the log does not tell the model
	Recent  []SignedIn    `json:"recent"`  // the latest with a passkey
}

// Signed is how often, and how many users.
type Signed struct {
	SignIns int `json:"signIns"`
	Users   int `json:"users"`
}

// SignedWith is Signed by method.
type SignedWith struct {
	Method string `json:"method"`
	Signed
}

// SignedModel is Signed by model.
type SignedModel struct {
	AAGUID string `json:"aaguid"`
	Name   string `json:"name"`
	Signed
}

// SignedIn is a sign-in with a passkey.
type SignedIn struct {
	Time      time.Time `json:"time"`
	User      string    `json:"user"` // the UPN
	App       string    `json:"app"`
	Method    string    `json:"method"`
	Detail    string    `json:"detail,omitempty"`
	AAGUID    string    `json:"aaguid,omitempty"`
	Name      string    `json:"name,omitempty"` // of the model
	Succeeded bool      `json:"succeeded"`
}

// A Log counts sign-ins one by one, for there may be very many. It keeps the latest.
type Log struct {
	since    time.Time
	keep     int
	name     Namer
	passkeys map[string][]graph.Method // by user ID

	all, passkey    tally
	failed, unnamed int
	methods, models map[string]*tally
	recent          []SignedIn
}

// tally counts times and users.
type tally struct {
	times int
	users map[string]bool
}

func (t *tally) add(user string) {
	if t.users == nil {
		t.users = map[string]bool{}
	}
	t.times++
	t.users[user] = true
}

func (t *tally) signed() Signed { return Signed{t.times, len(t.users)} }

// NewLog returns an empty log that will keep some sign-ins. What people have registered
// tells the model where the log names the passkey only.
func NewLog(since time.Time, keep int, people []Person, name Namer) *Log {
	l := &Log{since: since, keep: keep, name: name, passkeys: map[string][]graph.Method{}, methods: map[string]*tally{}, models: map[string]*tally{}}
	for _, p := range people {
		l.passkeys[p.User] = p.Methods
	}
	return l
}

// Add counts a sign-in.
func (l *Log) Add(s graph.LoggedSignIn) {
	user := cmp.Or(s.User, s.UPN)
	succeeded := s.Status.ErrorCode == 0
	if succeeded {
		l.all.add(user)
	}
	step, ok := passkeyStep(s.Details)
	if !ok {
		return
	}
	aaguid := l.aaguid(s.User, step)
	one := SignedIn{Time: s.Created.Time, User: s.UPN, App: s.App, Method: step.Method, Detail: step.Detail, AAGUID: aaguid, Succeeded: succeeded && step.Succeeded}
	if aaguid != "" {
		one.Name = l.name.of(aaguid, "")
	}
	l.remember(one)
	if !one.Succeeded {
		l.failed++
		return
	}
	l.passkey.add(user)
	into(l.methods, step.Method).add(user)
	if aaguid == "" {
		l.unnamed++
		return
	}
	into(l.models, aaguid).add(user)
}

func into(m map[string]*tally, name string) *tally {
	if m[name] == nil {
		m[name] = &tally{}
	}
	return m[name]
}

// remember keeps the latest, the last first.
func (l *Log) remember(one SignedIn) {
	at, _ := slices.BinarySearchFunc(l.recent, one, func(a, b SignedIn) int {
		return cmp.Or(b.Time.Compare(a.Time), -1) // behind those of the same time
	})
	if at >= l.keep {
		return
	}
	l.recent = slices.Insert(l.recent, at, one)
	l.recent = l.recent[:min(len(l.recent), l.keep)]
}

// passkeyStep is the step that a passkey was for: the last that succeeded, or else the
// last. A passkey has had several names in the log: FIDO2 security key, Passkey
// (device-bound), Passkey (Microsoft Authenticator) and so on.
func passkeyStep(steps []graph.AuthenticationDetail) (last graph.AuthenticationDetail, found bool) {
	for _, s := range steps {
		name := strings.ToLower(s.Method)
		if !strings.Contains(name, "passkey") && !strings.Contains(name, "fido") {
			continue
		}
		if !found || s.Succeeded || !last.Succeeded {
			last, found = s, true
		}
	}
	return last, found
}

var (
	guid = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b`)
	})
	word = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[A-Za-z0-9+/_=-]{20,}`) })
)

// aaguid finds out which model was used. The detail was seen to be the passkey's name, a
// dash and the AAGUID; it may be the name or the ID of a passkey alone.
func (l *Log) aaguid(user string, step graph.AuthenticationDetail) string {
	if found := guid().FindString(step.Detail); found != "" {
		return strings.ToLower(found)
	}
	var named []string
	for _, m := range l.passkeys[user] {
		aaguid := aaguidOf(&m)
		if hasID(step.Detail, &m) {
			return aaguid
		}
		if m.DisplayName != "" && m.DisplayName == strings.TrimSpace(step.Detail) && !slices.Contains(named, aaguid) {
			named = append(named, aaguid)
		}
	}
	if len(named) == 1 {
		return named[0]
	}
	return ""
}

// hasID reports whether a text has the ID of a passkey: as Graph has it, or in base64 as
// other logs do.
func hasID(text string, m *graph.Method) bool {
	id, err := m.CredentialID()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(word().FindAllString(text, -1), func(w string) bool {
		if w == m.ID {
			return true
		}
		decoded, err := base64.StdEncoding.DecodeString(w)
		return err == nil && bytes.Equal(decoded, id)
	})
}

// Result returns what was counted.
func (l *Log) Result() *SignIns {
	r := &SignIns{Since: l.since, All: l.all.signed(), Passkey: l.passkey.signed(), Failed: l.failed, Unnamed: l.unnamed,
		Methods: []SignedWith{}, Models: []SignedModel{}, Recent: append([]SignedIn{}, l.recent...)}
	for method, t := range l.methods {
		r.Methods = append(r.Methods, SignedWith{method, t.signed()})
	}
	for aaguid, t := range l.models {
		r.Models = append(r.Models, SignedModel{aaguid, l.name.of(aaguid, ""), t.signed()})
	}
	slices.SortFunc(r.Methods, func(a, b SignedWith) int {
		return cmp.Or(cmp.Compare(b.SignIns, a.SignIns), cmp.Compare(a.Method, b.Method))
	})
	slices.SortFunc(r.Models, func(a, b SignedModel) int {
		return cmp.Or(cmp.Compare(b.SignIns, a.SignIns), cmp.Compare(a.Name, b.Name), cmp.Compare(a.AAGUID, b.AAGUID))
	})
	return r
}
