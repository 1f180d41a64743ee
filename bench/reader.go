package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"

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
	if err != nil {
		return err
	}
	if err := nfc.CutPower(ctx, name); !errors.Is(err, nfc.ErrNoCard) { // which is off already
		return err
	}
	return nil
}

func (p *pcscField) Probe(ctx context.Context) (string, error) {
	name, err := findReader(ctx, p.reader)
	return "PC/SC sees " + name, err
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
	return "", fmt.Errorf("%q is part of the names of %d readers: %q", part, len(found), found)
}
