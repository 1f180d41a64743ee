package client_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
)

var cancelSeed = flag.Uint64("seed", 0, "of TestThousandCancels; 0 takes the time")

// TestThousandCancels cancels flows at random moments: at a report or an APDU, or
// while the person reaches for the key. Each ends with the cancel or in success, what
// is otherwise on the key was reported, no PIN try is lost, and the same Key goes on.
func TestThousandCancels(t *testing.T) {
	seed := *cancelSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-args -seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	cancels := 1000 / ctaptest.Sample(t, 5)
	m, came, succeeded := matrix{}, 0, 0
	for n := range cancels {
		f := matrixFlows[dice.IntN(len(matrixFlows))]
		card := !f.usbOnly && dice.IntN(3) == 0
		c := cancellation{at: dice.IntN(24), after: time.Duration(dice.IntN(300)) * time.Millisecond, asleep: dice.IntN(4) == 0}
		prepared := m.prepare(t, f)
		t.Run(fmt.Sprintf("%d, %s, card %v, %+v", n, f, card, c), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := prepared.enter(t, card)
				cancelled, err := s.interrupt(f, c)
				if cancelled {
					came++
				}
				if err == nil {
					succeeded++
				}
			})
		})
	}
	t.Logf("%d of %d cancels came before the flow was over; %d flows had done their work", came, cancels, succeeded)
	if came < cancels*4/10 || succeeded == 0 || succeeded > cancels*9/10 {
		t.Error("these are no random moments")
	}
}

// A cancellation is when a flow is cancelled: at a report, or after a time in which
// the person has not touched the key yet.
type cancellation struct {
	at     int
	after  time.Duration
	asleep bool // after counts, not at
}

var errInterrupted = errors.New("interrupted")

// interrupt runs a flow that is cancelled, and looks at what is left.
func (s *scene) interrupt(f matrixFlow, c cancellation) (came bool, err error) {
	ctx, cancel := context.WithCancelCause(s.t.Context())
	defer cancel(nil)
	if c.asleep {
		s.reach.Store(int64(300 * time.Millisecond))
		timer := time.AfterFunc(c.after, func() { cancel(errInterrupted) })
		defer timer.Stop()
	} else {
		n := 0
		s.watch = func() {
			if n++; n > c.at {
				cancel(errInterrupted)
			}
		}
	}
	before, tries := s.kept(), s.tries()
	err = f.run(ctx, s.key, s)
	came = ctx.Err() != nil
	s.watch = nil
	s.reach.Store(0)
	s.person.leftNothing(s.t, err)
	if err != nil && !errors.Is(err, errInterrupted) && !errors.Is(err, context.Canceled) {
		s.t.Errorf("error %v", err)
	}
	if err != nil && !maps.Equal(before, s.kept()) && !errors.Is(err, client.ErrMayBeDone) {
		s.t.Errorf("what is on the key is otherwise, and the error does not say so: %v", err)
	}
	if after := s.tries(); after != tries {
		s.t.Errorf("%d tries, and %d before: %v", after, tries, err)
	}
	on, _ := s.a.Powered() // ResetGuided had it unplugged
	s.works(!on || f.method == "ResetGuided" && err != nil)
	return came, err
}

// presence is the person of a scene, who may take time to reach for the key.
func (s *scene) presence(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
	select {
	case <-time.After(time.Duration(s.reach.Load())):
		return simulator.PresenceTouched
	case <-ctx.Done():
		return simulator.PresenceNone
	}
}
