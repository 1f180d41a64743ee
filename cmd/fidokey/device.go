package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/fidokey/fidokey/client"
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
	afterClose func() error // closes what the key stood on; may be nil
}

func (k *openedKey) Close() error {
	err := k.Key.Close()
	if k.afterClose != nil {
		err = errors.Join(err, k.afterClose())
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

// openKey opens the key that --device names, or the only one that is plugged in.
func (e *env) openKey(ctx context.Context, prompt client.Prompt) (*openedKey, error) {
	if e.global.device == simulatorName {
		return e.openSimulator(ctx, prompt)
	}
	if dial := socketDialer(e.global.device); dial != nil {
		port, err := dial()
		if err != nil {
			return nil, noKeyError{err}
		}
		return e.openPort(ctx, port, deviceInfo{Path: e.global.device, Product: "software key"}, prompt)
	}
	devices, err := hid.Devices(hid.Backend(e.global.backend))
	if err != nil {
		return nil, err
	}
	chosen, err := choose(devices, e.global.device)
	if err != nil {
		return nil, err
	}
	return e.openHID(ctx, chosen, prompt)
}

func (e *env) openHID(ctx context.Context, d hid.Info, prompt client.Prompt) (*openedKey, error) {
	port, err := hid.OpenPath(hid.Backend(e.global.backend), d.Path)
	if err != nil {
		return nil, err
	}
	return e.openPort(ctx, port, describe(d), prompt)
}

// openPort allocates a channel on a port, which it closes when that fails.
func (e *env) openPort(ctx context.Context, port hid.Port, d deviceInfo, prompt client.Prompt) (*openedKey, error) {
	ctx, cancel := context.WithTimeout(ctx, e.global.timeout)
	defer cancel()
	dev, err := hid.Open(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.Path, err)
	}
	options := client.Options{Prompt: prompt, Timeout: e.global.timeout}
	if e.global.spendLastTries {
		options.MinRetries = 1
	}
	return &openedKey{Key: client.New(dev, options), device: d}, nil
}

// socketDialer returns how to open a software key that is named as
// unix:PATH, tcp:HOST:PORT, udp:HOST:PORT or, with a port of our own that such a
// key answers to, udp:HOST:PORT:REPLYPORT. It is nil for other names.
func socketDialer(device string) func() (hid.Port, error) {
	network, address, _ := strings.Cut(device, ":")
	switch network {
	case "unix":
		return func() (hid.Port, error) { return hid.DialUnix(address) }
	case "tcp":
		return func() (hid.Port, error) { return hid.DialTCP(address) }
	case "udp":
		var reply uint64
		if i := strings.LastIndexByte(address, ':'); strings.Count(address, ":") > 1 && !strings.HasSuffix(address[:i], "]") {
			var err error
			if reply, err = strconv.ParseUint(address[i+1:], 10, 16); err != nil {
				return func() (hid.Port, error) { return nil, fmt.Errorf("%s: %w", device, err) }
			}
			address = address[:i]
		}
		return func() (hid.Port, error) { return hid.DialUDP(address, uint16(reply)) }
	}
	return nil
}

// choose finds the key that name means among those plugged in: by path, serial
// number or index, in this order. An empty name means the only one.
func choose(devices []hid.Info, name string) (hid.Info, error) {
	if name == "" {
		switch len(devices) {
		case 0:
			return hid.Info{}, noKeyError{errors.New("no security key found: plug one in, or try '--device simulator'")}
		case 1:
			return devices[0], nil
		}
		return hid.Info{}, noKeyError{errors.New("several security keys are plugged in; choose one with --device:\n" + overview(devices))}
	}
	for _, d := range devices {
		if d.Path == name {
			return d, nil
		}
	}
	for _, d := range devices {
		if d.Serial != "" && d.Serial == name {
			return d, nil
		}
	}
	if n, err := strconv.Atoi(name); err == nil && n >= 1 && n <= len(devices) {
		return devices[n-1], nil
	}
	if strings.ContainsAny(name, `/\`) {
		// Not in the list: opening says why, for it may be no FIDO device at all.
		return hid.Info{Path: name}, nil
	}
	if len(devices) == 0 {
		return hid.Info{}, noKeyError{fmt.Errorf("no security key found that could be %q", name)}
	}
	return hid.Info{}, noKeyError{fmt.Errorf("no security key has the path, serial number or index %q; there are:\n%s", name, overview(devices))}
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
func overview(devices []hid.Info) string {
	var lines []string
	for i, d := range devices {
		line := fmt.Sprintf("  %d  %s  %s", i+1, d.Path, describe(d).name())
		if d.Serial != "" {
			line += "  serial " + printable(d.Serial)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
