package simulator

import (
	"crypto/sha256"

	"github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/fidokey/fidokey/cose"
)

// The algorithms of this file are not in the standard library, and package cose
// does not verify them.

// A koblitzKey is an ES256K key: ECDSA on secp256k1 with SHA-256.
type koblitzKey struct{ *secp256k1.PrivateKey }

func secp256k1Key(_ cose.Algorithm, seed []byte) (signingKey, error) {
	stream := seedStream("signing key on secp256k1", seed)
	var candidate [seedSize]byte
	for range maxDraws {
		if _, err := stream.Read(candidate[:]); err != nil {
			return nil, err
		}
		var scalar secp256k1.ModNScalar
		if overflow := scalar.SetBytes(&candidate); overflow == 0 && !scalar.IsZero() {
			return koblitzKey{secp256k1.NewPrivateKey(&scalar)}, nil
		}
	}
	return nil, errNotRandom
}

// COSE_Key values of RFC 8812, section 3.1, and of ML-DSA keys.
const (
	crvSecp256k1 = 8
	ktyAKP       = 7
)

func (k koblitzKey) public() (*cose.Key, error) {
	point := k.PubKey().SerializeUncompressed()
	return rawKey(map[int]any{1: ktyEC2, 3: int64(cose.ES256K), -1: crvSecp256k1, -2: point[1:33], -3: point[33:]})
}

// sign takes its nonces from RFC 6979.
func (k koblitzKey) sign(message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	return ecdsa.Sign(k.PrivateKey, digest[:]).Serialize(), nil
}

// mldsaSchemes are the parameter sets of FIPS 204.
var mldsaSchemes = map[cose.Algorithm]sign.Scheme{
	cose.MLDSA44: mldsa44.Scheme(),
	cose.MLDSA65: mldsa65.Scheme(),
	cose.MLDSA87: mldsa87.Scheme(),
}

// A latticeKey is an ML-DSA key.
type latticeKey struct {
	algorithm  cose.Algorithm
	privateKey sign.PrivateKey
	publicKey  sign.PublicKey
}

// mldsaKey uses the seed as FIPS 204 does.
func mldsaKey(alg cose.Algorithm, seed []byte) (signingKey, error) {
	public, private := mldsaSchemes[alg].DeriveKey(seed)
	return latticeKey{alg, private, public}, nil
}

func (k latticeKey) public() (*cose.Key, error) {
	encoded, err := k.publicKey.MarshalBinary()
	if err != nil {
		return nil, err
	}
	return rawKey(map[int]any{1: ktyAKP, 3: int64(k.algorithm), -1: encoded})
}

// sign uses the deterministic variant, without a context.
func (k latticeKey) sign(message []byte) ([]byte, error) {
	return mldsaSchemes[k.algorithm].Sign(k.privateKey, message, nil), nil
}
