package hid

import (
	"fmt"

	"github.com/fidokey/fidokey/transport"
)

// ErrFraming is wrapped by the error for a packet that cannot stand where the
// key sent it. The text names the packet.
var ErrFraming error = transport.FramingError("broken CTAPHID message")

// Error is the code in a CTAPHID_ERROR message (CTAP 2.1, section 11.2.9.1.6).
type Error byte

const (
	ErrInvalidCmd     Error = 0x01
	ErrInvalidPar     Error = 0x02
	ErrInvalidLen     Error = 0x03
	ErrInvalidSeq     Error = 0x04
	ErrMsgTimeout     Error = 0x05
	ErrChannelBusy    Error = 0x06
	ErrLockRequired   Error = 0x0a
	ErrInvalidChannel Error = 0x0b
	ErrOther          Error = 0x7f
)

var errorNames = map[Error]string{
	ErrInvalidCmd:     "ERR_INVALID_CMD",
	ErrInvalidPar:     "ERR_INVALID_PAR",
	ErrInvalidLen:     "ERR_INVALID_LEN",
	ErrInvalidSeq:     "ERR_INVALID_SEQ",
	ErrMsgTimeout:     "ERR_MSG_TIMEOUT",
	ErrChannelBusy:    "ERR_CHANNEL_BUSY",
	ErrLockRequired:   "ERR_LOCK_REQUIRED",
	ErrInvalidChannel: "ERR_INVALID_CHANNEL",
	ErrOther:          "ERR_OTHER",
}

// String returns the specification's name, or "CTAPHID error 0x2a" for a code
// that has none.
func (e Error) String() string {
	if name, ok := errorNames[e]; ok {
		return name
	}
	return fmt.Sprintf("CTAPHID error %#02x", byte(e))
}

// Error returns the name and the code in hexadecimal.
func (e Error) Error() string {
	if name, ok := errorNames[e]; ok {
		return fmt.Sprintf("%s (CTAPHID error %#02x)", name, byte(e))
	}
	return e.String()
}

// Is has ERR_INVALID_CMD mean transport.ErrUnsupported: it is how a key without
// CTAP2, or without U2F, answers a message of the one that it lacks. ErrChannelBusy
// is a [transport.ErrBusy]. But for ErrOther, which may mean anything, all of them
// are about the packets of a message, which is not carried out then.
func (e Error) Is(target error) bool {
	switch target {
	case transport.ErrUnsupported:
		return e == ErrInvalidCmd
	case transport.ErrBusy:
		return e == ErrChannelBusy
	case transport.ErrNotDone:
		return e != ErrOther && errorNames[e] != ""
	}
	return false
}
