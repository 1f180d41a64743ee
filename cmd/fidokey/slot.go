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

// What a person did not do that was asked.
var (
	errNotReplugged = errors.New("the key was not unplugged and plugged in again")
	errNotTapped    = errors.New("no key was held to the reader")
)

// A timedSlot is a Slot whose person does not take for ever.
type timedSlot struct {
	client.Slot
	e      *env
	undone error // when the time is up
}

// A toldSlot is one for a reset: programs learn that the key is back.
type toldSlot struct{ timedSlot }

func (s timedSlot) Removed(ctx context.Context) error {
	return s.e.inTime(ctx, s.undone, s.Slot.Removed)
}

func (s timedSlot) Inserted(ctx context.Context) (dev transport.Device, err error) {
	err = s.e.inTime(ctx, s.undone, func(ctx context.Context) (err error) {
		dev, err = s.Slot.Inserted(ctx)
		return err
	})
	return dev, err
}

func (s toldSlot) Inserted(ctx context.Context) (transport.Device, error) {
	dev, err := s.timedSlot.Inserted(ctx)
	if err == nil && s.e.events() {
		s.e.event(eventReinsert, map[string]any{"stage": "reset"})
	}
	return dev, err
}

// inTime waits for a person, who has --timeout.
func (e *env) inTime(ctx context.Context, undone error, wait func(context.Context) error) error {
	short, cancel := context.WithTimeout(ctx, e.global.timeout)
	defer cancel()
	err := wait(short)
	if err != nil && short.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w within %v", undone, e.global.timeout)
	}
	return err
}
