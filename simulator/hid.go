package simulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/fidokey/fidokey/transport"
)

// A processor is the part of an [Authenticator] that HID needs: exchange answers
// one CTAP2 message, with status 0x2D once ctx has ended, and message one of U2F.
type processor interface {
	exchange(ctx context.Context, from origin, msg []byte) []byte
	message(ctx context.Context, from origin, apdu []byte) []byte
	PowerCycle()
	clock() Clock
	hidTraits() hidTraits
}

// HID is an authenticator's side of CTAPHID (CTAP 2.1, section 11.2): output
// reports go in at [HID.Receive], input reports come out at the function given
// to [HID.Attach]. What carries them is a door: a [Port] in the process,
// /dev/uhid, a socket.
//
// Keepalives follow the real clock also where the authenticator has a clock of
// its own, for a host waits in real time; the time limits follow the
// authenticator's.
type HID struct {
	key   processor
	clock Clock

	mu         sync.Mutex
	send       func(report []byte)
	closed     bool
	running    sync.WaitGroup      // goroutines in key.exchange
	out        [hidReportSize]byte // the report being sent
	unplug     func()              // the key is not powered from here any more
	reportSize int
	channels   []uint32 // allocated, the last used first
	last       uint32   // the channel allocated last
	lives      uint64   // of the key, when it was last looked at

	winkUntil time.Time // other messages fail until then

	lockOwner uint32 // 0: not locked
	lockUntil time.Time

	// The transaction: first a message comes in, then, if it is CBOR or MSG, the
	// authenticator works on it.
	cid     uint32 // 0: idle
	cmd     hidCommand
	message [hidMaxMessage]byte
	size    int  // announced
	have    int  // received
	seq     byte // expected next
	request *hidRequest

	keepalive    *time.Timer // calls keepaliveDue
	nextAlive    time.Time   // when the next keepalive is due
	packetDue    time.Time   // when the missing packet is, by clock
	packetTimer  func()      // stops the timer that calls packetMissing
	packetAwaits bool        // the timer runs
}

// A hidRequest is a message of CTAP2 or U2F the authenticator works on.
type hidRequest struct {
	cancel context.CancelFunc
	status transport.Status
}

// NewHID returns a HID interface of a, with no channel allocated. Close ends it,
// not a. Until then a has its power from there too: see [Card].
func NewHID(a *Authenticator) *HID {
	h := newHID(a)
	h.unplug = a.plugIn()
	return h
}

func newHID(key processor) *HID {
	traits := key.hidTraits()
	h := &HID{
		key:         key,
		clock:       key.clock(),
		lives:       traits.lives,
		reportSize:  hidReportSize,
		channels:    make([]uint32, 0, hidChannels),
		send:        func([]byte) {},
		packetTimer: func() {},
		unplug:      func() {},
	}
	if traits.quirks != nil && traits.quirks.ReportSize != 0 {
		h.reportSize = int(traits.quirks.ReportSize)
	}
	h.keepalive = time.AfterFunc(time.Hour, h.keepaliveDue)
	h.keepalive.Stop()
	return h
}

// Attach has each input report, 64 bytes, given to send, in place of what was
// attached before; without it they are lost, as on a cable that nobody plugged
// in. The calls come one after the other. send must neither keep the report nor
// call h; while it blocks, so does h.
func (h *HID) Attach(send func(report []byte)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.send = send
}

// Close ends a running request without an answer and returns once it has ended.
// Reports received later are lost.
func (h *HID) Close() error {
	h.mu.Lock()
	h.closed = true
	h.idle()
	h.packetTimer()
	h.mu.Unlock()
	h.unplug()
	h.running.Wait()
	return nil
}

// hangUp ends the transaction, if there is one, without an answer.
func (h *HID) hangUp() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.idle()
}

// PowerCycle unplugs the authenticator and plugs it in again: see
// [Authenticator.PowerCycle]. Channels, lock and transaction are forgotten.
func (h *HID) PowerCycle() {
	h.key.PowerCycle()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.powered()
}

// powered reports whether the key is plugged in. Once it was unplugged, channels,
// lock and transaction are forgotten.
func (h *HID) powered() bool {
	traits := h.key.hidTraits()
	if h.lives != traits.lives {
		h.lives = traits.lives
		h.idle()
		h.channels, h.last, h.lockOwner = h.channels[:0], 0, 0
	}
	return traits.powered
}

// ReportSize returns the length of reports in bytes: 64, but for a profile with
// that quirk.
func (h *HID) ReportSize() int { return h.reportSize }

// Receive takes one output report without a report ID. One of another length
// than ReportSize is lost.
func (h *HID) Receive(report []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || len(report) != h.reportSize || !h.powered() {
		return
	}
	if faults := h.traits().faults; !faults.none() {
		faults.pass(report, true, h.receive, h.later)
		return
	}
	h.receive(report)
}

// start takes an initialization packet. The order of the cases decides who is
// told what: an unknown channel learns of a running transaction first.
func (h *HID) start(cid uint32, cmd hidCommand, size int, data []byte) {
	switch {
	case cid == 0 || cid == hidBroadcast && cmd != hidInit:
		h.fail(cid, hidInvalidChannel)
	case cmd == hidInit:
		h.init(cid, size, data)
	case cid == h.cid && h.request == nil: // its own message is not complete
		h.idle()
		h.fail(cid, hidInvalidSeq)
	case cmd == hidCancel: // never has an answer of its own (section 11.2.9.1.5)
		if cid == h.cid && h.cmd == hidCBOR {
			h.request.cancel()
		}
	case h.cid != 0 || h.lockedFor(cid) || h.busy(cmd):
		h.fail(cid, hidChannelBusy)
	case !slices.Contains(h.channels, cid) && !h.anyChannel(cid):
		h.fail(cid, hidInvalidChannel)
	default:
		h.use(cid)
		if fault := cmd.check(size, h.key.hidTraits()); fault != hidNoFault {
			h.fail(cid, fault)
			return
		}
		h.cid, h.cmd, h.size, h.have, h.seq = cid, cmd, size, 0, 0
		h.add(data)
	}
}

// proceed takes a continuation packet. One that continues nothing is ignored.
func (h *HID) proceed(cid uint32, seq byte, data []byte) {
	switch {
	case cid != h.cid || cid == 0 || h.request != nil:
	case seq != h.seq:
		h.idle()
		h.fail(cid, hidInvalidSeq)
	default:
		h.seq++
		h.add(data)
	}
}

// add appends to the message, and executes it once it is complete.
func (h *HID) add(data []byte) {
	h.have += copy(h.message[h.have:h.size], data)
	if h.have < h.size {
		h.awaitPacket()
		return
	}
	switch h.cmd {
	case hidCBOR:
		h.process(h.key.exchange)
		return
	case hidMsg:
		h.process(h.key.message)
		return
	}
	cid, cmd, msg := h.cid, h.cmd, h.message[:h.size]
	h.idle()
	switch cmd {
	case hidPing:
		h.reply(cid, hidPing, msg)
	case hidWink:
		h.wink(cid)
	case hidLock:
		h.lock(cid, msg[0])
	}
}

// process gives the complete message to the authenticator, in a goroutine that
// sends the answer, unless the request has been dropped meanwhile.
func (h *HID) process(answerTo func(ctx context.Context, from origin, msg []byte) []byte) {
	ctx, cancel := context.WithCancel(context.Background())
	r := &hidRequest{cancel: cancel, status: transport.StatusProcessing}
	ctx = transport.WithStatus(ctx, func(s transport.Status) { h.report(r, s) })
	cid, cmd, msg := h.cid, h.cmd, bytes.Clone(h.message[:h.size])
	h.request = r
	h.awaitKeepalive()
	h.running.Go(func() {
		defer cancel()
		growStack(0)
		answer := answerTo(ctx, origin{door: h, channel: cid, transport: transportUSB}, msg)
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.powered() || h.request != r {
			return
		}
		h.idle()
		if len(answer) > h.traits().maxMessage() {
			h.fail(cid, hidOther)
			return
		}
		h.reply(cid, cmd, answer)
	})
}

// growStack makes room for the cryptography while there is next to nothing on the
// goroutine's stack that has to be moved.
//
//go:noinline
func growStack(i int) byte {
	var room [12 << 10]byte
	return room[i]
}

// report tells the host of a new status at once.
func (h *HID) report(r *hidRequest, s transport.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.request == r && r.status != s {
		r.status = s
		h.keepAlive()
	}
}

func (h *HID) keepAlive() {
	if !h.mute() {
		h.reply(h.cid, hidKeepAlive, []byte{byte(h.request.status)})
	}
	h.awaitKeepalive()
}

// idle ends the transaction, if there is one, without an answer.
func (h *HID) idle() {
	h.keepalive.Stop()
	h.cid = 0
	if h.request != nil {
		h.request.cancel()
		h.request = nil
	}
}

func (h *HID) fail(cid uint32, f hidFault) { h.reply(cid, hidError, []byte{byte(f)}) }

// reply sends a message of at most hidMaxMessage bytes.
func (h *HID) reply(cid uint32, cmd hidCommand, msg []byte) {
	h.foreignReports(cmd)
	binary.BigEndian.PutUint32(h.out[:], cid)
	h.out[4] = byte(cmd) | hidInitBit
	binary.BigEndian.PutUint16(h.out[5:], uint16(len(msg)))
	msg = h.emit(7, msg)
	for seq := byte(0); len(msg) > 0; seq++ {
		h.out[4] = seq
		msg = h.emit(5, msg)
	}
}

// emit sends the report with as much of msg as there is room after the header,
// and returns the rest.
func (h *HID) emit(header int, msg []byte) []byte {
	n := copy(h.out[header:h.reportSize], msg)
	clear(h.out[header+n:])
	h.deliver(h.out[:h.reportSize])
	return msg[n:]
}
