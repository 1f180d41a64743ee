package hid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fidokey/fidokey/transport"
)

// socketReport is the length in bytes of the reports of software keys.
const socketReport = 64

// socketTimeout is how long a connection and a write may take.
const socketTimeout = 5 * time.Second

// DialUnix opens a software key behind a Unix socket. In both directions each
// report follows its length, two bytes, the high one first.
func DialUnix(path string) (Port, error) { return dialStream("unix", path) }

// DialTCP opens a software key behind a TCP port, with the framing of
// [DialUnix]. The address is HOST:PORT.
func DialTCP(address string) (Port, error) { return dialStream("tcp", address) }

func dialStream(network, address string) (Port, error) {
	conn, err := net.DialTimeout(network, address, socketTimeout)
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	if network == "tcp" && conn.LocalAddr().String() == conn.RemoteAddr().String() {
		conn.Close() // of the ports that the system chooses from, it chose this one for our side
		return nil, fmt.Errorf("open key: nobody listens at %s", address)
	}
	return &streamPort{socket: socket{conn: conn}}, nil
}

// DialUDP opens a software key behind a UDP port, each datagram of which is one
// report. The address is HOST:PORT, customarily port 8111. Such keys answer to
// the sender, or to one port whoever asks, customarily 7112: then that is the
// localPort, which otherwise is 0.
func DialUDP(address string, localPort uint16) (Port, error) {
	remote, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	var local *net.UDPAddr
	if localPort != 0 {
		local = &net.UDPAddr{Port: int(localPort)}
		if remote.IP.IsLoopback() {
			local.IP = remote.IP
		}
	}
	conn, err := net.DialUDP("udp", local, remote)
	if err != nil {
		return nil, fmt.Errorf("open key: %w", err)
	}
	return &datagramPort{socket{conn: conn}}, nil
}

// Dialer returns how to open a software key that is named as
// unix:PATH, tcp:HOST:PORT, udp:HOST:PORT or, with a port of our own that such a
// key answers to, udp:HOST:PORT:REPLYPORT. It is nil for other names.
func Dialer(device string) func() (Port, error) {
	network, address, _ := strings.Cut(device, ":")
	switch network {
	case "unix":
		return func() (Port, error) { return DialUnix(address) }
	case "tcp":
		return func() (Port, error) { return DialTCP(address) }
	case "udp":
		var reply uint64
		if i := strings.LastIndexByte(address, ':'); strings.Count(address, ":") > 1 && !strings.HasSuffix(address[:i], "]") {
			var err error
			if reply, err = strconv.ParseUint(address[i+1:], 10, 16); err != nil {
				return func() (Port, error) { return nil, fmt.Errorf("%s: %w", device, err) }
			}
			address = address[:i]
		}
		return func() (Port, error) { return DialUDP(address, uint16(reply)) }
	}
	return nil
}

// socket is what the ports on a network have in common.
type socket struct {
	conn net.Conn

	mu       sync.Mutex
	deadline time.Time
}

func (s *socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	return disconnected(s.conn.SetReadDeadline(t))
}

// late reports whether the deadline has passed.
func (s *socket) late() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.deadline.IsZero() && !time.Now().Before(s.deadline)
}

func (s *socket) write(b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(socketTimeout)); err != nil {
		return disconnected(err)
	}
	_, err := s.conn.Write(b)
	return disconnected(err)
}

// control calls f with the system's socket.
func control(conn net.Conn, f func(fd uintptr)) {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err == nil {
		_ = raw.Control(f) // closed: the next Read says so
	}
}

func (s *socket) ReportSizes() (in, out int) { return socketReport, socketReport }
func (s *socket) Close() error               { return s.conn.Close() }

// disconnected makes every error but a deadline wrap transport.ErrClosed.
func disconnected(err error) error {
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return fmt.Errorf("%w: %w", transport.ErrClosed, err)
}

// streamPort moves reports behind their length.
type streamPort struct {
	socket
	in    [2 + socketReport]byte // a frame, as far as it has come
	have  int
	stale bool // it had begun to come when Drain was called
}

func (p *streamPort) Read(report []byte) (int, error) {
	for {
		if p.late() {
			return 0, os.ErrDeadlineExceeded
		}
		frame, whole, err := p.frame()
		switch {
		case err != nil:
			return 0, err
		case whole:
			stale := p.stale
			p.have, p.stale = 0, false
			if stale {
				continue
			}
			return copy(report, frame[2:]), nil
		}
		n, err := p.conn.Read(frame[p.have:])
		p.have += n
		if err != nil {
			return 0, disconnected(err)
		}
	}
}

// frame returns where the frame is that is on its way, as far as its length is known,
// and whether all of it has come.
func (p *streamPort) frame() (frame []byte, whole bool, err error) {
	if p.have < 2 {
		return p.in[:2], false, nil
	}
	size := int(binary.BigEndian.Uint16(p.in[:]))
	if size == 0 || size > socketReport {
		return nil, false, fmt.Errorf("%w: report of %d bytes", ErrFraming, size)
	}
	return p.in[:2+size], p.have == 2+size, nil
}

func (p *streamPort) Drain() {
	for {
		frame, whole, err := p.frame()
		if err != nil {
			return // as the next Read says
		}
		if whole {
			p.have = 0
			continue
		}
		n := readWaiting(p.conn, frame[p.have:])
		if p.have += n; n == 0 {
			p.stale = p.have > 0
			return
		}
	}
}

func (p *streamPort) Write(report []byte) (int, error) {
	frame := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(report)), uint16(len(report)))
	return len(report), p.write(append(frame, report...))
}

// datagramPort moves one report in each datagram.
type datagramPort struct{ socket }

func (p *datagramPort) Read(report []byte) (int, error) {
	if p.late() {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := p.conn.Read(report)
	return n, disconnected(err)
}

func (p *datagramPort) Drain() {
	var report [socketReport]byte
	for readWaiting(p.conn, report[:]) > 0 {
	}
}

func (p *datagramPort) Write(report []byte) (int, error) { return len(report), p.write(report) }
