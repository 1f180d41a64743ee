//go:build !linux

package hid

import (
	"fmt"

	"github.com/fidokey/fidokey/transport"
)

func newHidraw() (system, error) {
	return nil, fmt.Errorf("HID backend %s: %w: only Linux has it", Hidraw, transport.ErrUnsupported)
}

// USBPort returns where the device with a path is plugged in; only Linux says it.
func USBPort(string) string { return "" }
