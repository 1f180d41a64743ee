package simulator

import (
	"slices"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// Attestation says how a key vouches for new credentials (WebAuthn Level 3,
// section 6.5.4).
type Attestation string

const (
	AttestationSelf  Attestation = "self"  // the credential signs for itself; so does an empty Attestation
	AttestationNone  Attestation = "none"  // nobody does
	AttestationChain Attestation = "chain" // a certificate of the model does; see [Config]
)

// Attestation statement formats (WebAuthn Level 3, section 8).
const (
	formatPacked = "packed"
	formatU2F    = "fido-u2f"
	formatNone   = "none"
)

// packedStatement is signed by the credential itself when it has no x5c.
type packedStatement struct {
	Algorithm int64    `cbor:"alg"`
	Signature []byte   `cbor:"sig"`
	X5C       [][]byte `cbor:"x5c,omitempty"`
}

type u2fStatement struct {
	Signature []byte   `cbor:"sig"`
	X5C       [][]byte `cbor:"x5c"`
}

// attest is step 19 of makeCredential, with the authenticator data before it:
// their AAGUID depends on the format.
func (a *Authenticator) attest(r *registration, req *makeCredentialRequest) (*ctap2.MakeCredentialResponse, error) {
	format := a.chooseFormat(r, req.attestationFormats)
	aaguid := a.profile.GetInfo.AAGUID
	if format == formatU2F {
		aaguid = ctap2.AAGUID{} // U2F knows none
	}
	attested, err := attestedCredentialData(r.credential, aaguid)
	if err != nil {
		return nil, err
	}
	authData, err := authenticatorData(r.rpIDHash, r.flags, a.state.device.SignCount, attested, r.outputs.signed)
	if err != nil {
		return nil, err
	}
	resp := &ctap2.MakeCredentialResponse{Format: format, AuthData: authData}
	var statement any
	switch {
	case a.leavesStatementOut(format, req.attestationFormats):
		return resp, nil
	case format == formatNone:
		statement = map[string]any{}
	case format == formatU2F:
		statement, err = a.u2fStatement(r.credential, req.clientDataHash)
	default:
		statement, err = a.packedStatement(r, slices.Concat(authData, req.clientDataHash))
		resp.EnterpriseAttestation = r.enterprise
	}
	if err != nil {
		return nil, err
	}
	resp.AttStmt, err = ctapcbor.Marshal(statement)
	return resp, err
}

// leavesStatementOut reports whether the platform said that it wants none.
func (a *Authenticator) leavesStatementOut(format string, preference []string) bool {
	return format == formatNone && slices.Equal(preference, []string{formatNone}) && !a.profile.Disputes.EmptyNoneStatement
}

// chooseFormat returns the first format of the preference that the key has, and
// else its own first one.
func (a *Authenticator) chooseFormat(r *registration, preference []string) string {
	if a.profile.Attestation == AttestationNone || slices.Equal(preference, []string{formatNone}) {
		return formatNone
	}
	if r.enterprise {
		return formatPacked // that certificate serves no other
	}
	own := a.formats(r.credential.Algorithm)
	for _, format := range preference {
		if slices.Contains(own, format) {
			return format
		}
	}
	return own[0]
}

// formats are those that the key can give to a credential: packed always does.
func (a *Authenticator) formats(alg cose.Algorithm) []string {
	var formats []string
	for _, format := range a.profile.GetInfo.AttestationFormats {
		u2f := format == formatU2F && alg == cose.ES256 && a.profile.Attestation == AttestationChain
		if format == formatPacked || u2f {
			formats = append(formats, format)
		}
	}
	return append(formats, formatPacked)
}

// packedStatement is WebAuthn Level 3, section 8.2.
func (a *Authenticator) packedStatement(r *registration, signed []byte) (*packedStatement, error) {
	if a.profile.Attestation != AttestationChain && !r.enterprise {
		signature, err := r.credential.sign(signed)
		return &packedStatement{Algorithm: int64(r.credential.Algorithm), Signature: signature}, err
	}
	who := basicAttestation
	if r.enterprise {
		who = enterpriseAttestation
	}
	key, err := a.attestationKey(who)
	if err != nil {
		return nil, err
	}
	signature, err := key.sign(signed)
	return &packedStatement{int64(key.algorithm), signature, key.chain}, err
}

// u2fStatement is WebAuthn Level 3, section 8.6.
func (a *Authenticator) u2fStatement(c *credential, clientDataHash []byte) (*u2fStatement, error) {
	key, err := a.attestationKey(u2fAttestation)
	if err != nil {
		return nil, err
	}
	point, err := c.publicPoint()
	if err != nil {
		return nil, err
	}
	signature, err := key.sign(u2fRegistrationBase(c, clientDataHash, point))
	return &u2fStatement{signature, key.chain[:1]}, err
}

// u2fRegistrationBase is what U2F signs at registration (FIDO U2F Raw Message
// Formats, section 4.3).
func u2fRegistrationBase(c *credential, challenge, point []byte) []byte {
	return slices.Concat([]byte{0}, c.RPIDHash[:], challenge, c.ID, point)
}
