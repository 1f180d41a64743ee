package cose_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/internal/ctaptest"
)

type attestationVectors struct {
	CredentialPublicCose, ClientDataHash ctaptest.Hex
	Self                                 struct {
		AuthData, Sig ctaptest.Hex
	}
	SelfEd25519 struct {
		CredentialPublic, AuthData, Sig ctaptest.Hex
	}
}

// TestVerifyVectors checks the self attestations of the vectors, whole and with
// one bit turned.
func TestVerifyVectors(t *testing.T) {
	var v attestationVectors
	ctaptest.Vectors(t, "attestation-packed", &v)
	ed := cose.Key{Algorithm: cose.EdDSA, Public: ed25519.PublicKey(v.SelfEd25519.CredentialPublic)}
	edCOSE, err := ed.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		alg      cose.Algorithm
		key      []byte
		authData []byte
		sig      []byte
	}{
		{cose.ES256, v.CredentialPublicCose, v.Self.AuthData, v.Self.Sig},
		{cose.EdDSA, edCOSE, v.SelfEd25519.AuthData, v.SelfEd25519.Sig},
	} {
		t.Run(tt.alg.String(), func(t *testing.T) {
			var key cose.Key
			if err := key.UnmarshalCBOR(tt.key); err != nil {
				t.Fatal(err)
			}
			if key.Algorithm != tt.alg || !bytes.Equal(key.Raw(), tt.key) {
				t.Errorf("algorithm %v, raw %x", key.Algorithm, key.Raw())
			}
			message := append(bytes.Clone(tt.authData), v.ClientDataHash...)
			if err := key.Verify(message, tt.sig); err != nil {
				t.Error(err)
			}
			message[0] ^= 1
			if err := key.Verify(message, tt.sig); !errors.Is(err, cose.ErrSignature) {
				t.Errorf("changed message: %v", err)
			}
			message[0] ^= 1
			tt.sig[len(tt.sig)-1] ^= 1
			if err := key.Verify(message, tt.sig); !errors.Is(err, cose.ErrSignature) {
				t.Errorf("changed signature: %v", err)
			}
			again := cose.Key{Algorithm: key.Algorithm, Public: key.Public}
			if encoded, err := again.MarshalCBOR(); err != nil || !bytes.Equal(encoded, tt.key) {
				t.Errorf("encoded as %x, %v", encoded, err)
			}
		})
	}
}

// TestVerifyAlgorithms signs with the standard library under each algorithm.
func TestVerifyAlgorithms(t *testing.T) {
	message := []byte("authenticator data and client data hash")
	sha2 := map[crypto.Hash]func() []byte{
		crypto.SHA256: func() []byte { h := sha256.Sum256(message); return h[:] },
		crypto.SHA384: func() []byte { h := sha512.Sum384(message); return h[:] },
		crypto.SHA512: func() []byte { h := sha512.Sum512(message); return h[:] },
	}
	rsaSigner, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		alg    cose.Algorithm
		signer func() crypto.Signer
		opts   crypto.SignerOpts
	}{
		{cose.ES256, ec(elliptic.P256()), crypto.SHA256},
		{cose.ESP256, ec(elliptic.P256()), crypto.SHA256},
		{cose.ES384, ec(elliptic.P384()), crypto.SHA384},
		{cose.ESP384, ec(elliptic.P384()), crypto.SHA384},
		{cose.ES512, ec(elliptic.P521()), crypto.SHA512},
		{cose.ESP512, ec(elliptic.P521()), crypto.SHA512},
		{cose.RS256, func() crypto.Signer { return rsaSigner }, crypto.SHA256},
		{cose.PS256, func() crypto.Signer { return rsaSigner }, &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256}},
	} {
		t.Run(tt.alg.String(), func(t *testing.T) {
			signer := tt.signer()
			sig, err := signer.Sign(rand.Reader, sha2[tt.opts.HashFunc()](), tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			encoded, err := cose.Key{Algorithm: tt.alg, Public: signer.Public()}.MarshalCBOR()
			if err != nil {
				t.Fatal(err)
			}
			var key cose.Key
			if err := key.UnmarshalCBOR(encoded); err != nil {
				t.Fatal(err)
			}
			if err := key.Verify(message, sig); err != nil {
				t.Error(err)
			}
			if err := key.Verify(message[1:], sig); !errors.Is(err, cose.ErrSignature) {
				t.Errorf("changed message: %v", err)
			}
			key.Algorithm = cose.ES256K
			if err := key.Verify(message, sig); !errors.Is(err, cose.ErrUnsupportedKey) {
				t.Errorf("algorithm of another curve: %v", err)
			}
			if spki, err := key.SPKI(); err != nil || len(spki) == 0 {
				t.Errorf("SPKI: %v", err)
			}
		})
	}
}

func ec(curve elliptic.Curve) func() crypto.Signer {
	return func() crypto.Signer {
		key, err := ecdsa.GenerateKey(curve, rand.Reader)
		if err != nil {
			panic(err)
		}
		return key
	}
}

func TestUnmarshalRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"not a map":            "01",
		"no kty":               "a10326",
		"kty is text":          "a101617a",
		"alg is text":          "a2010203617a",
		"x is missing":         "a3010220012258200000000000000000000000000000000000000000000000000000000000000000",
		"point off the curve":  "a50102032620012158200000000000000000000000000000000000000000000000000000000000000001225820" + "0000000000000000000000000000000000000000000000000000000000000001",
		"x of 31 bytes":        "a4010220012141002241ff",
		"Ed25519 of one byte":  "a4010103272006214101",
		"RSA of 8 bits":        "a401030339010020410121" + "43010001",
		"x is an array":        "a401022001218100225820" + "0000000000000000000000000000000000000000000000000000000000000001",
		"trailing bytes":       "a1010900",
		"duplicate member":     "a201090109",
		"broken off":           "a50102",
		"even public exponent": "a40103033901002058" + "80" + hex.EncodeToString(bytes.Repeat([]byte{0xff}, 128)) + "21" + "43010000",
	} {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(name, err)
		}
		var key cose.Key
		if err := key.UnmarshalCBOR(raw); err == nil {
			t.Errorf("%s: accepted as %v", name, key.Public)
		}
	}
}

func TestUnknownKeyTypeIsPassedOn(t *testing.T) {
	raw, _ := hex.DecodeString("a30107033830200a") // kty 7 (AKP), alg -49
	var key cose.Key
	if err := key.UnmarshalCBOR(raw); err != nil {
		t.Fatal(err)
	}
	if key.Algorithm != cose.MLDSA65 || key.Public != nil {
		t.Errorf("%v, %v", key.Algorithm, key.Public)
	}
	if err := key.Verify(nil, nil); !errors.Is(err, cose.ErrUnsupportedKey) {
		t.Errorf("Verify: %v", err)
	}
	if again, err := key.MarshalCBOR(); err != nil || !bytes.Equal(again, raw) {
		t.Errorf("encoded as %x, %v", again, err)
	}
}

func FuzzUnmarshalKey(f *testing.F) {
	var v attestationVectors
	ctaptest.Vectors(f, "attestation-packed", &v)
	f.Add([]byte(v.CredentialPublicCose))
	f.Fuzz(func(t *testing.T, data []byte) {
		var key cose.Key
		if key.UnmarshalCBOR(data) != nil {
			return
		}
		key.Verify([]byte("message"), []byte("signature"))
		if again, err := key.MarshalCBOR(); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x is passed on as %x, %v", data, again, err)
		}
	})
}
