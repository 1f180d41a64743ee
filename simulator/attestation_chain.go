package simulator

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"time"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

// An AttestationKey is a key with which a maker vouches for credentials.
type AttestationKey struct {
	Signer crypto.Signer // ECDSA on a NIST curve, Ed25519 or RSA
	Chain  [][]byte      // certificates in DER: of Signer, then of who signed it; no root
}

// Which key vouches.
const (
	basicAttestation      = "basic"      // one for all keys of the model
	enterpriseAttestation = "enterprise" // names this very key
	u2fAttestation        = "u2f"        // of U2F, whose certificates name no AAGUID
	rootAttestation       = "root"
)

// An attestationKey is an AttestationKey ready for use.
type attestationKey struct {
	standardKey
	chain [][]byte
}

// attestationKey returns the key of the configuration, or of the generated chain.
func (a *Authenticator) attestationKey(who string) (*attestationKey, error) {
	loaded := a.config.Attestation
	if who == enterpriseAttestation {
		loaded = a.config.EnterpriseAttestation
	}
	if loaded != nil {
		key, err := loaded.use()
		if err != nil {
			return nil, err
		}
		if who != u2fAttestation || key.algorithm == cose.ES256 { // U2F knows no other
			return key, nil
		}
	}
	name := attestationName{who, a.profile.GetInfo.AAGUID}
	if key := a.state.attestationKeys[name]; key != nil {
		return key, nil
	}
	seed, err := a.attestationSeed()
	if err != nil {
		return nil, err
	}
	key, err := generateAttestation(seed, who, name.aaguid)
	if err == nil {
		a.state.attestationKeys[name] = key
	}
	return key, err
}

// An attestationName tells the keys of one seed apart.
type attestationName struct {
	who    string
	aaguid ctap2.AAGUID
}

func (k *AttestationKey) use() (*attestationKey, error) {
	if len(k.Chain) == 0 {
		return nil, errors.New("attestation key without a certificate")
	}
	var alg cose.Algorithm
	switch public := k.Signer.Public().(type) {
	case *ecdsa.PublicKey:
		alg = map[elliptic.Curve]cose.Algorithm{
			elliptic.P256(): cose.ES256, elliptic.P384(): cose.ES384, elliptic.P521(): cose.ES512,
		}[public.Curve]
	case ed25519.PublicKey:
		alg = cose.EdDSA
	case *rsa.PublicKey:
		alg = cose.RS256
	}
	return &attestationKey{standardKey{alg, k.Signer}, k.Chain}, nil
}

// needsCertificates reports whether the key shows some, sooner or later.
func (p *Profile) needsCertificates() bool {
	return p.Attestation == AttestationChain || p.hasU2F() || p.supports(ctap2.OptionEP)
}

// attestationSeed is where the generated chain comes from. It is drawn at the
// first start that needs it, and outlives a reset.
func (a *Authenticator) attestationSeed() ([]byte, error) {
	if seed := a.state.attestation; seed != nil {
		return seed, nil
	}
	seed, err := a.random(seedSize)
	if err != nil {
		return nil, err
	}
	return seed, a.state.commit(change{device: a.state.device, attestation: seed})
}

// AttestationRoot returns the certificate, in DER, in which the generated chain
// ends: the trust anchor of this key.
func (a *Authenticator) AttestationRoot() ([]byte, error) {
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	seed, err := a.attestationSeed()
	if err != nil {
		return nil, err
	}
	root, err := generateAttestation(seed, rootAttestation, ctap2.AAGUID{})
	if err != nil {
		return nil, err
	}
	return root.chain[0], nil
}

// The generated certificates are the same in every run, so their time is fixed.
var (
	attestationNotBefore = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	attestationNotAfter  = time.Date(2049, 12, 31, 0, 0, 0, 0, time.UTC)
)

// oidAAGUID is id-fido-gen-ce-aaguid.
var oidAAGUID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}

// generateAttestation makes the key and the certificate of a seed.
func generateAttestation(seed []byte, who string, aaguid ctap2.AAGUID) (*attestationKey, error) {
	stream := seedStream("attestation "+who, seed)
	key, err := scalarFrom(stream, elliptic.P256())
	if err != nil {
		return nil, err
	}
	rootKey, err := scalarFrom(seedStream("attestation "+rootAttestation, seed), elliptic.P256())
	if err != nil {
		return nil, err
	}
	point, err := rootKey.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	rootID := sha256.Sum256(point)
	root := certificate("fidokey simulator root")
	root.SubjectKeyId = rootID[:20]
	root.SerialNumber = big.NewInt(1)
	root.IsCA = true
	root.KeyUsage = x509.KeyUsageCertSign
	template := root
	if who != rootAttestation {
		if template, err = leaf(who, stream, aaguid); err != nil {
			return nil, err
		}
	}
	// Without randomness the signature has the nonce of RFC 6979.
	der, err := x509.CreateCertificate(nil, template, root, key.Public(), rootKey)
	return &attestationKey{standardKey{cose.ES256, key}, [][]byte{der}}, err
}

// certificate has what the generated certificates have in common.
func certificate(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{Country: []string{"SE"}, Organization: []string{"fidokey"}, CommonName: name},
		NotBefore:             attestationNotBefore,
		NotAfter:              attestationNotAfter,
		BasicConstraintsValid: true,
	}
}

// leaf is the certificate of a key that vouches (WebAuthn Level 3, section
// 8.2.1).
func leaf(who string, stream io.Reader, aaguid ctap2.AAGUID) (*x509.Certificate, error) {
	serial := make([]byte, 16)
	if _, err := io.ReadFull(stream, serial); err != nil {
		return nil, err
	}
	serial[0] &= 0x7f
	c := certificate("fidokey simulator " + who)
	c.SerialNumber = new(big.Int).SetBytes(serial)
	c.KeyUsage = x509.KeyUsageDigitalSignature
	c.Subject.OrganizationalUnit = []string{"Authenticator Attestation"}
	if who == enterpriseAttestation {
		c.Subject.SerialNumber = hex.EncodeToString(serial)
	}
	if who != u2fAttestation {
		value, err := asn1.Marshal(aaguid[:])
		if err != nil {
			return nil, err
		}
		c.ExtraExtensions = []pkix.Extension{{Id: oidAAGUID, Value: value}}
	}
	return c, nil
}
