package nfc

import (
	"encoding/binary"
	"errors"
)

const (
	claISO  = 0x00
	claCTAP = 0x80
	// claChain marks all blocks of a chained command but the last (ISO 7816-4,
	// section 5.3.3).
	claChain = 0x10

	insSelect      = 0xa4
	insMessage     = 0x10 // NFCCTAP_MSG
	insGetResponse = 0x11 // NFCCTAP_GETRESPONSE
	insControl     = 0x12 // NFCCTAP_CONTROL
	insISOResponse = 0xc0 // GET RESPONSE

	p1StatusUpdates = 0x80 // of NFCCTAP_MSG: we understand status updates
	p1Cancel        = 0x11 // of NFCCTAP_GETRESPONSE
	p1End           = 0x01 // of NFCCTAP_CONTROL
)

// chainBlock is the most data in one block of a chained command. Some readers
// do not take the 255 bytes that a short APDU can hold.
const chainBlock = 240

// An apdu is one command before it is encoded.
type apdu struct {
	cla, ins, p1, p2 byte
	data             []byte
	// le is how many bytes of response are expected; -1: none, 0: as many as
	// the form of the APDU allows.
	le int
}

// short encodes an APDU with lengths of one byte; data has at most 255.
func (a apdu) short() []byte {
	b := []byte{a.cla, a.ins, a.p1, a.p2}
	if len(a.data) > 0 {
		b = append(b, byte(len(a.data)))
		b = append(b, a.data...)
	}
	if a.le >= 0 {
		b = append(b, byte(a.le))
	}
	return b
}

// extended encodes an APDU with lengths of two bytes, for up to 65535 bytes of
// data.
func (a apdu) extended() []byte {
	b := []byte{a.cla, a.ins, a.p1, a.p2}
	if len(a.data) == 0 && a.le < 0 {
		return b
	}
	b = append(b, 0)
	if len(a.data) > 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.data)))
		b = append(b, a.data...)
	}
	if a.le >= 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(a.le))
	}
	return b
}

var errAPDU = errors.New("malformed APDU")

// parseAPDU decodes a command in any of the seven forms of ISO 7816-4, section
// 5.1, and with the extended Lc of zero that some U2F platforms send. An Le of
// zero means the same in all of them, and the exact number is of no use once the
// form changes, so any Le becomes zero.
func parseAPDU(b []byte) (apdu, error) {
	if len(b) < 4 {
		return apdu{}, errAPDU
	}
	a := apdu{cla: b[0], ins: b[1], p1: b[2], p2: b[3], le: -1}
	body := b[4:]
	width := 1 // of a length
	switch {
	case len(body) == 0:
		return a, nil
	case len(body) == 1:
		a.le = 0
		return a, nil
	case body[0] == 0:
		body = body[1:]
		width = 2
		switch len(body) {
		case 1:
			return apdu{}, errAPDU
		case 2:
			a.le = 0
			return a, nil
		}
	}
	lc := int(body[0])
	if width == 2 {
		lc = int(binary.BigEndian.Uint16(body))
	}
	body = body[width:]
	if lc == 0 && width == 1 || len(body) < lc {
		return apdu{}, errAPDU
	}
	a.data = body[:lc]
	switch len(body) - lc {
	case 0:
		return a, nil
	case width:
		a.le = 0
		return a, nil
	}
	return apdu{}, errAPDU
}
