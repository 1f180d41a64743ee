package client_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// A flow is something that a person wants done and that may use a PIN.
type flow struct {
	name string
	run  func(ctx context.Context, k *client.Key) error
	// keepsToken says that the flow holds its token for another of its kind. Those
	// of credentials are used up by a touch.
	keepsToken bool
}

// flows are what the proofs go through: that no PIN try is wasted, that a cancel
// leaves the key usable, that no secret is left behind. A new flow is a line here;
// a profile that it fails on without a fault is tried all the same, but need not
// fail there as others do.
var flows = []flow{
	{name: "verify", run: func(ctx context.Context, k *client.Key) error { return k.VerifyPIN(ctx) }},
	{name: "change", run: func(ctx context.Context, k *client.Key) error { return k.ChangePIN(ctx) }},
	{name: "register", run: func(ctx context.Context, k *client.Key) error {
		r := registration()
		r.Discoverable = false // not every key can
		_, err := k.Register(ctx, r)
		return err
	}},
	{name: "authenticate", run: func(ctx context.Context, k *client.Key) error {
		_, err := k.Authenticate(ctx, client.Assertion{RPID: "example.com", ClientDataHash: hash[:], UserVerification: client.Required})
		return err
	}},
	{name: "credentials", keepsToken: true, run: func(ctx context.Context, k *client.Key) error { _, err := k.Credentials(ctx); return err }},
	{name: "metadata", keepsToken: true, run: func(ctx context.Context, k *client.Key) error { _, err := k.CredentialMetadata(ctx); return err }},
	{name: "fingerprints", keepsToken: true, run: func(ctx context.Context, k *client.Key) error { _, err := k.Fingerprints(ctx); return err }},
	{name: "enroll", keepsToken: true, run: func(ctx context.Context, k *client.Key) error {
		_, err := k.EnrollFingerprint(ctx, client.Enrollment{Name: "thumb"})
		return err
	}},
	{name: "large blob", keepsToken: true, run: func(ctx context.Context, k *client.Key) error {
		_, err := k.SetLargeBlob(ctx, make([]byte, 32), []byte("blob"), false)
		return err
	}},
	{name: "configuration", keepsToken: true, run: func(ctx context.Context, k *client.Key) error { return k.SetAlwaysUV(ctx, true) }},
}

// PINs that are found nowhere by chance.
const (
	rightPIN = "Kq7#zW9x"
	wrongPIN = "Vn3$yB5t"
	newPIN   = "Jd8&xC2m"
)

const allRetries = 8

// forgetful is a person of whom every PIN is looked at afterwards.
type forgetful struct {
	pin     string
	prompts int // for a PIN that is tried
	given   [][]byte
	told    []string // findings
}

func (p *forgetful) give(s string) ([]byte, error) {
	b := []byte(s)
	p.given = append(p.given, b)
	return b, nil
}

func (p *forgetful) options() client.Options {
	return client.Options{
		Prompt: client.Prompt{
			PIN: func(context.Context, client.PINRequest) ([]byte, error) {
				p.prompts++
				return p.give(p.pin)
			},
			NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return p.give(newPIN) },
			Touch:  func(client.Touch) {},
		},
		Findings: func(f ctap2.Finding) { p.told = append(p.told, f.What, f.Where) },
	}
}

// leftNothing checks that the person's PINs are wiped, and that none is in what
// was said about the flow.
func (p *forgetful) leftNothing(t *testing.T, err error) {
	t.Helper()
	for _, b := range p.given {
		for _, c := range b {
			if c != 0 {
				t.Errorf("a PIN was not wiped: %q", b)
				break
			}
		}
	}
	said := append(p.told, fmt.Sprint(err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err))
	for e := err; e != nil; e = errors.Unwrap(e) {
		said = append(said, fmt.Sprintf("%#v", e))
	}
	for _, s := range said {
		for _, secret := range []string{rightPIN, wrongPIN, newPIN} {
			if strings.Contains(s, secret) || strings.Contains(strings.ToLower(s), hex.EncodeToString([]byte(secret))) {
				t.Errorf("a PIN is in %q", s)
			}
		}
	}
}

// prepared are the states of keys with rightPIN and a credential, by profile.
type prepared struct {
	mu     sync.Mutex
	states map[string]preparedState
}

type preparedState struct {
	profile  *simulator.Profile
	snapshot []byte
	hasPIN   bool
}

func newPrepared() *prepared { return &prepared{states: map[string]preparedState{}} }

// add takes a profile that is not shipped.
func (p *prepared) add(t *testing.T, profile *simulator.Profile) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states[profile.Name] = prepare(t, profile)
}

// get returns the state for a shipped profile, or one that was added.
func (p *prepared) get(t *testing.T, name string) preparedState {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok := p.states[name]
	if !ok {
		profile, err := simulator.LoadProfile(name)
		if err != nil {
			t.Fatal(err)
		}
		s = prepare(t, profile)
		p.states[name] = s
	}
	return s
}

// prepare gives a key rightPIN, if it can have one, and a credential, if it makes
// one.
func prepare(t *testing.T, profile *simulator.Profile) preparedState {
	t.Helper()
	a, err := simulator.New(simulator.Config{Profile: profile})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	person := &person{pin: rightPIN, newPIN: rightPIN}
	key := client.New(a, client.Options{Prompt: person.prompt()})
	err = key.SetPIN(t.Context())
	s := preparedState{profile: profile, hasPIN: err == nil}
	if _, possible := profile.GetInfo.Options[ctap2.OptionClientPIN]; possible && !s.hasPIN {
		t.Logf("%s: no PIN: %v", profile.Name, err)
	}
	if _, err := key.Register(t.Context(), registration()); err != nil && s.hasPIN {
		t.Logf("%s: no credential: %v", profile.Name, err)
	}
	if s.snapshot, err = a.Snapshot(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// A trial is one flow on one key, on which something goes wrong.
type trial struct {
	profile string
	flow    flow
	pin     string
	first   *flow // goes before, and nothing goes wrong in it
	faults  []simulator.Fault
	before  func(t *testing.T, a *simulator.Authenticator) // brings the key into a state
}

func (tr trial) String() string {
	s := tr.profile + ", " + tr.flow.name
	if tr.first != nil {
		s += " after " + tr.first.name
	}
	if tr.pin == wrongPIN {
		s += ", wrong PIN"
	}
	for _, f := range tr.faults {
		s += ", " + string(f.Kind)
		if f.ToKey {
			s += " to the key"
		}
		if f.Kind == simulator.FaultCanned {
			s += fmt.Sprintf(" %x", []byte(f.Answer))
		}
		s += fmt.Sprintf(" after %d", f.Skip)
	}
	return s
}

// sound runs a flow with the right PIN and without a fault, to see whether it works
// on a profile and asks for the PIN.
func (p *prepared) sound(t *testing.T, profile string, f flow) outcome {
	t.Helper()
	return trial{profile: profile, flow: f, pin: rightPIN}.run(t, p)
}

// An outcome is what a trial came to.
type outcome struct {
	err           error
	person        *forgetful
	sent          []string // "06.05" and so on: messages with a PIN
	before, after uint     // retries
}

// lost is how many tries went.
func (o outcome) lost() int { return int(o.before) - int(o.after) }

// run runs a trial in a bubble, where waiting costs no time, through HID reports.
func (tr trial) run(t *testing.T, states *prepared) (o outcome) {
	t.Helper()
	state := states.get(t, tr.profile)
	synctest.Test(t, func(t *testing.T) {
		a, err := simulator.New(simulator.Config{Profile: state.profile})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		if err := a.Restore(t.Context(), state.snapshot); err != nil {
			t.Fatal(err)
		}
		if tr.before != nil {
			tr.before(t, a)
		}
		door := simulator.NewHID(a)
		defer door.Close()
		dev, err := hid.Open(t.Context(), door.Port())
		if err != nil {
			t.Fatal(err)
		}
		o = tr.on(t, a, dev, state.hasPIN)
	})
	return o
}

// on runs a trial on an open device.
func (tr trial) on(t *testing.T, a *simulator.Authenticator, dev transport.Device, hasPIN bool) (o outcome) {
	t.Helper()
	o.before = retries(t, a, hasPIN)
	o.person = &forgetful{pin: tr.pin}
	wire := &pinMessages{Device: dev}
	key := client.New(wire, o.person.options())
	if tr.first != nil {
		o.err = tr.first.run(t.Context(), key)
		o.person.leftNothing(t, o.err)
		if tr.first.name == "change" && o.err == nil && o.person.pin == rightPIN {
			o.person.pin = newPIN
		}
	}
	for _, f := range tr.faults {
		if err := a.Faults().Add(f); err != nil {
			t.Fatal(err)
		}
	}
	o.err = tr.flow.run(t.Context(), key)
	a.Faults().Clear()
	a.PowerOn()
	o.after = retries(t, a, hasPIN)
	o.sent = wire.sent
	key.Close()
	return o
}

// retries asks the key itself, not through HID.
func retries(t *testing.T, a *simulator.Authenticator, hasPIN bool) uint {
	t.Helper()
	if !hasPIN {
		return 0
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // something may be stuck
	defer cancel()
	r, err := pin.GetRetries(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	return r.Left
}

// pinMessages notes the messages in which a PIN is tried.
type pinMessages struct {
	transport.Device
	sent []string
}

func (w *pinMessages) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	answer, err := w.Device.Exchange(ctx, msg)
	if msg[0] == byte(ctap2.CommandClientPIN) {
		switch sub := pinSubCommand(msg); sub {
		case "4", "5", "9":
			w.sent = append(w.sent, fmt.Sprintf("06.0%s %.1x", sub, answer))
		}
	}
	return answer, err
}
