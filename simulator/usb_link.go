package simulator

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	// usbPending is how many URBs may wait; no host has more than a few.
	usbPending = 128
	// usbReports is how many input reports may wait for the host. While more than
	// usbReportsBusy do, output reports are not taken, as a key with full buffers
	// does: what is under way then, two messages of 129 reports, still has room.
	usbReports     = 512
	usbReportsBusy = 128
	// usbIDs are the only bus and the only device on it.
	usbBus    = 1
	usbNumber = 2
	usbID     = usbBus<<16 | usbNumber
)

// A usbLink carries the URBs of one host that has the key plugged in. URBs come in
// at one goroutine, which alone acts on them; answers go out at another, so that a
// host that does not read keeps neither HID nor a command waiting.
type usbLink struct {
	conn     net.Conn
	hid      *HID
	function usbFunction
	outs     []urb // output reports that are not taken yet

	mu      sync.Mutex
	changed sync.Cond
	ins     []urb    // that wait for an input report
	reports [][]byte // input reports that wait for an URB
	answers []usbAnswer
	ended   bool
}

// A usbAnswer is what is sent to the host.
type usbAnswer struct {
	data  []byte
	pause bool // before it
}

func newUSBLink(conn net.Conn, h *HID, d *usbDescriptors) *usbLink {
	l := &usbLink{conn: conn, hid: h}
	l.changed.L = &l.mu
	l.function = usbFunction{usbDescriptors: d, configuration: usbConfigured, reset: l.busReset}
	return l
}

// run serves the host until it goes away or ctx ends; it then returns nil. It
// closes the connection.
func (l *usbLink) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { l.conn.Close() })()
	var writer sync.WaitGroup
	writer.Go(l.write)
	l.hid.Attach(l.send)
	err := l.read()
	l.hid.Attach(func([]byte) {})
	l.hid.hangUp() // nobody is left to wait for an answer
	l.end()
	writer.Wait()
	if ctx.Err() != nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// end closes the connection and wakes both goroutines.
func (l *usbLink) end() {
	l.conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.changed.Broadcast()
}

// write sends answers. Those that carry the end of a long message are apart:
// Linux keeps 64 reports for each program, and loses more.
func (l *usbLink) write() {
	defer l.end()
	for {
		l.mu.Lock()
		for len(l.answers) == 0 && !l.ended {
			l.changed.Wait()
		}
		batch, ended := l.answers, l.ended
		l.answers = nil
		l.changed.Broadcast()
		l.mu.Unlock()
		if ended {
			return
		}
		for _, a := range batch {
			if a.pause {
				time.Sleep(burstPause)
			}
			if _, err := l.conn.Write(a.data); err != nil {
				return
			}
		}
	}
}

// read acts on URBs as long as the host takes the answers.
func (l *usbLink) read() error {
	r := bufio.NewReader(l.conn)
	for l.roomForAnswers() {
		u, err := readURB(r, usbID)
		if err != nil {
			return err
		}
		l.handle(u)
		l.takeReports()
		if l.pending() > usbPending {
			return fmt.Errorf("USB/IP: more than %d transfers wait", usbPending)
		}
	}
	return nil
}

// roomForAnswers waits for it; false when the link has ended.
func (l *usbLink) roomForAnswers() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.answers) > usbPending && !l.ended {
		l.changed.Wait()
	}
	return !l.ended
}

func (l *usbLink) pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ins) + len(l.outs)
}

func (l *usbLink) handle(u urb) {
	f := &l.function
	switch {
	case u.command == urbUnlink:
		l.unlink(u)
	case u.endpoint == 0:
		l.control(u)
	case u.endpoint != usbEndpointOut || f.configuration == 0:
		l.answer(u, urbStall, nil)
	case u.in && !f.haltedIn:
		l.wantReport(u)
	case !u.in && !f.haltedOut:
		l.outs = append(l.outs, u)
	default:
		l.answer(u, urbStall, nil)
	}
}

func (l *usbLink) control(u urb) {
	data, ok := l.function.control(parseUSBSetup(u.setup))
	if l.function.haltedIn {
		l.stallReports()
	}
	switch {
	case !ok:
		l.answer(u, urbStall, nil)
	case u.in:
		asked := int(u.setup[6]) | int(u.setup[7])<<8
		l.answer(u, urbDone, data[:min(len(data), asked, int(u.length))])
	default:
		l.answer(u, urbDone, nil)
	}
}

// unlink takes an URB back; one that has been answered already needs nothing more.
func (l *usbLink) unlink(u urb) {
	l.mu.Lock()
	defer l.mu.Unlock()
	is := func(waiting urb) bool { return waiting.seq == u.victim }
	before := len(l.ins) + len(l.outs)
	l.ins, l.outs = slices.DeleteFunc(l.ins, is), slices.DeleteFunc(l.outs, is)
	status := urbDone
	if len(l.ins)+len(l.outs) < before {
		status = urbUnlinked
	}
	l.push(u.answer(status, nil), false)
}

// takeReports gives HID the output reports that it can answer without losing
// something.
func (l *usbLink) takeReports() {
	for len(l.outs) > 0 && l.reportsWaiting() <= usbReportsBusy {
		u := l.outs[0]
		l.outs = l.outs[1:]
		l.answer(u, urbDone, nil)
		l.hid.Receive(u.data)
	}
}

func (l *usbLink) reportsWaiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.reports)
}

// wantReport answers an URB with an input report, now or when there is one.
func (l *usbLink) wantReport(u urb) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.reports) == 0 {
		l.ins = append(l.ins, u)
		return
	}
	report := l.reports[0]
	l.reports = l.reports[1:]
	l.pushReport(u, report)
}

// send is for [HID.Attach]. A keepalive that the host has not fetched gives way
// to the next one.
func (l *usbLink) send(report []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch last := len(l.reports) - 1; {
	case len(l.ins) > 0:
		u := l.ins[0]
		l.ins = l.ins[1:]
		l.pushReport(u, report)
	case last >= 0 && isKeepalive(report) && bytes.Equal(report[:5], l.reports[last][:5]):
		copy(l.reports[last], report)
	case len(l.reports) < usbReports:
		l.reports = append(l.reports, bytes.Clone(report))
	}
}

func isKeepalive(report []byte) bool { return report[4] == byte(hidKeepAlive)|hidInitBit }

// stallReports ends the URBs that wait for a report, after the endpoint was
// halted.
func (l *usbLink) stallReports() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.ins {
		l.push(u.answer(urbStall, nil), false)
	}
	l.ins = nil
}

// busReset forgets reports and a message that is under way.
func (l *usbLink) busReset() {
	l.hid.hangUp()
	l.stallReports()
	l.mu.Lock()
	l.reports = nil
	l.mu.Unlock()
	for _, u := range l.outs {
		l.answer(u, urbStall, nil)
	}
	l.outs = nil
}

func (l *usbLink) answer(u urb, status int32, data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.push(u.answer(status, data), false)
}

// pushReport is push for an input report.
func (l *usbLink) pushReport(u urb, report []byte) {
	if int(u.length) < len(report) {
		l.push(u.answer(urbOverflow, nil), false)
		return
	}
	l.push(u.answer(urbDone, report), isLateInBurst(report))
}

// push has an answer sent. l.mu is held.
func (l *usbLink) push(data []byte, pause bool) {
	l.answers = append(l.answers, usbAnswer{data, pause})
	l.changed.Broadcast()
}
