package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// simulatorName is the --device of the simulator in this process.
const simulatorName = "simulator"

// deviceInfo is what JSON says of where a key is.
type deviceInfo struct {
	Path         string `json:"path"`
	Manufacturer string `json:"manufacturer,omitempty"`
	Product      string `json:"product,omitempty"`
	Serial       string `json:"serial,omitempty"`
	VendorID     string `json:"vendorId,omitempty"`  // four hexadecimal digits
	ProductID    string `json:"productId,omitempty"` // four hexadecimal digits
	State        string `json:"state,omitempty"`     // the simulator's file
}

func describe(d hid.Info) deviceInfo {
	info := deviceInfo{
		Path: d.Path, Manufacturer: printable(d.Manufacturer), Product: printable(d.Product), Serial: printable(d.Serial),
	}
	if d.VendorID != 0 || d.ProductID != 0 {
		info.VendorID, info.ProductID = fmt.Sprintf("%04x", d.VendorID), fmt.Sprintf("%04x", d.ProductID)
	}
	return info
}

func (d deviceInfo) name() string {
	return strings.TrimSpace(strings.TrimPrefix(d.Product, d.Manufacturer+" "))
}

// openedKey is a key with its place.
type openedKey struct {
	*client.Key
	device     deviceInfo
	dev        transport.Device // below the Key
	slot       client.Slot      // where it is plugged in; nil if that is not known
	afterClose []func() error   // closes what the key stood on
}

func (k *openedKey) Close() error {
	err := k.Key.Close()
	for _, f := range k.afterClose {
		err = errors.Join(err, f())
	}
	return err
}

// withKey opens the key that --device names, or the only one that is plugged in,
// and closes it after use.
func (e *env) withKey(ctx context.Context, prompt client.Prompt, use func(key *openedKey) error) error {
	key, err := e.openKey(ctx, prompt)
	if err != nil {
		return err
	}
	return errors.Join(use(key), key.Close())
}

// A place is where a key is, before it is opened.
type place struct {
	device deviceInfo
	open   func(ctx context.Context, prompt client.Prompt) (*openedKey, error)
}

// places lists the keys that --device may choose from, or the one that it names
// beyond the list: the simulator in this process, a software key, a path.
func (e *env) places(ctx context.Context) ([]place, error) {
	return e.placesNamed(ctx, e.global.device)
}

func (e *env) placesNamed(ctx context.Context, name string) ([]place, error) {
	if name == simulatorName {
		return []place{{deviceInfo{Path: simulatorName, Product: "fidokey simulator"}, e.openSimulator}}, nil
	}
	if file, ok := strings.CutPrefix(name, tracePrefix); ok {
		return []place{e.tracePlace(file)}, nil
	}
	if onBench, ok := strings.CutPrefix(name, benchPrefix); ok {
		return []place{e.benchPlace(onBench)}, nil
	}
	if dial := hid.Dialer(name); dial != nil {
		device := deviceInfo{Path: name, Product: "software key"}
		return []place{{device, func(ctx context.Context, prompt client.Prompt) (*openedKey, error) {
			port, err := dial()
			if err != nil {
				return nil, noKeyError{err}
			}
			key, err := e.openPort(ctx, port, device, prompt)
			if err == nil {
				key.slot = &socketSlot{dial: dial, dev: key.dev.(pinger)}
			}
			return key, err
		}}}, nil
	}
	if reader, ok := strings.CutPrefix(name, readerPrefix); ok {
		return e.readersNamed(ctx, reader)
	}
	places, err := e.hidPlaces()
	if err != nil || strings.ContainsAny(name, `/\`) { // a path is that of a HID device
		return places, err
	}
	cards, err := e.cards(ctx)
	if len(places) > 0 {
		err = nil // there are keys without readers
	}
	return append(places, cards...), err
}

// isBeyondList reports whether --device names a place that placesNamed returns alone.
func isBeyondList(name string) bool {
	return name == simulatorName || hid.Dialer(name) != nil || strings.HasPrefix(name, tracePrefix) ||
		strings.HasPrefix(name, benchPrefix) || strings.HasPrefix(name, readerPrefix)
}

// hidPlaces lists the keys on USB.
func (e *env) hidPlaces() ([]place, error) {
	devices, err := hid.Devices(hid.Backend(e.global.backend))
	if errors.Is(err, transport.ErrUnsupported) { // no such backend
		return nil, usageError{err}
	}
	if err != nil {
		return nil, err
	}
	var places []place
	for _, d := range devices {
		p := e.hidPlace(d)
		places = append(places, place{p.device, func(ctx context.Context, prompt client.Prompt) (*openedKey, error) {
			key, err := p.open(ctx, prompt)
			if err == nil {
				key.slot = hid.NewSlot(hid.Backend(e.global.backend), d)
			}
			return key, err
		}})
	}
	return places, nil
}

func (e *env) hidPlace(d hid.Info) place {
	device := describe(d)
	return place{device, func(ctx context.Context, prompt client.Prompt) (*openedKey, error) {
		port, err := hid.OpenPath(hid.Backend(e.global.backend), d.Path)
		if err != nil {
			return nil, e.sentOn(err)
		}
		return e.openPort(ctx, port, device, prompt)
	}}
}

// sentOn adds to the error of a device that this user may not open what works all
// the same, or who can say more.
func (e *env) sentOn(err error) error {
	switch {
	case !errors.Is(err, fs.ErrPermission):
		return err
	case e.keysKept:
		return fmt.Errorf("%w\n'fidokey register' and 'fidokey authenticate' work all the same: they go through Windows", err)
	}
	return fmt.Errorf("%w\n'fidokey doctor' says how this user gets the right to it", err)
}

// openKey opens the key that --device names, or the only one that is plugged in.
// Where that leaves several, the person touches the one that is meant.
func (e *env) openKey(ctx context.Context, prompt client.Prompt) (*openedKey, error) {
	places, err := e.places(ctx)
	if err != nil {
		return nil, err
	}
	if isBeyondList(e.global.device) {
		return places[0].open(ctx, prompt)
	}
	return e.openNamed(ctx, places, e.global.device, prompt)
}

// errNoKey is what a list of keys with nothing in it means to a command.
var errNoKey = noKeyError{errors.New("no security key found: plug one in, hold one to a reader that you name with --device pcsc:READER, or try '--device simulator'")}

// openNamed opens the key of the list that a name means.
func (e *env) openNamed(ctx context.Context, places []place, name string, prompt client.Prompt) (*openedKey, error) {
	if found := named(places, name); len(found) > 0 {
		return e.openOne(ctx, found, prompt)
	}
	if strings.ContainsAny(name, `/\`) {
		// Not in the list: opening says why, for it may be no FIDO device at all.
		key, err := e.hidPlace(hid.Info{Path: name}).open(ctx, prompt)
		if err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, transport.ErrBusy) {
			err = noKeyError{err}
		}
		return key, err
	}
	if len(places) == 0 {
		return nil, errNoKey
	}
	key, err := e.openModel(ctx, places, name, prompt)
	if key == nil && err == nil {
		return nil, noKeyError{fmt.Errorf("no security key has the path, index, serial number, AAGUID or model %q; there are:\n%s", name, overview(places))}
	}
	return key, err
}

// named returns the places that a name means without a question to the keys: by
// path, serial number or index, in this order. An empty name means all.
func named(places []place, name string) []place {
	if name == "" {
		return places
	}
	for _, fits := range []func(deviceInfo) bool{
		func(d deviceInfo) bool { return d.Path == name },
		func(d deviceInfo) bool { return d.Serial != "" && d.Serial == name },
	} {
		for _, p := range places {
			if fits(p.device) {
				return []place{p}
			}
		}
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(places) {
		return places[n-1 : n]
	}
	return nil
}

// openModel opens the key whose AAGUID, or part of whose model name, is name; nil
// if there is none.
func (e *env) openModel(ctx context.Context, places []place, name string, prompt client.Prompt) (*openedKey, error) {
	var found []place
	for _, p := range places {
		key, err := p.open(ctx, client.Prompt{})
		if err != nil {
			continue // not one that can be used
		}
		info, err := key.Info(ctx)
		key.Close()
		if err == nil && isModel(info.AAGUID, name) {
			found = append(found, p)
		}
	}
	if found == nil {
		return nil, nil
	}
	return e.openOne(ctx, found, prompt)
}

func isModel(a ctap2.AAGUID, name string) bool {
	if wanted, err := ctap2.ParseAAGUID(name); err == nil {
		return a == wanted
	}
	return strings.Contains(strings.ToLower(modelName(a)), strings.ToLower(name))
}

// openOne opens the place that there is. Of several the person touches one, if
// there is a terminal to say so.
func (e *env) openOne(ctx context.Context, places []place, prompt client.Prompt) (*openedKey, error) {
	if len(places) == 1 {
		return places[0].open(ctx, prompt)
	}
	touchable := slices.DeleteFunc(slices.Clone(places), place.onReader)
	if !e.liveTerminal() || len(touchable) == 0 {
		return nil, noKeyError{errors.New("several security keys are plugged in; choose one with --device:\n" + overview(places))}
	}
	e.wait("Several security keys are plugged in: touch the one you mean...", eventTouch, map[string]any{"command": "select"})
	return e.openTouched(ctx, touchable, prompt)
}

// openTouched opens all keys, waits until one of them is touched, and closes the
// others.
func (e *env) openTouched(ctx context.Context, places []place, prompt client.Prompt) (*openedKey, error) {
	var opened []*openedKey
	var keys []*client.Key
	var errs []error
	for _, p := range places {
		key, err := p.open(ctx, prompt)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.device.Path, err))
			continue
		}
		opened, keys = append(opened, key), append(keys, key.Key)
	}
	if len(keys) == 0 {
		return nil, errors.Join(errs...)
	}
	chosen, err := client.SelectByTouch(ctx, keys)
	e.live.stop()
	var winner *openedKey
	for _, key := range opened {
		if err == nil && key.Key == chosen {
			winner = key
		} else {
			key.Close()
		}
	}
	return winner, err
}

// openPort allocates a channel on a port, which it closes when that fails.
func (e *env) openPort(ctx context.Context, port hid.Port, d deviceInfo, prompt client.Prompt) (*openedKey, error) {
	ctx, cancel := context.WithTimeout(ctx, e.global.timeout)
	defer cancel()
	dev, err := hid.Open(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Path, err)
	}
	key, err := e.newKey(dev, d, prompt, nil)
	if err != nil {
		return nil, errors.Join(err, dev.Close())
	}
	return key, nil
}

// newKey is a key on an open device, with what the flags say.
func (e *env) newKey(dev transport.Device, d deviceInfo, prompt client.Prompt, slot client.Slot) (*openedKey, error) {
	options := client.Options{Prompt: prompt, Timeout: e.global.timeout, Tokens: e.tokens, PreferPIN: e.pinGiven}
	if slot != nil {
		options.Slot = timedSlot{slot, e, errNotTapped}
	}
	if e.global.spendLastTries {
		options.MinRetries = 1
	}
	key := &openedKey{device: d, dev: dev, slot: slot}
	if e.global.trace != "" {
		w, finish, err := e.startTrace(d)
		if err != nil {
			return nil, err
		}
		options.Trace, key.afterClose = w, []func() error{finish}
	}
	key.Key = client.New(dev, options)
	return key, nil
}

// printable replaces what could steer a terminal in text that comes from a key.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// overview lists keys without opening them.
func overview(places []place) string {
	var lines []string
	for i, p := range places {
		line := fmt.Sprintf("  %d  %s  %s", i+1, p.device.Path, p.device.name())
		if p.device.Serial != "" {
			line += "  serial " + p.device.Serial
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
