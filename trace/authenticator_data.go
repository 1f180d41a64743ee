package trace

import (
	"encoding/binary"

	"github.com/fidokey/fidokey/ctap2"
)

const (
	authDataFixed   = 37 // rpIdHash, flags, signCount
	credentialFixed = 18 // aaguid, credentialIdLength
)

// redactAuthData overwrites secret extension outputs in authenticator data
// (WebAuthn Level 3, section 6.1), which breaks the signature over it. Where it
// cannot be read, only the first 37 bytes stay.
func redactAuthData(b []byte) {
	if len(b) <= authDataFixed {
		return
	}
	rest, err := skipCredential(ctap2.Flags(b[32]), b[authDataFixed:])
	if err == nil && len(rest) > 0 {
		err = redactMap(rest, extensionOutputs)
	}
	if err != nil {
		clear(b[authDataFixed:])
	}
}

// skipCredential returns what follows the attested credential data.
func skipCredential(flags ctap2.Flags, b []byte) (rest []byte, err error) {
	if flags&ctap2.FlagAT == 0 {
		return b, nil
	}
	w := walker{data: b}
	fixed, err := w.take(credentialFixed)
	if err != nil {
		return nil, err
	}
	if _, err := w.take(uint64(binary.BigEndian.Uint16(fixed[16:]))); err != nil {
		return nil, err
	}
	err = w.item(nil, maxNesting)
	return b[w.at:], err
}
