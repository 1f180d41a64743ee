package simulator_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/fidokey/fidokey/simulator"
)

// A virtualReader is the driver's end of vpcd, without pcscd.
type virtualReader struct {
	*testing.T
	net.Listener
	conn net.Conn
}

func newVirtualReader(t *testing.T) *virtualReader {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &virtualReader{T: t, Listener: l}
	t.Cleanup(func() { l.Close() })
	return r
}

// card waits for a card and gives it power.
func (r *virtualReader) card() *virtualReader {
	r.Helper()
	conn, err := r.Accept()
	if err != nil {
		r.Fatal(err)
	}
	r.conn = conn
	r.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	r.send(1)
	return r
}

func (r *virtualReader) send(message ...byte) {
	r.Helper()
	if _, err := r.conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(message))), message...)); err != nil {
		r.Fatal(err)
	}
}

func (r *virtualReader) receive() ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r.conn, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(r.conn, message)
	return message, err
}

// want sends digits and compares the answer.
func (r *virtualReader) want(name, message, answer string) {
	r.Helper()
	raw, err := hex.DecodeString(message)
	if err != nil {
		r.Fatal(err)
	}
	r.send(raw...)
	if got, err := r.receive(); err != nil || hex.EncodeToString(got) != answer {
		r.Errorf("%s: %s: %x, %v, want %s", name, message, got, err, answer)
	}
}

func (r *virtualReader) selectApplet() {
	r.Helper()
	r.want("SELECT", selectApplet, hex.EncodeToString([]byte("U2F_V2"))+"9000")
}

// wantGone makes sure that the card leaves the reader.
func (r *virtualReader) wantGone(why string) {
	r.Helper()
	if message, err := r.receive(); err == nil {
		r.Errorf("%s: the card answers %x", why, message)
	} else if errors.Is(err, os.ErrDeadlineExceeded) {
		r.Errorf("%s: the card is still there", why)
	}
}

// vpcdKey is a key in a virtual reader.
func vpcdKey(t *testing.T, change func(*simulator.Config), options ...simulator.CardOption) (*key, *virtualReader, *doorway) {
	t.Helper()
	r := newVirtualReader(t)
	k := newKey(t, full23(), change)
	d := openDoor(k, func(ctx context.Context, c simulator.DoorConfig) error {
		c.Address = r.Addr().String()
		return simulator.ServeVPCDQuickly(ctx, k.Authenticator, c, time.Minute, options...)
	})
	return k, r, d
}

func asBefore(*simulator.Config) {}

func TestVPCD(t *testing.T) {
	k, r, d := vpcdKey(t, asBefore)
	r.card().want("ATR", "04", "3b8d800180738021c057"+"6669646f6b6579"+"ba")
	if address := d.address(); address != r.Addr().String() {
		t.Errorf("ready at %s", address)
	}
	r.selectApplet()
	r.send(longAPDU(0, []byte{getInfo})...)
	if answer, err := r.receive(); err != nil || answer[0] != ok {
		t.Errorf("getInfo: %x, %v", answer, err)
	}
	r.want("unknown control byte, then SELECT", selectApplet, hex.EncodeToString([]byte("U2F_V2"))+"9000")
	for _, control := range []byte{0, 2} {
		r.send(control)
		if control == 0 {
			r.send(1)
		}
		r.want("a new field", "80108000010400", "6985")
		r.selectApplet()
	}

	k.PowerOff()
	r.wantGone("unplugged")
	k.PowerOn()
	r.card().selectApplet()
	k.PowerCycle()
	r.send(4)
	r.wantGone("unplugged and plugged in")
	r.card().selectApplet()
	r.conn.Close() // pcscd is gone and comes back
	r.card().selectApplet()
	r.conn.Write([]byte{0, 0})
	r.wantGone("a message of no bytes")
	r.card().selectApplet()
}

// TestVPCDFieldDrop: a request that waits for a touch ends with the field, by the
// reader's word or by a connection that is closed.
func TestVPCDFieldDrop(t *testing.T) {
	for name, drop := range map[string]func(r *virtualReader){
		"power off": func(r *virtualReader) { r.send(0) },
		"reset":     func(r *virtualReader) { r.send(2) },
		"closed":    func(r *virtualReader) { r.conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			waiting, left := make(chan bool, 1), make(chan bool, 1)
			_, r, _ := vpcdKey(t, func(c *simulator.Config) {
				c.Presence = func(ctx context.Context, _ simulator.PresenceRequest) simulator.Presence {
					waiting <- true
					<-ctx.Done()
					left <- true
					return simulator.PresenceNone
				}
			}, simulator.ContactCard()) // whose tap is no touch
			r.card().selectApplet()
			r.send(longAPDU(0, request(makeCredential, creation()))...)
			<-waiting
			drop(r)
			select {
			case <-left:
			case <-time.After(time.Minute):
				t.Fatal("the request goes on")
			}
		})
	}
}

func TestVPCDRefuses(t *testing.T) {
	k := newKey(t)
	c := simulator.DoorConfig{Address: "192.0.2.1:35963"}
	if err := simulator.ServeVPCD(t.Context(), k.Authenticator, c); !errors.Is(err, simulator.ErrNotLoopback) {
		t.Errorf("another machine: %v", err)
	}
	r := newVirtualReader(t)
	c.Address = r.Addr().String()
	err := simulator.ServeVPCDQuickly(t.Context(), k.Authenticator, c, 10*time.Millisecond)
	if !errors.Is(err, simulator.ErrVirtualReaderBusy) {
		t.Errorf("nobody looks: %v", err)
	}
	r.Close()
	if err := simulator.ServeVPCD(t.Context(), k.Authenticator, c); !errors.Is(err, simulator.ErrNoVirtualReader) {
		t.Errorf("nobody listens: %v", err)
	}
}

// TestVPCDCycles takes the card out and puts it in 2000 times, by the key and by
// the reader in turn, and looks for what is left over.
func TestVPCDCycles(t *testing.T) {
	k, r, d := vpcdKey(t, asBefore)
	cycle := func(n int) {
		for i := range n {
			r.card()
			<-d.ready
			r.want("getInfo before SELECT", "80100000010400", "6985")
			if i%2 == 0 {
				k.PowerOff()
				r.wantGone("unplugged")
				k.PowerOn()
			}
			r.conn.Close()
		}
	}
	cycle(20)
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	cycle(2000)
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines+2 && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > goroutines+2 {
		t.Errorf("%d goroutines, before %d", n, goroutines)
	}
	if n := openDescriptors(t); n > descriptors+2 {
		t.Errorf("%d descriptors, before %d", n, descriptors)
	}
}

// openDescriptors counts them where that is possible.
func openDescriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(open)
}
