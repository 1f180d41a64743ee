package simulator

import (
	"encoding/binary"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// authenticatorData encodes authenticator data (WebAuthn Level 3, section 6.1).
// attested is the attested credential data of a registration; the flags AT and
// ED follow from what is there.
func authenticatorData(rp rpIDHash, flags ctap2.Flags, signCount uint32, attested []byte, extensions map[string]any) ([]byte, error) {
	if attested != nil {
		flags |= ctap2.FlagAT
	}
	if len(extensions) > 0 {
		flags |= ctap2.FlagED
	}
	data := append(rp[:], byte(flags))
	data = binary.BigEndian.AppendUint32(data, signCount)
	data = append(data, attested...)
	if len(extensions) == 0 {
		return data, nil
	}
	outputs, err := ctapcbor.Marshal(extensions)
	if err != nil {
		return nil, err
	}
	return append(data, outputs...), nil
}

// attestedCredentialData encodes attested credential data (WebAuthn Level 3,
// section 6.5.1).
func attestedCredentialData(c *credential, aaguid ctap2.AAGUID) ([]byte, error) {
	key, err := c.publicKey()
	if err != nil {
		return nil, err
	}
	encodedKey, err := key.MarshalCBOR()
	if err != nil {
		return nil, err
	}
	data := append([]byte(nil), aaguid[:]...)
	data = binary.BigEndian.AppendUint16(data, uint16(len(c.ID)))
	data = append(data, c.ID...)
	return append(data, encodedKey...), nil
}
