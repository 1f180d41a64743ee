package cose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"

	_ "crypto/sha256" // for the hashes of the algorithms
	_ "crypto/sha512"
)

// ErrSignature says that a signature does not belong to the message and key.
var ErrSignature = errors.New("cose: signature does not verify")

// Verify checks a signature over message with the key and its algorithm. ECDSA
// signatures are ASN.1 DER, EdDSA signatures 64 bytes, as WebAuthn has them
// (Level 3, section 6.5.5). It returns [ErrSignature] when the signature is
// wrong and [ErrUnsupportedKey] when it cannot judge.
func (k *Key) Verify(message, sig []byte) error {
	var ok bool
	switch pub := k.Public.(type) {
	case *ecdsa.PublicKey:
		hash := ecdsaHash(k.Algorithm, pub.Curve)
		if hash == 0 {
			return k.unsupported()
		}
		ok = ecdsa.VerifyASN1(pub, digest(hash, message), sig)
	case ed25519.PublicKey:
		if k.Algorithm != EdDSA && k.Algorithm != Ed25519 {
			return k.unsupported()
		}
		ok = ed25519.Verify(pub, message, sig)
	case *rsa.PublicKey:
		hashed := digest(crypto.SHA256, message)
		switch k.Algorithm {
		case RS256:
			ok = rsa.VerifyPKCS1v15(pub, crypto.SHA256, hashed, sig) == nil
		case PS256:
			ok = rsa.VerifyPSS(pub, crypto.SHA256, hashed, sig, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		default:
			return k.unsupported()
		}
	default:
		return k.unsupported()
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

func (k *Key) unsupported() error {
	return fmt.Errorf("%w: %v", ErrUnsupportedKey, k.Algorithm)
}

// ecdsaHash returns the hash of an ECDSA algorithm, or 0 when FIDO does not use
// the algorithm with that curve.
func ecdsaHash(alg Algorithm, curve elliptic.Curve) crypto.Hash {
	switch {
	case curve == elliptic.P256() && (alg == ES256 || alg == ESP256):
		return crypto.SHA256
	case curve == elliptic.P384() && (alg == ES384 || alg == ESP384):
		return crypto.SHA384
	case curve == elliptic.P521() && (alg == ES512 || alg == ESP512):
		return crypto.SHA512
	}
	return 0
}

func digest(h crypto.Hash, message []byte) []byte {
	d := h.New()
	d.Write(message)
	return d.Sum(nil)
}
