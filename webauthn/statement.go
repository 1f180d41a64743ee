package webauthn

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"

	"github.com/google/go-tpm/tpm2"

	"github.com/fidokey/fidokey/cose"
)

// Extensions of certificates that the formats are about.
var (
	oidAAGUID          = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4} // id-fido-gen-ce-aaguid
	oidFirmware        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 5} // id-fido-gen-ce-fw-version
	oidAndroidKey      = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11129, 2, 1, 17}
	oidAppleNonce      = asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 8, 2}
	oidSubjectAltName  = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidConstraints     = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidTPMAIK          = asn1.ObjectIdentifier{2, 23, 133, 8, 3}
	oidTPMManufacturer = asn1.ObjectIdentifier{2, 23, 133, 2, 1}
	oidTPMModel        = asn1.ObjectIdentifier{2, 23, 133, 2, 2}
	oidTPMVersion      = asn1.ObjectIdentifier{2, 23, 133, 2, 3}
)

// extension returns the value of an extension, or nil.
func extension(c *x509.Certificate, id asn1.ObjectIdentifier) (value []byte, critical bool) {
	for _, e := range c.Extensions {
		if e.Id.Equal(id) {
			return e.Value, e.Critical
		}
	}
	return nil, false
}

// tpmKey compares the key that the TPM made with the credential's (WebAuthn Level
// 3, section 8.3).
func (a *attested) tpmKey() error {
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](a.statement.PubArea)
	if err != nil {
		return fmt.Errorf("pubArea: %w", err)
	}
	switch public := a.credential.PublicKey.Public.(type) {
	case *ecdsa.PublicKey:
		return failIf(!sameECC(area, public), "is not the credential's")
	case *rsa.PublicKey:
		return failIf(!sameRSA(area, public), "is not the credential's")
	}
	return errors.New("the credential's key is of a type that no TPM has")
}

func sameECC(area *tpm2.TPMTPublic, public *ecdsa.PublicKey) bool {
	curves := map[elliptic.Curve]tpm2.TPMECCCurve{elliptic.P256(): tpm2.TPMECCNistP256, elliptic.P384(): tpm2.TPMECCNistP384, elliptic.P521(): tpm2.TPMECCNistP521}
	parameters, err := area.Parameters.ECCDetail()
	if err != nil || parameters.CurveID != curves[public.Curve] {
		return false
	}
	point, err := area.Unique.ECC()
	if err != nil {
		return false
	}
	whole, err := public.Bytes()
	return err == nil && bytes.Equal(whole[1:], append(bytes.Clone(point.X.Buffer), point.Y.Buffer...))
}

func sameRSA(area *tpm2.TPMTPublic, public *rsa.PublicKey) bool {
	parameters, err := area.Parameters.RSADetail()
	if err != nil {
		return false
	}
	modulus, err := area.Unique.RSA()
	if err != nil || !bytes.Equal(modulus.Buffer, public.N.Bytes()) {
		return false
	}
	exponent := parameters.Exponent
	if exponent == 0 {
		exponent = 65537 // TPM 2.0 Part 2, section 12.2.3.5
	}
	return uint64(exponent) == uint64(public.E)
}

// tpmData looks at what the TPM signed.
func (a *attested) tpmData() error {
	info, err := tpm2.Unmarshal[tpm2.TPMSAttest](a.statement.CertInfo)
	if err != nil {
		return fmt.Errorf("certInfo: %w", err)
	}
	if info.Magic.Check() != nil || info.Type != tpm2.TPMSTAttestCertify {
		return errors.New("was not made by a TPM for TPM2_Certify")
	}
	hash := hashOf(a.statement.Algorithm)
	if hash == 0 {
		return fmt.Errorf("the hash of %v is not known", a.statement.Algorithm)
	}
	h := hash.New()
	h.Write(a.signed)
	if !bytes.Equal(info.ExtraData.Buffer, h.Sum(nil)) {
		return errors.New("is not for these authenticator data and client data")
	}
	return a.tpmName(info)
}

// tpmName holds certInfo and pubArea together.
func (a *attested) tpmName(info *tpm2.TPMSAttest) error {
	area, err := tpm2.Unmarshal[tpm2.TPMTPublic](a.statement.PubArea)
	if err != nil {
		return fmt.Errorf("pubArea: %w", err)
	}
	certified, err := info.Attested.Certify()
	if err != nil {
		return fmt.Errorf("certInfo: %w", err)
	}
	name, err := tpm2.ObjectName(area)
	if err != nil {
		return fmt.Errorf("pubArea: %w", err)
	}
	return failIf(!bytes.Equal(certified.Name.Buffer, name.Buffer), "certInfo is about another key than pubArea")
}

func hashOf(a cose.Algorithm) crypto.Hash {
	switch a {
	case cose.ES256, cose.ESP256, cose.RS256, cose.PS256:
		return crypto.SHA256
	case cose.ES384, cose.ESP384:
		return crypto.SHA384
	case cose.ES512, cose.ESP512:
		return crypto.SHA512
	case rs1:
		return crypto.SHA1
	}
	return 0
}

// rs1 is RSASSA-PKCS1-v1_5 with SHA-1, which older TPMs sign with.
const rs1 cose.Algorithm = -65535

// keyDescription is the beginning of what Android says of a key; the lists are
// looked through by their tags, since each version of Android adds some.
type keyDescription struct {
	Version, SecurityLevel             asn1.RawValue
	KeymasterVersion, KeymasterLevel   asn1.RawValue
	Challenge, UniqueID                []byte
	SoftwareEnforced, HardwareEnforced asn1.RawValue
}

// Tags of an authorization list, and the values that WebAuthn wants there
// (Level 3, section 8.4).
const (
	androidPurpose         = 1
	androidAllApplications = 600
	androidOrigin          = 702
	androidSign            = 2
	androidGenerated       = 0
)

func (a *attested) androidData() error {
	value, _ := extension(a.leaf(), oidAndroidKey)
	if value == nil {
		return errors.New("the certificate does not have it")
	}
	var d keyDescription
	if _, err := asn1.Unmarshal(value, &d); err != nil {
		return err
	}
	if !bytes.Equal(d.Challenge, a.clientDataHash) {
		return errors.New("is for other client data")
	}
	hardware, software := authorizations(d.HardwareEnforced), authorizations(d.SoftwareEnforced)
	if hardware[androidAllApplications] != nil || software[androidAllApplications] != nil {
		return errors.New("all applications may use the key")
	}
	var origin int
	if _, err := asn1.Unmarshal(hardware[androidOrigin], &origin); err != nil || origin != androidGenerated {
		return errors.New("the hardware does not say that the key was made in it")
	}
	var purposes []int
	if _, err := asn1.UnmarshalWithParams(hardware[androidPurpose], &purposes, "set"); err != nil {
		return errors.New("the hardware does not say what the key is for")
	}
	return failIf(!slices.Contains(purposes, androidSign), "the key is not for signing")
}

// authorizations returns the members of a list by tag.
func authorizations(list asn1.RawValue) map[int][]byte {
	found := map[int][]byte{}
	for rest := list.Bytes; len(rest) > 0; {
		var member asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &member); err != nil {
			return found
		}
		found[member.Tag] = append([]byte{}, member.Bytes...)
	}
	return found
}

// appleData looks for the hash of authenticator data and client data (WebAuthn
// Level 3, section 8.8).
func (a *attested) appleData() error {
	value, _ := extension(a.leaf(), oidAppleNonce)
	if value == nil {
		return errors.New("the certificate does not have it")
	}
	var content struct {
		Nonce []byte `asn1:"tag:1,explicit"`
	}
	if _, err := asn1.Unmarshal(value, &content); err != nil {
		return err
	}
	nonce := sha256.Sum256(a.signed)
	return failIf(!bytes.Equal(content.Nonce, nonce[:]), "is not for these authenticator data and client data")
}
