package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/entra/enrol"
	"github.com/fidokey/fidokey/transport/nfc"
)

// pluggedKeys are the keys that an enrolment takes: those that --device names, separated
// by commas, or any, as they are plugged in.
type pluggedKeys struct {
	e      *env
	finite bool                                       // no more come than there are now
	system func(ctx context.Context) ([]place, error) // what is plugged in

	mu     sync.Mutex
	named  []place              // in software, on a bench: each is there once
	first  bool                 // the list was not read yet
	looked time.Time            // when it was read last
	since  map[string]time.Time // since when a key is there
	gone   map[string]bool      // was handed out
	there  []place
}

// lookInterval is how often the system is asked what is plugged in.
const lookInterval = 200 * time.Millisecond

func newPluggedKeys(ctx context.Context, e *env, noWait bool) (*pluggedKeys, error) {
	p := &pluggedKeys{e: e, finite: noWait, first: true, since: map[string]time.Time{}, gone: map[string]bool{}}
	p.system = p.readSystem
	names := strings.Split(e.global.device, ",")
	for _, name := range names {
		if isBeyondList(name) && !strings.HasPrefix(name, readerPrefix) { // readers are looked into, again and again
			places, err := e.placesNamed(ctx, name)
			if err != nil {
				return nil, err
			}
			p.named = append(p.named, places...)
		}
	}
	if p.named == nil {
		return p, nil
	}
	if len(p.named) != len(names) {
		return nil, usageError{fmt.Errorf("--device %s: keys in software and on a bench do not go with those that are plugged in", e.global.device)}
	}
	p.finite = true
	return p, nil
}

// Next is enrol.Keys.
func (p *pluggedKeys) Next(ctx context.Context, wait bool) (*enrol.Plugged, error) {
	for {
		found, err := p.look(ctx)
		if found != nil || err != nil || !wait || p.finite {
			return found, err
		}
		select {
		case <-time.After(lookInterval):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// look returns the next key that was not handed out, if there is one.
func (p *pluggedKeys) look(ctx context.Context) (*enrol.Plugged, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.named != nil {
		return p.handOut(p.named, 0)
	}
	if time.Since(p.looked) >= lookInterval {
		if err := p.list(ctx); err != nil {
			return nil, err
		}
	}
	// A key that was plugged in just now starts, and the system gives this user the right
	// to it.
	return p.handOut(p.there, settleTime)
}

func (p *pluggedKeys) handOut(places []place, settled time.Duration) (*enrol.Plugged, error) {
	for _, place := range places {
		name := placeName(place)
		if p.gone[name] || time.Since(p.since[name]) < settled {
			continue
		}
		p.gone[name] = true
		return p.plugged(place), nil
	}
	return nil, nil
}

func placeName(p place) string { return p.device.Path + "\x00" + p.device.Serial }

// list reads what is plugged in. Keys that are not there any more may come again.
func (p *pluggedKeys) list(ctx context.Context) error {
	places, err := p.system(ctx)
	if err != nil {
		return err
	}
	if p.there, err = p.chosen(places); err != nil {
		return err
	}
	present := map[string]bool{}
	for _, place := range places {
		name := placeName(place)
		present[name] = true
		if _, known := p.since[name]; !known && !p.first {
			p.since[name] = time.Now()
		} else if !known {
			p.since[name] = time.Time{}
		}
	}
	for name := range p.since {
		if !present[name] {
			delete(p.since, name)
			delete(p.gone, name)
		}
	}
	p.first, p.looked = false, time.Now()
	return nil
}

// readSystem is what is on USB and in readers.
func (p *pluggedKeys) readSystem(ctx context.Context) ([]place, error) {
	places, err := p.e.hidPlaces()
	return append(places, p.cards(ctx)...), err
}

// cards are the readers with a key in them. A card is asked what it is when it comes; a
// second conversation would disturb the first.
func (p *pluggedKeys) cards(ctx context.Context) (places []place) {
	readers, err := nfc.Readers(ctx)
	if err != nil {
		return nil // there are keys without readers
	}
	for _, r := range readers {
		if !r.Present || r.Pretender != "" {
			continue
		}
		place := p.e.readerPlace(r.Name)
		if _, known := p.since[placeName(place)]; known || hasApplet(ctx, r.Name) {
			places = append(places, place)
		}
	}
	return places
}

// chosen leaves those that --device names: by path, serial number, index, or reader.
func (p *pluggedKeys) chosen(places []place) (chosen []place, err error) {
	if p.e.global.device == "" {
		return places, nil
	}
	for name := range strings.SplitSeq(p.e.global.device, ",") {
		if reader, ok := strings.CutPrefix(name, readerPrefix); ok {
			for _, place := range places {
				if place.onReader() && strings.Contains(strings.ToLower(place.device.Path), strings.ToLower(reader)) {
					chosen = append(chosen, place)
				}
			}
			continue
		}
		found := named(places, name)
		if found == nil && p.first && p.finite {
			return nil, noKeyError{fmt.Errorf("no security key has the path, index or serial number %q; models are chosen by the column aaguid of the list", name)}
		}
		chosen = append(chosen, found...)
	}
	return chosen, nil
}

// plugged opens the key. Rights to one that was plugged in may come a little late.
func (p *pluggedKeys) plugged(place place) *enrol.Plugged {
	return &enrol.Plugged{
		Path: place.device.Path, Serial: place.device.Serial, Product: place.device.name(),
		Open: func(ctx context.Context, prompt client.Prompt) (*client.Key, func() error, error) {
			for end := time.Now().Add(2 * time.Second); ; {
				key, err := place.open(ctx, prompt)
				if err == nil {
					return key.Key, key.Close, nil
				}
				if !errors.Is(err, fs.ErrPermission) || time.Now().After(end) {
					return nil, nil, err
				}
				time.Sleep(lookInterval)
			}
		},
	}
}
