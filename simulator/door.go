package simulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A DoorConfig says where a door on the network is.
type DoorConfig struct {
	// Address is HOST:PORT, where port 0 is one that is free, or a path.
	Address string
	// AllowRemote opens doors on other interfaces than loopback too: whoever
	// reaches such a door can use the key.
	AllowRemote bool
	// Ready, if set, is called when the door is open, each time that the key is
	// plugged in, with the address.
	Ready func(address net.Addr)
}

const (
	reopenPatience = 10 * time.Second
	reopenPause    = 20 * time.Millisecond
)

// An opener opens a door, and again at the same address after power-off. Meanwhile
// another program may have been given its port for a moment, be it as that of its own
// side.
type opener struct{ opened bool }

func (o *opener) open(ctx context.Context, try func() error) (err error) {
	for end := time.Now().Add(reopenPatience); ; {
		if err = try(); err == nil || !o.opened || time.Now().After(end) {
			break
		}
		select {
		case <-time.After(reopenPause):
		case <-ctx.Done():
			return nil // nobody listens any more
		}
	}
	o.opened = o.opened || err == nil
	return err
}

// ready tells that the door is open.
func (c DoorConfig) ready(address net.Addr) {
	if c.Ready != nil {
		c.Ready(address)
	}
}

// ErrNotLoopback is wrapped by the error of an address that needs AllowRemote.
var ErrNotLoopback = errors.New("the address is not loopback, so others could use the key: that must be asked for")

// CheckLoopback refuses addresses that other machines can reach.
func CheckLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.IsLoopback() {
		return fmt.Errorf("%s: %w", address, ErrNotLoopback)
	}
	return nil
}

func (c DoorConfig) check() error {
	if c.AllowRemote {
		return nil
	}
	return CheckLoopback(c.Address)
}

// Linux keeps 64 input reports for each program that has a device open, and loses
// the rest. So of a long message burstReports go out at full speed, the others
// burstPause apart.
const (
	burstReports = 32
	burstPause   = time.Millisecond
)

// isLateInBurst reports whether a report should go out burstPause after the one
// before it.
func isLateInBurst(report []byte) bool {
	seq := report[4]
	return seq&hidInitBit == 0 && seq >= burstReports
}

// A hub joins one HID to all who have opened it. As with a device of an
// operating system each of them sees all input reports.
type hub struct {
	mu      sync.Mutex
	clients map[chan<- []byte]struct{}
}

func newHub(h *HID) *hub {
	b := &hub{clients: map[chan<- []byte]struct{}{}}
	h.Attach(b.send)
	return b
}

// send gives a report to everybody who keeps up.
func (b *hub) send(report []byte) {
	report = append([]byte(nil), report...)
	b.mu.Lock()
	defer b.mu.Unlock()
	for client := range b.clients {
		select {
		case client <- report:
		default: // lost, as in the operating systems' queues
		}
	}
}

// join returns a queue of input reports and the function that ends it, which
// returns how many others are left.
func (b *hub) join() (reports <-chan []byte, leave func() int) {
	queue := make(chan []byte, portReports)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clients[queue] = struct{}{}
	return queue, func() int {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.clients, queue)
		close(queue)
		return len(b.clients)
	}
}
