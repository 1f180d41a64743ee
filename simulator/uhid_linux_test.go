package simulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/internal/ctaptest"
)

// fakeUHID is the kernel's end of /dev/uhid: a pipe that keeps events apart.
type fakeUHID struct {
	*testing.T
	pipe   net.Conn
	ready  bool
	cancel context.CancelFunc
	served chan error
}

func newFakeUHID(t *testing.T, c UHIDConfig) *fakeUHID {
	kernel, device := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	u := &fakeUHID{T: t, pipe: kernel, cancel: cancel, served: make(chan error, 1)}
	c.Ready = func() { u.ready = true }
	h := newHID(&hidKey{touch: make(chan struct{})})
	go func() {
		defer h.Close()
		u.served <- serveUHID(ctx, device, h, c)
	}()
	t.Cleanup(func() { cancel(); kernel.Close() })
	return u
}

// event sends an event as the kernel does, in its whole length.
func (u *fakeUHID) event(kind uint32, payload ...byte) {
	u.Helper()
	e := binary.NativeEndian.AppendUint32(nil, kind)
	e = append(e, payload...)
	if _, err := u.pipe.Write(append(e, make([]byte, 4380-len(e))...)); err != nil {
		u.Fatal(err)
	}
}

// output sends what a program wrote to the node.
func (u *fakeUHID) output(written []byte) {
	u.Helper()
	payload := append(bytes.Clone(written), make([]byte, 4096-len(written))...)
	payload = binary.NativeEndian.AppendUint16(payload, uint16(len(written)))
	u.event(6, append(payload, 1)...)
}

// read returns the next event, filled up.
func (u *fakeUHID) read() []byte {
	u.Helper()
	u.pipe.SetReadDeadline(time.Now().Add(time.Minute))
	e := make([]byte, 4380)
	if _, err := u.pipe.Read(e); err != nil {
		u.Fatal(err)
	}
	return e
}

func TestUHID(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the expected bytes are little-endian")
	}
	var v struct {
		ReportDescriptor          ctaptest.Hex
		InitRequest, InitResponse []ctaptest.Hex
	}
	ctaptest.Vectors(t, "ctaphid", &v)
	synctest.Test(t, func(t *testing.T) {
		u := newFakeUHID(t, UHIDConfig{
			USBIdentity: USBIdentity{Name: "my key", Serial: "4711", Vendor: 0x1050, Product: 0x0407},
		})

		// CREATE2, at the offsets of linux/uhid.h.
		create := u.read()
		for _, field := range []struct {
			name   string
			offset int
			want   []byte
		}{
			{"type", 0, unhex(t, "0b000000")},
			{"name", 4, append([]byte("my key"), make([]byte, 122)...)},
			{"phys", 132, make([]byte, 64)},
			{"uniq", 196, append([]byte("4711"), make([]byte, 60)...)},
			{"rd_size", 260, unhex(t, "2200")},
			{"bus", 262, unhex(t, "0300")},
			{"vendor", 264, unhex(t, "50100000")},
			{"product", 268, unhex(t, "07040000")},
			{"version and country", 272, make([]byte, 8)},
			{"rd_data", 280, v.ReportDescriptor},
		} {
			if got := create[field.offset : field.offset+len(field.want)]; !bytes.Equal(got, field.want) {
				t.Errorf("%s is %x, want %x", field.name, got, field.want)
			}
		}

		u.event(2) // START
		synctest.Wait()
		if !u.ready {
			t.Error("not ready after START")
		}

		// A report, with and without the report ID before it.
		for _, prefix := range [][]byte{{0}, nil} {
			u.output(append(prefix, v.InitRequest[0]...))
			if e := u.read(); !bytes.Equal(e[:6], unhex(t, "0c000000 4000")) || !bytes.Equal(e[6:21], v.InitResponse[0][:15]) {
				t.Errorf("answer to INIT: %x", e[:70])
			}
		}

		// Nothing else is a report.
		u.output(v.InitRequest[0][:63])
		u.output(append([]byte{1}, v.InitRequest[0]...))
		u.output(append(v.InitRequest[0], 0, 0))
		for _, ignored := range []uint32{2, 4, 5, 99} {
			u.event(ignored)
		}

		// Feature reports are refused, by name.
		u.event(9, unhex(t, "efbeadde 00 00")...)
		if e := u.read(); !bytes.Equal(e[:12], unhex(t, "0a000000 efbeadde 0500 0000")) {
			t.Errorf("answer to GET_REPORT: %x", e[:12])
		}
		u.event(13, unhex(t, "67452301 00 00 0100 aa")...)
		if e := u.read(); !bytes.Equal(e[:10], unhex(t, "0e000000 67452301 0500")) {
			t.Errorf("answer to SET_REPORT: %x", e[:10])
		}

		u.cancel()
		if e := u.read(); !bytes.Equal(e[:4], unhex(t, "01000000")) {
			t.Errorf("want DESTROY, got %x", e[:4])
		}
		if err := <-u.served; err != nil {
			t.Errorf("ServeUHID returned %v", err)
		}
	})
}

// TestUHIDPacesLongReplies measures a reply that the kernel would lose at full
// speed.
func TestUHIDPacesLongReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newFakeUHID(t, UHIDConfig{})
		u.read()
		init := make([]byte, 64)
		copy(init, []byte{0, 0, 0, 1, wireInit, 0, 8})
		u.output(init)
		u.read()

		report := make([]byte, 64)
		copy(report, []byte{0, 0, 0, 1, wirePing, 0x1d, 0xb9})
		u.output(report)
		for seq := range byte(128) {
			clear(report)
			copy(report, []byte{0, 0, 0, 1, seq})
			u.output(report)
		}
		begin, burst := time.Now(), 0
		for range 129 {
			u.read()
			if time.Since(begin) == 0 {
				burst++
			}
		}
		if d := time.Since(begin); burst != 33 || d != 96*time.Millisecond {
			t.Errorf("%d reports at once and the last after %v, want 33 and 96 ms", burst, d)
		}
		u.cancel()
		u.read()
		<-u.served
	})
}

// TestUHIDEndsWithTheDevice makes sure that a lost device is an error, not
// silence.
func TestUHIDEndsWithTheDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := newFakeUHID(t, UHIDConfig{})
		u.read()
		u.pipe.Close()
		if err := <-u.served; err == nil {
			t.Error("no error")
		}
	})
}

func TestUHIDConfigRefused(t *testing.T) {
	for _, id := range []USBIdentity{
		{Name: strings.Repeat("n", 128)},
		{Serial: strings.Repeat("s", 64)},
	} {
		c := UHIDConfig{USBIdentity: id}
		c.Device = filepath.Join(t.TempDir(), "uhid")
		if err := os.WriteFile(c.Device, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		h := newHID(&hidKey{})
		if err := ServeUHID(t.Context(), h, c); err == nil || !strings.Contains(err.Error(), "is longer than") {
			t.Errorf("%q, %q: error %v", c.Name, c.Serial, err)
		}
		if data, _ := os.ReadFile(c.Device); len(data) != 0 {
			t.Errorf("%x was written", data)
		}
		h.Close()
	}
}

func TestUHIDOpenErrorsNameTheRemedy(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fs.ErrNotExist, "modprobe uhid"},
		{syscall.ENODEV, "modprobe uhid"},
		{syscall.EACCES, `KERNEL=="uhid"`},
		{syscall.EIO, "input/output error"},
	} {
		err := uhidOpenError(&fs.PathError{Op: "open", Path: "/dev/uhid", Err: c.err})
		if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "/dev/uhid") {
			t.Errorf("%v: %v", c.err, err)
		}
	}
	h := newHID(&hidKey{})
	defer h.Close()
	err := ServeUHID(t.Context(), h, UHIDConfig{Device: filepath.Join(t.TempDir(), "uhid")})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "modprobe uhid") {
		t.Errorf("no device: %v", err)
	}
}

// FuzzUHIDEvent parses what the kernel would never send.
func FuzzUHIDEvent(f *testing.F) {
	f.Add([]byte{6, 0, 0, 0})
	f.Add(append([]byte{9, 0, 0, 0}, make([]byte, 6)...))
	f.Add(append(append([]byte{6, 0, 0, 0}, make([]byte, 4096)...), 65, 0, 1))
	f.Fuzz(func(t *testing.T, event []byte) {
		if e, ok := parseUHID(event); ok && e.size != 0 && e.size != 64 {
			t.Errorf("report of %d bytes", e.size)
		}
	})
}
