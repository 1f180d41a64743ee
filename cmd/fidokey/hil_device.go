package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/bench"
	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/transport/nfc"
)

// benchPrefix is that of a --device on a bench, followed by its name there.
const benchPrefix = "bench:"

// benchPlace is a key on the bench of $FIDOKEY_BENCH, which is locked while it is
// open, touched when it blinks, and plugged in again when that is asked for.
func (e *env) benchPlace(name string) place {
	device := deviceInfo{Path: benchPrefix + printable(name), Product: "key on a bench"}
	return place{device, func(ctx context.Context, prompt client.Prompt) (*openedKey, error) {
		b, err := (&hilOptions{}).open(e)
		if err != nil {
			return nil, err
		}
		key, err := e.openOnBench(ctx, b, name, prompt)
		if err != nil {
			return nil, errors.Join(err, b.Close())
		}
		key.afterClose = append(key.afterClose, b.Close)
		return key, nil
	}}
}

func (e *env) openOnBench(ctx context.Context, b *bench.Bench, name string, prompt client.Prompt) (_ *openedKey, err error) {
	p, err := b.Place(name)
	if err != nil {
		return nil, err
	}
	lock, err := p.Lock(ctx, e.global.timeout)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Unlock())
		}
	}()
	verdict, err := p.Judge(ctx)
	if err != nil {
		return nil, err
	}
	found, dev, err := p.Open(ctx)
	if err != nil {
		return nil, err
	}
	device := *foundDevice(found)
	key, err := e.newKey(dev, device, prompt, nil)
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	if s := p.Slot(verdict); s != nil {
		key.slot = s
	}
	key.afterClose = append(key.afterClose, func() error { return noteAfter(p, verdict) }, lock.Unlock)
	return key, nil
}

// noteAfter has the bench note what a command left on a key that it may wipe: that is
// the bench's.
func noteAfter(p *bench.Place, before *bench.Verdict) error {
	if !before.Released {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), nfc.DefaultTimeout)
	defer cancel()
	if err := p.Note(ctx); err != nil {
		return fmt.Errorf("what is on the key now was not noted: %w", err)
	}
	return nil
}
