//go:build !linux

package simulator

import (
	"context"
	"fmt"

	"github.com/fidokey/fidokey/transport"
)

// ServeVHCI is for Linux: elsewhere it returns an error that wraps
// [transport.ErrUnsupported].
func ServeVHCI(context.Context, *Authenticator, VHCIConfig) error {
	return fmt.Errorf("simulator: vhci-hcd: %w: it exists on Linux only", transport.ErrUnsupported)
}
