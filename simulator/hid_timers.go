package simulator

import "time"

func (h *HID) awaitKeepalive() {
	h.nextAlive = time.Now().Add(hidKeepalive)
	h.keepalive.Reset(hidKeepalive)
}

// keepaliveDue sends a keepalive. The timer may have fired for what is no longer
// true.
func (h *HID) keepaliveDue() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.powered() && h.request != nil && !time.Now().Before(h.nextAlive) {
		h.keepAlive()
	}
}

// awaitPacket has packetMissing called after hidTimeout. A timer that runs is
// left running, for most messages are complete long before.
func (h *HID) awaitPacket() {
	h.packetDue = h.clock.Now().Add(hidTimeout)
	if !h.packetAwaits {
		h.startPacketTimer(hidTimeout)
	}
}

func (h *HID) startPacketTimer(d time.Duration) {
	h.packetAwaits = true
	h.packetTimer = h.clock.AfterFunc(d, h.packetMissing)
}

// packetMissing gives up a message whose next packet is missing.
func (h *HID) packetMissing() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.packetAwaits = false
	if h.closed || !h.powered() || h.cid == 0 || h.request != nil {
		return
	}
	if left := h.packetDue.Sub(h.clock.Now()); left > 0 {
		h.startPacketTimer(left)
		return
	}
	cid := h.cid
	h.idle()
	h.fail(cid, hidMessageTimeout)
}
