package simulator

import (
	"encoding/binary"
	"time"
)

var noQuirks Quirks

// traits looks at the key.
func (h *HID) traits() hidTraits {
	traits := h.key.hidTraits()
	if traits.quirks == nil {
		traits.quirks = &noQuirks
	}
	return traits
}

// receive takes a report that has come through.
func (h *HID) receive(report []byte) {
	cid, kind := binary.BigEndian.Uint32(report), report[4]
	if kind&hidInitBit == 0 {
		h.proceed(cid, kind, report[5:])
		return
	}
	h.start(cid, hidCommand(kind&^hidInitBit), int(binary.BigEndian.Uint16(report[5:])), report[7:])
}

// deliver sends a report, unless something goes wrong.
func (h *HID) deliver(report []byte) {
	traits := h.traits()
	switch {
	case !traits.powered:
	case traits.faults.none() || report[4] == byte(hidKeepAlive)|hidInitBit:
		h.send(report)
	default:
		traits.faults.pass(report, false, h.send, h.later)
	}
}

// later calls f after d on the key's clock, as if it were called now.
func (h *HID) later(d time.Duration, f func()) {
	h.clock.AfterFunc(d, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if !h.closed && h.powered() {
			f()
		}
	})
}

// busy reports whether a message that begins is turned down without need.
func (h *HID) busy(cmd hidCommand) bool {
	traits := h.traits()
	return traits.faults.hits(FaultBusy) || cmd != hidWink && h.clock.Now().Before(h.winkUntil)
}

// wink answers WINK, or not.
func (h *HID) wink(cid uint32) {
	q := h.traits().quirks
	h.winkUntil = h.clock.Now().Add(time.Duration(q.BusyAfterWink) * time.Millisecond)
	if !q.SilentWink {
		h.reply(cid, hidWink, nil)
	}
}

// mute reports whether a keepalive is not sent.
func (h *HID) mute() bool {
	traits := h.traits()
	if h.cmd == hidMsg && traits.capabilities&capabilityCBOR == 0 {
		return true // U2F has no keepalives, and Chromium takes one for a wrong answer
	}
	return traits.quirks.NoKeepalive || traits.faults.hits(FaultNoKeepalive)
}

// foreignReports sends what other programs would get: an answer to an INIT of
// theirs and a piece of a message.
func (h *HID) foreignReports(cmd hidCommand) {
	if cmd == hidKeepAlive || !h.traits().quirks.ForeignReports {
		return
	}
	report := make([]byte, h.reportSize)
	copy(report, []byte{0xff, 0xff, 0xff, 0xff, byte(hidInit) | hidInitBit, 0, 17, 's', 't', 'a', 'l', 'e'})
	h.send(report)
	clear(report)
	copy(report, []byte{0xde, 0xad, 0xbe, 0xef, byte(hidCBOR) | hidInitBit, 0, 1})
	h.send(report)
}
