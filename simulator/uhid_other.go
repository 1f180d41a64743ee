//go:build !linux

package simulator

import (
	"context"
	"fmt"

	"github.com/fidokey/fidokey/transport"
)

// ServeUHID is for Linux: elsewhere it returns an error that wraps
// [transport.ErrUnsupported].
func ServeUHID(context.Context, *HID, UHIDConfig) error {
	return fmt.Errorf("simulator: /dev/uhid: %w: it exists on Linux only", transport.ErrUnsupported)
}
