package ctap2

import (
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/fidokey/fidokey/cose"
)

// PublicKeyType is the one credential type that there is.
const PublicKeyType = "public-key"

// RP is a PublicKeyCredentialRpEntity.
type RP struct {
	ID   string `cbor:"id"`
	Name string `cbor:"name,omitempty"`
}

// User is a PublicKeyCredentialUserEntity. ID has 1 to 64 bytes.
type User struct {
	ID          []byte `cbor:"id"`
	Name        string `cbor:"name,omitempty"`
	DisplayName string `cbor:"displayName,omitempty"`
}

// Descriptor is a PublicKeyCredentialDescriptor. Requests leave Transports
// empty: some old keys refuse a list that has them.
type Descriptor struct {
	ID         []byte   `cbor:"id"`
	Type       string   `cbor:"type"`
	Transports []string `cbor:"transports,omitempty"`
}

// CredentialParameters is a PublicKeyCredentialParameters: an algorithm with
// the credential type.
type CredentialParameters struct {
	Algorithm cose.Algorithm `cbor:"alg" json:"alg"`
	Type      string         `cbor:"type" json:"type"`
}

// Options are the options of authenticatorMakeCredential and
// authenticatorGetAssertion; nil means that the option is not sent.
type Options struct {
	RK *bool `cbor:"rk,omitempty"` // discoverable credential
	UP *bool `cbor:"up,omitempty"` // user presence
	UV *bool `cbor:"uv,omitempty"` // built-in user verification
}

// AAGUID names the model of an authenticator. All zeroes means that it has none.
type AAGUID [16]byte

// String returns the form with dashes, as in "f1d0ce1f-0102-0304-0506-0708090a0b0c".
func (a AAGUID) String() string {
	s := hex.EncodeToString(a[:])
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-")
}

// MarshalText returns the form with dashes.
func (a AAGUID) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText takes what [ParseAAGUID] takes.
func (a *AAGUID) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAAGUID(string(text))
	return err
}

// ParseAAGUID reads an AAGUID of 32 hexadecimal digits, with or without dashes.
func ParseAAGUID(s string) (AAGUID, error) {
	var a AAGUID
	raw, err := hex.DecodeString(strings.ReplaceAll(s, "-", ""))
	if err != nil || len(raw) != len(a) {
		return a, fmt.Errorf("ctap2: %q is not an AAGUID (32 hexadecimal digits)", s)
	}
	copy(a[:], raw)
	return a, nil
}
