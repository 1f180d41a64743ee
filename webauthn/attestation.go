package webauthn

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/metadata"
)

// The attestation statement formats that are explained (WebAuthn Level 3, section
// 8). Others are for the library alone.
const (
	formatNone       = "none"
	formatPacked     = "packed"
	formatFIDOU2F    = "fido-u2f"
	formatTPM        = "tpm"
	formatAndroidKey = "android-key"
	formatApple      = "apple"

	formatCompound  = "compound"
	formatSafetyNet = "android-safetynet"
)

// statement has the members of the attestation statements of all formats.
type statement struct {
	Version   string         `cbor:"ver"`
	Algorithm cose.Algorithm `cbor:"alg"`
	Signature []byte         `cbor:"sig"`
	X5C       [][]byte       `cbor:"x5c"`
	CertInfo  []byte         `cbor:"certInfo"`
	PubArea   []byte         `cbor:"pubArea"`
}

// attested is an attestation, taken apart.
type attested struct {
	format         string
	statement      statement
	certificates   []*x509.Certificate
	err            error // why the statement cannot be read
	signed         []byte
	clientDataHash []byte
	authData       *ctap2.AuthenticatorData
	credential     *ctap2.AttestedCredential

	at       time.Time
	entry    *metadata.Entry
	entryErr error
	roots    []*x509.Certificate // of the entry, and those that are trusted besides

	chain     []*x509.Certificate // up to the root, if it was found
	rootFrom  RootSource
	atLibrary bool // the root is one that only the library has
}

func newAttested(r *RegistrationResponse, parsed *protocol.ParsedCredentialCreationData, credential *ctap2.AttestedCredential, data *ctap2.AuthenticatorData, want Expected) *attested {
	a := &attested{
		format: parsed.Response.AttestationObject.Format, authData: data, credential: credential,
		clientDataHash: Hash(r.Response.ClientDataJSON), at: want.at(),
	}
	a.signed = slices.Concat(parsed.Response.AttestationObject.RawAuthData, a.clientDataHash)
	a.read(r.Response.AttestationObject)
	a.roots = slices.Clone(want.Roots)
	a.findEntry(want)
	return a
}

func (a *attested) read(object []byte) {
	var outer attestationObject
	if a.err = ctapcbor.Unmarshal(object, &outer); a.err != nil {
		return
	}
	if a.format == formatNone {
		if len(outer.AttStmt) > 0 && !bytes.Equal(outer.AttStmt, []byte{0xa0}) {
			a.err = errors.New(`the statement of "none" must be empty`)
		}
		return
	}
	if a.err = ctapcbor.Unmarshal(outer.AttStmt, &a.statement); a.err != nil {
		return
	}
	for i, der := range a.statement.X5C {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			a.err = fmt.Errorf("certificate %d of x5c: %w", i+1, err)
			return
		}
		a.certificates = append(a.certificates, c)
	}
	a.err = a.members()
}

// members says what the statement lacks that its format must have.
func (a *attested) members() error {
	s := &a.statement
	switch {
	case a.format == formatFIDOU2F && len(s.X5C) != 1:
		return fmt.Errorf("x5c has %d certificates, must have 1", len(s.X5C))
	case len(s.X5C) == 0 && (a.format == formatTPM || a.format == formatAndroidKey || a.format == formatApple):
		return errors.New("x5c has no certificate")
	case s.Signature == nil && a.format != formatApple && a.explained():
		return errors.New("sig is missing")
	case a.format == formatTPM && s.Version != "2.0":
		return fmt.Errorf("ver is %q, must be 2.0", s.Version)
	}
	return nil
}

func (a *attested) explained() bool {
	return slices.Contains([]string{formatNone, formatPacked, formatFIDOU2F, formatTPM, formatAndroidKey, formatApple}, a.format)
}

// leaf is the certificate of the key that signed, or nil.
func (a *attested) leaf() *x509.Certificate {
	if len(a.certificates) == 0 {
		return nil
	}
	return a.certificates[0]
}

// self reports whether the credential's own key signed.
func (a *attested) self() bool { return a.format == formatPacked && a.leaf() == nil }

// kind is the attestation type in the words of FIDO's registry.
func (a *attested) kind() string {
	switch {
	case a.format == formatNone:
		return "none"
	case a.self():
		return "basic_surrogate"
	case a.format == formatTPM:
		return "attca"
	case a.format == formatApple:
		return "anonca"
	}
	return "basic_full"
}

var kinds = map[string]string{
	"none":            "nothing says which model this is",
	"basic_surrogate": "self attestation: signed with the credential's own key, so nothing proves the model",
	"basic_full":      "signed with a key of the maker, which many devices of the model share",
	"attca":           "signed with a key of the device, for which an attestation CA vouches",
	"anonca":          "a certificate for this credential alone, from an anonymization CA",
}

// attestation adds what there is to say of the attestation, the certificates, and
// the metadata.
func (j *judge) attestation(a *attested, verdict error) {
	j.format(a)
	if a.err != nil || !a.explained() {
		for _, name := range ofStatement {
			j.skip(name, "the statement is not one that can be read here")
		}
	} else {
		j.attestationSignature(a)
		j.attestedKey(a)
		j.attestedData(a)
		j.certificate(a)
	}
	j.trust(a, verdict)
}

// ofStatement are the checks that need a statement that was read.
var ofStatement = []string{
	CheckAttestationSignature, CheckAttestedKey, CheckAttestedData, CheckCertificateVersion, CheckCertificateSubject,
	CheckCertificateUnit, CheckCertificateAAGUID, CheckBasicConstraints, CheckValidity,
}

func (j *judge) format(a *attested) {
	switch {
	case a.err != nil:
		j.hold(CheckFormat, a.err, "%s", a.format)
	case a.format == formatCompound || a.format == formatSafetyNet:
		j.skip(CheckFormat, "%s is for go-webauthn to judge", a.format)
	case !a.explained():
		j.hold(CheckFormat, errors.New("is not known"), "%q", a.format)
	default:
		j.hold(CheckFormat, nil, "%s: %s", a.format, kinds[a.kind()])
	}
}

func (j *judge) attestationSignature(a *attested) {
	s := &a.statement
	switch {
	case a.format == formatNone:
		j.skip(CheckAttestationSignature, "nothing was signed")
	case a.format == formatApple:
		j.skip(CheckAttestationSignature, "Apple puts a hash into the certificate instead")
	case a.self() && s.Algorithm != a.credential.PublicKey.Algorithm:
		j.hold(CheckAttestationSignature, fmt.Errorf("the credential's key is for %v", a.credential.PublicKey.Algorithm), "%v", s.Algorithm)
	case a.self():
		j.signature(CheckAttestationSignature, a.credential.PublicKey, a.signed, s.Signature)
	case a.format == formatFIDOU2F:
		j.u2fSignature(a)
	case a.format == formatTPM:
		j.signature(CheckAttestationSignature, a.signer(s.Algorithm), s.CertInfo, s.Signature)
	default:
		j.signature(CheckAttestationSignature, a.signer(s.Algorithm), a.signed, s.Signature)
	}
}

// signer is the key of the first certificate.
func (a *attested) signer(algorithm cose.Algorithm) cose.Key {
	return cose.Key{Algorithm: algorithm, Public: a.leaf().PublicKey}
}

// u2fSignature is over the message that a U2F key would have signed (WebAuthn Level
// 3, section 8.6).
func (j *judge) u2fSignature(a *attested) {
	point, err := pointOf(a.credential.PublicKey)
	if err == nil {
		if certified, ok := a.leaf().PublicKey.(*ecdsa.PublicKey); !ok || certified.Curve != elliptic.P256() {
			err = errors.New("the certificate's key is not on P-256")
		}
	}
	if err != nil {
		j.hold(CheckAttestationSignature, err, "ES256")
		return
	}
	message := slices.Concat([]byte{0}, a.authData.RPIDHash[:], a.clientDataHash, a.credential.ID, point)
	j.signature(CheckAttestationSignature, a.signer(cose.ES256), message, a.statement.Signature)
}

func pointOf(key cose.Key) ([]byte, error) {
	public, ok := key.Public.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() || key.Algorithm != cose.ES256 {
		return nil, errors.New("the credential's key is not for ES256 on P-256")
	}
	return public.Bytes()
}

// attestedKey is about formats in which the key that was attested stands in the
// statement again.
func (j *judge) attestedKey(a *attested) {
	switch a.format {
	case formatTPM:
		err := a.tpmKey()
		j.hold(CheckAttestedKey, err, "the key that the TPM names")
	case formatAndroidKey, formatApple:
		j.hold(CheckAttestedKey, failIf(!sameKey(a.leaf().PublicKey, a.credential.PublicKey.Public), "is not the credential's"), "the key in the certificate")
	default:
		j.skip(CheckAttestedKey, "%s names no key besides the credential's", a.format)
	}
}

func sameKey(certified, credential crypto.PublicKey) bool {
	key, ok := certified.(interface{ Equal(crypto.PublicKey) bool })
	return ok && key.Equal(credential)
}

// attestedData is about formats in which a hash stands in for what was signed.
func (j *judge) attestedData(a *attested) {
	switch a.format {
	case formatTPM:
		j.hold(CheckAttestedData, a.tpmData(), "certInfo of a TPM 2.0")
	case formatAndroidKey:
		j.hold(CheckAttestedData, a.androidData(), "the key description of Android")
	case formatApple:
		j.hold(CheckAttestedData, a.appleData(), "the nonce in the certificate")
	default:
		j.skip(CheckAttestedData, "%s signs the authenticator data itself", a.format)
	}
}

// Attestation is who stands behind a registration, in words.
type Attestation struct {
	Format string `json:"format"`
	// Type is one of FIDO's registry: none, basic_full, basic_surrogate, attca, anonca.
	Type   string       `json:"type"`
	AAGUID ctap2.AAGUID `json:"aaguid"`
	// Model is what the metadata call the model of the AAGUID, or the table of names.
	// It is a claim until Root is found.
	Model         string        `json:"model,omitempty"`
	Firmware      *uint64       `json:"firmware,omitempty"` // as the certificate counts it
	Certification string        `json:"certification,omitempty"`
	Chain         []Certificate `json:"chain,omitempty"` // the signer's first
	Root          RootSource    `json:"root"`
}

// RootSource is where the root of a chain was found.
type RootSource string

// The sources of roots.
const (
	RootNone     RootSource = "none" // there is no chain
	RootNotFound RootSource = "not found"
	RootMetadata RootSource = "metadata"
	RootGiven    RootSource = "given"       // one of Expected.Roots
	RootLibrary  RootSource = "go-webauthn" // Google's and Apple's are built in there
)

// Certificate is one of a chain.
type Certificate struct {
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	NotBefore time.Time `json:"notBefore"`
	NotAfter  time.Time `json:"notAfter"`
	Key       string    `json:"key"`
	SHA256    string    `json:"sha256"`
	Root      bool      `json:"root,omitempty"`
}

// DescribeAttestation says who stands behind a registration; it is nil for one that
// cannot be read. Whether that is to be believed [CheckRegistration] says.
func DescribeAttestation(r *RegistrationResponse, want Expected) *Attestation {
	_, a := judgeRegistration(r, want)
	return a
}

func (a *attested) describe() *Attestation {
	d := &Attestation{Format: a.format, Type: a.kind(), AAGUID: a.credential.AAGUID, Root: a.rootFrom}
	if model, ok := metadata.Lookup(a.credential.AAGUID.String()); ok {
		d.Model = model.Name
	}
	if a.entry != nil {
		if a.entry.Statement.Description != "" {
			d.Model = a.entry.Statement.Description
		}
		if report := a.entry.Certification(a.at); report != nil {
			d.Certification = report.Status.Meaning()
		}
	}
	if c := a.leaf(); c != nil {
		d.Firmware = firmwareOf(c)
	}
	for i, c := range a.chain {
		root := i == len(a.chain)-1 && a.rootFrom != RootNotFound
		d.Chain = append(d.Chain, Certificate{
			nameOf(c.Subject.String()), nameOf(c.Issuer.String()), c.NotBefore, c.NotAfter, keyOf(c), metadata.Fingerprint(c), root && !a.atLibrary,
		})
	}
	return d
}

func nameOf(s string) string {
	if strings.TrimSpace(s) == "" {
		return "(no name)"
	}
	return s
}
