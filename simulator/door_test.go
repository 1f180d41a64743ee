package simulator_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// A doorway opens doors of a key in the background and says where they are.
type doorway struct {
	*testing.T
	key   *simulator.Authenticator
	ready chan string
	ended chan error
	stop  context.CancelFunc
}

// openDoor starts a door, and fails the test when it does not end well.
func openDoor(k *key, serve func(ctx context.Context, c simulator.DoorConfig) error) *doorway {
	k.Helper()
	ctx, stop := context.WithCancel(k.Context())
	d := &doorway{k.T, k.Authenticator, make(chan string, 10), make(chan error, 1), stop}
	config := simulator.DoorConfig{
		Address: "127.0.0.1:0",
		Ready:   func(address net.Addr) { d.ready <- address.String() },
	}
	go func() { d.ended <- serve(ctx, config) }()
	k.Cleanup(func() {
		stop()
		if err := <-d.ended; err != nil {
			k.Errorf("door: %v", err)
		}
	})
	return d
}

func (d *doorway) address() string {
	d.Helper()
	select {
	case address := <-d.ready:
		return address
	case err := <-d.ended:
		d.ended <- nil
		d.Fatalf("door did not open: %v", err)
		return ""
	}
}

func tcpDoor(k *key) *doorway {
	return openDoor(k, func(ctx context.Context, c simulator.DoorConfig) error {
		return simulator.ServeTCP(ctx, k.Authenticator, c)
	})
}

// initOver asks for a channel with reports written by hand.
func initOver(t *testing.T, port hid.Port) (channel []byte) {
	t.Helper()
	report, nonce := make([]byte, 64), make([]byte, 8)
	rand.Read(nonce) // all clients see the answer
	copy(report, "\xff\xff\xff\xff\x86\x00\x08")
	copy(report[7:], nonce)
	if _, err := port.Write(report); err != nil {
		t.Fatal(err)
	}
	if err := port.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := port.Read(report); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(report[7:15], nonce) {
			return slices.Clone(report[15:19])
		}
	}
}

func getInfoOver(t *testing.T, port hid.Port) {
	t.Helper()
	dev, err := hid.Open(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := dev.Exchange(t.Context(), []byte{getInfo})
	if err != nil || answer[0] != ok {
		t.Fatalf("getInfo: %x, %v", answer, err)
	}
}

func TestDoors(t *testing.T) {
	short, err := os.MkdirTemp("", "fidokey") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(short)
	path := filepath.Join(short, "key")
	for _, door := range []struct {
		name  string
		serve func(k *key) func(context.Context, simulator.DoorConfig) error
		dial  func(address string) (hid.Port, error)
	}{
		{"TCP", func(k *key) func(context.Context, simulator.DoorConfig) error {
			return func(ctx context.Context, c simulator.DoorConfig) error {
				return simulator.ServeTCP(ctx, k.Authenticator, c)
			}
		}, hid.DialTCP},
		{"Unix", func(k *key) func(context.Context, simulator.DoorConfig) error {
			return func(ctx context.Context, c simulator.DoorConfig) error {
				c.Address = path
				return simulator.ServeUnix(ctx, k.Authenticator, c)
			}
		}, hid.DialUnix},
		{"UDP", func(k *key) func(context.Context, simulator.DoorConfig) error {
			return func(ctx context.Context, c simulator.DoorConfig) error {
				return simulator.ServeUDP(ctx, k.Authenticator, c, 0)
			}
		}, func(address string) (hid.Port, error) { return hid.DialUDP(address, 0) }},
	} {
		t.Run(door.name, func(t *testing.T) {
			k := newKey(t)
			d := openDoor(k, door.serve(k))
			address := d.address()
			one, err := door.dial(address)
			if err != nil {
				t.Fatal(err)
			}
			defer one.Close()
			two, err := door.dial(address)
			if err != nil {
				t.Fatal(err)
			}
			defer two.Close()
			if a, b := initOver(t, one), initOver(t, two); bytes.Equal(a, b) {
				t.Errorf("two clients got channel %x", a)
			}
			getInfoOver(t, one)
			getInfoOver(t, two)

			k.PowerOff()
			for door.name != "UDP" { // gone, as soon as the door has noticed
				gone, err := door.dial(address)
				if err != nil {
					break
				}
				gone.Close()
			}
			if _, err := k.Exchange(t.Context(), []byte{getInfo}); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("unplugged, it answers: %v", err)
			}
			k.PowerOn()
			if again := d.address(); again != address {
				t.Errorf("after power-off the door is at %s, before at %s", again, address)
			}
			back, err := door.dial(address)
			if err != nil {
				t.Fatal(err)
			}
			defer back.Close()
			getInfoOver(t, back)
		})
	}
}

// TestStreamFrames speaks to the TCP door without any of our framing.
func TestStreamFrames(t *testing.T) {
	conn, err := net.Dial("tcp", tcpDoor(newKey(t)).address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	report := append([]byte("\x00\x40\xff\xff\xff\xff\x86\x00\x08abcdefgh"), make([]byte, 49)...)
	for _, part := range [][]byte{report[:1], report[1:10], report[10:]} {
		if _, err := conn.Write(part); err != nil {
			t.Fatal(err)
		}
	}
	answer := make([]byte, 66)
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(answer, []byte("\x00\x40\xff\xff\xff\xff\x86\x00\x11abcdefgh")) {
		t.Errorf("answer to INIT: %x", answer)
	}
	if _, err := conn.Write([]byte{0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(answer); err == nil {
		t.Errorf("after a frame that cannot be: %d bytes", n)
	}
}

// TestHangUp: a client that goes away does not keep the key waiting for a touch.
func TestHangUp(t *testing.T) {
	k := newKey(t)
	waiting, left := make(chan bool, 1), make(chan bool, 1)
	k.touch = func(ctx context.Context) simulator.Presence {
		waiting <- true
		<-ctx.Done()
		left <- true
		return simulator.PresenceNone
	}
	conn, err := net.Dial("tcp", tcpDoor(k).address())
	if err != nil {
		t.Fatal(err)
	}
	for _, head := range []string{"\x00\x00\x00\x07\x86\x00\x08abcdefgh", "\x00\x00\x00\x07\x90\x00\x01\x0b"} {
		conn.Write(append([]byte("\x00\x40"+head), make([]byte, 64-len(head))...))
	}
	<-waiting
	conn.Close()
	<-left
}

func TestPowerCycleDatagram(t *testing.T) {
	k := newKey(t)
	d := openDoor(k, func(ctx context.Context, c simulator.DoorConfig) error {
		return simulator.ServeUDP(ctx, k.Authenticator, c, 0)
	})
	port, err := hid.DialUDP(d.address(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	first := initOver(t, port)
	if second := initOver(t, port); bytes.Equal(first, second) {
		t.Fatalf("channel %x twice", first)
	}
	cycle, _ := hex.DecodeString("ac1052ca95e569de69e02ebff333485f13f9b2da34c5a8a340526697a9ab2e0b" +
		"394d8d04973c134005be1a0140bff6045bb26eb77a73eaa47813f6b49a7250dc")
	if _, err := port.Write(cycle); err != nil {
		t.Fatal(err)
	}
	if again := initOver(t, port); !bytes.Equal(again, first) {
		t.Errorf("after a power cycle channel %x, the first was %x", again, first)
	}
}

// TestFixedReplyPort: answers go to one port whoever asks.
func TestFixedReplyPort(t *testing.T) {
	listener, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	k := newKey(t)
	d := openDoor(k, func(ctx context.Context, c simulator.DoorConfig) error {
		return simulator.ServeUDP(ctx, k.Authenticator, c, listener.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	})
	port, err := hid.DialUDP(d.address(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	port.Write(append([]byte("\xff\xff\xff\xff\x86\x00\x08abcdefgh"), make([]byte, 49)...))
	answer := make([]byte, 100)
	listener.SetReadDeadline(time.Now().Add(10 * time.Second))
	n, _, err := listener.ReadFrom(answer)
	if err != nil || n != 64 || !bytes.Equal(answer[7:15], []byte("abcdefgh")) {
		t.Errorf("%x, %v", answer[:n], err)
	}
}

func TestDoorsAreOnLoopback(t *testing.T) {
	k := newKey(t)
	for _, address := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.com:0", "nonsense"} {
		c := simulator.DoorConfig{Address: address}
		if err := simulator.ServeTCP(t.Context(), k.Authenticator, c); err == nil {
			t.Errorf("TCP door at %s opened", address)
		}
		if err := simulator.ServeUDP(t.Context(), k.Authenticator, c, 0); err == nil {
			t.Errorf("UDP door at %s opened", address)
		}
		if err := simulator.ServeUSBIP(t.Context(), k.Authenticator, c, simulator.USBIdentity{}); err == nil {
			t.Errorf("USB/IP door at %s opened", address)
		}
	}
}

// TestDoorPortTaken: while the key is unplugged another program has the port of its
// door for a moment; the door opens again all the same.
func TestDoorPortTaken(t *testing.T) {
	a, err := simulator.New(simulator.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for name, serve := range map[string]func(context.Context, *simulator.Authenticator, simulator.DoorConfig) error{
		"TCP": simulator.ServeTCP,
		"USB/IP": func(ctx context.Context, a *simulator.Authenticator, c simulator.DoorConfig) error {
			return simulator.ServeUSBIP(ctx, a, c, simulator.USBIdentity{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			open, ended := make(chan string, 1), make(chan error, 1)
			go func() {
				ended <- serve(ctx, a, simulator.DoorConfig{Address: "127.0.0.1:0", Ready: func(a net.Addr) { open <- a.String() }})
			}()
			address := <-open
			a.PowerOff()
			var other net.Listener
			for other == nil { // as soon as the door has closed
				other, _ = net.Listen("tcp", address)
			}
			a.PowerOn()
			time.Sleep(100 * time.Millisecond)
			other.Close()
			select {
			case <-open:
			case err := <-ended:
				t.Fatalf("the door stays closed: %v", err)
			}
		})
	}
}
