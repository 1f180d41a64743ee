package simulator

import (
	"encoding/binary"
)

// A statusWord is SW1 and SW2 of a response APDU (ISO 7816-4, section 5.6).
type statusWord uint16

const (
	swOK              statusWord = 0x9000
	swStatusUpdate    statusWord = 0x9100 // of NFCCTAP: still at work
	swMore            statusWord = 0x6100 // and how much, up to 255 bytes
	swWrongLength     statusWord = 0x6700
	swChainBroken     statusWord = 0x6883 // the last command of the chain was expected
	swConditions      statusWord = 0x6985 // a touch, or the selection of the applet, is missing
	swNotAllowed      statusWord = 0x6986
	swWrongData       statusWord = 0x6a80 // not a key handle of ours
	swNotFound        statusWord = 0x6a82 // no such applet
	swWrongParameters statusWord = 0x6a86 // P1 or P2
	swUnknownINS      statusWord = 0x6d00
	swWrongClass      statusWord = 0x6e00
	swFailed          statusWord = 0x6f00
)

// append returns a response APDU.
func (sw statusWord) append(data []byte) []byte {
	return binary.BigEndian.AppendUint16(data, uint16(sw))
}

// A commandAPDU is a decoded command.
type commandAPDU struct {
	cla, ins, p1, p2 byte
	data             []byte
	extended         bool
	le               int // how much response is wanted, in bytes
}

// What le is when the command does not say, or says 0.
const (
	shortLe    = 256
	extendedLe = 65536
)

// decodeAPDU reads any of the seven forms of ISO 7816-4, section 5.1. It also
// takes an extended Lc of 0, which platforms send with commands without data.
func decodeAPDU(b []byte) (commandAPDU, statusWord) {
	if len(b) < 4 {
		return commandAPDU{}, swWrongLength
	}
	cmd := commandAPDU{cla: b[0], ins: b[1], p1: b[2], p2: b[3], le: shortLe}
	body, width := b[4:], 1
	switch {
	case len(body) == 0:
		return cmd, swOK
	case len(body) > 1 && body[0] == 0: // extended
		cmd.extended, cmd.le = true, extendedLe
		body, width = body[1:], 2
	}
	if len(body) < width {
		return cmd, swWrongLength
	}
	if len(body) == width {
		cmd.le = cmd.expected(body)
		return cmd, swOK
	}
	size := int(body[0])
	if width == 2 {
		size = int(binary.BigEndian.Uint16(body))
	}
	body = body[width:]
	if len(body) < size {
		return cmd, swWrongLength
	}
	cmd.data, body = body[:size], body[size:]
	switch len(body) {
	case 0:
		return cmd, swOK
	case width:
		cmd.le = cmd.expected(body)
		return cmd, swOK
	}
	return cmd, swWrongLength
}

// expected reads an Le; 0 is the most there can be.
func (cmd commandAPDU) expected(field []byte) int {
	n := int(field[0])
	if cmd.extended {
		n = int(binary.BigEndian.Uint16(field))
	}
	if n == 0 {
		return cmd.le
	}
	return n
}
