//go:build !windows

package hid

import (
	"fmt"

	"github.com/fidokey/fidokey/transport"
)

func newWin32() (system, error) {
	return nil, fmt.Errorf("HID backend %s: %w: only Windows has it", Win32, transport.ErrUnsupported)
}
