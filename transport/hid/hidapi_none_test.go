//go:build linux && !(cgo && libusb)

package hid_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

func TestHIDAPITellsWhichBuildHasIt(t *testing.T) {
	for _, backend := range []hid.Backend{hid.HIDAPI, hid.Libusb} {
		_, err := hid.Devices(backend)
		if !errors.Is(err, transport.ErrUnsupported) || !strings.Contains(err.Error(), "-tags libusb") {
			t.Errorf("%s: error %v, want %v and the build tag", backend, err, transport.ErrUnsupported)
		}
	}
}
