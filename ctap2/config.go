package ctap2

import (
	"fmt"
	"maps"

	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// ConfigSubCommand is a subcommand of authenticatorConfig, CTAP 2.1 section 6.11.
type ConfigSubCommand uint

const (
	EnableEnterpriseAttestation ConfigSubCommand = 0x01
	ToggleAlwaysUV              ConfigSubCommand = 0x02
	SetMinPINLength             ConfigSubCommand = 0x03
	EnableLongTouchForReset     ConfigSubCommand = 0x04 // CTAP 2.2
	VendorPrototype             ConfigSubCommand = 0xff
)

// Config is authenticatorConfig, CTAP 2.1 section 6.11.
type Config struct {
	Reply[Empty]
	SubCommand ConfigSubCommand `cbor:"1,keyasint"`
	// Params is nil, a [SetMinPINLengthParams] or a [VendorParams].
	Params            any    `cbor:"2,keyasint,omitempty"`
	PINUVAuthProtocol uint   `cbor:"3,keyasint,omitempty"`
	PINUVAuthParam    []byte `cbor:"4,keyasint,omitempty"` // over AuthMessage
}

// SetMinPINLengthParams are the subCommandParams of [SetMinPINLength].
type SetMinPINLengthParams struct {
	NewMinPINLength     uint     `cbor:"1,keyasint,omitempty"` // Unicode code points; 0 leaves it
	MinPINLengthRPIDs   []string `cbor:"2,keyasint,omitempty"`
	ForceChangePIN      bool     `cbor:"3,keyasint,omitempty"`
	PINComplexityPolicy bool     `cbor:"4,keyasint,omitempty"` // CTAP 2.2
}

// VendorParams are the subCommandParams of [VendorPrototype]. Others start at
// number 2; their meaning is the vendor's.
type VendorParams struct {
	VendorCommandID uint64
	Others          map[int64]any
}

// MarshalCBOR returns one map with vendorCommandId under number 1.
func (v VendorParams) MarshalCBOR() ([]byte, error) {
	params := map[int64]any{}
	maps.Copy(params, v.Others)
	params[1] = v.VendorCommandID
	return ctapcbor.Marshal(params)
}

// Command returns [CommandConfig].
func (Config) Command() Command { return CommandConfig }

// AuthMessage returns what PINUVAuthParam authenticates.
func (c Config) AuthMessage() ([]byte, error) {
	return withParams(commandPrefix(CommandConfig, byte(c.SubCommand)), c.Params)
}

// commandPrefix begins the messages of authenticatorConfig and
// authenticatorLargeBlobs: 32 bytes of ff, the command, and what follows.
func commandPrefix(command Command, next byte) []byte {
	message := make([]byte, 0, 64)
	for range 32 {
		message = append(message, 0xff)
	}
	return append(message, byte(command), next)
}

// withParams appends the subCommandParams to a message, in the bytes in which
// they are sent.
func withParams[T any](message []byte, params T) ([]byte, error) {
	raw, err := ctapcbor.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("subCommandParams: %w", err)
	}
	if absent := len(raw) == 1 && raw[0] == 0xf6; absent { // null
		return message, nil
	}
	return append(message, raw...), nil
}
