package hid

import (
	"fmt"
	"runtime"

	"github.com/fidokey/fidokey/transport"
)

// A Backend is a way to the HID devices of a system. The empty Backend is the
// system's usual one: Hidraw on Linux, Win32 on Windows, HIDAPI elsewhere.
type Backend string

const (
	// Hidraw is Linux's own interface. It is in every Linux build.
	Hidraw Backend = "hidraw"
	// Win32 is Windows' own interface. It is in every Windows build. Without
	// elevation it lists keys and cannot open them.
	Win32 Backend = "win32"
	// HIDAPI is the C library hidapi. It is in cgo builds for macOS, Windows
	// and FreeBSD, and for Linux with the build tag libusb. On Linux it takes
	// the key away from the kernel, and so from all other programs, while it is
	// open, and it needs rights on the USB device rather than the hidraw node.
	HIDAPI Backend = "hidapi"
	// Libusb is another name of HIDAPI, which uses libusb on Linux.
	Libusb Backend = "libusb"
)

// Info describes a key that is plugged in. The strings are the key's own words.
type Info struct {
	Path         string // for OpenPath, with the same backend
	Manufacturer string
	Product      string
	Serial       string // many keys have none
	VendorID     uint16
	ProductID    uint16
}

// A system is a backend that this build has.
type system interface {
	devices() ([]Info, error)
	open(path string) (Port, error)
}

// Devices lists the FIDO interfaces that are plugged in, found by their usage
// page and not by their maker. A build without the backend returns an error that
// wraps transport.ErrUnsupported.
func Devices(backend Backend) ([]Info, error) {
	s, err := backend.system()
	if err != nil {
		return nil, err
	}
	return s.devices()
}

// OpenPath opens the device with the Path of an [Info], as "/dev/hidraw3". It
// refuses a device that is no FIDO interface.
func OpenPath(backend Backend, path string) (Port, error) {
	s, err := backend.system()
	if err != nil {
		return nil, err
	}
	return s.open(path)
}

func (b Backend) system() (system, error) {
	switch {
	case b == Hidraw, b == "" && runtime.GOOS == "linux":
		return newHidraw()
	case b == Win32, b == "" && runtime.GOOS == "windows":
		return newWin32()
	case b == HIDAPI, b == Libusb, b == "":
		return newHIDAPI()
	}
	return nil, fmt.Errorf("HID backend %q: %w: there are %s, %s and %s", b, transport.ErrUnsupported, Hidraw, Win32, HIDAPI)
}
