package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/internal/term"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/nfc"
)

// readerPrefix is that of a --device in a smart-card reader, followed by the
// reader's name or a part of it.
const readerPrefix = "pcsc:"

func (p place) onReader() bool { return strings.HasPrefix(p.device.Path, readerPrefix) }

// cards lists the keys that lie in readers. Cards without the FIDO applet are none,
// nor are interfaces that only pretend to be a key. A system without smart cards
// has none.
func (e *env) cards(ctx context.Context) ([]place, error) {
	ctx, cancel := context.WithTimeout(ctx, e.global.timeout)
	defer cancel()
	readers, err := nfc.Readers(ctx)
	if errors.Is(err, transport.ErrUnsupported) || errors.Is(err, nfc.ErrNoService) {
		return nil, nil
	}
	isKey := make([]bool, len(readers))
	var all sync.WaitGroup
	for i, r := range readers {
		if r.Present && r.Pretender == "" {
			all.Go(func() { isKey[i] = hasApplet(ctx, r.Name) })
		}
	}
	all.Wait()
	var places []place
	for i, r := range readers {
		if isKey[i] {
			places = append(places, e.readerPlace(r.Name))
		}
	}
	return places, err
}

// hasApplet reports whether there is a key in a reader, as far as the card does not
// deny it.
func hasApplet(ctx context.Context, reader string) bool {
	dev, err := openCard(ctx, reader)
	if err == nil {
		dev.Close()
	}
	var refused nfc.StatusWord
	return err == nil || !errors.As(err, &refused) && !errors.Is(err, nfc.ErrNoCard)
}

func openCard(ctx context.Context, reader string) (*nfc.Device, error) {
	card, err := nfc.OpenReader(ctx, reader)
	if err != nil {
		return nil, err
	}
	return nfc.Open(ctx, card)
}

// readersNamed returns the reader that a name means: all of it, or a part that
// only one has, or only one with a card in it. An empty name fits all. Pretenders
// can be named, too.
func (e *env) readersNamed(ctx context.Context, name string) ([]place, error) {
	ctx, cancel := context.WithTimeout(ctx, e.global.timeout)
	defer cancel()
	readers, err := nfc.Readers(ctx)
	switch {
	case errors.Is(err, transport.ErrUnsupported): // this build
		return nil, usageError{err}
	case err != nil:
		return nil, err
	case len(readers) == 0:
		return nil, noKeyError{errors.New("there is no smart-card reader")}
	}
	var fit []nfc.ReaderInfo
	for _, r := range readers {
		if r.Name == name {
			fit = []nfc.ReaderInfo{r}
			break
		}
		if strings.Contains(strings.ToLower(r.Name), strings.ToLower(name)) {
			fit = append(fit, r)
		}
	}
	if len(fit) == 0 {
		return nil, noKeyError{fmt.Errorf("no smart-card reader is called %q; there are:\n%s", name, readerList(readers))}
	}
	if loaded := slices.DeleteFunc(slices.Clone(fit), func(r nfc.ReaderInfo) bool { return !r.Present }); len(loaded) == 1 {
		fit = loaded
	}
	if len(fit) > 1 {
		return nil, noKeyError{fmt.Errorf("several smart-card readers fit; choose one with --device %sNAME:\n%s", readerPrefix, readerList(fit))}
	}
	return []place{e.readerPlace(fit[0].Name)}, nil
}

func readerList(readers []nfc.ReaderInfo) string {
	var lines []string
	for _, r := range readers {
		lines = append(lines, "  "+printable(r.Name))
	}
	return strings.Join(lines, "\n")
}

// readerPlace is a reader, in which there need not be a key yet.
func (e *env) readerPlace(reader string) place {
	device := deviceInfo{Path: readerPrefix + printable(reader), Product: printable(reader)}
	return place{device, func(ctx context.Context, prompt client.Prompt) (*openedKey, error) {
		slot := nfc.NewSlot(reader)
		early := &earlyPIN{}
		dev, err := e.openInReader(ctx, reader, slot, early, &prompt)
		if err != nil {
			early.forget()
			return nil, fmt.Errorf("%s: %w", device.Path, err)
		}
		prompt.Replug = e.askTap
		key, err := e.newKey(dev, device, prompt, slot)
		if err != nil {
			early.forget()
			return nil, errors.Join(err, dev.Close())
		}
		key.afterClose = append(key.afterClose, func() error { early.forget(); return nil })
		return key, nil
	}}
}

// openInReader opens the key in a reader. If there is none yet, the person is asked
// for the PIN first, where one may be needed, and then to hold the key there, so
// that it need not stay for longer than the key takes.
func (e *env) openInReader(ctx context.Context, reader string, slot *nfc.Slot, early *earlyPIN, prompt *client.Prompt) (transport.Device, error) {
	short, cancel := context.WithTimeout(ctx, e.global.timeout)
	defer cancel()
	dev, err := openCard(short, reader)
	if !errors.Is(err, nfc.ErrNoCard) {
		if err != nil {
			return nil, err
		}
		return dev, nil
	}
	if ctx.Value(asksNobody{}) != nil {
		return nil, err
	}
	if prompt.PIN != nil && !e.pinGiven {
		if err := early.ask(ctx, prompt); err != nil {
			return nil, err
		}
	}
	e.waitUntil(e.deadline(), "Hold your security key to the reader, and leave it there...", eventReinsert, map[string]any{"stage": "insert"})
	return timedSlot{slot, e, errNotTapped}.Inserted(ctx)
}

// asksNobody is in the context of whoever only looks what is there.
type asksNobody struct{}

// askTap says what is to be done with a key in a reader.
func (e *env) askTap(r client.Replug) {
	if r == client.PlugIn {
		e.waitUntil(e.deadline(), "Hold it to the reader again, and leave it there...", eventReinsert, map[string]any{"stage": "insert"})
		return
	}
	e.waitUntil(e.deadline(), "Take your security key off the reader...", eventReinsert, map[string]any{"stage": "remove"})
}

// An earlyPIN is one that was typed before there was a key. It is tried once; if it
// is wrong, or too short, the person is asked as with any key.
type earlyPIN struct{ entered []byte }

// ask asks for the PIN, where there is somebody who can be asked, and has prompt
// give it.
func (p *earlyPIN) ask(ctx context.Context, prompt *client.Prompt) (err error) {
	p.entered, err = term.ReadSecret(ctx, "PIN of the key (none: just press Enter): ")
	if errors.Is(err, term.ErrNoTerminal) {
		return nil // the key may need none
	}
	ask := prompt.PIN
	prompt.PIN = func(ctx context.Context, r client.PINRequest) ([]byte, error) {
		if len(p.entered) == 0 {
			return ask(ctx, r)
		}
		entered := bytes.Clone(p.entered)
		p.forget()
		return entered, nil
	}
	return err
}

func (p *earlyPIN) forget() {
	clear(p.entered)
	p.entered = nil
}
