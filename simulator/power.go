package simulator

import (
	"context"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/transport"
)

var errPowerCycled = errors.New("power was cut")

// power is the supply of a key, guarded by Authenticator.mu.
type power struct {
	off     bool
	lives   uint64        // how often it was cut
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
