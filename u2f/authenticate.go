package u2f

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// Control says what [Authenticate] is to do.
type Control byte

const (
	EnforcePresence Control = 0x03 // sign after a touch
	// CheckOnly asks whether the key handle is the key's own. The answer is an
	// error either way: ErrConditionsNotSatisfied for yes.
	CheckOnly       Control = 0x07
	WithoutPresence Control = 0x08 // sign without a touch; rare
)

// Authenticate signs with a key pair that [Register] made (FIDO U2F Raw Message
// Formats, section 5).
type Authenticate struct {
	Control     Control
	Challenge   [32]byte // SHA-256 of the client data
	Application [32]byte // as at registration
	KeyHandle   []byte
}

// MaxKeyHandle is the length in bytes of the longest key handle that fits into a
// command.
const MaxKeyHandle = 255

// Command returns the command, or an error for a key handle that does not fit.
func (a Authenticate) Command() (Command, error) {
	c := Command{INS: InstructionAuthenticate, P1: byte(a.Control)}
	if len(a.KeyHandle) > MaxKeyHandle {
		return c, fmt.Errorf("key handle of %d bytes, and %d fit", len(a.KeyHandle), MaxKeyHandle)
	}
	c.Data = slices.Concat(a.Challenge[:], a.Application[:], []byte{byte(len(a.KeyHandle))}, a.KeyHandle)
	return c, nil
}

// AuthenticateResponse is the answer to [Authenticate].
type AuthenticateResponse struct {
	UserPresence byte // bit 0: the key was touched
	Counter      uint32
	// Signature is ECDSA with SHA-256, in DER, over the application, the user
	// presence byte, the counter (big-endian) and the challenge.
	Signature []byte
	Raw       []byte // the whole answer
}

// Parse reads the answer.
func (Authenticate) Parse(data []byte) (*AuthenticateResponse, error) {
	const fixed = 1 + 4
	if len(data) <= fixed {
		return nil, fmt.Errorf("%w: %d bytes, more than %d needed", ErrMalformed, len(data), fixed)
	}
	return &AuthenticateResponse{
		UserPresence: data[0],
		Counter:      binary.BigEndian.Uint32(data[1:]),
		Signature:    data[fixed:],
		Raw:          data,
	}, nil
}
