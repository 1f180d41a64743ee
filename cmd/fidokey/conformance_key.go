package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/text/unicode/norm"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/conformance/record"
	"github.com/fidokey/fidokey/conformance/simulated"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/virtualtime"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

// suiteProfile is what the simulator plays for the suite unless it is told
// otherwise: the key on which every case can run.
const suiteProfile = "ctap-2.3"

// The doors of a simulated key that the suite takes.
const (
	bothDoors = "both"
	hidDoor   = "hid"
	nfcDoor   = "nfc"
)

// A suiteKey is a key that the suite runs on, with all that it takes.
type suiteKey struct {
	device   deviceInfo
	key      record.Key
	released bool   // may be reset
	ownTime  bool   // is not that of the clock
	seed     string // of a recording
	again    string // the flags that name the key
	// run runs the cases of a selection and calls its Report for each result, from
	// whichever goroutine. It returns an error when the key is gone.
	run func(ctx context.Context, sel conformance.Selection) error
	// recorded says which cases a recording has; nil: it is none.
	recorded func(c *conformance.Case) bool
	// close gives the key back; nil: there is nothing to be given back.
	close func() error
}

// suiteKeyOf is the key that --device names: the simulator, new and released, or
// one that is in use.
func (e *env) suiteKeyOf(ctx context.Context, o *conformanceRunOptions) (*suiteKey, error) {
	if e.global.device == simulatorName {
		profile := suiteProfile
		if o.profileGiven {
			profile = e.global.simulatorProfile
		}
		key, err := simulatedSuiteKey(profile, o.door, o.endurance)
		if err != nil {
			return nil, err
		}
		if o.profileGiven {
			key.again += " --simulator-profile " + profile
		}
		return key, nil
	}
	if file, ok := strings.CutPrefix(e.global.device, tracePrefix); ok {
		return suiteKeyOfTrace(file)
	}
	if name, ok := strings.CutPrefix(e.global.device, benchPrefix); ok {
		return e.suiteKeyOnBench(ctx, name)
	}
	return e.suiteKeyInUse(ctx, o)
}

// simulatedSuiteKey is a new simulated key, in a time in which waiting takes none.
func simulatedSuiteKey(name, doors string, endurance int) (*suiteKey, error) {
	profile, err := simulator.LoadProfile(name)
	if err != nil {
		return nil, usageError{err}
	}
	info := profile.GetInfo
	if !slices.Contains(info.Versions, ctap2.VersionFIDO20) {
		return nil, fmt.Errorf("the suite is for CTAP2: %w", client.ErrU2FOnly)
	}
	key := &suiteKey{
		device: deviceInfo{Path: simulatorName, Product: "fidokey simulator"}, released: true, ownTime: true, again: " --device simulator",
		key: keyOf(&info, "fidokey simulator", simulatorName),
	}
	key.key.Profile = profile.Name
	if doors != bothDoors {
		key.again += " --door " + doors
	}
	key.run = func(ctx context.Context, sel conformance.Selection) (err error) {
		virtualtime.Run(func() { err = runSimulated(ctx, profile, doors, endurance, sel) })
		return err
	}
	return key, nil
}

func runSimulated(ctx context.Context, profile *simulator.Profile, doors string, endurance int, sel conformance.Selection) error {
	bench, key, err := simulated.New(profile)
	if err != nil {
		return err
	}
	defer key.Close()
	bench.Endurance = endurance
	if profile.Name != suiteProfile {
		bench.Become = nil // what the key is not was not asked for
	}
	switch {
	case doors == nfcDoor && bench.Card == nil, doors == hidDoor && bench.Port == nil:
		return usageError{fmt.Errorf("the profile %s has no such door", profile.Name)}
	case doors == nfcDoor:
		bench.Port = nil
	case doors == hidDoor:
		bench.Card = nil
	}
	conformance.Run(outerContext{context.Background(), ctx}, bench, sel)
	return nil
}

// outerContext ends as another context does, and lets nobody wait for that: in
// virtual time, waiting for something of real time takes real time.
type outerContext struct {
	context.Context
	outer context.Context
}

func (c outerContext) Err() error { return c.outer.Err() }

// keyOf is what a report says of a key.
func keyOf(info *ctap2.GetInfoResponse, name, path string) record.Key {
	key := record.Key{Name: name, Path: path, AAGUID: info.AAGUID.String(), Firmware: info.FirmwareVersion}
	for _, v := range info.Versions {
		key.Versions = append(key.Versions, string(v))
	}
	return key
}

// suiteKeyInUse is a key that somebody has: nothing on it is destroyed. Its PIN is
// tried here, once, so that a wrong one costs one try.
func (e *env) suiteKeyInUse(ctx context.Context, o *conformanceRunOptions) (*suiteKey, error) {
	var pin []byte
	prompt := e.prompt(&o.pin, nil)
	prompt.PIN = func(_ context.Context, r client.PINRequest) (entered []byte, err error) {
		e.note("PIN: %v.", r.Retries)
		entered, err = o.pin.read(e)
		pin = bytes.Clone(norm.NFC.Bytes(entered)) // what is returned gets wiped
		return entered, err
	}
	opened, err := e.openKey(ctx, prompt)
	if err != nil {
		return nil, err
	}
	info, err := inspectForSuite(ctx, opened, o)
	if err = errors.Join(err, opened.Close()); err != nil {
		return nil, err
	}
	s := &suiteKey{device: opened.device, key: keyOf(info, modelName(info.AAGUID), opened.device.Path)}
	if e.global.device != "" {
		s.again = " --device " + shellWord(e.global.device)
	}
	s.again += o.pin.again()
	s.run = func(ctx context.Context, sel conformance.Selection) error {
		ctx, stop := context.WithCancelCause(ctx)
		defer stop(nil)
		watch := &goneWatch{stop: stop}
		bench := e.benchInUse(ctx, opened.device.Path, watch, o)
		bench.PIN = string(pin)
		conformance.Run(ctx, bench, sel)
		return watch.err()
	}
	return s, nil
}

// inspectForSuite reads what the key is, and has the PIN tried if one is given and
// set.
func inspectForSuite(ctx context.Context, key *openedKey, o *conformanceRunOptions) (*ctap2.GetInfoResponse, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	if len(info.Raw) == 0 {
		return nil, fmt.Errorf("the suite is for CTAP2: %w", client.ErrU2FOnly)
	}
	if set, _ := info.Option(ctap2.OptionClientPIN); set && o.pin.given() {
		return info, key.VerifyPIN(ctx)
	}
	return info, nil
}

// benchInUse is the bench of a key that nobody has released, with a person before
// it or nobody.
func (e *env) benchInUse(ctx context.Context, path string, watch *goneWatch, o *conformanceRunOptions) *conformance.Bench {
	bench := &conformance.Bench{Unattended: o.untouched, Endurance: o.endurance, Blink: func(c *conformance.Case) {
		e.wait(c.ID+": touch your security key...", eventTouch, map[string]any{"command": c.ID})
	}}
	if reader, ok := strings.CutPrefix(path, readerPrefix); ok {
		bench.Card = func() (nfc.Card, error) {
			if err := watch.note(nfc.CutPower(ctx, reader)); err != nil {
				return nil, err
			}
			card, err := nfc.OpenReader(ctx, reader)
			if watch.note(err) != nil {
				return nil, err
			}
			return &watchedCard{card, watch}, nil
		}
		return bench
	}
	bench.Port = func() (hid.Port, error) {
		port, err := e.lockedPort(ctx, path)
		if watch.note(err) != nil {
			return nil, err
		}
		return &watchedPort{Port: port, watch: watch}, nil
	}
	return bench
}

// lockedPort opens a port and takes it from other programs.
func (e *env) lockedPort(ctx context.Context, path string) (port hid.Port, err error) {
	if dial := hid.Dialer(path); dial != nil {
		port, err = dial()
	} else {
		port, err = hid.OpenPath(hid.Backend(e.global.backend), path)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, e.global.timeout)
	defer cancel()
	if err := hid.Lock(ctx, port); err != nil {
		port.Close()
		return nil, err
	}
	return port, nil
}

// A goneWatch ends a run when its key is gone: no case that follows says anything
// about it.
type goneWatch struct {
	stop context.CancelCauseFunc
	mu   sync.Mutex
	gone error
}

// note keeps the first error of a key that is gone, and passes it on.
func (w *goneWatch) note(err error) error {
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.gone == nil {
			w.gone = err
		}
		w.stop(err)
	}
	return err
}

func (w *goneWatch) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone
}

// A watchedPort tells when the key behind it goes.
type watchedPort struct {
	hid.Port
	watch  *goneWatch
	closed bool
}

func (p *watchedPort) Read(report []byte) (int, error) {
	n, err := p.Port.Read(report)
	return n, p.look(err)
}

func (p *watchedPort) Write(report []byte) (int, error) {
	n, err := p.Port.Write(report)
	return n, p.look(err)
}

func (p *watchedPort) look(err error) error {
	if errors.Is(err, transport.ErrClosed) && !p.closed {
		p.watch.note(err)
	}
	return err
}

func (p *watchedPort) Close() error {
	p.closed = true
	return p.Port.Close()
}

// A watchedCard tells when the key behind it is taken away.
type watchedCard struct {
	nfc.Card
	watch *goneWatch
}

func (c *watchedCard) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	answer, err := c.Card.Transmit(ctx, apdu)
	if errors.Is(err, transport.ErrClosed) {
		c.watch.note(err)
	}
	return answer, err
}

// shellWord quotes a word for a shell where that is needed.
func shellWord(word string) string {
	if strings.ContainsFunc(word, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:@+,=%", r)
	}) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

// again are the flags that the PIN comes from.
func (s *pinSource) again() string {
	switch {
	case s.file != "":
		return " --pin-file " + shellWord(s.file)
	case s.variable != "":
		return " --pin-env " + shellWord(s.variable)
	case s.stdin:
		return " --pin-stdin"
	}
	return ""
}
