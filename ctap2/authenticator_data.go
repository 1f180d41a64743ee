package ctap2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// Flags are the flags of authenticator data (WebAuthn Level 3, section 6.1).
type Flags byte

const (
	FlagUP Flags = 1 << 0 // user present
	FlagUV Flags = 1 << 2 // user verified
	FlagBE Flags = 1 << 3 // backup eligible
	FlagBS Flags = 1 << 4 // backup state: backed up
	FlagAT Flags = 1 << 6 // attested credential data included
	FlagED Flags = 1 << 7 // extension data included
)

// String returns the names of the set flags, as in "UP|UV|AT".
func (f Flags) String() string {
	names := [8]string{"UP", "RFU1", "UV", "BE", "BS", "RFU2", "AT", "ED"}
	var set []string
	for bit, name := range names {
		if f>>bit&1 == 1 {
			set = append(set, name)
		}
	}
	return strings.Join(set, "|")
}

// AuthenticatorData is what an authenticator signs, together with the client
// data hash (WebAuthn Level 3, section 6.1).
type AuthenticatorData struct {
	RPIDHash  [32]byte
	Flags     Flags
	SignCount uint32
	// Credential is set in registrations (flag AT).
	Credential *AttestedCredential
	// Extensions is set when the key had something to say (flag ED).
	Extensions Extensions
}

// AttestedCredential is attested credential data (WebAuthn Level 3, section
// 6.5.1).
type AttestedCredential struct {
	AAGUID    AAGUID
	ID        []byte
	PublicKey cose.Key
}

const (
	authDataFixed       = 37   // rpIdHash, flags, signCount
	maxCredentialIDSize = 1023 // WebAuthn Level 3, section 6.5.1
)

// ParseAuthenticatorData reads authenticator data. Bytes after its last part are
// an error.
func ParseAuthenticatorData(b []byte) (*AuthenticatorData, error) {
	d := &AuthenticatorData{}
	if err := d.parse(b); err != nil {
		return nil, fmt.Errorf("authenticator data: %w", err)
	}
	return d, nil
}

func (d *AuthenticatorData) parse(b []byte) error {
	if len(b) < authDataFixed {
		return fmt.Errorf("%d bytes, at least %d needed", len(b), authDataFixed)
	}
	copy(d.RPIDHash[:], b)
	d.Flags = Flags(b[32])
	d.SignCount = binary.BigEndian.Uint32(b[33:])
	rest := b[authDataFixed:]
	var err error
	if d.Flags&FlagAT != 0 {
		if rest, err = d.parseCredential(rest); err != nil {
			return fmt.Errorf("attested credential data: %w", err)
		}
	}
	if d.Flags&FlagED != 0 {
		if rest, err = ctapcbor.UnmarshalFirst(rest, &d.Extensions); err != nil {
			return fmt.Errorf("extensions: %w", err)
		}
	}
	if len(rest) > 0 {
		return fmt.Errorf("%d bytes after the end", len(rest))
	}
	return nil
}

func (d *AuthenticatorData) parseCredential(b []byte) (rest []byte, err error) {
	const fixed = 18 // aaguid, credentialIdLength
	if len(b) < fixed {
		return nil, errors.New("cut off")
	}
	c := &AttestedCredential{AAGUID: AAGUID(b[:16])}
	size := int(binary.BigEndian.Uint16(b[16:]))
	b = b[fixed:]
	if size == 0 || size > maxCredentialIDSize {
		return nil, fmt.Errorf("credential ID of %d bytes", size)
	}
	if size > len(b) {
		return nil, fmt.Errorf("credential ID of %d bytes cut off", size)
	}
	c.ID = b[:size:size]
	if rest, err = ctapcbor.UnmarshalFirst(b[size:], &c.PublicKey); err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	d.Credential = c
	return rest, nil
}
