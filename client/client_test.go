package client_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// counted counts the CBOR exchanges by command and PIN subcommand.
type counted struct {
	transport.Device
	asked []string
}

func (c *counted) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	what := ctap2.Command(msg[0]).String()
	if msg[0] == byte(ctap2.CommandClientPIN) {
		what += " " + pinSubCommand(msg)
	}
	c.asked = append(c.asked, what)
	return c.Device.Exchange(ctx, msg)
}

// pinSubCommand finds member 2, which stands behind member 1 in our requests.
func pinSubCommand(msg []byte) string { return string('0' + rune(msg[5])) }

// person answers the prompts, and notes them.
type person struct {
	pin, newPIN string
	asked       []client.PINRequest
	askedNew    []client.NewPINRequest
	touches     []client.Touch
}

func (p *person) prompt() client.Prompt {
	return client.Prompt{
		PIN: func(_ context.Context, r client.PINRequest) ([]byte, error) {
			p.asked = append(p.asked, r)
			return []byte(p.pin), nil
		},
		NewPIN: func(_ context.Context, r client.NewPINRequest) ([]byte, error) {
			p.askedNew = append(p.askedNew, r)
			return []byte(p.newPIN), nil
		},
		Touch: func(touch client.Touch) { p.touches = append(p.touches, touch) },
	}
}

type bench struct {
	*client.Key
	authenticator *simulator.Authenticator
	door          *simulator.HID
	wire          *counted
	person        *person
	options       client.Options
}

// newBench returns a key over the simulator, through 64-byte reports.
func newBench(t *testing.T, c simulator.Config) *bench {
	t.Helper()
	authenticator, err := simulator.New(c)
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		authenticator: authenticator, door: simulator.NewHID(authenticator),
		wire: &counted{}, person: &person{pin: "1234", newPIN: "1234"},
	}
	b.open(t)
	t.Cleanup(func() {
		b.Close()
		b.door.Close()
		authenticator.Close()
	})
	return b
}

// open allocates a channel, which a key forgets when it is unplugged.
func (b *bench) open(t *testing.T) {
	t.Helper()
	dev, err := hid.Open(t.Context(), b.door.Port())
	if err != nil {
		t.Fatal(err)
	}
	b.wire.Device = dev
	b.options.Prompt = b.person.prompt()
	b.Key = client.New(b.wire, b.options)
}

// replug unplugs the key and plugs it in again.
func (b *bench) replug(t *testing.T) {
	t.Helper()
	b.authenticator.PowerCycle()
	b.open(t)
}

var hash = sha256.Sum256([]byte("client data"))

func registration() client.Registration {
	return client.Registration{
		ClientDataHash: hash[:],
		RP:             ctap2.RP{ID: "example.com", Name: "Example"},
		User:           ctap2.User{ID: []byte{1}, Name: "alice"},
		Parameters:     []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}},
		Discoverable:   true,
	}
}

func (b *bench) mustSetPIN(t *testing.T) {
	t.Helper()
	if err := b.SetPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.wire.asked = nil
}

// verify checks an assertion as a relying party would, with the key made before.
func verify(t *testing.T, made *client.Registered, a *client.Asserted) *ctap2.AuthenticatorData {
	t.Helper()
	registered, err := ctap2.ParseAuthenticatorData(made.AuthData)
	if err != nil {
		t.Fatal(err)
	}
	if err := registered.Credential.PublicKey.Verify(append(slices.Clone(a.AuthData), hash[:]...), a.Signature); err != nil {
		t.Error(err)
	}
	data, err := ctap2.ParseAuthenticatorData(a.AuthData)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestWithoutPIN(t *testing.T) {
	b := newBench(t, simulator.Config{})
	made, err := b.Register(t.Context(), registration())
	if err != nil {
		t.Fatal(err)
	}
	assertions, err := b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:]})
	if err != nil {
		t.Fatal(err)
	}
	if len(assertions) != 1 {
		t.Fatalf("%d assertions", len(assertions))
	}
	if data := verify(t, made, assertions[0]); data.Flags != ctap2.FlagUP {
		t.Errorf("flags %v", data.Flags)
	}
	if want := []client.Touch{{Command: ctap2.CommandMakeCredential}, {Command: ctap2.CommandGetAssertion}}; !slices.Equal(b.person.touches, want) {
		t.Errorf("touches %v", b.person.touches)
	}
	if len(b.person.asked) != 0 {
		t.Errorf("a PIN was asked for: %v", b.person.asked)
	}
	r := registration()
	r.UserVerification = client.Required
	if _, err := b.Register(t.Context(), r); !errors.Is(err, client.ErrNoPIN) {
		t.Errorf("verification required of a key without a PIN: %v", err)
	}
}

// TestExchanges counts what each flow costs on the wire.
func TestExchanges(t *testing.T) {
	for _, tt := range []struct {
		name string
		flow func(b *bench) error
		want []string
	}{
		{"pin state", func(b *bench) error { _, err := b.PINState(t.Context()); return err },
			[]string{"authenticatorGetInfo", "authenticatorClientPIN 1"}},
		{"pin verify", func(b *bench) error { return b.VerifyPIN(t.Context()) },
			[]string{"authenticatorGetInfo", "authenticatorClientPIN 1", "authenticatorClientPIN 2", "authenticatorClientPIN 9"}},
		{"pin change", func(b *bench) error { return b.ChangePIN(t.Context()) },
			[]string{"authenticatorGetInfo", "authenticatorClientPIN 1", "authenticatorClientPIN 2", "authenticatorClientPIN 4"}},
		{"register", func(b *bench) error { _, err := b.Register(t.Context(), registration()); return err },
			[]string{"authenticatorGetInfo", "authenticatorClientPIN 1", "authenticatorClientPIN 2", "authenticatorClientPIN 9", "authenticatorMakeCredential"}},
		{"select", func(b *bench) error { return b.Select(t.Context()) }, []string{"authenticatorGetInfo", "authenticatorSelection"}},
		{"reset", func(b *bench) error { return b.Reset(t.Context()) }, []string{"authenticatorReset"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, simulator.Config{})
			b.mustSetPIN(t)
			if err := tt.flow(b); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(b.wire.asked, tt.want) {
				t.Errorf("asked %q\n want %q", b.wire.asked, tt.want)
			}
		})
	}
}

func TestPINFlows(t *testing.T) {
	b := newBench(t, simulator.Config{})
	if err := b.VerifyPIN(t.Context()); !errors.Is(err, client.ErrNoPIN) {
		t.Errorf("verify before set: %v", err)
	}
	b.person.newPIN = "12"
	if err := b.SetPIN(t.Context()); !errors.Is(err, pin.ErrPolicy) {
		t.Errorf("short PIN: %v", err)
	}
	b.person.newPIN = "1234"
	b.mustSetPIN(t)
	if got := b.person.askedNew; len(got) != 2 || got[0].MinLength != 4 {
		t.Errorf("asked for a new PIN: %v", got)
	}
	if err := b.SetPIN(t.Context()); !errors.Is(err, client.ErrPINSet) {
		t.Errorf("set again: %v", err)
	}
	if err := b.VerifyPIN(t.Context()); err != nil {
		t.Errorf("verify: %v", err)
	}

	b.person.pin = "9999"
	var wrong *pin.Error
	if err := b.VerifyPIN(t.Context()); !errors.Is(err, ctap2.ErrPINInvalid) || !errors.As(err, &wrong) || wrong.Retries.Left != 7 {
		t.Errorf("wrong PIN: %v", err)
	}
	b.person.pin, b.person.newPIN = "1234", "пароль"
	if err := b.ChangePIN(t.Context()); err != nil {
		t.Fatalf("change: %v", err)
	}
	if got := b.person.asked[len(b.person.asked)-1].Retries.Left; got != 7 {
		t.Errorf("shown before the change: %d tries", got)
	}
	b.person.pin = "пароль"
	if err := b.VerifyPIN(t.Context()); err != nil {
		t.Errorf("verify the new PIN: %v", err)
	}

	// A new PIN that will not do costs no try, even with a wrong current PIN.
	b.person.pin, b.person.newPIN = "9999", "123"
	if err := b.ChangePIN(t.Context()); !errors.Is(err, pin.ErrPolicy) {
		t.Errorf("change to a short PIN: %v", err)
	}
	state, err := b.PINState(t.Context())
	if err != nil || state.Retries.Left != 8 {
		t.Errorf("state %+v, %v", state, err)
	}
}

// TestNoTryIsWasted goes through the lock-out: three wrong PINs, then the key
// takes none until it is unplugged, and after eight none at all. Once the key has
// said so, nothing more is tried.
func TestNoTryIsWasted(t *testing.T) {
	b := newBench(t, simulator.Config{})
	b.mustSetPIN(t)
	b.person.pin = "9999"
	wrong := func(want ctap2.Status, left uint) {
		t.Helper()
		var e *pin.Error
		if err := b.VerifyPIN(t.Context()); !errors.Is(err, want) || !errors.As(err, &e) || e.Retries.Left != left {
			t.Fatalf("error %v, want %v with %d tries left", err, want, left)
		}
	}
	refused := func(want error) {
		t.Helper()
		asked, tried := len(b.person.asked), len(b.wire.asked)
		if err := b.VerifyPIN(t.Context()); !errors.Is(err, want) {
			t.Fatalf("error %v, want %v", err, want)
		}
		if len(b.person.asked) != asked || slices.Contains(b.wire.asked[tried:], "authenticatorClientPIN 9") {
			t.Fatalf("a PIN was asked for or tried: %q", b.wire.asked[tried:])
		}
	}
	wrong(ctap2.ErrPINInvalid, 7)
	wrong(ctap2.ErrPINInvalid, 6)
	wrong(ctap2.ErrPINAuthBlocked, 5)
	refused(ctap2.ErrPINAuthBlocked)
	b.replug(t)
	wrong(ctap2.ErrPINInvalid, 4)
	wrong(ctap2.ErrPINInvalid, 3)
	wrong(ctap2.ErrPINAuthBlocked, 2)
	b.replug(t)
	refused(client.ErrLastTries)
	b.options.MinRetries = 1
	b.open(t)
	wrong(ctap2.ErrPINInvalid, 1)
	wrong(ctap2.ErrPINBlocked, 0)
	refused(ctap2.ErrPINBlocked)
}

func TestUserVerification(t *testing.T) {
	b := newBench(t, simulator.Config{})
	b.mustSetPIN(t)
	made, err := b.Register(t.Context(), registration())
	if err != nil {
		t.Fatal(err)
	}
	if data, err := ctap2.ParseAuthenticatorData(made.AuthData); err != nil || data.Flags&ctap2.FlagUV == 0 {
		t.Errorf("registered with flags %v, %v", data.Flags, err)
	}
	for _, tt := range []struct {
		name   string
		wanted client.UserVerification
		flags  ctap2.Flags
		asked  int
	}{
		{"preferred", client.Preferred, ctap2.FlagUP | ctap2.FlagUV, 1},
		{"required", client.Required, ctap2.FlagUP | ctap2.FlagUV, 1},
		{"discouraged", client.Discouraged, ctap2.FlagUP, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(b.person.asked)
			assertions, err := b.Authenticate(t.Context(), client.Assertion{
				RPID: "example.com", ClientDataHash: hash[:], UserVerification: tt.wanted,
			})
			if err != nil {
				t.Fatal(err)
			}
			if data := verify(t, made, assertions[0]); data.Flags != tt.flags {
				t.Errorf("flags %v, want %v", data.Flags, tt.flags)
			}
			if asked := len(b.person.asked) - before; asked != tt.asked {
				t.Errorf("PIN asked for %d times", asked)
			}
		})
	}
	// Without user verification a discoverable credential needs the PIN all the
	// same: the key insists.
	r := registration()
	r.UserVerification = client.Discouraged
	before := len(b.person.asked)
	if _, err := b.Register(t.Context(), r); err != nil || len(b.person.asked) != before+1 {
		t.Errorf("discouraged, discoverable: %v, PIN asked %d times", err, len(b.person.asked)-before)
	}
	r.Discoverable = false
	before = len(b.person.asked)
	if _, err := b.Register(t.Context(), r); err != nil || len(b.person.asked) != before {
		t.Errorf("discouraged, not discoverable: %v, PIN asked %d times", err, len(b.person.asked)-before)
	}
}

func TestSeveralAccounts(t *testing.T) {
	b := newBench(t, simulator.Config{})
	var made []*client.Registered
	for id := range byte(3) {
		r := registration()
		r.User.ID = []byte{id + 1}
		resp, err := b.Register(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, resp)
	}
	assertions, err := b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:]})
	if err != nil || len(assertions) != 3 {
		t.Fatalf("%d assertions, %v", len(assertions), err)
	}
	slices.Reverse(made) // newest first
	for i, a := range assertions {
		verify(t, made[i], a)
		if want := byte(3 - i); a.User.ID[0] != want {
			t.Errorf("assertion %d is for user %d", i, a.User.ID[0])
		}
	}
	// With an allow list it is the one that is named.
	oldest := assertions[2].Credential
	chosen, err := b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: []ctap2.Descriptor{*oldest}})
	if err != nil || len(chosen) != 1 || !slices.Equal(chosen[0].Credential.ID, oldest.ID) {
		t.Errorf("%d assertions, %v", len(chosen), err)
	}
	_, err = b.Register(t.Context(), client.Registration{
		ClientDataHash: hash[:], RP: ctap2.RP{ID: "example.com"}, User: ctap2.User{ID: []byte{9}},
		Parameters: registration().Parameters, Exclude: []ctap2.Descriptor{*oldest},
	})
	if !errors.Is(err, ctap2.ErrCredentialExcluded) {
		t.Errorf("excluded: %v", err)
	}
}

func TestNobodyToAsk(t *testing.T) {
	b := newBench(t, simulator.Config{})
	b.mustSetPIN(t)
	alone := client.New(b.wire, client.Options{})
	if _, err := alone.Register(t.Context(), registration()); !errors.Is(err, client.ErrPINNeeded) {
		t.Errorf("register: %v", err)
	}
	if err := alone.ChangePIN(t.Context()); !errors.Is(err, client.ErrPINNeeded) {
		t.Errorf("change: %v", err)
	}
	if slices.Contains(b.wire.asked, "authenticatorClientPIN 9") {
		t.Error("a PIN was tried")
	}
}

// TestCancel ends the wait for a touch and expects the key to be usable.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	waiting := func(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
		<-ctx.Done()
		return simulator.PresenceNone
	}
	b := newBench(t, simulator.Config{Presence: waiting})
	told := 0
	key := client.New(b.wire, client.Options{Prompt: client.Prompt{Touch: func(client.Touch) {
		told++
		cancel()
	}}})
	if _, err := key.Register(ctx, registration()); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v", err)
	}
	if told != 1 {
		t.Errorf("told %d times to touch", told)
	}
	if _, err := b.Info(t.Context()); err != nil {
		t.Errorf("after the cancel: %v", err)
	}
}

// TestTimeout: a key that nobody touches, and our patience is shorter than the
// key's. The person is told once, however many keepalives come.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		waiting := func(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
			<-ctx.Done()
			return simulator.PresenceNone
		}
		b := newBench(t, simulator.Config{Presence: waiting})
		told := 0
		key := client.New(b.wire, client.Options{
			Timeout: 5 * time.Second,
			Prompt:  client.Prompt{Touch: func(client.Touch) { told++ }},
		})
		begin := time.Now()
		_, err := key.Register(t.Context(), registration())
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not done within 5s") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(begin); took < 5*time.Second || took > 8*time.Second {
			t.Errorf("it took %v", took)
		}
		if told != 1 {
			t.Errorf("told %d times to touch", told)
		}
		if _, err := b.Info(t.Context()); err != nil {
			t.Errorf("after the time-out: %v", err)
		}
	})
}

// working is a key that reports its keepalives more than once.
type working struct{ transport.Device }

func (w working) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	for _, s := range []transport.Status{transport.StatusProcessing, transport.StatusProcessing, transport.StatusUPNeeded, 9, transport.StatusUPNeeded} {
		transport.Report(ctx, s)
	}
	return w.Device.Exchange(ctx, msg)
}

// TestKeepalives: the person is told once of each kind, and of no other.
func TestKeepalives(t *testing.T) {
	b := newBench(t, simulator.Config{})
	var told []string
	key := client.New(working{b.wire}, client.Options{Prompt: client.Prompt{
		Touch:      func(touch client.Touch) { told = append(told, "touch "+touch.Command.String()) },
		Processing: func(c ctap2.Command) { told = append(told, "processing "+c.String()) },
	}})
	if err := key.Select(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"processing authenticatorGetInfo", "touch authenticatorGetInfo", "processing authenticatorSelection", "touch authenticatorSelection"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
}
