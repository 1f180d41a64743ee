//go:build cgo && libusb

package hid

import (
	"errors"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/karalabe/hid"

	"github.com/fidokey/fidokey/transport"
)

func TestUSBReports(t *testing.T) {
	s := newSysfs(t)
	s.add("hidraw0", "pci0/1-1/1-1:1.0/0003:1050:0407.0001", "", "05010906a101c0")
	s.add("hidraw1", "pci0/1-1/1-1:1.1/0003:1050:0407.0002", "", keyDescriptor)
	s.link("../../../devices/pci0/1-1/1-1:1.0", "bus/usb/devices/1-1:1.0")
	s.link("../../../devices/pci0/1-1/1-1:1.1", "bus/usb/devices/1-1:1.1")
	for path, want := range map[string]bool{"1-1:1.1": true, "1-1:1.0": false, "1-2:1.0": false, "": false, "../1-1:1.1": true} {
		if in, out, ok := usbReports(s.sys, path); ok != want || ok && (in != 64 || out != 64) {
			t.Errorf("%q: reports of %d and %d bytes, %v, want %v", path, in, out, ok, want)
		}
	}
}

// libraryDevice stands for a device of the C library, which frees memory when it
// is closed and so must not be inside a read then.
type libraryDevice struct {
	hid.Device
	t       *testing.T
	mu      sync.Mutex
	inside  int
	reports [][]byte
	written [][]byte
	err     error
}

func (d *libraryDevice) ReadTimeout(b []byte, timeout int) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return 0, d.err
	}
	if len(d.reports) > 0 {
		n := copy(b, d.reports[0])
		d.reports = d.reports[1:]
		return n, nil
	}
	if timeout == 0 {
		return 0, nil
	}
	if timeout < 0 || timeout > 100 {
		d.t.Errorf("read for %d ms", timeout)
	}
	d.inside++
	d.mu.Unlock()
	time.Sleep(time.Duration(timeout) * time.Millisecond)
	d.mu.Lock()
	d.inside--
	return 0, nil
}

func (d *libraryDevice) Write(b []byte) (int, error) {
	d.written = append(d.written, b)
	return len(b), d.err
}

func (d *libraryDevice) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.inside > 0 {
		d.t.Error("closed while a read is inside the library")
	}
	return nil
}

func TestHIDAPIPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		device := &libraryDevice{t: t, reports: [][]byte{{1, 2}}}
		port := &hidapiPort{device: device, in: 64, out: 64}
		report := make([]byte, 64)
		if err := port.SetReadDeadline(past); err != nil {
			t.Fatal(err)
		}
		if _, err := port.Read(report); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("error %v past the deadline", err)
		}
		start := time.Now()
		if err := port.SetReadDeadline(start.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := port.Read(report); n != 2 || err != nil {
			t.Errorf("%d bytes, error %v", n, err)
		}
		if _, err := port.Read(report); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("error %v after %v", err, time.Since(start))
		}

		if n, err := port.Write(report); n != 64 || err != nil {
			t.Errorf("wrote %d bytes, error %v", n, err)
		}
		if len(device.written[0]) != 65 || device.written[0][0] != 0 {
			t.Errorf("the library got %x, want the report number first", device.written[0])
		}

		// A read that blocks is woken.
		if err := port.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		time.AfterFunc(time.Second, func() { port.SetReadDeadline(past) })
		if _, err := port.Read(report); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) > 1100*time.Millisecond {
			t.Errorf("read ended with %v after %v", err, time.Since(start))
		}
	})
}

// TestHIDAPIPortDrain: what lies there is thrown away, though the deadline is over.
func TestHIDAPIPortDrain(t *testing.T) {
	device := &libraryDevice{t: t, reports: [][]byte{{1}, {2}, {3}}}
	port := &hidapiPort{device: device, in: 64, out: 64}
	if err := port.SetReadDeadline(past); err != nil {
		t.Fatal(err)
	}
	port.Drain()
	if len(device.reports) != 0 {
		t.Errorf("%x is left", device.reports)
	}
	device.err = errors.New("hidapi: failed")
	port.Drain() // and comes back
}

// blockedDevice is a libraryDevice whose reads last until the test ends them.
type blockedDevice struct {
	libraryDevice
	entered, leave chan struct{}
}

func (d *blockedDevice) ReadTimeout([]byte, int) (int, error) {
	d.mu.Lock()
	d.inside++
	d.mu.Unlock()
	d.entered <- struct{}{}
	<-d.leave
	d.mu.Lock()
	d.inside--
	d.mu.Unlock()
	return 0, nil
}

func TestHIDAPIPortClose(t *testing.T) {
	device := &blockedDevice{libraryDevice{t: t}, make(chan struct{}), make(chan struct{})}
	port := &hidapiPort{device: device, in: 64, out: 64}
	read, closed := make(chan error), make(chan error)
	report := make([]byte, 64)
	go func() {
		_, err := port.Read(report)
		read <- err
	}()
	<-device.entered
	go func() { closed <- port.Close() }()
	go func() { // reads that come in before Close has its turn
		for range device.entered {
			device.leave <- struct{}{}
		}
	}()
	device.leave <- struct{}{}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := <-read; !errors.Is(err, transport.ErrClosed) {
		t.Errorf("read ended with %v, want %v", err, transport.ErrClosed)
	}
	close(device.entered)
	if _, err := port.Write(report); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("write after close: %v, want %v", err, transport.ErrClosed)
	}
	if err := port.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestHIDAPIPortUnplugged(t *testing.T) {
	device := &libraryDevice{t: t, err: errors.New("hidapi: failed")}
	port := &hidapiPort{device: device, in: 64, out: 64}
	if _, err := port.Read(make([]byte, 64)); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("read: %v, want %v", err, transport.ErrClosed)
	}
	if _, err := port.Write(make([]byte, 64)); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("write: %v, want %v", err, transport.ErrClosed)
	}
}
