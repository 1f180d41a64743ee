package hid_test

import (
	"context"
	"encoding/binary"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// CTAPHID commands as they stand on the wire.
const (
	ping      = 0x81
	msg       = 0x83
	lock      = 0x84
	initCmd   = 0x86
	wink      = 0x88
	cbor      = 0x90
	cancel    = 0x91
	keepalive = 0xbb
	errorCmd  = 0xbf
)

const (
	everyone = 0xffffffff
	ours     = 0x01020304 // the channel that the fake key allocates
	foreign  = 0x0a0b0c0d
)

// frames cuts a message into reports.
func frames(size int, channel uint32, cmd byte, data []byte) [][]byte {
	head := binary.BigEndian.AppendUint32(nil, channel)
	report := append(slices.Clone(head), cmd, byte(len(data)>>8), byte(len(data)))
	all := [][]byte{}
	for seq := byte(0); ; seq++ {
		n := min(size-len(report), len(data))
		report = append(report, data[:n]...)
		data = data[n:]
		all = append(all, append(report, make([]byte, size-len(report))...))
		if len(data) == 0 {
			return all
		}
		report = append(slices.Clone(head), seq)
	}
}

// A fakePort is a Port with a fake key behind it.
type fakePort struct {
	in, out int

	// handle gets each complete message, in the goroutine that writes. The fake
	// answers INIT itself if handle returns false.
	handle func(channel uint32, cmd byte, data []byte) (handled bool)
	// wrote is called after each report; it may be nil.
	wrote func(n int)

	mu       sync.Mutex
	changed  chan struct{}
	done     chan struct{} // is closed with the port
	queue    [][]byte
	written  [][]byte
	deadline time.Time
	closed   int
	readErr  error // once the queue is empty
	writeErr error

	channel uint32 // of the message that is arriving
	cmd     byte
	size    int
	data    []byte
}

func newFake() *fakePort {
	return &fakePort{in: 64, out: 64, changed: make(chan struct{}, 1), done: make(chan struct{})}
}

func (p *fakePort) ReportSizes() (in, out int) { return p.in, p.out }

func (p *fakePort) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

func (p *fakePort) Read(report []byte) (int, error) {
	for {
		p.mu.Lock()
		deadline := p.deadline
		switch {
		case p.closed > 0:
			p.mu.Unlock()
			return 0, os.ErrClosed
		case !deadline.IsZero() && !time.Now().Before(deadline):
			p.mu.Unlock()
			return 0, os.ErrDeadlineExceeded
		case len(p.queue) > 0:
			n := copy(report, p.queue[0])
			p.queue = p.queue[1:]
			p.mu.Unlock()
			return n, nil
		case p.readErr != nil:
			p.mu.Unlock()
			return 0, p.readErr
		}
		p.mu.Unlock()
		if deadline.IsZero() {
			<-p.changed
			continue
		}
		select {
		case <-p.changed:
		case <-time.After(time.Until(deadline)):
		}
	}
}

func (p *fakePort) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deadline = t
	p.wake()
	return nil
}

func (p *fakePort) Drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = nil
}

func (p *fakePort) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed++; p.closed == 1 {
		close(p.done)
	}
	p.wake()
	return nil
}

func (p *fakePort) Write(report []byte) (int, error) {
	p.mu.Lock()
	p.written = append(p.written, slices.Clone(report))
	n, err := len(p.written), p.writeErr
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if p.wrote != nil {
		p.wrote(n)
	}
	if report[4]&0x80 != 0 {
		p.channel = binary.BigEndian.Uint32(report)
		p.cmd = report[4]
		p.size = int(binary.BigEndian.Uint16(report[5:]))
		p.data = slices.Clone(report[7:])
	} else {
		p.data = append(p.data, report[5:]...)
	}
	if len(p.data) >= p.size {
		p.message(p.channel, p.cmd, p.data[:p.size])
	}
	return len(report), nil
}

func (p *fakePort) message(channel uint32, cmd byte, data []byte) {
	if p.handle != nil && p.handle(channel, cmd, data) {
		return
	}
	if cmd == initCmd {
		p.send(channel, initCmd, initAnswer(data, ours)...)
	}
}

// initAnswer is the data of an INIT response.
func initAnswer(nonce []byte, channel uint32) []byte {
	answer := binary.BigEndian.AppendUint32(slices.Clone(nonce), channel)
	return append(answer, 2, 5, 7, 1, 0x0d)
}

// push gives reports to the reader.
func (p *fakePort) push(reports ...[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, reports...)
	p.wake()
}

// send gives a message to the reader.
func (p *fakePort) send(channel uint32, cmd byte, data ...byte) {
	p.push(frames(p.in, channel, cmd, data)...)
}

// every gives a message to the reader again and again, until the port is closed.
func (p *fakePort) every(interval time.Duration, channel uint32, cmd byte, data ...byte) {
	go func() {
		for {
			select {
			case <-time.After(interval):
				p.send(channel, cmd, data...)
			case <-p.done:
				return
			}
		}
	}()
}

// sent returns the commands that were written since the last call.
func (p *fakePort) sent() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	commands := []byte{}
	for _, report := range p.written {
		if report[4]&0x80 != 0 {
			commands = append(commands, report[4])
		}
	}
	p.written = nil
	return commands
}

// open opens the fake key and forgets the reports of that.
func (p *fakePort) open(t testing.TB) *hid.Device {
	t.Helper()
	d, err := hid.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	p.sent()
	return d
}

// answer returns a handler that answers one command on our channel.
func (p *fakePort) answer(cmd byte, answer ...byte) func(uint32, byte, []byte) bool {
	return func(channel uint32, got byte, _ []byte) bool {
		if channel == ours && got == cmd {
			p.send(ours, cmd, answer...)
			return true
		}
		return false
	}
}

// statuses returns a context that collects keepalives.
func statuses(ctx context.Context) (context.Context, *[]transport.Status) {
	var seen []transport.Status
	return transport.WithStatus(ctx, func(s transport.Status) { seen = append(seen, s) }), &seen
}
