//go:build cgo && libusb

package hid

import (
	"os"
	"path/filepath"

	"github.com/karalabe/hid"
)

// fidoReports tells a FIDO interface by its report descriptor, and returns the
// sizes of its reports: on Linux the library has no usages. The kernel shows the
// descriptor as long as its own driver has the interface. Reports with numbers
// are left to hidraw.
func fidoReports(info hid.DeviceInfo) (in, out int, ok bool) {
	return usbReports("/sys", info.Path)
}

// usbReports looks up a USB interface as "1-1:1.0".
func usbReports(sys, path string) (in, out int, ok bool) {
	dir := filepath.Join(sys, "bus/usb/devices", filepath.Base(path))
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, 0, false
	}
	for _, entry := range entries {
		descriptor, err := os.ReadFile(filepath.Join(dir, entry.Name(), "report_descriptor"))
		if err != nil {
			continue
		}
		if l, ok := parseDescriptor(descriptor); ok && l.inID == 0 && l.outID == 0 {
			return l.in, l.out, true
		}
	}
	return 0, 0, false
}

// usageUnknown is false: an interface without a FIDO descriptor is not opened.
func usageUnknown(hid.DeviceInfo) bool { return false }

func unrecognized([]hid.DeviceInfo) error { return nil }
