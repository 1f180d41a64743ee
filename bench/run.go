package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

// maxTries is how often a case runs whose transport fails.
const maxTries = 3

// Conformance is the bench as the conformance cases see it.
func (p *Place) Conformance(ctx context.Context, v *Verdict) *conformance.Bench {
	b := &conformance.Bench{Release: v.Released, PIN: v.pin}
	if p.Match.Device != onReader {
		b.Port = func() (hid.Port, error) { return p.openPort(ctx) }
	}
	if p.Reader != nil {
		b.Card = func() (nfc.Card, error) {
			if p.hasField() {
				if err := p.Reader.Field.Set(ctx, true); err != nil {
					return nil, err
				}
			}
			return p.card(ctx)
		}
	}
	if p.CanCycle() {
		b.PowerCycle = func(ctx context.Context) error {
			_, err := p.PowerCycle(ctx)
			return err
		}
	}
	if p.Touch.Switch != nil {
		b.Touch = p.finger.set
	}
	if aaguid, err := ctap2.ParseAAGUID(p.Match.AAGUID); p.Match.AAGUID != "" && err == nil {
		b.AAGUID = aaguid[:]
	}
	return b
}

// openPort opens the key's port, which may just have been plugged in.
func (p *Place) openPort(ctx context.Context) (hid.Port, error) {
	for end := time.Now().Add(p.bench.Times.Enumerate); ; {
		found, err := p.candidates(ctx)
		switch {
		case err == nil && len(found) > 1:
			return nil, fmt.Errorf("key %s: %w", p.Name, ErrAmbiguous)
		case err == nil && len(found) == 1:
			var port hid.Port
			if port, err = p.port(ctx, found[0].Path); err == nil {
				return port, nil
			}
		case err == nil:
			err = fmt.Errorf("key %s: %w", p.Name, ErrNotThere)
		}
		if time.Now().After(end) || ctx.Err() != nil {
			p.fault(err)
			return nil, err
		}
		if err := pause(ctx, lookInterval); err != nil {
			return nil, err
		}
	}
}

// A Retry is a case that ran again since the transport failed, not the key's answer.
type Retry struct {
	Case  string `json:"case"`
	Fault string `json:"fault"`
}

// A Run is a run of conformance cases on a key.
type Run struct {
	Results []conformance.Result
	// Retries are the cases that ran again, once for each time.
	Retries []Retry
	// Reset is that at the end of a run with destructive cases; nil: there was none,
	// for the key was as new, or nothing can switch its power.
	Reset *Reset
	// Touches is how often the finger was on the key.
	Touches int
}

// Run runs cases on a key, those that destroy something only if the verdict says
// that they may. A case that fails while its transport does runs again, up to three
// times in all; one in which the key gave a wrong answer never. Afterwards the key
// is reset if the cases left a PIN on it, and what is on it is noted.
func (p *Place) Run(ctx context.Context, v *Verdict, sel conformance.Selection) (*Run, error) {
	if v.Released {
		running := NewHolder(p.bench.options.Owner, os.Getpid())
		if _, err := p.note(ctx, &running); err != nil {
			return nil, err
		}
	}
	run, before := &Run{}, p.finger.count()
	p.takeFaults()
	run.results(ctx, p, p.Conformance(ctx, v), sel)
	run.Touches = p.finger.count() - before
	return run, errors.Join(p.finger.err(), p.finish(context.WithoutCancel(ctx), v, run))
}

// results runs the cases, and again those whose transport failed.
func (r *Run) results(ctx context.Context, p *Place, b *conformance.Bench, sel conformance.Selection) {
	report := sel.Report
	if report == nil {
		report = func(*conformance.Result) {}
	}
	held := []conformance.Result{} // the parts of a case, before the case
	again := map[string]string{}   // the cases, with their faults
	sel.Report = func(result *conformance.Result) {
		held = append(held, *result)
		if result.Part != "" {
			return
		}
		faults := p.takeFaults()
		if id := result.Case.ID; result.Outcome == conformance.Fail && len(faults) > 0 && tries(r.Retries, id) < maxTries-1 && ctx.Err() == nil {
			again[id] = faults[0]
			r.Retries = append(r.Retries, Retry{id, faults[0]})
		} else {
			for i := range held {
				report(&held[i])
			}
			r.Results = append(r.Results, held...)
		}
		held = held[:0:0]
	}
	conformance.Run(ctx, b, sel)
	for len(again) > 0 && ctx.Err() == nil {
		cases := again
		again = map[string]string{}
		sel.Match = func(c *conformance.Case) bool { return cases[c.ID] != "" }
		conformance.Run(ctx, b, sel)
	}
}

func tries(retries []Retry, id string) (n int) {
	for _, r := range retries {
		if r.Case == id {
			n++
		}
	}
	return n
}

// finish leaves the key as new if the cases may have left something on it, and
// notes what is there.
func (p *Place) finish(ctx context.Context, v *Verdict, run *Run) error {
	if !v.Released {
		return nil
	}
	after, err := p.Judge(ctx)
	if err != nil {
		return err
	}
	switch {
	case !after.Store.PIN && !after.Store.Fingerprints:
		return p.Note(ctx)
	case p.CanCycle():
		run.Reset, err = p.reset(ctx, after)
		return err
	}
	return nil // the state still says that a run has it
}

// count is how often the finger was on the key.
func (f *finger) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.touches
}
