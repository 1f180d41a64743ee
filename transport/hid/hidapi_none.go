//go:build !cgo || !(darwin || windows || freebsd || (linux && libusb))

package hid

import (
	"fmt"
	"runtime"

	"github.com/fidokey/fidokey/transport"
)

func newHIDAPI() (system, error) {
	remedy := "there is none for " + runtime.GOOS
	switch runtime.GOOS {
	case "linux":
		remedy = "build with CGO_ENABLED=1 and -tags libusb"
	case "darwin", "windows", "freebsd":
		remedy = "build with CGO_ENABLED=1"
	}
	return nil, fmt.Errorf("HID backend %s: %w by this build: %s", HIDAPI, transport.ErrUnsupported, remedy)
}
