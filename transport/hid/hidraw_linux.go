package hid

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fidokey/fidokey/transport"
)

// hidraw finds devices in sysfs and opens their nodes. It needs neither cgo nor
// udev, and sees virtual (uhid) devices as well as USB ones.
type hidraw struct {
	sys string // where sysfs is mounted
	dev string // where the nodes are
}

func newHidraw() (system, error) { return hidraw{sys: "/sys", dev: "/dev"}, nil }

// A node is one hidraw device, FIDO or not.
type node struct {
	Info
	layout layout
	fido   bool
}

func (h hidraw) devices() ([]Info, error) {
	entries, err := os.ReadDir(filepath.Join(h.sys, "class/hidraw"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a kernel without HID, or without HID devices so far
	}
	if err != nil {
		return nil, fmt.Errorf("list HID devices: %w", err)
	}
	var numbers []int
	for _, entry := range entries {
		if n, ok := nodeNumber(entry.Name()); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers) // ReadDir has hidraw10 before hidraw2
	var infos []Info
	for _, n := range numbers {
		// One that cannot be read has just been unplugged.
		if node, err := h.node("hidraw" + strconv.Itoa(n)); err == nil && node.fido {
			infos = append(infos, node.Info)
		}
	}
	return infos, nil
}

// nodeNumber returns 3 for "hidraw3".
func nodeNumber(name string) (int, bool) {
	digits, ok := strings.CutPrefix(name, "hidraw")
	n, err := strconv.Atoi(digits)
	return n, ok && err == nil && "hidraw"+strconv.Itoa(n) == name
}

// node reads what sysfs knows of a hidraw device.
func (h hidraw) node(name string) (node, error) {
	// The link leads into the tree of devices. The kernel follows it, which costs less than
	// to find out where it leads.
	dir := filepath.Join(h.sys, "class/hidraw", name, "device")
	descriptor, err := os.ReadFile(filepath.Join(dir, "report_descriptor"))
	if err != nil {
		return node{}, err
	}
	event, err := os.ReadFile(filepath.Join(dir, "uevent"))
	if err != nil {
		return node{}, err
	}
	id := parseUevent(event)
	n := node{Info: Info{
		Path:      filepath.Join(h.dev, name),
		Product:   id.name,
		Serial:    id.unique,
		VendorID:  id.vendor,
		ProductID: id.product,
	}}
	n.layout, n.fido = parseDescriptor(descriptor)

	// A HID device of usbhid stands below its interface, and that below the USB
	// device. A uhid device says USB too, and has no such parents. For filepath.Join the
	// parent of a link would be the folder that the link is in.
	usb := dir + "/../.."
	if _, err := os.Stat(usb + "/idVendor"); err == nil && id.bus == busUSB {
		n.Manufacturer = attribute(usb, "manufacturer")
		n.Product = cmp.Or(attribute(usb, "product"), n.Product)
		n.Serial = cmp.Or(attribute(usb, "serial"), n.Serial)
	}
	return n, nil
}

// USBPort returns where the device with a path is plugged in, as the kernel names
// it: "1-4.2" is port 2 of the hub at port 4 of bus 1. It is empty for a device that
// is not on USB, and on systems that do not say.
func USBPort(path string) string { return hidraw{sys: "/sys"}.usbPort(path) }

func (h hidraw) usbPort(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil { // a udev rule may give a key a name
		path = target
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(h.sys, "class/hidraw", filepath.Base(path), "device"))
	if err != nil {
		return ""
	}
	// Above the interface of a radio is the radio, which is called otherwise.
	if port := filepath.Base(filepath.Join(dir, "../..")); usbPortName.MatchString(port) {
		return port
	}
	return ""
}

var usbPortName = regexp.MustCompile(`^[0-9]+-[0-9]+(\.[0-9]+)*$`)

// attribute returns the text of a sysfs file, "" if there is none.
func attribute(dir, name string) string {
	text, err := os.ReadFile(dir + "/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

const busUSB = 3

// identity is what a HID device's uevent file says.
type identity struct {
	bus             uint16
	vendor, product uint16
	name, unique    string
}

// parseUevent reads lines as HID_ID=0003:00001050:00000407, HID_NAME=text and
// HID_UNIQ=text. What is missing or malformed stays empty.
func parseUevent(event []byte) identity {
	var id identity
	for line := range bytes.Lines(event) {
		key, value, _ := strings.Cut(strings.TrimRight(string(line), "\n"), "=")
		switch key {
		case "HID_ID":
			parts := strings.Split(value, ":")
			if len(parts) != 3 {
				continue
			}
			var numbers [3]uint16
			var err error
			for i, part := range parts {
				var n uint64
				if n, err = strconv.ParseUint(part, 16, 16); err != nil {
					break
				}
				numbers[i] = uint16(n)
			}
			if err == nil {
				id.bus, id.vendor, id.product = numbers[0], numbers[1], numbers[2]
			}
		case "HID_NAME":
			id.name = strings.TrimSpace(value)
		case "HID_UNIQ":
			id.unique = strings.TrimSpace(value)
		}
	}
	return id
}

func (h hidraw) open(path string) (Port, error) {
	target, err := filepath.EvalSymlinks(path) // a udev rule may give a key a name
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	name := filepath.Base(target)
	if _, ok := nodeNumber(name); !ok {
		return nil, fmt.Errorf("open key: %s is no hidraw node", path)
	}
	n, err := h.node(name)
	if err != nil {
		return nil, fmt.Errorf("open key: %s is no HID device that the kernel knows: %w", path, err)
	}
	if !n.fido {
		return nil, fmt.Errorf("open key: %s is %q (%04x:%04x), not a FIDO device", path, n.Product, n.VendorID, n.ProductID)
	}
	// O_CLOEXEC is added by os, which also puts the node into Go's poller.
	file, err := os.OpenFile(target, os.O_RDWR, 0)
	if err != nil {
		return nil, openError(err)
	}
	port, err := newHidrawPort(file, n.layout)
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("open key: %w", err)
	}
	return port, nil
}

// openError adds cause and remedy to the error of opening a node, which names
// the path.
func openError(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("open key: %w: this user has no right to it. "+
			"Log in at the machine itself, or install udev's FIDO rules (60-fido-id.rules, 70-u2f.rules) and plug the key in again; "+
			"a container must be given the device", err)
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.EIO):
		return fmt.Errorf("open key: %w: %w", transport.ErrClosed, err)
	}
	return fmt.Errorf("open key: %w", err)
}

// hidrawPort is an open hidraw node.
type hidrawPort struct {
	file   *os.File
	layout layout
	in     []byte // a report behind its number, if reports have numbers
	out    []byte // a report behind its number
	waited bool   // for the lock
}

func newHidrawPort(file *os.File, layout layout) (*hidrawPort, error) {
	// Without deadlines a read could not be ended.
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	p := &hidrawPort{file: file, layout: layout, out: make([]byte, 1+layout.out)}
	p.out[0] = layout.outID
	if layout.inID != 0 {
		p.in = make([]byte, 1+layout.in)
	}
	return p, nil
}

// tryLock locks the node as libfido2 does, so that its programs and ours take
// turns: from open to close. Browsers do not; to them the key itself says that it
// is busy.
func (p *hidrawPort) tryLock() error {
	err := p.control(func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		p.waited = true
		return fmt.Errorf("%w: another program has locked %s", transport.ErrBusy, p.file.Name())
	}
	if err != nil || !p.waited {
		return err
	}
	// What the key told the other program is in our queue too. The kernel keeps
	// 64 reports, and when they are not read the next ones are lost.
	p.waited = false
	p.Drain()
	return nil
}

func (p *hidrawPort) Drain() {
	_ = p.control(func(fd int) error {
		for {
			if n, err := unix.Read(fd, p.out[1:]); n <= 0 || err != nil {
				return nil // empty, or the next Read says what is wrong
			}
		}
	})
}

// control calls f with the open file, without waiting for anything.
func (p *hidrawPort) control(f func(fd int) error) error {
	conn, err := p.file.SyscallConn()
	if err != nil {
		return gone(err)
	}
	var failed error
	if err := conn.Control(func(fd uintptr) { failed = f(int(fd)) }); err != nil {
		return gone(err)
	}
	return failed
}

func (p *hidrawPort) Read(report []byte) (int, error) {
	if p.layout.inID == 0 {
		n, err := p.file.Read(report)
		return n, gone(err)
	}
	for {
		n, err := p.file.Read(p.in)
		if err != nil {
			return 0, gone(err)
		}
		if n > 0 && p.in[0] == p.layout.inID {
			return copy(report, p.in[1:n]), nil
		}
		// A report of another collection of the same interface.
	}
}

func (p *hidrawPort) Write(report []byte) (int, error) {
	n := copy(p.out[1:], report)
	if _, err := p.file.Write(p.out[:1+n]); err != nil {
		return 0, gone(err)
	}
	return n, nil
}

func (p *hidrawPort) SetReadDeadline(t time.Time) error { return gone(p.file.SetReadDeadline(t)) }
func (p *hidrawPort) ReportSizes() (in, out int)        { return p.layout.in, p.layout.out }
func (p *hidrawPort) Close() error                      { return p.file.Close() }

// gone makes the errors of a device that was unplugged or closed wrap
// transport.ErrClosed. The kernel says EIO to a reader and ENODEV to a writer.
func gone(err error) error {
	if errors.Is(err, unix.EIO) || errors.Is(err, unix.ENODEV) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", transport.ErrClosed, err)
	}
	return err
}
