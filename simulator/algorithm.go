package simulator

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha3"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// A signingKey is the private key of a credential. Its signatures are
// deterministic, so that they too are the same in two runs.
type signingKey interface {
	public() (*cose.Key, error)
	sign(message []byte) ([]byte, error)
}

// seedSize is what is kept of every private key, in bytes: all are derived from
// that much. So IDs that contain a key stay short, an RSA key's too.
const seedSize = 32

// signingAlgorithms are those that a profile can list, with the key of a seed.
var signingAlgorithms = map[cose.Algorithm]func(alg cose.Algorithm, seed []byte) (signingKey, error){
	cose.ES256:   p256Key,
	cose.ESP256:  p256Key,
	cose.ES384:   ecdsaKey(elliptic.P384()),
	cose.ESP384:  ecdsaKey(elliptic.P384()),
	cose.ES512:   ecdsaKey(elliptic.P521()),
	cose.ESP512:  ecdsaKey(elliptic.P521()),
	cose.EdDSA:   ed25519Key,
	cose.Ed25519: ed25519Key,
	cose.RS256:   rsaSigningKey,
	cose.ES256K:  secp256k1Key,
	cose.MLDSA44: mldsaKey,
	cose.MLDSA65: mldsaKey,
	cose.MLDSA87: mldsaKey,
}

// deriveKey returns the private key of a seed.
func deriveKey(alg cose.Algorithm, seed []byte) (signingKey, error) {
	derive := signingAlgorithms[alg]
	if derive == nil || len(seed) != seedSize {
		return nil, fmt.Errorf("%v key of %d bytes", alg, len(seed))
	}
	return derive(alg, seed)
}

// newKey makes a private key. On P-256 the seed is the private scalar.
func (a *Authenticator) newKey(k *keyMaterial) (err error) {
	if k.Algorithm == cose.ES256 || k.Algorithm == cose.ESP256 {
		var key *ecdsa.PrivateKey
		if k.Seed, key, err = a.randomP256(); err == nil {
			k.derived = standardKey{k.Algorithm, key}
		}
		return err
	}
	k.Seed, err = a.random(seedSize)
	return err
}

// seedStream is the endless bytes that a seed stands for, under a label.
func seedStream(label string, seed []byte) io.Reader {
	stream := sha3.NewSHAKE256()
	stream.Write([]byte("fidokey " + label + "\x00")) // never fails
	stream.Write(seed)
	return stream
}

// scalarFrom draws a private key of a curve from a stream, by rejection.
func scalarFrom(stream io.Reader, curve elliptic.Curve) (*ecdsa.PrivateKey, error) {
	bits := curve.Params().BitSize
	scalar := make([]byte, (bits+7)/8)
	for range maxDraws {
		if _, err := io.ReadFull(stream, scalar); err != nil {
			return nil, err
		}
		if extra := bits % 8; extra != 0 { // P-521
			scalar[0] &= 1<<extra - 1
		}
		if key, err := ecdsa.ParseRawPrivateKey(curve, scalar); err == nil {
			return key, nil
		}
	}
	return nil, errNotRandom
}

func p256Key(alg cose.Algorithm, seed []byte) (signingKey, error) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed)
	return standardKey{alg, key}, err
}

func ecdsaKey(curve elliptic.Curve) func(alg cose.Algorithm, seed []byte) (signingKey, error) {
	return func(alg cose.Algorithm, seed []byte) (signingKey, error) {
		key, err := scalarFrom(seedStream("signing key on "+curve.Params().Name, seed), curve)
		return standardKey{alg, key}, err
	}
}

func ed25519Key(alg cose.Algorithm, seed []byte) (signingKey, error) {
	return standardKey{alg, ed25519.NewKeyFromSeed(seed)}, nil
}

// A standardKey is one that the standard library signs with.
type standardKey struct {
	algorithm cose.Algorithm
	signer    crypto.Signer
}

func (k standardKey) public() (*cose.Key, error) {
	return &cose.Key{Algorithm: k.algorithm, Public: k.signer.Public()}, nil
}

// sign draws no randomness: the nonces of ECDSA are those of RFC 6979, and RSA
// and EdDSA have none.
func (k standardKey) sign(message []byte) ([]byte, error) {
	hash, ok := signingHashes[k.algorithm]
	if !ok {
		return nil, fmt.Errorf("%v: %w", k.algorithm, errors.ErrUnsupported)
	}
	digest := message
	if hash != 0 {
		h := hash.New()
		h.Write(message)
		digest = h.Sum(nil)
	}
	return k.signer.Sign(nil, digest, hash)
}

// signingHashes are what standardKeys hash with; 0 signs the message itself.
var signingHashes = map[cose.Algorithm]crypto.Hash{
	cose.ES256: crypto.SHA256, cose.ESP256: crypto.SHA256,
	cose.ES384: crypto.SHA384, cose.ESP384: crypto.SHA384,
	cose.ES512: crypto.SHA512, cose.ESP512: crypto.SHA512,
	cose.EdDSA: 0, cose.Ed25519: 0,
	cose.RS256: crypto.SHA256,
}

// rawKey makes a COSE_Key that package cose only passes on.
func rawKey(members map[int]any) (*cose.Key, error) {
	encoded, err := ctapcbor.Marshal(members)
	if err != nil {
		return nil, err
	}
	key := &cose.Key{}
	return key, key.UnmarshalCBOR(slices.Clip(encoded))
}
