package ctap2

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// The extensions of CTAP 2.0 to 2.3 (CTAP 2.1, section 12) and of the WebAuthn
// registry.
const (
	ExtensionCredBlob            = "credBlob"
	ExtensionCredProtect         = "credProtect"
	ExtensionHMACSecret          = "hmac-secret"
	ExtensionHMACSecretMC        = "hmac-secret-mc"
	ExtensionLargeBlob           = "largeBlob"
	ExtensionLargeBlobKey        = "largeBlobKey"
	ExtensionMinPINLength        = "minPinLength"
	ExtensionPINComplexityPolicy = "pinComplexityPolicy"
	ExtensionThirdPartyPayment   = "thirdPartyPayment"
	ExtensionUVM                 = "uvm"
)

// Extensions are inputs or outputs of extensions by identifier. Those that are
// not known here are passed on.
type Extensions map[string]cbor.RawMessage

// Set puts v, in canonical CBOR, under an identifier.
func (e *Extensions) Set(id string, v any) error {
	raw, err := ctapcbor.Marshal(v)
	if err != nil {
		return fmt.Errorf("extension %s: %w", id, err)
	}
	if *e == nil {
		*e = Extensions{}
	}
	(*e)[id] = raw
	return nil
}

// Get reads the value under an identifier into v, and reports whether there is
// one.
func (e Extensions) Get(id string, v any) (bool, error) {
	raw, ok := e[id]
	if !ok {
		return false, nil
	}
	if err := ctapcbor.Unmarshal(raw, v); err != nil {
		return false, fmt.Errorf("%w: extension %s: %w", ErrMalformed, id, err)
	}
	return true, nil
}

// HMACSecretInput is the input of hmac-secret in authenticatorGetAssertion and
// of hmac-secret-mc in authenticatorMakeCredential (CTAP 2.1, section 12.5; CTAP
// 2.2, section 12.8).
type HMACSecretInput struct {
	KeyAgreement      *cose.Key `cbor:"1,keyasint"`
	SaltEnc           []byte    `cbor:"2,keyasint"` // one or two salts of 32 bytes, encrypted
	SaltAuth          []byte    `cbor:"3,keyasint"`
	PINUVAuthProtocol uint      `cbor:"4,keyasint,omitempty"`
}

// LargeBlobSupport is the input of largeBlob in authenticatorMakeCredential (CTAP
// 2.3).
type LargeBlobSupport struct {
	Support string `cbor:"support"` // "required" or "preferred"
}

// LargeBlobInput is the input of largeBlob in authenticatorGetAssertion (CTAP
// 2.3). The blob is compressed with DEFLATE.
type LargeBlobInput struct {
	Read         bool   `cbor:"read,omitempty"`
	Write        []byte `cbor:"write,omitempty"`
	OriginalSize *uint  `cbor:"originalSize,omitempty"` // bytes, before the compression
}

// LargeBlobOutput is the unsigned output of largeBlob (CTAP 2.3).
type LargeBlobOutput struct {
	Supported    *bool  `cbor:"supported,omitempty"`
	Blob         []byte `cbor:"blob,omitempty"`
	OriginalSize uint   `cbor:"originalSize,omitempty"` // bytes
	Written      *bool  `cbor:"written,omitempty"`
}
