package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/ctap2"
)

// tryTimeout is how long a touch may take to be noticed.
const tryTimeout = 10 * time.Second

// A Trial is what came of trying the drivers of a key on it. What it has no driver
// for is nil.
type Trial struct {
	Cycle *Cycle `json:"cycle,omitempty"`
	// Touched is how long after a request for a touch the key had one, in
	// milliseconds.
	Touched *int64 `json:"touchedMs,omitempty"`
}

// Try switches the key's power off and on, and has it ask for a touch, which changes
// nothing on it (authenticatorSelection; CTAP 2.1, section 6.9).
func (p *Place) Try(ctx context.Context) (t Trial, err error) {
	if p.CanCycle() {
		c, err := p.PowerCycle(ctx)
		if err != nil {
			return t, err
		}
		t.Cycle = &c
	}
	if p.Touch.Switch == nil {
		return t, nil
	}
	dev, err := p.reopen(ctx)
	if err != nil {
		return t, err
	}
	defer dev.Close()
	p.finger.set(conformance.TouchAlways)
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	_, err = ctap2.Do(ctx, dev, ctap2.Selection{})
	if touch := p.finger.err(); touch != nil {
		return t, fmt.Errorf("key %s: touch: %w", p.Name, touch)
	}
	switch {
	case errors.Is(err, ctap2.ErrInvalidCommand):
		return t, nil // a key of CTAP 2.0 has nothing that asks for a touch and leaves it as it is
	case err != nil:
		return t, fmt.Errorf("key %s: the touch was not noticed: %w", p.Name, err)
	}
	t.Touched = new(time.Since(began).Milliseconds())
	return t, nil
}
