//go:build cgo && (darwin || windows || freebsd || (linux && libusb))

package hid

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/karalabe/hid"

	"github.com/fidokey/fidokey/transport"
)

// hidapi finds and opens devices through the C library of that name.
type hidapi struct{}

func newHIDAPI() (system, error) { return hidapi{}, nil }

func (hidapi) devices() ([]Info, error) {
	all, err := hid.Enumerate(0, 0)
	if err != nil {
		return nil, fmt.Errorf("list HID devices: %w", err)
	}
	var infos []Info
	for _, found := range all {
		if _, _, ok := fidoReports(found); ok {
			infos = append(infos, Info{
				Path:         found.Path,
				Manufacturer: found.Manufacturer,
				Product:      found.Product,
				Serial:       found.Serial,
				VendorID:     found.VendorID,
				ProductID:    found.ProductID,
			})
		}
	}
	if len(infos) == 0 {
		return nil, unrecognized(all)
	}
	return infos, nil
}

func (hidapi) open(path string) (Port, error) {
	all, err := hid.Enumerate(0, 0)
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	var other *hid.DeviceInfo
	for _, found := range all {
		if found.Path != path {
			continue
		}
		in, out, ok := fidoReports(found)
		if !ok && !usageUnknown(found) {
			other = &found // macOS lists each usage of a device at the same path
			continue
		}
		device, err := found.Open()
		if err != nil {
			return nil, fmt.Errorf("open key: %s: %w: %s", path, notPermitted(err), openRemedy[runtime.GOOS])
		}
		return &hidapiPort{device: device, in: in, out: out}, nil
	}
	if other != nil {
		return nil, fmt.Errorf("open key: %s is %q (%04x:%04x), not a FIDO device", path, other.Product, other.VendorID, other.ProductID)
	}
	return nil, fmt.Errorf("open key: no HID device %s", path)
}

// openRemedy is the likely cause when a device cannot be opened, by system; the
// library does not tell it.
var openRemedy = map[string]string{
	"windows": "since Windows 10 version 1903 only an administrator can open a FIDO device",
	"darwin":  "another program may have the key open",
	"linux":   "another program may have the key open, or this user has no right to write to its node in /dev/bus/usb",
	"freebsd": "another program may have the key open, or this user has no right to write to its node in /dev/usb",
}

// slice is how long a read stays inside the C library, which nothing can wake.
const slice = 50 * time.Millisecond

// hidapiPort is an open device of the library.
type hidapiPort struct {
	device  hid.Device
	in, out int

	// inside is held for reading by each call into the library, and for writing
	// by Close: the library frees the device even if another thread uses it.
	inside sync.RWMutex
	closed bool // guarded by inside

	mu       sync.Mutex
	deadline time.Time // guarded by mu
}

func (p *hidapiPort) Read(report []byte) (int, error) {
	for {
		p.mu.Lock()
		deadline := p.deadline
		p.mu.Unlock()
		wait := slice
		if !deadline.IsZero() {
			wait = min(wait, time.Until(deadline))
			if wait <= 0 {
				return 0, os.ErrDeadlineExceeded
			}
		}
		if n, err := p.readFor(report, wait); n > 0 || err != nil {
			return n, err
		}
	}
}

// readFor waits for a report, or only looks if wait is zero; there was none if it
// returns zero.
func (p *hidapiPort) readFor(report []byte, wait time.Duration) (int, error) {
	p.inside.RLock()
	defer p.inside.RUnlock()
	if p.closed {
		return 0, transport.ErrClosed
	}
	// Rounded up, for zero is a poll that returns at once.
	n, err := p.device.ReadTimeout(report, int((wait+time.Millisecond-1)/time.Millisecond))
	if err != nil {
		return 0, unplugged(err)
	}
	return n, nil
}

func (p *hidapiPort) Drain() {
	report := make([]byte, p.in)
	for {
		if n, err := p.readFor(report, 0); n == 0 || err != nil {
			return // empty, or the next Read says what is wrong
		}
	}
}

func (p *hidapiPort) Write(report []byte) (int, error) {
	p.inside.RLock()
	defer p.inside.RUnlock()
	if p.closed {
		return 0, transport.ErrClosed
	}
	numbered := report
	if runtime.GOOS != "windows" { // there the library adds the report number
		numbered = append([]byte{0}, report...)
	}
	if _, err := p.device.Write(numbered); err != nil {
		return 0, unplugged(err)
	}
	return len(report), nil
}

// unplugged wraps an error of the library. It has no codes, and a key that is
// still there hardly ever causes one.
func unplugged(err error) error { return fmt.Errorf("%w: %w", transport.ErrClosed, err) }

func (p *hidapiPort) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	return nil
}

func (p *hidapiPort) ReportSizes() (in, out int) { return p.in, p.out }

func (p *hidapiPort) Close() error {
	p.inside.Lock()
	defer p.inside.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	return p.device.Close()
}
