// Package cose reads, writes and uses the COSE_Key public keys of CTAP2
// (RFC 9053; CTAP 2.1, sections 6.1 and 6.5.6).
//
//	var key cose.Key
//	err := key.UnmarshalCBOR(raw)      // or decode a struct that has a Key
//	err = key.Verify(message, signature)
//
// It knows EC2 keys on P-256, P-384 and P-521, Ed25519 and RSA. A key of any
// other type keeps its bytes and is passed on as it came; only Verify refuses
// it.
package cose

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// Key types (IANA registry "COSE Key Types").
const (
	ktyOKP = 1
	ktyEC2 = 2
	ktyRSA = 3
)

// Curves (IANA registry "COSE Elliptic Curves").
const (
	crvP256    = 1
	crvP384    = 2
	crvP521    = 3
	crvEd25519 = 6
)

// Labels of the members of a COSE_Key.
const (
	labelKty = 1
	labelAlg = 3
	labelCrv = -1 // EC2 and OKP; the modulus n for RSA
	labelX   = -2 // EC2 and OKP; the exponent e for RSA
	labelY   = -3
)

// ErrUnsupportedKey is returned for a key whose type, curve or algorithm this
// package cannot use. Its bytes are kept nevertheless.
var ErrUnsupportedKey = errors.New("cose: unsupported key type, curve or algorithm")

// A Key is a public key with the algorithm that it is for.
type Key struct {
	// Algorithm is 0 when the COSE_Key has none.
	Algorithm Algorithm
	// Public is an *ecdsa.PublicKey, an ed25519.PublicKey or an *rsa.PublicKey,
	// or nil for a key of a type that this package does not know.
	Public crypto.PublicKey

	raw []byte
}

// ec2, okp and rsaKey are the COSE_Keys as they go on the wire. The order of
// the fields is the canonical one.
type ec2 struct {
	Kty int       `cbor:"1,keyasint"`
	Alg Algorithm `cbor:"3,keyasint,omitempty"`
	Crv int       `cbor:"-1,keyasint"`
	X   []byte    `cbor:"-2,keyasint"`
	Y   []byte    `cbor:"-3,keyasint"`
}

type okp struct {
	Kty int       `cbor:"1,keyasint"`
	Alg Algorithm `cbor:"3,keyasint,omitempty"`
	Crv int       `cbor:"-1,keyasint"`
	X   []byte    `cbor:"-2,keyasint"`
}

type rsaKey struct {
	Kty int       `cbor:"1,keyasint"`
	Alg Algorithm `cbor:"3,keyasint,omitempty"`
	N   []byte    `cbor:"-1,keyasint"`
	E   []byte    `cbor:"-2,keyasint"`
}

// Raw returns the bytes that the key was decoded from, or nil.
func (k *Key) Raw() []byte { return k.raw }

// MarshalCBOR returns the bytes that the key was decoded from, or else the
// canonical encoding of Public.
func (k Key) MarshalCBOR() ([]byte, error) {
	if k.raw != nil {
		return k.raw, nil
	}
	switch pub := k.Public.(type) {
	case *ecdsa.PublicKey:
		crv, size := curveOf(pub.Curve)
		point, err := pub.Bytes()
		if err != nil || crv == 0 {
			return nil, ErrUnsupportedKey
		}
		x, y := point[1:1+size], point[1+size:]
		return ctapcbor.Marshal(ec2{ktyEC2, k.Algorithm, crv, x, y})
	case ed25519.PublicKey:
		return ctapcbor.Marshal(okp{ktyOKP, k.Algorithm, crvEd25519, pub})
	case *rsa.PublicKey:
		return ctapcbor.Marshal(rsaKey{ktyRSA, k.Algorithm, pub.N.Bytes(), big.NewInt(int64(pub.E)).Bytes()})
	}
	return nil, ErrUnsupportedKey
}

// UnmarshalCBOR decodes a COSE_Key. A point that is not on its curve is an
// error; a key type or curve that is not known here is not.
func (k *Key) UnmarshalCBOR(data []byte) error {
	var members map[int64]cbor.RawMessage
	if err := ctapcbor.Unmarshal(data, &members); err != nil {
		return fmt.Errorf("cose: %w", err)
	}
	if members[labelKty] == nil {
		return errors.New("cose: key has no kty")
	}
	key := Key{raw: bytes.Clone(data)}
	m := memberReader{members: members}
	m.read(labelAlg, "alg", &key.Algorithm)
	key.Public = m.public()
	if m.err != nil {
		return m.err
	}
	*k = key
	return nil
}

type memberReader struct {
	members map[int64]cbor.RawMessage
	err     error
}

// read decodes a member if it is there; the first error stays.
func (m *memberReader) read(label int64, name string, v any) {
	raw, ok := m.members[label]
	if !ok || m.err != nil {
		return
	}
	if err := ctapcbor.Unmarshal(raw, v); err != nil {
		m.err = fmt.Errorf("cose: member %s: %w", name, err)
	}
}

func (m *memberReader) public() crypto.PublicKey {
	var kty int64
	m.read(labelKty, "kty", &kty)
	switch kty {
	case ktyEC2:
		return m.ec2()
	case ktyOKP:
		return m.okp()
	case ktyRSA:
		return m.rsa()
	}
	return nil
}

func (m *memberReader) ec2() crypto.PublicKey {
	var crv int64
	var x, y cbor.ByteString
	m.read(labelCrv, "crv", &crv)
	var curve elliptic.Curve
	switch crv {
	case crvP256:
		curve = elliptic.P256()
	case crvP384:
		curve = elliptic.P384()
	case crvP521:
		curve = elliptic.P521()
	default:
		return nil
	}
	m.read(labelX, "x", &x)
	m.read(labelY, "y", &y)
	if m.err != nil {
		return nil
	}
	_, size := curveOf(curve)
	if len(x) != size || len(y) != size {
		m.err = fmt.Errorf("cose: coordinates of %d and %d bytes, want %d", len(x), len(y), size)
		return nil
	}
	pub, err := ecdsa.ParseUncompressedPublicKey(curve, []byte("\x04"+string(x)+string(y)))
	if err != nil {
		m.err = fmt.Errorf("cose: point is not on %s", curve.Params().Name)
		return nil
	}
	return pub
}

func (m *memberReader) okp() crypto.PublicKey {
	var crv int64
	var x cbor.ByteString
	m.read(labelCrv, "crv", &crv)
	if crv != crvEd25519 {
		return nil
	}
	m.read(labelX, "x", &x)
	if m.err == nil && len(x) != ed25519.PublicKeySize {
		m.err = fmt.Errorf("cose: Ed25519 key of %d bytes, want %d", len(x), ed25519.PublicKeySize)
	}
	return ed25519.PublicKey(x)
}

func (m *memberReader) rsa() crypto.PublicKey {
	var n, e cbor.ByteString
	m.read(labelCrv, "n", &n)
	m.read(labelX, "e", &e)
	if m.err != nil {
		return nil
	}
	modulus, exponent := new(big.Int).SetBytes([]byte(n)), new(big.Int).SetBytes([]byte(e))
	if modulus.BitLen() < 1024 || modulus.BitLen() > 16384 || exponent.BitLen() > 31 || exponent.Bit(0) == 0 {
		m.err = fmt.Errorf("cose: RSA modulus of %d bits with exponent of %d bits", modulus.BitLen(), exponent.BitLen())
		return nil
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}
}

// curveOf returns the COSE curve and the size of a coordinate in bytes.
func curveOf(c elliptic.Curve) (crv, size int) {
	switch c {
	case elliptic.P256():
		return crvP256, 32
	case elliptic.P384():
		return crvP384, 48
	case elliptic.P521():
		return crvP521, 66
	}
	return 0, 0
}

// ECDH returns the key for key agreement on P-256, as the PIN/UV auth protocols
// need it. The algorithm label is not looked at: keys in the field differ.
func (k *Key) ECDH() (*ecdh.PublicKey, error) {
	pub, ok := k.Public.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() {
		return nil, errors.New("cose: key agreement key is not on P-256")
	}
	return pub.ECDH()
}

// FromECDH returns the COSE_Key of a P-256 key agreement key, labelled
// ECDH-ES+HKDF-256.
func FromECDH(pub *ecdh.PublicKey) (Key, error) {
	p, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), pub.Bytes())
	if err != nil {
		return Key{}, ErrUnsupportedKey
	}
	return Key{Algorithm: ECDHESHKDF256, Public: p}, nil
}

// SPKI returns the key as a DER SubjectPublicKeyInfo.
func (k *Key) SPKI() ([]byte, error) {
	if k.Public == nil {
		return nil, ErrUnsupportedKey
	}
	return x509.MarshalPKIXPublicKey(k.Public)
}
