package bench

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Flags of a line in the kernel's interface (linux/gpio.h).
const (
	lineActiveLow  = 1 << 1
	lineOutput     = 1 << 3
	lineOpenDrain  = 1 << 6
	lineOpenSource = 1 << 7
)

// cdevLine is a line of a GPIO character device, version 2 of that interface.
type cdevLine struct{ file *os.File }

// openLine asks the kernel for an output. It is at rest.
func openLine(g *gpio) (gpioLine, error) {
	chip, err := os.OpenFile(g.Chip, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer chip.Close()
	request := unix.GPIOV2LineRequest{Num_lines: 1}
	request.Offsets[0] = uint32(g.Line)
	copy(request.Consumer[:len(request.Consumer)-1], "fidokey")
	request.Config.Flags = lineOutput
	if g.ActiveLow {
		request.Config.Flags |= lineActiveLow
	}
	switch g.Drive {
	case "open-drain":
		request.Config.Flags |= lineOpenDrain
	case "open-source":
		request.Config.Flags |= lineOpenSource
	}
	if g.rest {
		values := &request.Config.Attrs[0]
		values.Attr.Id, values.Attr.Flags, values.Mask = unix.GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES, 1, 1 // Flags is a union
		request.Config.Num_attrs = 1
	}
	if err := ioctl(chip, unix.GPIO_V2_GET_LINE_IOCTL, unsafe.Pointer(&request)); err != nil {
		if err == unix.EBUSY {
			err = fmt.Errorf("%w: another program, or the kernel, has it; 'gpioinfo' names it", err)
		}
		return nil, fmt.Errorf("line %d of %s: %w", g.Line, g.Chip, err)
	}
	return cdevLine{os.NewFile(uintptr(request.Fd), g.Chip)}, nil
}

func (l cdevLine) set(on bool) error {
	values := unix.GPIOV2LineValues{Mask: 1}
	if on {
		values.Bits = 1
	}
	if err := ioctl(l.file, unix.GPIO_V2_LINE_SET_VALUES_IOCTL, unsafe.Pointer(&values)); err != nil {
		return fmt.Errorf("%s: %w", l.file.Name(), err)
	}
	return nil
}

func (l cdevLine) Close() error { return l.file.Close() }

func ioctl(f *os.File, request uint, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(request), uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}
