package simulator

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/internal/ctaptest"
)

// A usbipBench is a key at a USB/IP door.
type usbipBench struct {
	*testing.T
	*Authenticator
	vectors usbVectors
	ready   chan string
	address string
}

func newUSBIPBench(t *testing.T) *usbipBench {
	t.Helper()
	b := &usbipBench{T: t, Authenticator: newPlainKey(t), ready: make(chan string, 10)}
	ctaptest.Vectors(t, "usbip", &b.vectors)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- ServeUSBIP(ctx, b.Authenticator, DoorConfig{
			Address: "127.0.0.1:0", Ready: func(address net.Addr) { b.ready <- address.String() },
		}, USBIdentity{Serial: "4711"})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	b.address = <-b.ready
	return b
}

func (b *usbipBench) dial() net.Conn {
	b.Helper()
	conn, err := net.Dial("tcp", b.address)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

// ask sends a request on a connection of its own, and returns all that comes.
func (b *usbipBench) ask(request []byte) []byte {
	b.Helper()
	conn := b.dial()
	defer conn.Close()
	conn.Write(request)
	answer, _ := io.ReadAll(conn)
	return answer
}

// attach imports the device as soon as it can be had.
func (b *usbipBench) attach() *usbHost {
	b.Helper()
	for {
		conn := b.dial()
		conn.Write(b.vectors.OpReqImport)
		head := make([]byte, 8)
		if _, err := io.ReadFull(conn, head); err != nil {
			b.Fatal(err)
		}
		if head[7] == usbipBusy { // the last host is just being noticed to be gone
			conn.Close()
			continue
		}
		answer := append(head, make([]byte, 312)...)
		if _, err := io.ReadFull(conn, answer[8:]); err != nil || !bytes.Equal(answer, b.vectors.OpRepImport) {
			b.Fatalf("answer to import: %x, %v", answer, err)
		}
		return &usbHost{T: b.T, conn: conn, in: map[uint32]bool{}}
	}
}

// TestUSBIPDoor lists, imports, imports a second time, gives back.
func TestUSBIPDoor(t *testing.T) {
	b := newUSBIPBench(t)
	if answer := b.ask(b.vectors.OpReqDevlist); !bytes.Equal(answer, b.vectors.OpRepDevlist) {
		t.Errorf("list: %x", answer)
	}
	for what, c := range map[string]struct {
		request []byte
		want    string
	}{
		"another device":   {bytes.Replace(b.vectors.OpReqImport, []byte("1-1\x00"), []byte("1-10"), 1), "0111 0003 00000004"},
		"another version":  {append([]byte{1, 6}, b.vectors.OpReqDevlist[2:]...), ""},
		"another request":  {unhex(t, "0111 8006 00000000"), ""},
		"something else":   {[]byte("GET / HTTP/1.1\r\n\r\n"), ""},
		"no bus ID at all": {bytes.Replace(b.vectors.OpReqImport, []byte("1-1"), make([]byte, 3), 1), "0111 0003 00000004"},
	} {
		if answer := b.ask(c.request); !bytes.Equal(answer, unhex(t, c.want)) {
			t.Errorf("%s: %x, want %s", what, answer, c.want)
		}
	}

	h := b.attach()
	if answer := b.ask(b.vectors.OpReqImport); !bytes.Equal(answer, unhex(t, "0111 0003 00000002")) {
		t.Errorf("imported twice: %x", answer)
	}
	if answer := b.ask(b.vectors.OpReqDevlist); !bytes.Equal(answer, unhex(t, "0111 0005 00000000 00000000")) {
		t.Errorf("list of a key that a host has: %x", answer)
	}
	h.want(3, h.put(usbInit...), 0)
	if report := h.want(3, h.fetch(64), 0); !bytes.HasPrefix(report, []byte("\xff\xff\xff\xff\x86\x00\x11abcdefgh")) {
		t.Errorf("answer to INIT: %x", report)
	}
	h.conn.Close()
	b.attach()
}

// TestUSBIPPower: to be imported is to be plugged in, and to be unplugged ends it.
func TestUSBIPPower(t *testing.T) {
	b := newUSBIPBench(t)
	for cycles := range uint64(3) {
		if n := b.Counters().PowerCycles; n != cycles {
			t.Errorf("%d power cycles after %d hosts", n, cycles)
		}
		b.attach().conn.Close()
	}
	h := b.attach()
	b.PowerOff()
	if _, err := h.conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("unplugged: %v", err)
	}
	for {
		conn, err := net.Dial("tcp", b.address)
		if err != nil {
			break
		}
		conn.Close()
	}
	b.PowerOn()
	if again := <-b.ready; again != b.address {
		t.Errorf("at %s, before at %s", again, b.address)
	}
	h = b.attach()

	// The same by a fault, in the middle of a message.
	if err := b.Faults().Add(Fault{Kind: FaultUnplug}); err != nil {
		t.Fatal(err)
	}
	h.put(usbInit...)
	if _, err := io.Copy(io.Discard, h.conn); err != nil {
		t.Errorf("unplugged: %v", err)
	}
	b.PowerOn()
	<-b.ready
	h = b.attach()

	// What happens to a report on its way happens here too.
	if err := b.Faults().Add(Fault{Kind: FaultRepeated}); err != nil {
		t.Fatal(err)
	}
	h.want(3, h.put(usbInit...), 0)
	if one, two := h.want(3, h.fetch(64), 0), h.want(3, h.fetch(64), 0); !bytes.Equal(one, two) {
		t.Errorf("%x, and repeated %x", one, two)
	}
}

// TestUSBIPPatience: a host must say what it wants soon, and may then be silent for
// a day.
func TestUSBIPPatience(t *testing.T) {
	var v usbVectors
	ctaptest.Vectors(t, "usbip", &v)
	synctest.Test(t, func(t *testing.T) {
		h := newHID(&hidKey{})
		defer h.Close()
		d, err := newUSBDescriptors(USBIdentity{}, 64)
		if err != nil {
			t.Fatal(err)
		}
		door := &usbipDoor{hid: h, descriptors: d, powerUp: func() {}}
		connect := func() (host net.Conn, ended <-chan error) {
			ours, theirs := net.Pipe()
			done := make(chan error, 1)
			go func() { done <- door.host(t.Context(), theirs) }()
			return ours, done
		}
		_, ended := connect()
		begin := time.Now()
		if err := <-ended; err == nil || time.Since(begin) != 10*time.Second {
			t.Errorf("a silent host: %v after %v", err, time.Since(begin))
		}

		conn, ended := connect()
		conn.Write(v.OpReqImport)
		if _, err := io.ReadFull(conn, make([]byte, 320)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		host := &usbHost{T: t, conn: conn, in: map[uint32]bool{}}
		host.want(3, host.put(usbInit...), 0)
		conn.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestUSBIPCycles plugs in and unplugs 2,000 times: nothing piles up.
func TestUSBIPCycles(t *testing.T) {
	b := newUSBIPBench(t)
	b.attach().conn.Close()
	goroutines, files := runtime.NumGoroutine(), openFiles()
	begin := time.Now()
	for range 2000 {
		h := b.attach()
		h.fetch(64)
		h.put(usbInit...)
		h.conn.Close()
	}
	t.Logf("2,000 times in %v", time.Since(begin))
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines || openFiles() > files; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before; %d open files, %d before", runtime.NumGoroutine(), goroutines, openFiles(), files)
		}
	}
}

// openFiles counts descriptors, where the system tells.
func openFiles() int {
	files, _ := os.ReadDir("/proc/self/fd")
	return len(files)
}
