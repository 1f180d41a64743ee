package enrol

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/entra/entratest"
	"github.com/fidokey/fidokey/internal/ctaptest"
)

// setPIN gives a key a PIN before the enrolment.
func (h *hall) setPIN(i int, pin string) {
	h.Helper()
	key := client.New(dying{Device: h.keys[i], crash: &crash{after: -1}}, client.Options{Prompt: client.Prompt{
		NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return []byte(pin), nil },
	}})
	if err := key.SetPIN(h.Context()); err != nil {
		h.Fatal(err)
	}
}

// state is that of a key's PIN.
func (h *hall) state(i int) client.PINState {
	h.Helper()
	s, err := client.New(dying{Device: h.keys[i], crash: &crash{after: -1}}, client.Options{}).PINState(h.Context())
	if err != nil {
		h.Fatal(err)
	}
	return s
}

// told returns the errors of the events of a kind.
func (h *hall) told(kind EventKind) (errs []error) {
	for _, e := range h.last {
		if e.Kind == kind {
			errs = append(errs, e.Err)
		}
	}
	return errs
}

// given is a Batch without random PINs: one PIN for all keys.
func given(pin string) func(*Batch) {
	return func(b *Batch) {
		b.RandomPIN = 0
		b.Prompt.PIN = func(context.Context, client.PINRequest) ([]byte, error) { return []byte(pin), nil }
		b.Prompt.NewPIN = func(context.Context, client.NewPINRequest) ([]byte, error) { return []byte(pin), nil }
	}
}

// TestManyCrashes: a program that crashes again and again, at any steps, gets there, with
// keys in any order.
func TestManyCrashes(t *testing.T) {
	for n := 0; n < 60; n += ctaptest.Sample(t, 10) {
		random := rand.New(rand.NewPCG(8, uint64(n)))
		h := newHall(t, "ctap-2.3", 3, 5, n%2 == 0)
		var after []int
		for range 4 {
			h.fate = fate(random.IntN(4))
			after = append(after, random.IntN(90))
			h.run(after[len(after)-1], h.plug(random.Perm(5)...))
			h.cut()
		}
		var outcomes []Outcome
		var err error
		for range 4 { // a key without serial number may have to be plugged in again
			outcomes, err = h.run(-1, h.plug(random.Perm(5)...))
		}
		if err != nil || statuses(outcomes)[Before] != 3 {
			t.Fatalf("%d: crashes after %v: %v, %v\n%v", n, after, statuses(outcomes), err, h.last)
		}
		if err := h.check(); err != nil {
			text, _ := os.ReadFile(h.path)
			t.Fatalf("%d: crashes after %v: %v\n%s", n, after, err, text)
		}
	}
}

// TestKeyWithPIN: a key whose PIN nobody knows is left alone, and no try is spent. One
// that is given is tried once on each key.
func TestKeyWithPIN(t *testing.T) {
	h := newHall(t, "ctap-2.3", 1, 2, true)
	h.setPIN(0, "19283746")
	outcomes, err := h.run(-1, h.plug(0, 1))
	if left := h.told(KeyLeft); err != nil || outcomes[0].Attempt.Serial != "1001" || len(left) != 1 || !errors.Is(left[0], ErrUnknownPIN) {
		t.Errorf("%+v, %v, %v", outcomes, err, left)
	}
	if s := h.state(0); s.Retries.Left != 8 {
		t.Errorf("%+v", s)
	}

	h = newHall(t, "ctap-2.3", 2, 3, true)
	h.setPIN(0, "19283746")
	h.setPIN(1, "another 1")
	h.change = given("19283746")
	outcomes, err = h.run(-1, h.plug(1, 1, 1, 0, 2))
	if err != nil || statuses(outcomes)[Registered] != 2 || h.state(1).Retries.Left != 7 {
		t.Errorf("%v, %v, %+v", outcomes, err, h.state(1))
	}
	if left := h.told(KeyLeft); len(left) != 2 || !errors.Is(left[1], ErrWrongPIN) || len(h.told(LineWaits)) != 1 {
		t.Errorf("%v", h.last)
	}
	l, _ := ReadLedger(h.path)
	if pins := h.pins(l, h.keys[2]); !slices.Equal(pins, []string{"19283746"}) {
		t.Errorf("the PIN that was set is %q", pins)
	}
}

// steps returns after how many steps an event is in the ledger.
func (h *hall) crashAt(event string, keys ...int) {
	h.Helper()
	for after := 0; ; after++ {
		fresh := newHall(h.T, "ctap-2.3", len(h.lines), len(h.keys), h.keys[0].serial != "")
		fresh.change = h.change
		fresh.run(after, fresh.plug(keys...))
		text, _ := os.ReadFile(fresh.path)
		if strings.Contains(string(text), `"event":"`+event+`"`) && strings.HasSuffix(string(text), "\n") {
			change := h.change
			*h = *fresh
			h.change = change
			return
		}
		if !fresh.crash.dead {
			h.Fatalf("there is no event %s", event)
		}
	}
}

// TestNoIdentity: without one a key with a PIN of the ledger is left alone, and it is said
// where the PIN is.
func TestNoIdentity(t *testing.T) {
	for _, serials := range []bool{true, false} {
		h := newHall(t, "ctap-2.3", 1, 1, serials)
		h.crashAt(EventPINSet, 0)
		h.change = func(b *Batch) { b.Identities = nil }
		outcomes, err := h.run(-1, h.plug(0))
		left := h.told(KeyLeft)
		if err != nil || outcomes[0].Status != Waiting || len(left) != 1 || !errors.Is(left[0], ErrPINInLedger) ||
			!strings.Contains(left[0].Error(), "in line 4, for user1@") || h.state(0).Retries.Left != 8 {
			t.Errorf("%+v, %v, %v", outcomes, err, left)
		}
		stranger, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		h.change = func(b *Batch) { b.Identities = []age.Identity{stranger} }
		if _, err := h.run(-1, h.plug(0)); err != nil || len(h.told(KeyLeft)) != 1 || h.state(0).Retries.Left != 8 {
			t.Errorf("a stranger: %v, %v", err, h.last)
		}
		h.change = nil
		if outcomes, err = h.run(-1, h.plug(0)); err != nil || outcomes[0].Status != Registered {
			t.Errorf("%+v, %v", outcomes, err)
		}
		if err := h.check(); err != nil {
			t.Error(err)
		}
	}
}

// TestGuess: a key without serial number whose PIN may be one of the ledger's costs one
// try each time that it is plugged in, and none as soon as three would be left. A key that
// a user has costs none.
func TestGuess(t *testing.T) {
	h := newHall(t, "ctap-2.3", 2, 3, false)
	if outcomes, err := h.run(-1, h.plug(0)); err != nil || outcomes[0].Status != Registered {
		t.Fatal(outcomes, err)
	}
	l := openLedger(t, h.path, h.identity.Recipient())
	n, err := l.begin(h.lines[1], &Plugged{}, h.aaguid)
	if err != nil {
		t.Fatal(err)
	}
	lost, err := l.encrypt([]byte("55667788"))
	if err != nil || l.append(Entry{Event: EventPIN, Attempt: n, PIN: lost}) != nil {
		t.Fatal(err)
	}
	l.Close()
	h.setPIN(1, "19283746") // of which the ledger knows nothing
	for plugged, want := range []uint{7, 6, 5, 4, 3, 3, 3} {
		if _, err := h.run(-1, h.plug(1, 0)); err != nil || h.state(1).Retries.Left != want || h.state(0).Retries.Left != 8 {
			t.Errorf("plugged in %d times: %v, %v", plugged+1, h.state(1).Retries, h.last)
		}
		h.keys[1].PowerCycle()
	}
	left := h.told(KeyLeft)
	if len(left) != 2 || !strings.Contains(left[0].Error(), "too few tries") || !errors.Is(left[1], ErrKeyUsed) {
		t.Error(left)
	}
	h.setPIN(2, "55667788")
	if outcomes, err := h.run(-1, h.plug(2)); err != nil || outcomes[1].Status != Registered {
		t.Errorf("the key that it is of: %+v, %v", outcomes, err)
	}
}

// TestForcePINChange: it comes after the registration, also if a crash was in between;
// a key that cannot do it is told.
func TestForcePINChange(t *testing.T) {
	force := func(b *Batch) { b.ForceChange = true }
	h := newHall(t, "ctap-2.3", 1, 1, true)
	h.change = force
	h.crashAt(EventRegistered, 0)
	h.change = force
	if h.state(0).MustChange {
		t.Fatal("it is forced before the registration is in the ledger")
	}
	outcomes, err := h.run(-1, h.plug(0))
	if err != nil || outcomes[0].Status != Before || h.state(0).MustChange {
		t.Errorf("%+v, %v", outcomes, err)
	}
	h.lines = append(h.lines, Line{Row: 3, User: "00000000-0000-4000-a000-000000000001", Name: "Second key"})
	if _, err := h.run(-1, h.plug(0)); err != nil || !h.state(0).MustChange {
		t.Errorf("%v, %v", err, h.last)
	}
	l, _ := ReadLedger(h.path)
	if a := l.Registered(h.lines[0].ID()); !a.PINForced {
		t.Errorf("%+v", a)
	}

	h = newHall(t, "ctap-2.0", 1, 1, true)
	h.change = force
	if outcomes, err := h.run(-1, h.plug(0)); err != nil || outcomes[0].Status != Registered {
		t.Errorf("%+v, %v", outcomes, err)
	}
	if told := h.told(PINNotForced); len(told) != 1 || !errors.Is(told[0], client.ErrKeyCannot) {
		t.Error(told)
	}
}

// TestLines: what ends a line, what lets it wait for another key, and what ends all.
func TestLines(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(h *hall)
		change  func(b *Batch)
		want    map[Status]int
		err     error
		says    string // in the errors of lines
	}{
		"unknown user": {func(h *hall) { h.lines[1].User = "nobody@example.com" }, nil, map[Status]int{Registered: 2, Failed: 1}, nil, "Request_ResourceNotFound"},
		"unknown user, fail fast": {func(h *hall) { h.lines[1].User = "nobody@example.com" }, func(b *Batch) { b.FailFast = true },
			map[Status]int{Waiting: 2, Failed: 1}, errFailFast, "Request_ResourceNotFound"},
		"refused": {func(h *hall) { h.tenant.Switch(func(s *entratest.Switches) { s.RefuseRegistrations = true }) }, nil, map[Status]int{Failed: 3}, nil, "deleted from the key again"},
		"no permission": {func(h *hall) {
			h.tenant.Switch(func(s *entratest.Switches) { s.MissingPermissions = []string{"UserAuthMethod-Passkey.ReadWrite.All"} })
		}, nil, map[Status]int{Waiting: 3}, nil, ""},
		"no PINs":      {func(*hall) {}, func(b *Batch) { b.RandomPIN = 0 }, map[Status]int{Waiting: 3}, nil, "nobody can be asked"},
		"one line":     {func(h *hall) { h.lines = h.lines[:1] }, func(b *Batch) { b.RandomPIN = 0 }, map[Status]int{Failed: 1}, nil, "nobody can be asked"},
		"other model":  {func(h *hall) { h.lines[1].AAGUID = "f1d0f1d0-0000-4000-8000-000000000001" }, nil, map[Status]int{Registered: 2, Waiting: 1}, nil, ""},
		"other key":    {func(h *hall) { h.lines[1].Serial = "7" }, nil, map[Status]int{Registered: 2, Waiting: 1}, nil, ""},
		"lost answers": {func(h *hall) { h.tenant.Switch(func(s *entratest.Switches) { s.LoseRegistrations = true }) }, nil, map[Status]int{Registered: 3}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHall(t, "ctap-2.3", 3, 3, true)
			h.change = c.change
			c.prepare(h)
			outcomes, err := h.run(-1, h.plug(0, 1, 2))
			if got := statuses(outcomes); got[Registered] != c.want[Registered] || got[Failed] != c.want[Failed] || got[Waiting] != c.want[Waiting] {
				t.Errorf("%v", got)
			}
			if (c.err == nil && name != "no permission") != (err == nil) || c.err != nil && !errors.Is(err, c.err) {
				t.Errorf("%v", err)
			}
			said := ""
			for _, o := range outcomes {
				if o.Err != nil {
					said += o.Err.Error()
				}
			}
			if !strings.Contains(said, c.says) || c.says == "" && said != "" {
				t.Errorf("%s", said)
			}
			l, _ := ReadLedger(h.path)
			for _, a := range l.Attempts((*Attempt).Unsettled) {
				t.Errorf("left over: %+v", a)
			}
		})
	}
}

// TestExpired: options that have expired are asked for again, once; what was made with
// the old ones is deleted.
func TestExpired(t *testing.T) {
	for _, again := range []bool{false, true} {
		b := newBench(t, "ctap-2.3", nil)
		b.tenant.Switch(func(s *entratest.Switches) { s.ExpireChallenges = true })
		var steps []StepKind
		r, err := Register(t.Context(), b.graph, b.key, Request{User: sam, Name: "Blue key", Record: func(s Step) error {
			steps = append(steps, s.Kind)
			b.tenant.Switch(func(w *entratest.Switches) { w.ExpireChallenges = again || s.Kind != StepUndone && len(steps) < 4 })
			return nil
		}})
		want := []StepKind{StepPINSet, StepMaking, StepMade, StepUndone, StepMaking, StepMade, StepRegistered}
		if again {
			want[6] = StepUndone
		}
		if (err != nil) != again || !slices.Equal(steps, want) || !r.PINSet || b.tenant.Count("options") != 2 {
			t.Errorf("again: %v: %v, %v, %d options", again, steps, err, b.tenant.Count("options"))
		}
		if n := map[bool]int{false: 1, true: 0}[again]; b.onKey() != n || len(b.tenant.Registered(sam)) != n {
			t.Errorf("again: %v: %d on the key", again, b.onKey())
		}
	}
}

// TestEarlier: a passkey of which it was not known whether it had arrived is found in the
// list of those that are excluded, and no other is made.
func TestEarlier(t *testing.T) {
	b := newBench(t, "ctap-2.3", nil)
	first, err := b.register(sam)
	if err != nil {
		t.Fatal(err)
	}
	other := newBench(t, "ctap-2.3", nil)
	var steps []Step
	r, err := Register(t.Context(), b.graph, other.key, Request{User: sam, Name: "Blue key", Earlier: [][]byte{first.CredentialID}, Record: func(s Step) error {
		steps = append(steps, s)
		return nil
	}})
	if err != nil || !r.Earlier || r.Method.ID != first.Method.ID || len(steps) != 1 || steps[0].Kind != StepRegistered {
		t.Errorf("%+v, %v, %+v", r, err, steps)
	}
	if state, err := other.key.PINState(t.Context()); err != nil || state.Set {
		t.Errorf("the other key: %+v, %v", state, err)
	}
}

// TestRecordFails: where it cannot be written down it is not done, or undone.
func TestRecordFails(t *testing.T) {
	for _, at := range []StepKind{StepPINSet, StepMaking, StepMade} {
		b := newBench(t, "ctap-2.3", nil)
		_, err := Register(t.Context(), b.graph, b.key, Request{User: sam, Record: func(s Step) error {
			if s.Kind == at {
				return ErrLedger
			}
			return nil
		}})
		if !errors.Is(err, ErrLedger) || b.onKey() != 0 || b.tenant.Count("register") != 0 {
			t.Errorf("%v: %v, %d on the key", at, err, b.onKey())
		}
	}
}

// TestInterruptedBatch: an interruption while a key waits for a touch ends all, and leaves
// nothing behind; the next run goes on.
func TestInterruptedBatch(t *testing.T) {
	h := newHall(t, "ctap-2.3", 2, 2, true)
	h.change = func(b *Batch) {
		stop := b.Notify
		b.Notify = func(e Event) {
			stop(e)
			if e.Kind == KeyTaken && e.Line.User == userN(1) {
				h.crash.mu.Lock()
				h.crash.interrupt()
				h.crash.mu.Unlock()
			}
		}
	}
	outcomes, err := h.run(-1, h.plug(0, 1))
	if !errors.Is(err, context.Canceled) || statuses(outcomes)[Registered] != 1 || statuses(outcomes)[Waiting] != 1 {
		t.Errorf("%v, %v", statuses(outcomes), err)
	}
	h.change = nil
	if outcomes, err = h.run(-1, h.plug(0, 1)); err != nil || statuses(outcomes)[Registered] != 1 {
		t.Errorf("%v, %v", statuses(outcomes), err)
	}
	if err := h.check(); err != nil {
		t.Error(err)
	}
}

// TestNoManagement: a key that neither lists nor deletes passkeys gets its own line again
// after a crash, for then the new passkey replaces what was left.
func TestNoManagement(t *testing.T) {
	for after := 0; ; after += ctaptest.Sample(t, 10) {
		h := newHall(t, "ctap-2.0", 2, 2, true)
		h.fate = fate(after % 4)
		h.run(after, h.plug(0, 1))
		h.cut()
		if !h.crash.dead {
			if after < 60 {
				t.Errorf("there are %d steps only", after)
			}
			return
		}
		outcomes, err := h.run(-1, h.plug(1, 0))
		if err != nil || statuses(outcomes)[Registered]+statuses(outcomes)[Before] != 2 {
			t.Fatalf("after %d steps: %v, %v\n%v", after, statuses(outcomes), err, h.last)
		}
		l, err := ReadLedger(h.path)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range h.lines {
			if ids, a := h.tenant.Registered(line.User), l.Registered(line.ID()); len(ids) != 1 || string(ids[0]) != string(a.CredentialID) {
				t.Fatalf("after %d steps: %s has %d passkeys", after, line.User, len(ids))
			}
			if h.state(i).Retries.Left != 8 {
				t.Fatalf("after %d steps: %v", after, h.state(i))
			}
		}
	}
}

// TestOneSerialNumber: keys of a model that all have the same serial number are not taken
// for one, as long as they have no PIN.
func TestOneSerialNumber(t *testing.T) {
	h := newHall(t, "ctap-2.3", 3, 3, true)
	for _, k := range h.keys {
		k.serial = "0001"
	}
	outcomes, err := h.run(-1, h.plug(0, 1, 0, 2))
	if left := h.told(KeyLeft); err != nil || statuses(outcomes)[Registered] != 3 || len(left) != 1 || !errors.Is(left[0], ErrKeyUsed) {
		t.Errorf("%v, %v, %v", statuses(outcomes), err, left)
	}
}

// TestWithoutRecipient: whoever goes on without --recipient has the PIN of a key that
// came back in the ledger all the same, with the user who got it.
func TestWithoutRecipient(t *testing.T) {
	h := newHall(t, "ctap-2.3", 1, 1, true)
	h.crashAt(EventPINSet, 0)
	h.change = func(b *Batch) {
		given("19283746")(b)
		b.Ledger.recipients = nil
	}
	if outcomes, err := h.run(-1, h.plug(0)); err != nil || outcomes[0].Status != Registered || outcomes[0].Attempt.PIN == nil {
		t.Errorf("%+v, %v", outcomes, err)
	}
	if err := h.check(); err != nil {
		t.Error(err)
	}
	if l, _ := ReadLedger(h.path); l.LeftOver() != nil {
		t.Errorf("%+v", l.LeftOver())
	}
}
