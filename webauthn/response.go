package webauthn

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// Base64URL is a byte string that JSON has in base64url without padding. It is read
// with padding, too.
type Base64URL []byte

// MarshalText returns the encoded bytes.
func (b Base64URL) MarshalText() ([]byte, error) {
	return base64.RawURLEncoding.AppendEncode(nil, b), nil
}

// UnmarshalText decodes the text.
func (b *Base64URL) UnmarshalText(text []byte) (err error) {
	*b, err = base64.RawURLEncoding.DecodeString(strings.TrimRight(string(text), "="))
	return err
}

// String returns the encoded bytes.
func (b Base64URL) String() string { return base64.RawURLEncoding.EncodeToString(b) }

// RegistrationResponse is a RegistrationResponseJSON (WebAuthn Level 3, section
// 5.1).
type RegistrationResponse struct {
	ID                      Base64URL           `json:"id"`
	RawID                   Base64URL           `json:"rawId"`
	Response                AttestationResponse `json:"response"`
	AuthenticatorAttachment string              `json:"authenticatorAttachment,omitempty"`
	ClientExtensionResults  map[string]any      `json:"clientExtensionResults"`
	Type                    string              `json:"type"`
}

// AttestationResponse is an AuthenticatorAttestationResponseJSON.
type AttestationResponse struct {
	ClientDataJSON     Base64URL      `json:"clientDataJSON"`
	AuthenticatorData  Base64URL      `json:"authenticatorData"`
	Transports         []string       `json:"transports"`
	PublicKey          Base64URL      `json:"publicKey,omitempty"` // DER SubjectPublicKeyInfo
	PublicKeyAlgorithm cose.Algorithm `json:"publicKeyAlgorithm"`
	AttestationObject  Base64URL      `json:"attestationObject"`
}

// AuthenticationResponse is an AuthenticationResponseJSON.
type AuthenticationResponse struct {
	ID                      Base64URL         `json:"id"`
	RawID                   Base64URL         `json:"rawId"`
	Response                AssertionResponse `json:"response"`
	AuthenticatorAttachment string            `json:"authenticatorAttachment,omitempty"`
	ClientExtensionResults  map[string]any    `json:"clientExtensionResults"`
	Type                    string            `json:"type"`
}

// AssertionResponse is an AuthenticatorAssertionResponseJSON.
type AssertionResponse struct {
	ClientDataJSON    Base64URL `json:"clientDataJSON"`
	AuthenticatorData Base64URL `json:"authenticatorData"`
	Signature         Base64URL `json:"signature"`
	UserHandle        Base64URL `json:"userHandle,omitempty"`
}

const crossPlatform = "cross-platform"

// attestationObject is the WebAuthn form of an attestation: text keys instead of
// the numbers of CTAP.
type attestationObject struct {
	Format   string          `cbor:"fmt"`
	AttStmt  cbor.RawMessage `cbor:"attStmt"`
	AuthData []byte          `cbor:"authData"`
}

// NewRegistration puts a key's answer into the form for relying parties.
// Authenticator data and attestation statement stay byte for byte as the key
// sent them. Transports are sorted (section 5.2.1.1).
func NewRegistration(clientDataJSON []byte, made *ctap2.MakeCredentialResponse, transports []string) (*RegistrationResponse, error) {
	data, err := ctap2.ParseAuthenticatorData(made.AuthData)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ctap2.ErrMalformed, err)
	}
	if data.Credential == nil {
		return nil, fmt.Errorf("%w: authenticator data without a credential", ctap2.ErrMalformed)
	}
	statement := made.AttStmt
	if len(statement) == 0 {
		statement = cbor.RawMessage{0xa0} // CTAP 2.2 leaves it out for "none"
	}
	object, err := ctapcbor.Marshal(attestationObject{made.Format, statement, made.AuthData})
	if err != nil {
		return nil, err
	}
	key := data.Credential.PublicKey
	spki, _ := key.SPKI() // absent for a key type that we do not know
	return &RegistrationResponse{
		ID:    data.Credential.ID,
		RawID: data.Credential.ID,
		Response: AttestationResponse{
			ClientDataJSON:     clientDataJSON,
			AuthenticatorData:  made.AuthData,
			Transports:         slices.Compact(append([]string{}, slices.Sorted(slices.Values(transports))...)),
			PublicKey:          spki,
			PublicKeyAlgorithm: key.Algorithm,
			AttestationObject:  object,
		},
		AuthenticatorAttachment: crossPlatform,
		ClientExtensionResults:  map[string]any{},
		Type:                    ctap2.PublicKeyType,
	}, nil
}

// ParseAttestationObject reads the form that [NewRegistration] makes, for answers
// that do not come from a key itself.
func ParseAttestationObject(b []byte) (*ctap2.MakeCredentialResponse, error) {
	var object attestationObject
	if err := ctapcbor.Unmarshal(b, &object); err != nil {
		return nil, fmt.Errorf("%w: attestationObject: %w", ctap2.ErrMalformed, err)
	}
	return &ctap2.MakeCredentialResponse{Format: object.Format, AttStmt: object.AttStmt, AuthData: object.AuthData}, nil
}

// Credential returns the attested credential of a registration: its ID and
// public key.
func (r *RegistrationResponse) Credential() (*ctap2.AttestedCredential, *ctap2.AuthenticatorData, error) {
	var object attestationObject
	if err := ctapcbor.Unmarshal(r.Response.AttestationObject, &object); err != nil {
		return nil, nil, fmt.Errorf("attestationObject: %w", err)
	}
	data, err := ctap2.ParseAuthenticatorData(object.AuthData)
	if err != nil {
		return nil, nil, err
	}
	if data.Credential == nil {
		return nil, nil, fmt.Errorf("attestationObject has no credential")
	}
	return data.Credential, data, nil
}

// NewAuthentication puts an assertion into the form for relying parties.
func NewAuthentication(clientDataJSON []byte, a *ctap2.GetAssertionResponse) *AuthenticationResponse {
	r := &AuthenticationResponse{
		ID:    a.Credential.ID,
		RawID: a.Credential.ID,
		Response: AssertionResponse{
			ClientDataJSON:    clientDataJSON,
			AuthenticatorData: a.AuthData,
			Signature:         a.Signature,
		},
		AuthenticatorAttachment: crossPlatform,
		ClientExtensionResults:  map[string]any{},
		Type:                    ctap2.PublicKeyType,
	}
	if a.User != nil {
		r.Response.UserHandle = a.User.ID
	}
	return r
}

// WithoutAttestation returns the answer as a browser passes it on to a relying
// party that wants no attestation (WebAuthn Level 3, section 5.1.3, "none").
// Authenticator data stay as they are; self attestation, which says nothing of the
// model, does too.
func WithoutAttestation(made *ctap2.MakeCredentialResponse) *ctap2.MakeCredentialResponse {
	if made.Format == "packed" && isSelfAttestation(made) {
		return made
	}
	stripped := *made
	stripped.Format, stripped.AttStmt = "none", nil
	return &stripped
}

func isSelfAttestation(made *ctap2.MakeCredentialResponse) bool {
	var statement map[string]cbor.RawMessage
	data, err := ctap2.ParseAuthenticatorData(made.AuthData)
	if err != nil || data.Credential == nil || ctapcbor.Unmarshal(made.AttStmt, &statement) != nil {
		return false
	}
	return statement["x5c"] == nil && data.Credential.AAGUID == (ctap2.AAGUID{})
}
