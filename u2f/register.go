package u2f

import (
	"encoding/asn1"
	"fmt"
	"slices"
)

// Register makes a key pair (FIDO U2F Raw Message Formats, section 4). The key
// wants a touch for it.
type Register struct {
	Challenge   [32]byte // SHA-256 of the client data
	Application [32]byte // SHA-256 of the AppID, or of the RP ID
}

// Command returns the command. P1 is what platforms have always sent, though the
// specification says 0.
func (r Register) Command() (Command, error) {
	return Command{INS: InstructionRegister, P1: byte(EnforcePresence), Data: slices.Concat(r.Challenge[:], r.Application[:])}, nil
}

// RegisterResponse is the answer to [Register].
type RegisterResponse struct {
	PublicKey   []byte // uncompressed point of P-256: 04, x, y; not checked to be on the curve
	KeyHandle   []byte // 1 to 255 bytes
	Certificate []byte // X.509, in DER, of the attestation key
	// Signature is ECDSA with SHA-256 by the attestation key, in DER, over a zero
	// byte, the application, the challenge, the key handle and the public key.
	Signature []byte
	Raw       []byte // the whole answer
}

const (
	reserved  = 0x05 // the first byte
	pointSize = 65
)

// Parse reads the answer. The certificate's length is its own; what follows it is
// the signature.
func (Register) Parse(data []byte) (*RegisterResponse, error) {
	const fixed = 1 + pointSize + 1
	if len(data) < fixed {
		return nil, fmt.Errorf("%w: %d bytes, at least %d needed", ErrMalformed, len(data), fixed)
	}
	r := &RegisterResponse{Raw: data, PublicKey: data[1 : 1+pointSize : 1+pointSize]}
	if data[0] != reserved || r.PublicKey[0] != 4 {
		return nil, fmt.Errorf("%w: begins with %#02x and a point of form %#02x, not with 0x05 and 0x04", ErrMalformed, data[0], r.PublicKey[0])
	}
	size, rest := int(data[fixed-1]), data[fixed:]
	if size == 0 || size > len(rest) {
		return nil, fmt.Errorf("%w: key handle of %d bytes, and %d are left", ErrMalformed, size, len(rest))
	}
	r.KeyHandle, rest = rest[:size:size], rest[size:]
	var certificate asn1.RawValue
	signature, err := asn1.Unmarshal(rest, &certificate)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: certificate: %w", ErrMalformed, err)
	case certificate.Class != asn1.ClassUniversal || certificate.Tag != asn1.TagSequence:
		return nil, fmt.Errorf("%w: certificate is not a SEQUENCE", ErrMalformed)
	case len(signature) == 0:
		return nil, fmt.Errorf("%w: no signature", ErrMalformed)
	}
	n := len(rest) - len(signature)
	r.Certificate, r.Signature = rest[:n:n], signature
	return r, nil
}
