package simulator

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/fidokey/fidokey/transport"
)

var errPowerCycled = errors.New("power was cut")

// power is the supply of a key, guarded by Authenticator.mu.
type power struct {
	off     bool
	lives   uint64        // how often it was cut
	sources int           // the HID interfaces and readers that it comes from
	changed chan struct{} // closed when off changes
}

// PowerCycle unplugs the key and plugs it in again: it forgets tokens, key
// agreement keys, series and the PIN latch, and the time window of
// authenticatorReset opens again. A command that waits for a touch ends. Doors
// stay open, but the HID channels of their clients are forgotten too.
func (a *Authenticator) PowerCycle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counters.powerCycle()
	a.cutPower()
}

// cutPower ends what is going on. a.mu is held.
func (a *Authenticator) cutPower() {
	now := a.config.Clock.Now()
	a.cycled = &now
	a.power.lives++
	if a.interrupt != nil {
		a.interrupt(errPowerCycled)
	}
	if a.polled != nil {
		a.polled.cancel()
	}
}

// PowerOff unplugs the key: its doors close, and commands end in an error that
// wraps [transport.ErrClosed], until PowerOn.
func (a *Authenticator) PowerOff() { a.switchPower(true) }

// PowerOn plugs the key in again after PowerOff.
func (a *Authenticator) PowerOn() { a.switchPower(false) }

func (a *Authenticator) switchPower(off bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.power.off == off {
		return
	}
	if off {
		a.counters.powerCycle()
	}
	a.cutPower()
	a.power.off = off
	close(a.power.changed)
	a.power.changed = make(chan struct{})
}

// life is how often power was cut.
func (a *Authenticator) life() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.power.lives
}

// plugIn counts a HID interface as a source of power, until unplug is called.
func (a *Authenticator) plugIn() (unplug func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.power.sources++
	return sync.OnceFunc(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.power.sources--
	})
}

// enterField is the key being laid on a reader. If it has power from nowhere else
// it starts anew, and is without when leave is called: a key that hangs on USB too
// does not notice.
func (a *Authenticator) enterField() (leave func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.power.sources == 0 {
		a.cutPower()
	}
	a.power.sources++
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.power.sources--
		if a.power.sources == 0 {
			a.counters.powerCycle()
			a.cutPower()
		}
	}
}

// Powered reports whether the key is plugged in. changed is closed as soon as
// that is no longer true.
func (a *Authenticator) Powered() (on bool, changed <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.power.off, a.power.changed
}

// WhilePowered calls serve, a door, with a context that ends when the key is
// unplugged, and again when it is plugged in. It returns when ctx ends, then
// with nil, or when serve ends by itself.
func (a *Authenticator) WhilePowered(ctx context.Context, serve func(ctx context.Context) error) error {
	for ctx.Err() == nil {
		on, changed := a.Powered()
		if !on {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			continue
		}
		if ended, err := serveUntil(ctx, changed, serve); ended {
			return err
		}
	}
	return nil
}

// serveUntil calls serve; it reports whether serve ended before its time.
func serveUntil(ctx context.Context, unplugged <-chan struct{}, serve func(ctx context.Context) error) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-unplugged:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := serve(ctx)
	return ctx.Err() == nil, err
}

var errPowerOff = fmt.Errorf("%w: the key is unplugged", transport.ErrClosed)
