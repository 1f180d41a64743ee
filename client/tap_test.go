package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/nfc"
	"github.com/fidokey/fidokey/u2f"
)

// statusInterval is after how long a card says what it waits for.
const statusInterval = 100 * time.Millisecond

// A reader is where the test's hand takes a card off and lays one on. It is the
// Slot of the key.
type reader struct {
	card          *simulator.Card
	next          *simulator.Card // laid on in place of the card, if set
	taken, laidOn int
}

func (r *reader) Removed(context.Context) error {
	r.taken++
	r.card.PowerOff()
	return nil
}

func (r *reader) Inserted(ctx context.Context) (transport.Device, error) {
	r.laidOn++
	if r.next != nil {
		r.card = r.next
	}
	r.card.PowerOn()
	return nfc.Open(ctx, r.card)
}

// newReader returns a key without a button on a reader; hand is what the person
// does when it waits for a touch all the same.
func newReader(t *testing.T, p *simulator.Profile, hand func(r *reader)) (*client.Key, *reader, *holder) {
	t.Helper()
	r := &reader{}
	a, err := simulator.New(simulator.Config{Profile: p, Presence: func(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
		time.Sleep(2 * statusInterval)
		if hand != nil {
			go hand(r)
			<-ctx.Done()
		}
		return simulator.PresenceNone
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	r.card = simulator.NewCard(a)
	dev, err := nfc.Open(t.Context(), r.card)
	if err != nil {
		t.Fatal(err)
	}
	who := &holder{}
	k := client.New(dev, client.Options{Slot: r, Prompt: who.prompt()})
	t.Cleanup(func() { k.Close() })
	return k, r, who
}

// holder answers what a key on a reader asks for.
type holder struct {
	pins, newPINs int
	told          []client.Replug
	touches       []client.Touch
}

func (w *holder) prompt() client.Prompt {
	return client.Prompt{
		PIN:    func(context.Context, client.PINRequest) ([]byte, error) { w.pins++; return []byte("1234"), nil },
		NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { w.newPINs++; return []byte("1234"), nil },
		Touch:  func(t client.Touch) { w.touches = append(w.touches, t) },
		Replug: func(r client.Replug) { w.told = append(w.told, r) },
	}
}

// TestTapAgain registers and signs in with one tap each: the second is asked for,
// the PIN is not asked for twice, and nothing is made twice.
func TestTapAgain(t *testing.T) {
	k, r, who := newReader(t, nil, nil)
	if err := k.SetPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	register := func() error {
		_, err := k.Register(t.Context(), registration())
		return err
	}
	if err := register(); err != nil {
		t.Fatal(err)
	}
	if r.taken != 0 {
		t.Errorf("the first tap was not enough: taken away %d times", r.taken)
	}
	who.pins = 0
	_, err := k.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], UserVerification: client.Required})
	if err != nil {
		t.Fatal(err)
	}
	if r.taken != 1 || r.laidOn != 1 || who.pins != 1 || len(who.told) != 2 {
		t.Errorf("taken away %d times, laid on %d times, %d PINs, told %v; want 1, 1, 1 and two sentences", r.taken, r.laidOn, who.pins, who.told)
	}
	if len(who.touches) == 0 || !who.touches[0].Tap {
		t.Errorf("touches %+v: want one that says what to do on a reader", who.touches)
	}
	all, err := k.Credentials(t.Context())
	if err != nil || len(all) != 1 || len(all[0].Credentials) != 1 {
		t.Errorf("credentials %+v, %v: want one", all, err)
	}
}

// TestTapDuringWait has the person do at once what the key waits for.
func TestTapDuringWait(t *testing.T) {
	k, r, who := newReader(t, nil, func(r *reader) { r.card.PowerOff() })
	for range 2 {
		if err := k.Select(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if r.laidOn != 1 {
		t.Errorf("laid on %d times, want once; told %v", r.laidOn, who.told)
	}
}

// TestTapAgainWithoutSlot leaves the decision to the caller.
func TestTapAgainWithoutSlot(t *testing.T) {
	a, err := simulator.New(simulator.Config{Presence: func(context.Context, simulator.PresenceRequest) simulator.Presence { return simulator.PresenceNone }})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	dev, err := nfc.Open(t.Context(), simulator.NewCard(a))
	if err != nil {
		t.Fatal(err)
	}
	k := client.New(dev, client.Options{})
	defer k.Close()
	if err := k.Select(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := k.Select(t.Context()); !errors.Is(err, client.ErrTapNeeded) || !errors.Is(err, ctap2.ErrUserActionTimeout) {
		t.Errorf("second selection: %v", err)
	}
}

// TestTapOfAnotherKey lays another key on the reader than the one that was taken
// away.
func TestTapOfAnotherKey(t *testing.T) {
	k, r, _ := newReader(t, nil, nil)
	if err := k.Select(t.Context()); err != nil {
		t.Fatal(err)
	}
	other, err := simulator.New(simulator.Config{Profile: profile(t, "ctap-2.0")})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	r.next = simulator.NewCard(other)
	if err := k.Select(t.Context()); !errors.Is(err, client.ErrOtherKey) {
		t.Errorf("want ErrOtherKey, got %v", err)
	}
}

// TestTapU2F does the same with a key that speaks U2F only.
func TestTapU2F(t *testing.T) {
	k, r, _ := newReader(t, profile(t, "u2f"), func(r *reader) { r.card.PowerOff() })
	for range 2 {
		if _, err := k.U2FRegister(t.Context(), u2f.Register{}); err != nil {
			t.Fatal(err)
		}
	}
	if r.laidOn != 1 {
		t.Errorf("laid on %d times, want once", r.laidOn)
	}
}
