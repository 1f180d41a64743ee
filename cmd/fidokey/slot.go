package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// simulatorSlot is where the simulator in this process is: it unplugs itself and
// plugs itself in again, since the person has nothing to plug.
type simulatorSlot struct{ key *simulator.Authenticator }

func (s simulatorSlot) Removed(context.Context) error {
	s.key.PowerOff()
	return nil
}

func (s simulatorSlot) Inserted(ctx context.Context) (transport.Device, error) {
	s.key.PowerOn()
	return opened(ctx, simulator.NewHID(s.key).Port())
}

// opened allocates a channel.
func opened(ctx context.Context, port hid.Port) (transport.Device, error) {
	dev, err := hid.Open(ctx, port)
	if err != nil {
		return nil, err // which is not a Device that is nil
	}
	return dev, nil
}

const (
	socketInterval = 100 * time.Millisecond // between two looks at a socket
	socketPatience = time.Second            // for an answer
)

// socketSlot is where a software key at a socket is. It is unplugged by ending its
// program, or by whatever else has it forget our channel, and plugged in again
// when the socket answers again.
type socketSlot struct {
	dial func() (hid.Port, error)
	dev  pinger
}

func (s *socketSlot) Removed(ctx context.Context) error {
	return every(ctx, socketInterval, func(ctx context.Context) bool {
		_, err := s.dev.Ping(ctx, nil)
		return err != nil && !errors.Is(err, transport.ErrBusy)
	})
}

func (s *socketSlot) Inserted(ctx context.Context) (dev transport.Device, err error) {
	err = every(ctx, socketInterval, func(ctx context.Context) bool {
		port, err := s.dial()
		if err == nil {
			dev, err = opened(ctx, port)
		}
		return err == nil
	})
	return dev, err
}

// every looks again and again, until there is something to be seen or ctx ends.
func every(ctx context.Context, interval time.Duration, look func(ctx context.Context) bool) error {
	for {
		short, cancel := context.WithTimeout(ctx, socketPatience)
		seen := look(short)
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if seen {
			return nil
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// errNotReplugged is a person who did not do what was asked.
var errNotReplugged = errors.New("the key was not unplugged and plugged in again")

// A toldSlot is a Slot of which programs learn that the key is back, and whose
// person does not take for ever.
type toldSlot struct {
	client.Slot
	e *env
}

func (s toldSlot) Removed(ctx context.Context) error {
	return s.inTime(ctx, s.Slot.Removed)
}

func (s toldSlot) Inserted(ctx context.Context) (dev transport.Device, err error) {
	err = s.inTime(ctx, func(ctx context.Context) (err error) {
		dev, err = s.Slot.Inserted(ctx)
		return err
	})
	if err == nil && s.e.events() {
		s.e.event(eventReinsert, map[string]any{"stage": "reset"})
	}
	return dev, err
}

func (s toldSlot) inTime(ctx context.Context, wait func(context.Context) error) error {
	short, cancel := context.WithTimeout(ctx, s.e.global.timeout)
	defer cancel()
	err := wait(short)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w within %v", errNotReplugged, s.e.global.timeout)
	}
	return err
}
