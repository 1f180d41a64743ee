//go:build cgo && (darwin || windows || freebsd)

package hid

import (
	"fmt"
	"runtime"
	"strings"

	"github.com/karalabe/hid"

	"github.com/fidokey/fidokey/transport"
)

// fidoReports tells a FIDO interface by its usage. The library does not say how
// long reports are; all known keys have 64 bytes.
func fidoReports(info hid.DeviceInfo) (in, out int, ok bool) {
	return 64, 64, info.UsagePage == 0xf1d0 && info.Usage == 1
}

// usageUnknown reports whether the library could not read what a device is. So
// it is on FreeBSD, where only the user can tell which one is the key.
func usageUnknown(info hid.DeviceInfo) bool { return runtime.GOOS == "freebsd" && info.UsagePage == 0 }

// unrecognized is the error when no FIDO device was found and some device may be
// one. It names them.
func unrecognized(all []hid.DeviceInfo) error {
	var names []string
	for _, info := range all {
		if usageUnknown(info) {
			names = append(names, fmt.Sprintf("%s (%q)", info.Path, info.Product))
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("list keys: %w on %s: the library does not tell which HID device is one; open one by its path: %s",
		transport.ErrUnsupported, runtime.GOOS, strings.Join(names, ", "))
}
