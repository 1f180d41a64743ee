package u2f

import (
	"encoding/binary"
	"fmt"
)

// Instruction is the second byte of a command.
type Instruction byte

const (
	InstructionRegister     Instruction = 0x01
	InstructionAuthenticate Instruction = 0x02
	InstructionVersion      Instruction = 0x03
)

// String returns the specification's name, or the number of an instruction that
// has none.
func (i Instruction) String() string {
	switch i {
	case InstructionRegister:
		return "U2F_REGISTER"
	case InstructionAuthenticate:
		return "U2F_AUTHENTICATE"
	case InstructionVersion:
		return "U2F_VERSION"
	}
	return fmt.Sprintf("U2F instruction %#02x", byte(i))
}

// A Command is a command APDU of class 0 (FIDO U2F Raw Message Formats, section
// 3.1). As much response is asked for as there is.
type Command struct {
	INS    Instruction
	P1, P2 byte
	Data   []byte // up to 65535 bytes
}

// extended encodes the command in extended length. One without data has no Lc,
// which is ISO 7816-4's case 2.
func (c Command) extended() []byte {
	b := []byte{0, byte(c.INS), c.P1, c.P2, 0}
	if len(c.Data) > 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(c.Data)))
		b = append(b, c.Data...)
	}
	return append(b, 0, 0)
}

// withLc encodes a command without data, with an Lc that says so. ISO 7816-4 has
// no such form; some keys want it.
func (c Command) withLc() []byte {
	return []byte{0, byte(c.INS), c.P1, c.P2, 0, 0, 0, 0, 0}
}
