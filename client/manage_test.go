package client_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

// recorded notes what is asked, as in "CredentialManagement 2", and can change the
// answers.
type recorded struct {
	transport.Device
	asked  []string
	sent   [][]byte
	tamper func(asked string, answer []byte) []byte // nil: not
}

func (r *recorded) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	what := asked(msg)
	r.asked, r.sent = append(r.asked, what), append(r.sent, slices.Clone(msg))
	answer, err := r.Device.Exchange(ctx, msg)
	if err == nil && r.tamper != nil {
		answer = r.tamper(what, answer)
	}
	return answer, err
}

// asked names a request with its subcommand.
func asked(msg []byte) string {
	command := ctap2.Command(msg[0])
	what := strings.TrimPrefix(command.String(), "authenticator")
	member := map[ctap2.Command]uint64{
		ctap2.CommandClientPIN: 2, ctap2.CommandBioEnrollment: 2, ctap2.CommandBioEnrollmentPreview: 2,
		ctap2.CommandCredentialManagement: 1, ctap2.CommandCredentialManagementPreview: 1, ctap2.CommandConfig: 1,
	}[command]
	var params map[any]any
	if member == 0 || ctapcbor.Unmarshal(msg[1:], &params) != nil || params[member] == nil {
		return what
	}
	return fmt.Sprint(what, " ", params[member])
}

// managed is a bench that knows what was asked in detail.
type managed struct {
	*bench
	wire     *recorded
	findings []string
}

// newManaged returns a key that plays a profile, with a PIN and whatever prepare
// does.
func newManaged(t *testing.T, profile *simulator.Profile, prepare ...func(*managed)) *managed {
	t.Helper()
	return newManagedKey(t, simulator.Config{Profile: profile}, prepare...)
}

func newManagedKey(t *testing.T, c simulator.Config, prepare ...func(*managed)) *managed {
	t.Helper()
	m := &managed{bench: newBench(t, c), wire: &recorded{}}
	m.options.Findings = func(f ctap2.Finding) { m.findings = append(m.findings, f.What) }
	m.person.pin, m.person.newPIN = "274913", "274913"
	m.open(t)
	if err := m.SetPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range prepare {
		p(m)
	}
	m.open(t)
	return m
}

// open is a new program on the same key.
func (m *managed) open(t *testing.T) {
	t.Helper()
	m.bench.open(t)
	m.wire.Device, m.bench.wire.Device = m.bench.wire.Device, m.wire
	m.forget()
}

func (m *managed) replug(t *testing.T) {
	t.Helper()
	m.authenticator.PowerCycle()
	m.open(t)
}

func (m *managed) forget() {
	m.wire.asked, m.wire.sent, m.findings, m.person.asked = nil, nil, nil, nil
}

// holding registers a discoverable credential for each "rp user".
func holding(t *testing.T, credentials ...string) func(*managed) {
	return func(m *managed) {
		t.Helper()
		for _, c := range credentials {
			rp, user, _ := strings.Cut(c, " ")
			r := registration()
			r.RP = ctap2.RP{ID: rp, Name: "The " + rp}
			r.User = ctap2.User{ID: []byte(user), Name: user, DisplayName: strings.ToUpper(user)}
			if _, err := m.Register(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// wantAsked compares what was asked since the last time.
func (m *managed) wantAsked(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(m.wire.asked, want) {
		t.Errorf("asked %q\n want %q", m.wire.asked, want)
	}
	m.wire.asked = nil
}

func (m *managed) wantFinding(t *testing.T, part string) {
	t.Helper()
	if !slices.ContainsFunc(m.findings, func(f string) bool { return strings.Contains(f, part) }) {
		t.Errorf("findings %q, none about %q", m.findings, part)
	}
}

// users lists what was listed, as in "a.example alice".
func users(rps []client.RelyingParty) (all []string) {
	for _, rp := range rps {
		for _, c := range rp.Credentials {
			all = append(all, rp.ID+" "+string(c.User.ID))
		}
	}
	slices.Sort(all)
	return all
}

// params returns subCommandParams of what was sent last under this name.
func (m *managed) params(t *testing.T, name string, member uint64) map[any]any {
	t.Helper()
	for _, msg := range slices.Backward(m.wire.sent) {
		var members map[any]any
		if asked(msg) != name || ctapcbor.Unmarshal(msg[1:], &members) != nil {
			continue
		}
		params, _ := members[member].(map[any]any)
		return params
	}
	t.Fatalf("%s was not sent", name)
	return nil
}

// byPIN are the exchanges that a flow begins with, if the PIN is asked for.
var byPIN = []string{"GetInfo", "ClientPIN 1", "ClientPIN 2", "ClientPIN 9"}

func then(first []string, more ...string) []string { return slices.Concat(first, more) }
