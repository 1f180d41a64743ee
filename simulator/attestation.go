package simulator

import (
	"slices"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// Attestation statement formats (WebAuthn Level 3, section 8).
const (
	formatPacked = "packed"
	formatNone   = "none"
)

// selfAttestation is a packed statement that the credential itself has signed.
type selfAttestation struct {
	Algorithm int64  `cbor:"alg"`
	Signature []byte `cbor:"sig"`
}

// attest is step 19 of makeCredential. The one format that this key has is its
// choice whatever is preferred; only a preference for none alone leaves the
// statement out.
func attest(c *credential, authData, clientDataHash []byte, preference []string) (*ctap2.MakeCredentialResponse, error) {
	if slices.Equal(preference, []string{formatNone}) {
		return &ctap2.MakeCredentialResponse{Format: formatNone, AuthData: authData}, nil
	}
	signature, err := c.sign(slices.Concat(authData, clientDataHash))
	if err != nil {
		return nil, err
	}
	statement, err := ctapcbor.Marshal(selfAttestation{int64(c.Algorithm), signature})
	if err != nil {
		return nil, err
	}
	return &ctap2.MakeCredentialResponse{Format: formatPacked, AuthData: authData, AttStmt: statement}, nil
}
