package simulator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

// TestCancel: what is cancelled leaves nothing behind (STA-008, RST-005).
func TestCancel(t *testing.T) {
	for _, c := range []struct {
		name    string
		command byte
		params  any
	}{
		{"makeCredential", makeCredential, resident(testRP, "bob")},
		{"getAssertion", getAssertion, sign(testRP)},
		{"which key", makeCredential, with(creation(), []byte{}, 8)},
		{"selection", selection, nil},
		{"reset", reset, nil},
	} {
		for how, stop := range map[string]func(k *key, cancel func()){
			"cancel":               func(_ *key, cancel func()) { cancel() },
			"power cycle":          func(k *key, _ func()) { k.PowerCycle() },
			"touch after a cancel": func(_ *key, cancel func()) { cancel() },
		} {
			t.Run(c.name+", "+how, func(t *testing.T) {
				k := newKey(t)
				alice := k.create(resident(testRP, "alice"))
				info := k.ok(getInfo, nil)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				k.touch = func(ctx context.Context) simulator.Presence {
					stop(k, cancel)
					<-ctx.Done()
					return simulator.PresenceTouched
				}
				answer := k.ExchangeFrom(ctx, 0, request(c.command, c.params))
				if !bytes.Equal(answer, []byte{keepaliveCancel}) {
					t.Errorf("answer %x, want KEEPALIVE_CANCEL", answer)
				}
				k.touch = nil
				if got := k.ok(getInfo, nil); !reflect.DeepEqual(got, info) {
					t.Error("something was stored")
				}
				k.assert(sign(testRP), alice)
			})
		}
	}
	t.Run("excluded", func(t *testing.T) {
		k := newKey(t)
		made := k.create(creation())
		ctx, cancel := context.WithCancel(t.Context())
		k.touch = func(context.Context) simulator.Presence { cancel(); return simulator.PresenceNone }
		answer := k.ExchangeFrom(ctx, 0, request(makeCredential, with(creation(), descriptors(made.id), 5)))
		if !bytes.Equal(answer, []byte{keepaliveCancel}) {
			t.Errorf("answer %x", answer)
		}
	})
}

// TestCancelledExchange: through the Device interface a cancel is an error with
// its cause, as on a key behind a cable.
func TestCancelledExchange(t *testing.T) {
	k := newKey(t)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	k.touch = func(context.Context) simulator.Presence { cancel(why); return simulator.PresenceNone }
	if answer, err := k.Exchange(ctx, []byte{selection}); !errors.Is(err, why) {
		t.Errorf("answer %x, %v", answer, err)
	}
}

func TestEndedContext(t *testing.T) {
	k := newKey(t)
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := k.Exchange(ctx, []byte{getInfo}); !errors.Is(err, why) {
		t.Errorf("error %v", err)
	}
	if answer := k.ExchangeFrom(ctx, 1, []byte{getInfo}); !bytes.Equal(answer, []byte{keepaliveCancel}) {
		t.Errorf("answer %x", answer)
	}
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := simulator.New(simulator.Config{
			Presence: func(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
				<-ctx.Done()
				return simulator.PresenceNone
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		var waiting sync.WaitGroup
		waiting.Go(func() {
			answer, err := a.Exchange(t.Context(), []byte{selection})
			if err != nil || !bytes.Equal(answer, []byte{keepaliveCancel}) {
				t.Errorf("command at work: answer %x, %v", answer, err)
			}
		})
		synctest.Wait()
		waiting.Go(func() {
			if _, err := a.Exchange(t.Context(), []byte{getInfo}); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("waiting command: %v", err)
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		waiting.Go(func() {
			if _, err := a.Exchange(ctx, []byte{getInfo}); !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled in the queue: %v", err)
			}
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		for range 2 {
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
		waiting.Wait()
		if answer := a.ExchangeFrom(t.Context(), 1, []byte{getInfo}); !bytes.Equal(answer, []byte{other}) {
			t.Errorf("answer after Close: %x", answer)
		}
	})
}

// TestSystemClock runs the touch time limit on the system's clock.
func TestSystemClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, err := simulator.New(simulator.Config{
			Presence: func(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
				<-ctx.Done()
				return simulator.PresenceNone
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		start := time.Now()
		answer, err := a.Exchange(t.Context(), []byte{selection})
		if err != nil || !bytes.Equal(answer, []byte{userActionTimeout}) {
			t.Errorf("answer %x, %v", answer, err)
		}
		if took := time.Since(start); took != 30*time.Second {
			t.Errorf("gave up after %v", took)
		}
	})
}

// TestDefaults: the zero Config is a key that works, from several goroutines.
func TestDefaults(t *testing.T) {
	a, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 5 {
				answer, err := a.Exchange(t.Context(), request(makeCredential, resident(testRP, fmt.Sprint(i))))
				if err != nil || answer[0] != ok && answer[0] != keepaliveCancel { // power may be cut any time
					t.Errorf("answer %x, %v", answer, err)
				}
				if i == 0 {
					a.PowerCycle()
				}
			}
		})
	}
	all.Wait()
}
