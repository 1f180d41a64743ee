package ctap2

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// Versions that a key can list in GetInfoResponse.Versions.
const (
	VersionU2F       = "U2F_V2"
	VersionFIDO20    = "FIDO_2_0"
	VersionFIDO21    = "FIDO_2_1"
	VersionFIDO21Pre = "FIDO_2_1_PRE"
	VersionFIDO23    = "FIDO_2_3"
)

// Options that a key can list in GetInfoResponse.Options (CTAP 2.1, section
// 6.4.1). See [GetInfoResponse.Option] for what an absent one means.
const (
	OptionPlat             = "plat"
	OptionRK               = "rk"
	OptionClientPIN        = "clientPin"
	OptionUP               = "up"
	OptionUV               = "uv"
	OptionPINUVAuthToken   = "pinUvAuthToken"
	OptionNoMcGaWithPIN    = "noMcGaPermissionsWithClientPin"
	OptionLargeBlobs       = "largeBlobs"
	OptionEP               = "ep"
	OptionBioEnroll        = "bioEnroll"
	OptionUVMgmtPreview    = "userVerificationMgmtPreview"
	OptionUVBioEnroll      = "uvBioEnroll"
	OptionAuthnrCfg        = "authnrCfg"
	OptionUVAcfg           = "uvAcfg"
	OptionCredMgmt         = "credMgmt"
	OptionPerCredMgmtRO    = "perCredMgmtRO"
	OptionCredMgmtPreview  = "credentialMgmtPreview"
	OptionSetMinPINLength  = "setMinPINLength"
	OptionMakeCredUVNotRqd = "makeCredUvNotRqd"
	OptionAlwaysUV         = "alwaysUv"
)

// What an absent member of getInfo means (CTAP 2.1, section 6.4).
const (
	DefaultMaxMsgSize   = 1024 // bytes
	DefaultMinPINLength = 4    // Unicode code points
	MaxPINBytes         = 63   // UTF-8 bytes
)

// GetInfo is authenticatorGetInfo, CTAP 2.1 section 6.4.
type GetInfo struct{ Reply[GetInfoResponse] }

// Command returns [CommandGetInfo].
func (GetInfo) Command() Command { return CommandGetInfo }

// Bytes is a byte string that JSON shows in hexadecimal.
type Bytes []byte

// MarshalText returns the hexadecimal digits.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(b)), nil }

// UnmarshalText takes hexadecimal digits.
func (b *Bytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.AppendDecode(nil, text)
	return err
}

// ByteText is text that CTAP sends as a byte string.
type ByteText []byte

// MarshalText returns the text.
func (b ByteText) MarshalText() ([]byte, error) { return b, nil }

// UnmarshalText takes the text.
func (b *ByteText) UnmarshalText(text []byte) error {
	*b = slices.Clone(text)
	return nil
}

// GetInfoResponse is the answer to [GetInfo]. Its JSON form has the member
// names of the specification, which are those of authenticatorGetInfo in a FIDO
// metadata statement.
type GetInfoResponse struct {
	Versions           []string        `cbor:"1,keyasint" json:"versions"`
	Extensions         []string        `cbor:"2,keyasint,omitempty" json:"extensions,omitempty"`
	AAGUID             AAGUID          `cbor:"3,keyasint" json:"aaguid"`
	Options            map[string]bool `cbor:"4,keyasint,omitempty" json:"options,omitempty"`
	MaxMsgSize         uint            `cbor:"5,keyasint,omitempty" json:"maxMsgSize,omitempty"` // bytes
	PINUVAuthProtocols []uint          `cbor:"6,keyasint,omitempty" json:"pinUvAuthProtocols,omitempty"`

	// CTAP 2.1
	MaxCredentialCountInList         *uint                  `cbor:"7,keyasint,omitempty" json:"maxCredentialCountInList,omitempty"`
	MaxCredentialIDLength            *uint                  `cbor:"8,keyasint,omitempty" json:"maxCredentialIdLength,omitempty"` // bytes
	Transports                       []string               `cbor:"9,keyasint,omitempty" json:"transports,omitempty"`
	Algorithms                       []CredentialParameters `cbor:"10,keyasint,omitempty" json:"algorithms,omitempty"`
	MaxSerializedLargeBlobArray      *uint                  `cbor:"11,keyasint,omitempty" json:"maxSerializedLargeBlobArray,omitempty"` // bytes
	ForcePINChange                   *bool                  `cbor:"12,keyasint,omitempty" json:"forcePINChange,omitempty"`
	MinPINLength                     *uint                  `cbor:"13,keyasint,omitempty" json:"minPINLength,omitempty"` // code points
	FirmwareVersion                  *uint64                `cbor:"14,keyasint,omitempty" json:"firmwareVersion,omitempty"`
	MaxCredBlobLength                *uint                  `cbor:"15,keyasint,omitempty" json:"maxCredBlobLength,omitempty"` // bytes
	MaxRPIDsForSetMinPINLength       *uint                  `cbor:"16,keyasint,omitempty" json:"maxRPIDsForSetMinPINLength,omitempty"`
	PreferredPlatformUVAttempts      *uint                  `cbor:"17,keyasint,omitempty" json:"preferredPlatformUvAttempts,omitempty"`
	UVModality                       *uint                  `cbor:"18,keyasint,omitempty" json:"uvModality,omitempty"` // bit flags
	Certifications                   map[string]uint        `cbor:"19,keyasint,omitempty" json:"certifications,omitempty"`
	RemainingDiscoverableCredentials *uint                  `cbor:"20,keyasint,omitempty" json:"remainingDiscoverableCredentials,omitempty"`
	VendorPrototypeConfigCommands    []uint64               `cbor:"21,keyasint,omitzero" json:"vendorPrototypeConfigCommands,omitzero"` // may be empty

	// CTAP 2.2
	AttestationFormats       []string `cbor:"22,keyasint,omitempty" json:"attestationFormats,omitempty"`
	UVCountSinceLastPINEntry *uint    `cbor:"23,keyasint,omitempty" json:"uvCountSinceLastPinEntry,omitempty"`
	LongTouchForReset        *bool    `cbor:"24,keyasint,omitempty" json:"longTouchForReset,omitempty"`
	EncIdentifier            Bytes    `cbor:"25,keyasint,omitempty" json:"encIdentifier,omitempty"`
	TransportsForReset       []string `cbor:"26,keyasint,omitempty" json:"transportsForReset,omitempty"`
	PINComplexityPolicy      *bool    `cbor:"27,keyasint,omitempty" json:"pinComplexityPolicy,omitempty"`
	PINComplexityPolicyURL   ByteText `cbor:"28,keyasint,omitempty" json:"pinComplexityPolicyURL,omitempty"`
	MaxPINLength             *uint    `cbor:"29,keyasint,omitempty" json:"maxPINLength,omitempty"` // code points

	// CTAP 2.3
	EncCredStoreState           Bytes  `cbor:"30,keyasint,omitempty" json:"encCredStoreState,omitempty"`
	AuthenticatorConfigCommands []uint `cbor:"31,keyasint,omitzero" json:"authenticatorConfigCommands,omitzero"` // may be empty

	Rest
}

func (r *GetInfoResponse) check() error {
	if len(r.Versions) == 0 {
		return errors.New("versions (1) is missing")
	}
	var members struct {
		AAGUID cbor.RawMessage `cbor:"3,keyasint"`
	}
	if err := ctapcbor.Unmarshal(r.Raw, &members); err != nil {
		return err
	}
	if len(members.AAGUID) != 17 || members.AAGUID[0] != 0x50 {
		return errors.New("aaguid (3) is not a byte string of 16 bytes")
	}
	return nil
}

// HasVersion reports whether the key lists a version.
func (r *GetInfoResponse) HasVersion(v string) bool { return slices.Contains(r.Versions, v) }

// Option returns the value of an option and whether the key lists it. The
// value of one that is absent is its default: true for "up", else false.
func (r *GetInfoResponse) Option(id string) (value, present bool) {
	value, present = r.Options[id]
	if !present && id == OptionUP {
		value = true
	}
	return value, present
}

// MessageSize returns the length in bytes of the longest message that the key
// takes.
func (r *GetInfoResponse) MessageSize() uint {
	if r.MaxMsgSize == 0 {
		return DefaultMaxMsgSize
	}
	return r.MaxMsgSize
}

// MinPINCodePoints returns the shortest PIN that the key takes, in Unicode code
// points.
func (r *GetInfoResponse) MinPINCodePoints() uint {
	if r.MinPINLength == nil {
		return DefaultMinPINLength
	}
	return *r.MinPINLength
}

// Firmware returns the firmware version in words. CTAP leaves the number to the
// maker; most pack major, minor and patch into three bytes (0x050701 is 5.7.1),
// the others count up, and those small numbers are returned as they are.
func (r *GetInfoResponse) Firmware() string {
	if r.FirmwareVersion == nil {
		return ""
	}
	v := *r.FirmwareVersion
	if v >= 1<<16 && v < 1<<32 {
		return fmt.Sprintf("%d.%d.%d", v>>16, v>>8&0xff, v&0xff)
	}
	return fmt.Sprint(v)
}
