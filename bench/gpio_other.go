//go:build !linux

package bench

import (
	"fmt"

	"github.com/fidokey/fidokey/transport"
)

func openLine(*gpio) (gpioLine, error) {
	return nil, fmt.Errorf("the driver gpio: %w: only Linux has it", transport.ErrUnsupported)
}
