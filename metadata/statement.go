package metadata

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Statement is what a metadata statement says of a model (FIDO Metadata
// Statement 3.1, section 4), as far as it is used here. Words of enumerations that
// are not known stay as they are. The icon is left out.
type Statement struct {
	Description                     string                 `json:"description"`
	AuthenticatorVersion            uint64                 `json:"authenticatorVersion"`
	ProtocolFamily                  string                 `json:"protocolFamily"` // uaf, u2f, fido2
	Schema                          int                    `json:"schema"`
	AuthenticationAlgorithms        []string               `json:"authenticationAlgorithms"`
	AttestationTypes                []string               `json:"attestationTypes"`
	UserVerificationDetails         [][]VerificationMethod `json:"userVerificationDetails"` // one of these, whole
	KeyProtection                   []string               `json:"keyProtection"`
	IsKeyRestricted                 *bool                  `json:"isKeyRestricted"`                 // nil: true
	IsFreshUserVerificationRequired *bool                  `json:"isFreshUserVerificationRequired"` // nil: true
	MatcherProtection               []string               `json:"matcherProtection"`
	CryptoStrength                  int                    `json:"cryptoStrength"`
	AttachmentHint                  []string               `json:"attachmentHint"`
	AttestationRootCertificates     []string               `json:"attestationRootCertificates"` // see Roots
	// GetInfo has the members of authenticatorGetInfo by their CTAP names.
	GetInfo map[string]json.RawMessage `json:"authenticatorGetInfo"`
}

// VerificationMethod is a way to verify the user.
type VerificationMethod struct {
	Method string `json:"userVerificationMethod"`
}

// Roots returns what the certificate chain of an attestation must lead to: a root,
// or the attestation certificate itself. A certificate that cannot be read is
// left out and told of by the error.
func (s *Statement) Roots() (roots []*x509.Certificate, err error) {
	for i, text := range s.AttestationRootCertificates {
		// Some statements break the base64 into lines.
		der, failed := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
		var one asn1.RawValue // some have bytes behind the certificate
		var root *x509.Certificate
		if failed == nil {
			_, failed = asn1.Unmarshal(der, &one)
		}
		if failed == nil {
			root, failed = x509.ParseCertificate(one.FullBytes)
		}
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("attestation root %d of %d: %w", i+1, len(s.AttestationRootCertificates), failed))
			continue
		}
		roots = append(roots, root)
	}
	return roots, err
}

// Info reads a member of authenticatorGetInfo into v, and reports whether it is
// there and fits.
func (s *Statement) Info(name string, v any) bool {
	raw, ok := s.GetInfo[name]
	return ok && json.Unmarshal(raw, v) == nil
}
