package simulator

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/fidokey/fidokey/transport"
)

// portReports is how many input reports wait in a Port for a reader. When there
// is one more the oldest is lost, as in the operating systems' queues, which
// are shorter: 64 reports in Linux, 32 elsewhere.
const portReports = 256

// A Port is the door of a [HID] inside the process: the host reads and writes
// whole reports, as it would with a device node. It may be used by one reader
// and any number of writers at a time.
type Port struct {
	hid *HID

	mu       sync.Mutex
	changed  sync.Cond
	reports  [portReports][hidReportSize]byte // a ring
	first    int                              // of the reports that wait
	waiting  int
	closed   bool
	deadline time.Time // of Read; zero: none
	timer    *time.Timer
}

// Port attaches a new Port to h. Closing it closes h.
func (h *HID) Port() *Port {
	p := &Port{hid: h}
	p.changed.L = &p.mu
	p.timer = time.AfterFunc(time.Hour, p.wake)
	p.timer.Stop()
	h.Attach(p.push)
	return p
}

// push queues an input report.
func (p *Port) push(report []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting == portReports {
		p.first = (p.first + 1) % portReports
		p.waiting--
	}
	copy(p.reports[(p.first+p.waiting)%portReports][:], report)
	p.waiting++
	p.changed.Broadcast()
}

// wake has Read look at the deadline.
func (p *Port) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed.Broadcast()
}

// Read waits for an input report and copies it to report. Past the deadline it
// returns [os.ErrDeadlineExceeded], even if a report is there; after Close an
// error that wraps [transport.ErrClosed].
func (p *Port) Read(report []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.closed:
			return 0, fmt.Errorf("simulator: read: %w", transport.ErrClosed)
		case !p.deadline.IsZero() && !time.Now().Before(p.deadline):
			return 0, os.ErrDeadlineExceeded
		case p.waiting > 0:
			n := copy(report, p.reports[p.first][:p.hid.ReportSize()])
			p.first = (p.first + 1) % portReports
			p.waiting--
			return n, nil
		}
		p.changed.Wait()
	}
}

// Drain throws away the reports that wait.
func (p *Port) Drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = 0
}

// Write gives the authenticator an output report.
func (p *Port) Write(report []byte) (int, error) {
	if size := p.hid.ReportSize(); len(report) != size {
		return 0, fmt.Errorf("simulator: write: report of %d bytes, not %d", len(report), size)
	}
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return 0, fmt.Errorf("simulator: write: %w", transport.ErrClosed)
	}
	p.hid.Receive(report)
	return len(report), nil
}

// SetReadDeadline sets when Read gives up, also one that waits already. The zero
// time means never. The error is always nil.
func (p *Port) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.timer.Stop()
	p.deadline = t
	switch left := time.Until(t); {
	case t.IsZero():
	case left > 0:
		p.timer.Reset(left)
	default:
		p.changed.Broadcast()
	}
	return nil
}

// ReportSizes returns the bytes of an input and of an output report.
func (p *Port) ReportSizes() (in, out int) { return p.hid.ReportSize(), p.hid.ReportSize() }

// Close ends a running request and the Read that waits. It may be called again.
func (p *Port) Close() error {
	p.mu.Lock()
	p.closed = true
	p.timer.Stop()
	p.changed.Broadcast()
	p.mu.Unlock()
	return p.hid.Close()
}
