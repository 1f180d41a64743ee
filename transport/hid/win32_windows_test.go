package hid

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/fidokey/fidokey/transport"
)

// TestWin32Collections lists what this computer has: mouse and keyboard at least.
func TestWin32Collections(t *testing.T) {
	all, err := collections()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Skip("this computer has no HID device")
	}
	const genericDesktop = 1
	known := false
	for _, c := range all {
		t.Logf("%+v", c)
		if !strings.HasPrefix(c.Path, `\\?\`) {
			t.Errorf("path %q", c.Path)
		}
		known = known || c.usagePage == genericDesktop && c.VendorID != 0 && c.in > 0
		if _, err := (win32{}).open(c.Path); !c.fido() && (err == nil || !strings.Contains(err.Error(), "not a FIDO device")) {
			t.Errorf("open %s: error %v", c.Path, err)
		}
	}
	if !known {
		t.Error("no device is known for a mouse, a keyboard or the like")
	}
}

func TestWin32OpenError(t *testing.T) {
	err := win32OpenError("key", windows.ERROR_ACCESS_DENIED)
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "Run as administrator") {
		t.Errorf("denied: %v", err)
	}
	if err := win32OpenError("key", windows.ERROR_SHARING_VIOLATION); !errors.Is(err, transport.ErrBusy) {
		t.Errorf("shared with nobody: %v", err)
	}
	if err := win32OpenError("key", windows.ERROR_FILE_NOT_FOUND); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not there: %v", err)
	}
}

// TestWin32HardwareIDs: a key that may not even be asked what it is, is told by the
// IDs that the HID class driver has made for it.
func TestWin32HardwareIDs(t *testing.T) {
	var c collection
	c.identify([]string{`HID\VID_1050&PID_0407&REV_0512&MI_01`, `HID\VID_1050&PID_0407&MI_01`, "HID_DEVICE_UP:F1D0_U:0001", "HID_DEVICE"})
	if !c.fido() || c.VendorID != 0x1050 || c.ProductID != 0x0407 {
		t.Errorf("a key: %+v", c)
	}
	c = collection{}
	c.identify([]string{`HID\VID_845E&PID_0002`, "HID_DEVICE_SYSTEM_KEYBOARD", "HID_DEVICE_UP:0001_U:0006", "HID_DEVICE"})
	if c.fido() || c.VendorID != 0x845e {
		t.Errorf("a keyboard: %+v", c)
	}
}

// pipePort is a port on one end of a pipe, which is overlapped like a device. At
// the other end reports have their number.
func pipePort(t *testing.T) (*win32Port, *os.File) {
	t.Helper()
	const name = `\\.\pipe\fidokey-test`
	text, err := windows.UTF16PtrFromString(name)
	if err != nil {
		t.Fatal(err)
	}
	h, err := windows.CreateNamedPipe(text, windows.PIPE_ACCESS_DUPLEX|windows.FILE_FLAG_OVERLAPPED,
		windows.PIPE_TYPE_MESSAGE|windows.PIPE_READMODE_MESSAGE, 1, 4096, 4096, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	other := os.NewFile(uintptr(h), name)
	t.Cleanup(func() { other.Close() })
	if h, err = createFile(name, windows.GENERIC_READ|windows.GENERIC_WRITE, windows.FILE_FLAG_OVERLAPPED); err != nil {
		t.Fatal(err)
	}
	p, err := newWin32Port(h, collection{Info: Info{Path: name}, in: 64, out: 64})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p, other
}

func TestWin32Port(t *testing.T) {
	p, other := pipePort(t)
	short := []byte{1, 2, 3}
	if n, err := p.Write(short); n != 3 || err != nil {
		t.Fatalf("Write: %d, %v", n, err)
	}
	got := make([]byte, 100)
	n, err := other.Read(got)
	want := make([]byte, 65)
	copy(want[1:], short)
	if err != nil || !bytes.Equal(got[:n], want) {
		t.Fatalf("sent: %x, %v", got[:n], err)
	}
	answer := bytes.Repeat([]byte{7}, 64)
	if _, err := other.Write(append([]byte{0}, answer...)); err != nil {
		t.Fatal(err)
	}
	report := make([]byte, 64)
	if n, err := p.Read(report); err != nil || !bytes.Equal(report[:n], answer) {
		t.Fatalf("received: %x, %v", report[:n], err)
	}
}

func TestWin32PortEndsReads(t *testing.T) {
	p, other := pipePort(t)
	report := make([]byte, 64)
	read := make(chan error)
	go func() {
		_, err := p.Read(report)
		read <- err
	}()
	time.Sleep(20 * time.Millisecond)
	if err := p.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a waiting read past its deadline: %v", err)
	}
	frame := append([]byte{0}, bytes.Repeat([]byte{9}, 64)...)
	if _, err := other.Write(frame); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Read(report); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("past the deadline, with a report at hand: %v", err)
	}
	if err := p.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if n, err := p.Read(report); err != nil || !bytes.Equal(report[:n], frame[1:]) {
		t.Errorf("the report that waited: %x, %v", report[:n], err)
	}
	go func() {
		_, err := p.Read(report)
		read <- err
	}()
	time.Sleep(20 * time.Millisecond)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-read; !errors.Is(err, transport.ErrClosed) {
		t.Errorf("a read while the port is closed: %v", err)
	}
	if _, err := p.Write(report); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("a write afterwards: %v", err)
	}
}

// TestWin32PortDrain: the system has the function, which knows devices only. Here it
// fails and is over at once.
func TestWin32PortDrain(t *testing.T) {
	if err := hidDFlushQueue.Find(); err != nil {
		t.Fatal(err)
	}
	p, _ := pipePort(t)
	p.Drain()
	p.Close()
	p.Drain()
}

func TestWin32PortUnplugged(t *testing.T) {
	p, other := pipePort(t)
	other.Close()
	if _, err := p.Read(make([]byte, 64)); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("read: %v", err)
	}
	for _, code := range []error{windows.ERROR_DEVICE_NOT_CONNECTED, windows.ERROR_GEN_FAILURE} {
		if err := unpluggedWin32(&fs.PathError{Op: "write", Err: code}); !errors.Is(err, transport.ErrClosed) || !errors.Is(err, code) {
			t.Errorf("%d: %v", code, err)
		}
	}
	if err := unpluggedWin32(windows.ERROR_INVALID_PARAMETER); errors.Is(err, transport.ErrClosed) {
		t.Errorf("a mistake of ours: %v", err)
	}
}
