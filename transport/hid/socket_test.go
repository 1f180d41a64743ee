package hid_test

import (
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/fidokey/fidokey/transport/hid"
)

// A peer is the other end of a socket port.
type peer struct {
	*testing.T
	conn  io.Writer
	bound bool // reports stand behind their length
}

// send gives the port reports that begin with a number each.
func (p *peer) send(numbers ...byte) {
	p.Helper()
	for _, n := range numbers {
		p.write(append([]byte{n}, make([]byte, 63)...))
	}
}

func (p *peer) write(report []byte) {
	p.Helper()
	if p.bound {
		report = append(binary.BigEndian.AppendUint16(nil, uint16(len(report))), report...)
	}
	if _, err := p.conn.Write(report); err != nil {
		p.Fatal(err)
	}
}

// socketPeers are a port of each kind, with its other end.
var socketPeers = map[string]func(t *testing.T) (hid.Port, *peer){
	"unix": func(t *testing.T) (hid.Port, *peer) {
		return stream(t, "unix", filepath.Join(t.TempDir(), "s"), hid.DialUnix)
	},
	"tcp": func(t *testing.T) (hid.Port, *peer) { return stream(t, "tcp", "127.0.0.1:0", hid.DialTCP) },
	"udp": func(t *testing.T) (hid.Port, *peer) {
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		port, err := hid.DialUDP(conn.LocalAddr().String(), 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { port.Close() })
		if _, err := port.Write(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
		_, address, err := conn.ReadFrom(make([]byte, 64))
		if err != nil {
			t.Fatal(err)
		}
		return port, &peer{T: t, conn: sender{conn, address}}
	},
}

// sender writes datagrams to one address.
type sender struct {
	net.PacketConn
	to net.Addr
}

func (s sender) Write(b []byte) (int, error) { return s.WriteTo(b, s.to) }

func stream(t *testing.T, network, address string, dial func(string) (hid.Port, error)) (hid.Port, *peer) {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	port, err := dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { port.Close() })
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return port, &peer{t, conn, true}
}

// wantReport reads the report that begins with a number.
func wantReport(t *testing.T, port hid.Port, number byte) {
	t.Helper()
	if err := port.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	report := make([]byte, 64)
	if n, err := port.Read(report); n != 64 || err != nil || report[0] != number {
		t.Fatalf("%d bytes, %v, the report %d and not %d", n, err, report[0], number)
	}
}

// TestSocketDrain: what lies there is thrown away, though the deadline is over; what
// comes afterwards is not, and an empty port is no reason to wait.
func TestSocketDrain(t *testing.T) {
	for name, open := range socketPeers {
		t.Run(name, func(t *testing.T) {
			port, peer := open(t)
			port.Drain()
			peer.send(1, 2, 3)
			wantReport(t, port, 1) // the others are there, too: it is one machine
			if err := port.SetReadDeadline(time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			port.Drain()
			peer.send(4)
			wantReport(t, port, 4)
			if port.Close() != nil {
				t.Fatal("not closed")
			}
			port.Drain()
		})
	}
}

// TestStreamDrainsHalf: a report of which half has come is thrown away as a whole.
func TestStreamDrainsHalf(t *testing.T) {
	port, peer := socketPeers["unix"](t)
	frame := append([]byte{0, 64, 1}, make([]byte, 63)...)
	for cut := 1; cut < len(frame); cut += 13 {
		peer.bound = false
		peer.write(append(append([]byte{}, frame...), frame[:cut]...))
		port.Drain()
		peer.write(frame[cut:])
		peer.bound = true
		peer.send(2)
		wantReport(t, port, 2)
	}
}

// TestStaleReports: whatever the port, an answer too many is not taken for that to the
// next request.
func TestStaleReports(t *testing.T) {
	for name, open := range socketPeers {
		t.Run(name, func(t *testing.T) {
			port, peer := open(t)
			d, err := hid.Open(t.Context(), &answeringPort{Port: port, peer: peer})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			for n := byte(1); n < 5; n++ {
				if answer, err := d.Ping(t.Context(), []byte{n}); err != nil || len(answer) != 1 || answer[0] != n {
					t.Errorf("ping %d: %x, %v", n, answer, err)
				}
			}
		})
	}
}

// An answeringPort is a key in the place of the other end, which answers twice.
type answeringPort struct {
	hid.Port
	peer *peer
}

func (p *answeringPort) Write(report []byte) (int, error) {
	channel, data := binary.BigEndian.Uint32(report), report[7:7+report[6]]
	if report[4] == initCmd {
		channel, data = everyone, initAnswer(data, ours)
	}
	for range 2 {
		p.peer.write(frames(64, channel, report[4], data)[0])
	}
	return len(report), nil
}
