package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

const (
	lookInterval  = 50 * time.Millisecond // between two looks at what is plugged in
	personTimeout = time.Minute           // for somebody who unplugs a key
	openTimeout   = 5 * time.Second
)

// Found is a key where the file says that it is.
type Found struct {
	// Path is that of the HID device, or the name of a software key or a reader.
	Path string
	// HID is what the key says of itself before it is opened; zero for others.
	HID hid.Info
	// Port is where on USB it is plugged in, where the system tells.
	Port string
	// Matched are the properties in which it is the key of the file, all of them.
	Matched []string
	// Info is what getInfo says; nil if Find had no need to ask.
	Info *ctap2.GetInfoResponse
}

// Find looks for the key, and opens it if it takes getInfo to tell it. Exactly one
// must fit.
func (p *Place) Find(ctx context.Context) (*Found, error) {
	candidates, err := p.candidates(ctx)
	if err != nil {
		return nil, err
	}
	var found []*Found
	var others, failed error // of keys that looked like ours
	for _, f := range candidates {
		if !p.Match.asks() {
			found = append(found, f)
			continue
		}
		switch err := p.ask(ctx, f); {
		case err != nil:
			failed = errors.Join(failed, fmt.Errorf("%s: %w", f.Path, err))
		case p.Match.differs(f.Info) != "":
			others = errors.Join(others, fmt.Errorf("%s: %s", f.Path, p.Match.differs(f.Info)))
		default:
			found = append(found, f)
		}
	}
	switch {
	case len(found) == 1:
		found[0].Matched = p.Match.properties()
		p.lastPath = found[0].Path
		return found[0], nil
	case len(found) > 1:
		return nil, fmt.Errorf("key %s: %w: %s and %s fit; add a serial number or a port to match", p.Name, ErrAmbiguous, found[0].Path, found[1].Path)
	case failed != nil: // busy, or not permitted: nobody knows whether it is ours
		return nil, fmt.Errorf("key %s: %w", p.Name, failed)
	case others != nil:
		return nil, fmt.Errorf("key %s: %w: %w", p.Name, ErrNotThere, others)
	}
	return nil, fmt.Errorf("key %s: %w: nothing that is plugged in has its %s", p.Name, ErrNotThere, strings.Join(p.Match.properties(), ", "))
}

// candidates are the keys that may be ours, without a question to them.
func (p *Place) candidates(ctx context.Context) ([]*Found, error) {
	if p.Match.Device != "" {
		f := &Found{Path: p.Match.Device}
		if there, err := p.answers(ctx); err != nil || !there {
			return nil, err
		}
		return []*Found{f}, nil
	}
	devices, err := p.bench.devices()
	if err != nil {
		return nil, err
	}
	var fit []*Found
	for _, d := range devices {
		if p.Match.fitsUSB(d, p.bench.usbPort) && !slices.Contains(p.others, d.Path) {
			fit = append(fit, &Found{Path: d.Path, HID: d, Port: p.bench.usbPort(d.Path)})
		}
	}
	return fit, nil
}

// answers looks whether a software key, or one on a reader, is there.
func (p *Place) answers(ctx context.Context) (bool, error) {
	if p.soft != nil {
		on, _ := p.soft.key.Powered()
		return on, nil
	}
	if p.Match.Device == onReader {
		name, err := findReader(ctx, p.Reader.Name)
		if err != nil {
			return false, err
		}
		readers, err := nfc.Readers(ctx)
		return slices.ContainsFunc(readers, func(r nfc.ReaderInfo) bool { return r.Name == name && r.Present }), err
	}
	port, err := hid.Dialer(p.Match.Device)()
	if err != nil {
		return false, nil
	}
	return true, port.Close()
}

// ask opens a key for its getInfo.
func (p *Place) ask(ctx context.Context, f *Found) (err error) {
	return p.use(ctx, f.Path, client.Options{}, func(key *client.Key) error {
		f.Info, err = key.Info(ctx)
		p.sawInfo(f.Info)
		return err
	})
}

// sawInfo notes what is needed later, when the key must not be asked.
func (p *Place) sawInfo(info *ctap2.GetInfoResponse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.longReset = info != nil && info.LongTouchForReset != nil && *info.LongTouchForReset
}

func (p *Place) longTouchForReset() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.longReset
}

// use opens the key at a path for the client's flows.
func (p *Place) use(ctx context.Context, path string, o client.Options, do func(key *client.Key) error) error {
	dev, err := p.device(ctx, path)
	if err != nil {
		return err
	}
	key := client.New(dev, o)
	return errors.Join(do(key), key.Close())
}

// device opens the key at a path.
func (p *Place) device(ctx context.Context, path string) (transport.Device, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if path == onReader {
		card, err := p.card(ctx)
		if err != nil {
			return nil, err
		}
		return opened(nfc.Open(ctx, card))
	}
	port, err := p.port(ctx, path)
	if err != nil {
		return nil, err
	}
	return opened(hid.Open(ctx, port))
}

// opened has no Device that is nil.
func opened[D transport.Device](dev D, err error) (transport.Device, error) {
	if err != nil {
		return nil, err
	}
	return dev, nil
}

// port opens the port at a path, takes it from programs that know nothing of the
// bench's locks, and watches it. hid.Open could not lock what is watched.
func (p *Place) port(ctx context.Context, path string) (hid.Port, error) {
	port, err := p.rawPort(path)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := p.bench.lock(ctx, port); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), port.Close())
	}
	return &watchedPort{Port: port, place: p}, nil
}

func (p *Place) rawPort(path string) (hid.Port, error) {
	switch {
	case p.soft != nil:
		if on, _ := p.soft.key.Powered(); !on {
			return nil, fmt.Errorf("%w: the simulator is unplugged", transport.ErrClosed)
		}
		return p.softPort(), nil
	case p.Match.Device != "":
		return hid.Dialer(path)()
	}
	return p.bench.open(path)
}

// card opens the card on the reader and watches it.
func (p *Place) card(ctx context.Context) (nfc.Card, error) {
	if p.soft != nil {
		return &watchedCard{p.softCard(), p}, nil
	}
	name, err := findReader(ctx, p.Reader.Name)
	if err != nil {
		return nil, err
	}
	card, err := nfc.OpenReader(ctx, name)
	if err != nil {
		return nil, err
	}
	return &watchedCard{card, p}, nil
}

// await looks until the key is there, or gone, which takes until the deadline of
// the bench. It returns how long it took.
func (p *Place) await(ctx context.Context, there bool, began time.Time) (time.Duration, error) {
	limit := p.bench.Times.Enumerate
	if _, ok := p.Power.Switch.(*person); ok {
		limit = personTimeout
	}
	for {
		found, err := p.candidates(ctx)
		took := time.Since(began)
		switch {
		case err == nil && there == (len(found) > 0):
			return took, nil
		case ctx.Err() != nil:
			return took, context.Cause(ctx)
		case took > limit && err != nil:
			return took, err
		case took > limit && there:
			return took, fmt.Errorf("key %s: %w: it did not come back within %v after the power was on", p.Name, ErrNotThere, limit)
		case took > limit:
			return took, fmt.Errorf("key %s: %w: it is still there %v after the power was off; the hub may cut the data lines only, or the kernel did not notice", p.Name, ErrPower, limit)
		}
		select {
		case <-time.After(lookInterval):
		case <-ctx.Done():
		}
	}
}
