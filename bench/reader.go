package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fidokey/fidokey/transport/nfc"
)

// pcscField cuts the power of the card by PC/SC. It comes back when the card is
// connected to.
type pcscField struct {
	reader string // part of its name
}

func (p *pcscField) Set(ctx context.Context, on bool) error {
	if on {
		return nil
	}
	name, err := findReader(ctx, p.reader)
	if err == nil {
		err = nfc.CutPower(ctx, name)
	}
	if errors.Is(err, nfc.ErrNoCard) { // which is off already
		return nil
	}
	return err
}

func (p *pcscField) Probe(ctx context.Context) (string, error) {
	name, err := findReader(ctx, p.reader)
	return "PC/SC sees " + name, err
}

// layOn puts the key on its reader, which it may lie on already: for the key it is out of
// the field before, so that it is touched anew and nothing is selected.
func (p *Place) layOn(ctx context.Context) (nfc.Card, error) {
	if err := p.renewField(ctx); err != nil {
		return nil, err
	}
	for end := time.Now().Add(p.bench.Times.Enumerate); ; {
		card, err := p.card(ctx)
		if err == nil {
			return card, nil
		}
		if !errors.Is(err, nfc.ErrNoCard) || time.Now().After(end) || ctx.Err() != nil {
			p.fault(err)
			return nil, err
		}
		if err := pause(ctx, lookInterval); err != nil {
			return nil, err
		}
	}
}

// renewField takes the field from the key and gives it back, if anything can.
func (p *Place) renewField(ctx context.Context) error {
	if !p.hasField() {
		return nil
	}
	p.setSwitching(true)
	defer p.setSwitching(false)
	if err := p.setField(ctx, false); err != nil {
		return err
	}
	if _, ok := p.Reader.Field.Switch.(*pcscField); !ok { // which takes the power and gives it at once
		if err := pause(ctx, p.bench.Times.Settle); err != nil {
			return err
		}
	}
	return p.setField(ctx, true)
}

func (p *Place) setField(ctx context.Context, on bool) error {
	if err := p.Reader.Field.Set(ctx, on); err != nil {
		return fmt.Errorf("key %s: field: %w", p.Name, err)
	}
	return nil
}

// findReader returns the one reader that a part of a name means, or the only one of
// them with a card in it.
func findReader(ctx context.Context, part string) (string, error) {
	readers, err := nfc.Readers(ctx)
	if err != nil {
		return "", err
	}
	var found, loaded []string
	for _, r := range readers {
		if r.Name == part {
			return part, nil
		}
		if strings.Contains(strings.ToLower(r.Name), strings.ToLower(part)) {
			found = append(found, r.Name)
			if r.Present {
				loaded = append(loaded, r.Name)
			}
		}
	}
	if len(loaded) == 1 {
		return loaded[0], nil
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%q: %w; 'fidokey doctor' lists them", part, nfc.ErrNoReader)
	case 1:
		return found[0], nil
	}
	err = fmt.Errorf("%q is part of the names of %d readers: %q", part, len(found), found)
	if len(loaded) == 0 { // of a reader with several slots, it lies in none
		err = fmt.Errorf("%w: %w", nfc.ErrNoCard, err)
	}
	return "", err
}
