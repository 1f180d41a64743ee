package bench

import (
	"context"
	"errors"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/transport"
)

// Open opens the key for the client's flows: the finger touches it when it blinks.
func (p *Place) Open(ctx context.Context) (*Found, transport.Device, error) {
	found, err := p.Find(ctx)
	if err != nil {
		return nil, nil, err
	}
	p.finger.set(conformance.TouchAlways)
	dev, err := p.device(ctx, found.Path)
	return found, dev, err
}

// Slot is where the key is, for flows that need it to be unplugged and plugged in
// again: the bench does that. Before a reset, that is, so a key must be released; v
// says so. nil is a key without a power driver.
func (p *Place) Slot(v *Verdict) client.Slot {
	if !p.CanCycle() {
		return nil
	}
	return slot{p, v}
}

type slot struct {
	place   *Place
	verdict *Verdict
}

func (s slot) Removed(ctx context.Context) error {
	if err := s.verdict.Err(); err != nil {
		return err
	}
	if s.verdict.Found.Info != nil && s.place.longTouchForReset() {
		s.place.finger.set(conformance.TouchLong)
	}
	_, err := s.place.PowerCycle(ctx)
	return err
}

func (s slot) Inserted(ctx context.Context) (transport.Device, error) {
	dev, err := s.place.reopen(ctx)
	if err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	return dev, nil
}
