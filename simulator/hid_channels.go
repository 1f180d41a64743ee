package simulator

import (
	"encoding/binary"
	"slices"
	"time"
)

// init answers INIT, which is taken at any time and from everybody (section
// 11.2.9.1.3). On the broadcast channel it allocates a channel and disturbs no
// other; on a channel it drops what that channel was doing. A channel never
// handed out counts as allocated from then on, as with most keys.
func (h *HID) init(cid uint32, size int, nonce []byte) {
	if size != 8 {
		h.fail(cid, hidInvalidLength)
		return
	}
	channel := cid
	switch cid {
	case hidBroadcast:
		channel = h.allocate()
	case h.cid:
		h.idle()
	}
	if channel == h.lockOwner {
		h.lockOwner = 0
	}
	h.use(channel)

	msg := append(make([]byte, 0, 17), nonce[:8]...)
	msg = binary.BigEndian.AppendUint32(msg, channel)
	msg = append(msg, hidProtocol, hidFirmware[0], hidFirmware[1], hidFirmware[2], h.traits().claimed)
	h.reply(cid, hidInit, msg)
}

// allocate returns a channel number that is not in use.
func (h *HID) allocate() uint32 {
	for {
		h.last++
		if h.last != 0 && h.last != hidBroadcast && !slices.Contains(h.channels, h.last) {
			return h.last
		}
	}
}

// use puts a channel at the head of those allocated.
func (h *HID) use(cid uint32) {
	i := slices.Index(h.channels, cid)
	if i < 0 {
		if len(h.channels) < hidChannels {
			h.channels = append(h.channels, cid)
		}
		i = len(h.channels) - 1
	}
	copy(h.channels[1:i+1], h.channels[:i])
	h.channels[0] = cid
}

// anyChannel reports whether the key does not care who asks.
func (h *HID) anyChannel(cid uint32) bool {
	quirks := h.key.hidTraits().quirks
	return quirks != nil && quirks.AnyChannel && cid != 0 && cid != hidBroadcast
}

// lock reserves the device for a channel, or releases it (section 11.2.9.2.2).
func (h *HID) lock(cid uint32, seconds byte) {
	switch {
	case seconds > hidMaxLock:
		h.fail(cid, hidInvalidPar)
		return
	case seconds > 0:
		h.lockOwner, h.lockUntil = cid, h.clock.Now().Add(time.Duration(seconds)*time.Second)
	default:
		h.lockOwner = 0
	}
	h.reply(cid, hidLock, nil)
}

// lockedFor says whether another channel than cid holds the lock.
func (h *HID) lockedFor(cid uint32) bool {
	return h.lockOwner != 0 && h.lockOwner != cid && h.clock.Now().Before(h.lockUntil)
}
