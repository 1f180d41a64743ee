package simulator

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Commands of USB/IP once a device is imported, and sizes in bytes.
const (
	urbSubmit       = 1
	urbUnlink       = 2
	urbSubmitAnswer = 3
	urbUnlinkAnswer = 4

	urbHeader  = 48
	urbMaxData = 64 << 10 // a control transfer has less
)

// Statuses of an URB: Linux' error numbers, on every system.
const (
	urbDone     int32 = 0
	urbStall    int32 = -32  // EPIPE
	urbOverflow int32 = -75  // EOVERFLOW: a report is longer than the URB
	urbUnlinked int32 = -104 // ECONNRESET
)

// An urb is a USB request block: a transfer that the host orders, or takes back.
type urb struct {
	command  uint32
	seq      uint32
	in       bool // data goes to the host
	endpoint uint32
	victim   uint32 // of an unlink: the seq of what is taken back
	length   uint32 // of the data, at most
	setup    [8]byte
	data     []byte // that the host sends
}

// readURB reads what the host asks of a device. After an error nothing that
// follows makes sense.
func readURB(r io.Reader, device uint32) (urb, error) {
	var b [urbHeader]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return urb{}, err
	}
	field := func(offset int) uint32 { return binary.BigEndian.Uint32(b[offset:]) }
	u := urb{command: field(0), seq: field(4), in: field(12) == 1, endpoint: field(16)}
	switch {
	case u.command != urbSubmit && u.command != urbUnlink:
		return u, fmt.Errorf("USB/IP command %#x", u.command)
	case field(8) != device:
		return u, fmt.Errorf("USB/IP device %#x, this is %#x", field(8), device)
	case u.command == urbUnlink:
		u.victim = field(20)
		return u, nil
	}
	u.length = field(24)
	packets := field(32)
	copy(u.setup[:], b[40:])
	switch {
	case field(12) > 1 || u.endpoint > 15:
		return u, fmt.Errorf("USB/IP endpoint %#x, direction %#x", u.endpoint, field(12))
	case packets != 0 && packets != 0xffffffff:
		return u, fmt.Errorf("USB/IP: %d isochronous packets: there is no such endpoint", packets)
	case u.length > urbMaxData:
		return u, fmt.Errorf("USB/IP: transfer of %d bytes: at most %d", u.length, urbMaxData)
	case u.in:
		return u, nil
	}
	u.data = make([]byte, u.length)
	_, err := io.ReadFull(r, u.data)
	return u, err
}

// answer is what the host gets for u. Data is for URBs of direction in; of those
// of direction out all was taken.
func (u urb) answer(status int32, data []byte) []byte {
	command, actual := uint32(urbSubmitAnswer), uint32(len(data))
	switch {
	case u.command == urbUnlink:
		command = urbUnlinkAnswer
	case !u.in && status == urbDone:
		actual = u.length
	}
	b := make([]byte, urbHeader, urbHeader+len(data))
	binary.BigEndian.PutUint32(b, command)
	binary.BigEndian.PutUint32(b[4:], u.seq)
	binary.BigEndian.PutUint32(b[20:], uint32(status))
	binary.BigEndian.PutUint32(b[24:], actual)
	return append(b, data...)
}
