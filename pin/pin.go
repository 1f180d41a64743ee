package pin

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/fidokey/fidokey/ctap2"
)

const (
	paddedSize  = 64 // bytes
	pinHashSize = 16 // bytes
)

// ErrPolicy is wrapped by the errors of [Check] that say why a new PIN will not
// do.
var ErrPolicy = errors.New("PIN not acceptable")

// Check reports whether the key would take newPIN by what getInfo says, without
// asking it: at least minPINLength and at most maxPINLength Unicode code points
// after NFC normalisation, at most 63 bytes in UTF-8, no zero byte at the end
// (CTAP 2.1, section 6.5.5.5). What else the maker demands only the key knows.
func Check(info *ctap2.GetInfoResponse, newPIN []byte) error {
	if !utf8.Valid(newPIN) {
		return fmt.Errorf("%w: it is not UTF-8 text", ErrPolicy)
	}
	normal := norm.NFC.Bytes(newPIN)
	defer wipeCopy(normal, newPIN)
	points := utf8.RuneCount(normal)
	if lowest := info.MinPINCodePoints(); uint(points) < lowest {
		return fmt.Errorf("%w: it has %d characters, this key asks for at least %d", ErrPolicy, points, lowest)
	}
	if highest := info.MaxPINLength; highest != nil && uint(points) > *highest {
		return fmt.Errorf("%w: it has %d characters, this key takes at most %d", ErrPolicy, points, *highest)
	}
	if len(normal) > ctap2.MaxPINBytes {
		return fmt.Errorf("%w: it has %d bytes in UTF-8, a key takes at most %d", ErrPolicy, len(normal), ctap2.MaxPINBytes)
	}
	if bytes.HasSuffix(normal, []byte{0}) {
		return fmt.Errorf("%w: it ends in a zero byte", ErrPolicy)
	}
	return nil
}

// padded returns the PIN in NFC, filled with zero bytes to 64 bytes. The caller
// has called Check and wipes the result.
func padded(newPIN []byte) []byte {
	normal := norm.NFC.Bytes(newPIN)
	defer wipeCopy(normal, newPIN)
	out := make([]byte, paddedSize)
	copy(out, normal)
	return out
}

// hash returns LEFT(SHA-256(PIN), 16). The caller wipes it.
func hash(pin []byte) []byte {
	normal := norm.NFC.Bytes(pin)
	defer wipeCopy(normal, pin)
	sum := sha256.Sum256(normal)
	return sum[:pinHashSize]
}

// wipeCopy overwrites normal if it is a copy of, not the same memory as, pin,
// which is the caller's.
func wipeCopy(normal, pin []byte) {
	if len(normal) > 0 && len(pin) > 0 && &normal[0] != &pin[0] {
		clear(normal)
	}
}
