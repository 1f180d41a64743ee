package hid_test

import (
	"errors"
	"runtime"
	"testing"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

func TestBackendThatIsMissing(t *testing.T) {
	missing := []hid.Backend{"pigeon"}
	if runtime.GOOS != "linux" {
		missing = append(missing, hid.Hidraw)
	}
	if runtime.GOOS != "windows" {
		missing = append(missing, hid.Win32)
	}
	for _, backend := range missing {
		if _, err := hid.Devices(backend); !errors.Is(err, transport.ErrUnsupported) {
			t.Errorf("devices of %s: error %v, want %v", backend, err, transport.ErrUnsupported)
		}
		if _, err := hid.OpenPath(backend, "/dev/hidraw0"); !errors.Is(err, transport.ErrUnsupported) {
			t.Errorf("path of %s: error %v, want %v", backend, err, transport.ErrUnsupported)
		}
	}
}

func TestPathThatIsMissing(t *testing.T) {
	for _, backend := range []hid.Backend{"", hid.Hidraw, hid.Win32, hid.HIDAPI, hid.Libusb} {
		if port, err := hid.OpenPath(backend, "/dev/none"); err == nil {
			port.Close()
			t.Errorf("backend %q opened a path that does not exist", backend)
		}
	}
}
