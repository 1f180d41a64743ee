package cose

import (
	"fmt"
	"strings"
)

// Algorithm is a COSE algorithm identifier (IANA registry "COSE Algorithms").
type Algorithm int64

const (
	ES256   Algorithm = -7   // ECDSA with SHA-256, on P-256 in FIDO
	EdDSA   Algorithm = -8   // EdDSA, with Ed25519 in FIDO
	ESP256  Algorithm = -9   // ECDSA on P-256 with SHA-256, fully specified
	Ed25519 Algorithm = -19  // EdDSA on Ed25519, fully specified
	ES384   Algorithm = -35  // ECDSA with SHA-384, on P-384
	ES512   Algorithm = -36  // ECDSA with SHA-512, on P-521
	PS256   Algorithm = -37  // RSASSA-PSS with SHA-256
	ES256K  Algorithm = -47  // ECDSA on secp256k1 with SHA-256
	MLDSA44 Algorithm = -48  // ML-DSA-44
	MLDSA65 Algorithm = -49  // ML-DSA-65
	MLDSA87 Algorithm = -50  // ML-DSA-87
	ESP384  Algorithm = -51  // ECDSA on P-384 with SHA-384, fully specified
	ESP512  Algorithm = -52  // ECDSA on P-521 with SHA-512, fully specified
	RS256   Algorithm = -257 // RSASSA-PKCS1-v1_5 with SHA-256

	// ECDHESHKDF256 labels the key agreement keys of the PIN/UV auth protocols
	// (CTAP 2.1, section 6.5.6). It is a label only: the protocols have their
	// own key derivation.
	ECDHESHKDF256 Algorithm = -25
)

var algorithmNames = map[Algorithm]string{
	ES256: "ES256", EdDSA: "EdDSA", ESP256: "ESP256", Ed25519: "Ed25519",
	ES384: "ES384", ES512: "ES512", PS256: "PS256", ES256K: "ES256K",
	MLDSA44: "ML-DSA-44", MLDSA65: "ML-DSA-65", MLDSA87: "ML-DSA-87",
	ESP384: "ESP384", ESP512: "ESP512", RS256: "RS256",
	ECDHESHKDF256: "ECDH-ES+HKDF-256",
}

// String returns the registered name, or "COSE algorithm -12" for one that has
// none here.
func (a Algorithm) String() string {
	if name, ok := algorithmNames[a]; ok {
		return name
	}
	return fmt.Sprintf("COSE algorithm %d", int64(a))
}

// ParseAlgorithm returns the algorithm with a registered name, in any case.
func ParseAlgorithm(name string) (Algorithm, error) {
	for a, known := range algorithmNames {
		if strings.EqualFold(name, known) {
			return a, nil
		}
	}
	return 0, fmt.Errorf("cose: no algorithm is called %q", name)
}
