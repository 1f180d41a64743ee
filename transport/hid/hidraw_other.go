//go:build !linux

package hid

import (
	"fmt"

	"github.com/fidokey/fidokey/transport"
)

func newHidraw() (system, error) {
	return nil, fmt.Errorf("HID backend %s: %w: only Linux has it", Hidraw, transport.ErrUnsupported)
}
