package hid

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fidokey/fidokey/transport"
)

const keyDescriptor = "06d0f10901a1010920150026ff007508954081020921150026ff00750895409102c0"

// sysfs builds a tree as the kernel does, with links, for the devices of hidraw.
type sysfs struct {
	t *testing.T
	hidraw
}

func newSysfs(t *testing.T) sysfs {
	root := t.TempDir()
	return sysfs{t, hidraw{sys: filepath.Join(root, "sys"), dev: filepath.Join(root, "dev")}}
}

func (s sysfs) write(path, text string) {
	s.t.Helper()
	path = filepath.Join(s.sys, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s sysfs) link(target, path string) {
	s.t.Helper()
	path = filepath.Join(s.sys, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		s.t.Fatal(err)
	}
}

// add makes a HID device in a folder of devices/ with a node.
func (s sysfs) add(name, dir, uevent, descriptor string) {
	s.t.Helper()
	raw, err := hex.DecodeString(descriptor)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(filepath.Join("devices", dir, "uevent"), uevent)
	s.write(filepath.Join("devices", dir, "report_descriptor"), string(raw))
	s.link("../../../"+filepath.Base(dir), filepath.Join("devices", dir, "hidraw", name, "device"))
	s.link("../../devices/"+dir+"/hidraw/"+name, "class/hidraw/"+name)
}

// addNode makes the device node: a pipe that returns what was written.
func (s sysfs) addNode(name string) string {
	s.t.Helper()
	if err := os.MkdirAll(s.dev, 0o755); err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.dev, name)
	if err := unix.Mkfifo(path, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

func TestHidrawDevices(t *testing.T) {
	s := newSysfs(t)
	s.add("hidraw10", "virtual/misc/uhid/0003:1209:F1D0.0003",
		"DRIVER=hid-generic\nHID_ID=0003:00001209:0000F1D0\nHID_NAME=soft key \nHID_PHYS=\nHID_UNIQ=42\n", keyDescriptor)
	s.add("hidraw2", "pci0/usb1/1-1/1-1:1.1/0003:1050:0407.0002",
		"HID_ID=0003:00001050:00000407\nHID_NAME=Yubico YubiKey\nHID_UNIQ=\n", keyDescriptor)
	s.write("devices/pci0/usb1/1-1/idVendor", "1050\n")
	s.write("devices/pci0/usb1/1-1/manufacturer", "Yubico\n")
	s.write("devices/pci0/usb1/1-1/product", "YubiKey OTP+FIDO\n")
	s.write("devices/pci0/usb1/1-1/serial", "0001\n")
	s.add("hidraw1", "pci0/usb1/1-1/1-1:1.0/0003:1050:0407.0001",
		"HID_ID=0003:00001050:00000407\nHID_NAME=Yubico YubiKey\n", "05010906a101c0") // its keyboard
	s.add("hidraw3", "pci0/usb1/1-2/bluetooth/hci0/0005:1234:5678.0004",
		"HID_ID=0005:00001234:00005678\nHID_NAME=radio key\n", keyDescriptor)
	s.write("devices/pci0/usb1/1-2/bluetooth/idVendor", "0a12\n") // of the radio, not of the key
	s.write("devices/pci0/usb1/1-2/bluetooth/product", "radio\n")
	s.add("hidraw5", "pci0/usb1/1-3/1-3:1.0/0003:FFFE:8001.0005",
		"HID_ID=0003:0000FFFE:00008001\nHID_NAME=nameless key\n", keyDescriptor)
	s.write("devices/pci0/usb1/1-3/idVendor", "fffe\n")     // and no strings at all
	s.link("../../devices/nowhere", "class/hidraw/hidraw4") // has just been unplugged
	s.write("class/hidraw/README", "not a node")

	got, err := s.devices()
	if err != nil {
		t.Fatal(err)
	}
	for node, want := range map[string]string{"hidraw2": "1-1", "hidraw3": "", "hidraw5": "1-3", "hidraw10": "", "hidraw99": ""} {
		if port := s.usbPort(filepath.Join(s.dev, node)); port != want {
			t.Errorf("%s is at %q, want %q", node, port, want)
		}
	}
	want := []Info{
		{filepath.Join(s.dev, "hidraw2"), "Yubico", "YubiKey OTP+FIDO", "0001", 0x1050, 0x0407},
		{filepath.Join(s.dev, "hidraw3"), "", "radio key", "", 0x1234, 0x5678},
		{filepath.Join(s.dev, "hidraw5"), "", "nameless key", "", 0xfffe, 0x8001},
		{filepath.Join(s.dev, "hidraw10"), "", "soft key", "42", 0x1209, 0xf1d0},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestHidrawWithoutDevices(t *testing.T) {
	if infos, err := newSysfs(t).devices(); err != nil || len(infos) != 0 {
		t.Errorf("devices %v, error %v in an empty sysfs", infos, err)
	}
}

func TestHidrawOpen(t *testing.T) {
	s := newSysfs(t)
	s.add("hidraw0", "virtual/misc/uhid/0003:1209:F1D0.0001", "HID_NAME=soft key\n", keyDescriptor)
	path := s.addNode("hidraw0")
	alias := filepath.Join(s.dev, "my-key")
	if err := os.Symlink("hidraw0", alias); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, alias} {
		port, err := s.open(path)
		if err != nil {
			t.Fatal(err)
		}
		if in, out := port.ReportSizes(); in != 64 || out != 64 {
			t.Errorf("reports of %d and %d bytes, want 64", in, out)
		}
		report := bytes.Repeat([]byte{7}, 64)
		if n, err := port.Write(report); n != 64 || err != nil {
			t.Errorf("wrote %d bytes, error %v", n, err)
		}
		if n, err := port.Read(report); n != 64 || err != nil || report[0] != 0 || report[1] != 7 {
			t.Errorf("the node got % x, %d bytes, error %v; want the report number first", report, n, err)
		}
		if err := port.Close(); err != nil {
			t.Error(err)
		}
		if _, err := port.Write(report); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("write after close: %v, want %v", err, transport.ErrClosed)
		}
	}
}

func TestHidrawOpenRefuses(t *testing.T) {
	s := newSysfs(t)
	s.add("hidraw0", "pci0/1-1/1-1:1.0/0003:046D:C31C.0001", "HID_ID=0003:0000046D:0000C31C\nHID_NAME=Logitech Keyboard\n", "05010906a101c0")
	s.add("hidraw1", "virtual/misc/uhid/0003:1209:F1D0.0002", "HID_NAME=soft key\n", keyDescriptor)
	s.addNode("hidraw0")
	s.addNode("hidraw9")
	s.addNode("tty3")
	plain := filepath.Join(s.dev, "hidraw1")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"hidraw0":  `is "Logitech Keyboard" (046d:c31c), not a FIDO device`,
		"hidraw1":  "file type does not support deadline", // no device node
		"hidraw9":  "no HID device that the kernel knows",
		"hidraw33": "no such file",
		"tty3":     "no hidraw node",
	} {
		path := filepath.Join(s.dev, name)
		_, err := s.open(path)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) && name != "hidraw1" {
			t.Errorf("%s: error %v, want one with %q", name, err, want)
		}
	}
}

func TestOpenErrorTellsTheRemedy(t *testing.T) {
	for _, test := range []struct {
		errno error
		is    error
		want  string
	}{
		{unix.EACCES, fs.ErrPermission, "60-fido-id.rules"},
		{unix.EPERM, fs.ErrPermission, "container"}, // forbidden by the device cgroup
		{unix.ENODEV, transport.ErrClosed, "device closed"},
		{unix.EMFILE, unix.EMFILE, "too many open files"},
	} {
		err := openError(&fs.PathError{Op: "open", Path: "/dev/hidraw7", Err: test.errno})
		if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "/dev/hidraw7") {
			t.Errorf("%v: error %q, want %v with path and %q", test.errno, err, test.is, test.want)
		}
	}
}

// socketPort returns a port on one end of a pair that keeps packets apart, as a
// node does, and the other end.
func socketPort(t *testing.T, layout layout) (*hidrawPort, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	node, kernel := os.NewFile(uintptr(fds[0]), "node"), os.NewFile(uintptr(fds[1]), "kernel")
	t.Cleanup(func() { node.Close(); kernel.Close() })
	port, err := newHidrawPort(node, layout)
	if err != nil {
		t.Fatal(err)
	}
	return port, kernel
}

func TestHidrawPort(t *testing.T) {
	port, kernel := socketPort(t, layout{in: 64, out: 32})
	if _, err := kernel.Write(bytes.Repeat([]byte{9}, 64)); err != nil {
		t.Fatal(err)
	}
	report := make([]byte, 64)
	if err := port.SetReadDeadline(past); err != nil {
		t.Fatal(err)
	}
	if _, err := port.Read(report); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v past the deadline, though there is a report", err)
	}
	if err := port.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n, err := port.Read(report); n != 64 || err != nil || report[0] != 9 {
		t.Errorf("read %x, %d bytes, error %v", report, n, err)
	}

	woken := make(chan error)
	go func() {
		_, err := port.Read(report)
		woken <- err
	}()
	if err := port.SetReadDeadline(past); err != nil {
		t.Fatal(err)
	}
	if err := <-woken; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error %v of a woken read, want %v", err, os.ErrDeadlineExceeded)
	}

	if err := port.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	kernel.Close()
	if _, err := port.Read(report); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("error %v of an unplugged device, want %v", err, transport.ErrClosed)
	}
	for _, errno := range []error{unix.EIO, unix.ENODEV} {
		if err := gone(errno); !errors.Is(err, transport.ErrClosed) || !errors.Is(err, errno) {
			t.Errorf("%v became %v", errno, err)
		}
	}
}

func TestHidrawPortWithReportNumbers(t *testing.T) {
	port, kernel := socketPort(t, layout{in: 8, out: 8, inID: 3, outID: 4})
	if n, err := port.Write([]byte("12345678")); n != 8 || err != nil {
		t.Fatalf("wrote %d bytes, error %v", n, err)
	}
	raw := make([]byte, 20)
	if n, err := kernel.Read(raw); err != nil || string(raw[:n]) != "\x0412345678" {
		t.Errorf("the node got %q, error %v", raw[:n], err)
	}
	for _, packet := range []string{"\x01keyboard", "\x03abcdefgh"} {
		if _, err := kernel.Write([]byte(packet)); err != nil {
			t.Fatal(err)
		}
	}
	report := make([]byte, 8)
	if n, err := port.Read(report); err != nil || string(report[:n]) != "abcdefgh" {
		t.Errorf("read %q, error %v", report[:n], err)
	}
}

func TestParseUevent(t *testing.T) {
	full := identity{busUSB, 0x1050, 0x0407, "Yubico YubiKey = FIDO", "12"}
	for text, want := range map[string]identity{
		"": {},
		"DRIVER=hid\nHID_ID=0003:00001050:00000407\nHID_NAME=Yubico YubiKey = FIDO\nHID_UNIQ=12\n": full,
		"HID_UNIQ=12\nHID_NAME=Yubico YubiKey = FIDO\nHID_ID=0003:00001050:00000407":               full,
		"HID_ID=0003:00001050":              {},
		"HID_ID=0003:00001050:00000407:00":  {},
		"HID_ID=0003:00011050:00000407":     {}, // no 16-bit number
		"HID_ID=0003:0000105x:00000407":     {},
		"HID_ID\nHID_NAME\n=\n\nHID_NAME=a": {name: "a"},
	} {
		if got := parseUevent([]byte(text)); got != want {
			t.Errorf("%q is %+v, want %+v", text, got, want)
		}
	}
}

func FuzzUevent(f *testing.F) {
	f.Add([]byte("DRIVER=hid\nHID_ID=0003:00001050:00000407\nHID_NAME=Yubico\nHID_UNIQ=12\n"))
	f.Add([]byte("HID_ID=0003:ffffffff:-1\n=\nHID_NAME"))
	f.Fuzz(func(t *testing.T, event []byte) {
		id := parseUevent(event)
		if strings.ContainsRune(id.name+id.unique, '\n') {
			t.Errorf("%q has names of two lines: %+v", event, id)
		}
	})
}
