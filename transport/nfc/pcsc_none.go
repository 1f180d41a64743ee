//go:build !((cgo && (darwin || pcsc)) || windows) || nopcsc

package nfc

import (
	"fmt"
	"runtime"

	"github.com/fidokey/fidokey/transport"
)

// Supported reports whether this build reaches smart-card readers.
func Supported() bool { return false }

func establish() (pcscContext, error) {
	remedy := "build with cgo and -tags pcsc"
	switch runtime.GOOS {
	case "linux":
		remedy = "install libpcsclite-dev and pkg-config, and build with make"
	case "darwin":
		remedy = "build with CGO_ENABLED=1"
	case "windows":
		remedy = "build without -tags nopcsc"
	}
	return nil, fmt.Errorf("smart-card readers: %w by this build: %s", transport.ErrUnsupported, remedy)
}
