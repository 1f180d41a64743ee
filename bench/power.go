package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
)

// A Cycle is how long a power cycle took. All times are in milliseconds.
type Cycle struct {
	// Gone is from power off until the key was gone, There from power on until it
	// was back.
	Gone  int64 `json:"goneMs"`
	There int64 `json:"thereMs"`

	on time.Time // when the power came
}

// CanCycle reports whether something can take the key's power.
func (p *Place) CanCycle() bool { return p.Power.Switch != nil || p.hasField() }

func (p *Place) hasField() bool { return p.Reader != nil && p.Reader.Field.Switch != nil }

// SwitchPower unplugs the key or plugs it in, and waits until that is to be seen. The
// finger is off before.
func (p *Place) SwitchPower(ctx context.Context, on bool) (time.Duration, error) {
	if p.Power.Switch == nil {
		return 0, p.noDriver("power")
	}
	if err := p.finger.rest(ctx); err != nil {
		return 0, err
	}
	if !on {
		if err := p.noteOthers(ctx); err != nil {
			return 0, err
		}
	}
	began := time.Now()
	if err := p.Power.Set(ctx, on); err != nil {
		return 0, fmt.Errorf("key %s: %w", p.Name, errors.Join(ErrPower, err))
	}
	if !on {
		if err := pause(ctx, p.bench.Times.Settle); err != nil {
			return 0, err
		}
	}
	return p.await(ctx, on, began)
}

// noteOthers notes which keys look like ours before they are opened, so that ours
// is the one that comes back.
func (p *Place) noteOthers(ctx context.Context) error {
	p.others = nil
	all, err := p.candidates(ctx)
	if err != nil || len(all) < 2 {
		return err
	}
	// Not asked again if it was found before: somebody may have it open.
	ours := p.lastPath
	if !slices.ContainsFunc(all, func(f *Found) bool { return f.Path == ours }) {
		found, err := p.Find(ctx)
		if err != nil {
			return err
		}
		ours = found.Path
	}
	for _, f := range all {
		if f.Path != ours {
			p.others = append(p.others, f.Path)
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// PowerCycle unplugs the key and plugs it in again, and takes it out of its reader's
// field and puts it back. Once begun it is finished, whatever ctx does: nobody would
// look for a key without power.
func (p *Place) PowerCycle(ctx context.Context) (c Cycle, err error) {
	if !p.CanCycle() {
		return c, p.noDriver("power")
	}
	if ctx.Err() != nil {
		return c, context.Cause(ctx)
	}
	ctx = context.WithoutCancel(ctx)
	p.setSwitching(true)
	defer p.setSwitching(false)
	if p.hasField() {
		if err := p.setField(ctx, false); err != nil {
			return c, err
		}
	}
	if p.Power.Switch != nil {
		gone, err := p.SwitchPower(ctx, false)
		if err != nil {
			return c, err
		}
		c.on = time.Now()
		there, err := p.SwitchPower(ctx, true)
		if err != nil {
			return c, err
		}
		c.Gone, c.There = gone.Milliseconds(), there.Milliseconds()
	}
	if p.hasField() {
		if p.Power.Switch == nil {
			c.on = time.Now()
		}
		if err := p.setField(ctx, true); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (p *Place) setSwitching(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.switching = on
}

// reopen opens the key after a power cycle, when it may still be starting, and the
// system giving this user the right to it.
func (p *Place) reopen(ctx context.Context) (dev transport.Device, err error) {
	err = p.soon(ctx, func(path string) error {
		dev, err = p.device(ctx, path)
		return err
	})
	return dev, err
}

// soon calls open until it succeeds, with the path of the key as soon as that is there.
func (p *Place) soon(ctx context.Context, open func(path string) error) error {
	for end := time.Now().Add(p.bench.Times.Enumerate); ; {
		found, err := p.candidates(ctx)
		switch {
		case err == nil && len(found) > 1:
			return fmt.Errorf("key %s: %w: %s and %s fit", p.Name, ErrAmbiguous, found[0].Path, found[1].Path)
		case err == nil && len(found) == 0:
			err = fmt.Errorf("key %s: %w", p.Name, ErrNotThere)
		case err == nil:
			err = open(found[0].Path)
		}
		if err == nil || time.Now().After(end) || ctx.Err() != nil {
			return err
		}
		if err := pause(ctx, lookInterval); err != nil {
			return err
		}
	}
}

// resetWindow is how long after power-up a key takes a reset (CTAP 2.1, section
// 6.6).
const resetWindow = 10 * time.Second

// A Reset is how long a reset took. All times are in milliseconds after the power
// came back, but for those of the cycle.
type Reset struct {
	Cycle
	// Sent is when the reset was sent, which must be within ten seconds; Done when
	// the key had answered.
	Sent int64 `json:"sentMs"`
	Done int64 `json:"doneMs"`
	// LongTouch means that the key asked for a long touch.
	LongTouch bool `json:"longTouch"`
}

// Reset wipes a key that is released: power off and on, the reset as the first
// command, a touch. What is then on the key is noted.
func (p *Place) Reset(ctx context.Context, v *Verdict) (*Reset, error) {
	if err := v.Err(); err != nil {
		return nil, err
	}
	return p.reset(ctx, v)
}

func (p *Place) reset(ctx context.Context, v *Verdict) (*Reset, error) {
	err := p.use(ctx, v.Found.Path, client.Options{}, func(key *client.Key) error { return key.ResetAllowed(ctx) })
	if err != nil {
		return nil, err
	}
	r := &Reset{LongTouch: p.longTouchForReset()}
	if r.Cycle, err = p.PowerCycle(ctx); err != nil {
		return nil, err
	}
	dev, err := p.reopen(ctx)
	if err != nil {
		return nil, err
	}
	mode := conformance.TouchAlways
	if r.LongTouch {
		mode = conformance.TouchLong
	}
	p.finger.set(mode)
	defer p.finger.set(conformance.TouchAlways)
	r.Sent = time.Since(r.on).Milliseconds()
	if r.Sent > resetWindow.Milliseconds() {
		return nil, errors.Join(fmt.Errorf("key %s: %w: %d ms after power-up", p.Name, client.ErrResetWindow, r.Sent), dev.Close())
	}
	ctx, cancel := context.WithTimeout(ctx, client.DefaultTimeout)
	defer cancel()
	_, err = ctap2.Do(ctx, dev, ctap2.Reset{})
	r.Done = time.Since(r.on).Milliseconds()
	if err = errors.Join(err, dev.Close()); err != nil {
		if touch := p.finger.err(); touch != nil {
			err = fmt.Errorf("%w (touch: %w)", err, touch)
		}
		return nil, fmt.Errorf("key %s: reset: %w", p.Name, err)
	}
	return r, p.Note(ctx)
}
