package simulator_test

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"

	circl "github.com/cloudflare/circl/sign"
	"github.com/cloudflare/circl/sign/mldsa/mldsa44"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/cloudflare/circl/sign/mldsa/mldsa87"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// verifyOther leaves it to a relying party's library.
func verifyOther(t *testing.T, alg int64, key m, message, signature []byte) bool {
	t.Helper()
	if scheme, is := mldsa[alg]; is {
		if len(key) != 3 || key[uint64(1)] != uint64(7) {
			t.Fatalf("not an ML-DSA key: %v", key)
		}
		public, err := scheme.UnmarshalBinaryPublicKey(key[int64(-1)].([]byte))
		return err == nil && scheme.Verify(public, message, signature, nil)
	}
	parsed, err := webauthncose.ParsePublicKey(encode(key))
	if err != nil {
		t.Fatal(err)
	}
	good, err := webauthncose.VerifySignature(parsed, message, signature)
	if err != nil {
		t.Error(err)
	}
	return good
}

var mldsa = map[int64]circl.Scheme{-48: mldsa44.Scheme(), -49: mldsa65.Scheme(), -50: mldsa87.Scheme()}

// everyAlgorithm lists all that there are.
func everyAlgorithm(p *simulator.Profile) {
	p.Attestation = simulator.AttestationSelf
	p.GetInfo.Algorithms = nil
	for _, alg := range []cose.Algorithm{
		cose.ES256, cose.ES384, cose.ES512, cose.EdDSA, cose.RS256, cose.ES256K, cose.MLDSA44, cose.MLDSA65, cose.MLDSA87,
		cose.ESP256, cose.ESP384, cose.ESP512, cose.Ed25519,
	} {
		p.GetInfo.Algorithms = append(p.GetInfo.Algorithms, ctap2.CredentialParameters{Algorithm: alg, Type: ctap2.PublicKeyType})
	}
}

// TestAlgorithms registers and signs with each: MCR-008, MCR-009, MCR-011,
// MCR-012.
func TestAlgorithms(t *testing.T) {
	form := map[int][]any{ // kty, crv, members
		-7: {2, 1, 5}, -35: {2, 2, 5}, -36: {2, 3, 5}, -8: {1, 6, 4}, -257: {3, nil, 4}, -47: {2, 8, 5},
		-48: {7, nil, 3}, -49: {7, nil, 3}, -50: {7, nil, 3},
		-9: {2, 1, 5}, -51: {2, 2, 5}, -52: {2, 3, 5}, -19: {1, 6, 4},
	}
	for alg, want := range form {
		t.Run(fmt.Sprint(alg), func(t *testing.T) {
			var ids, signatures [2][]byte
			for run := range 2 {
				k := newKey(t, extended(everyAlgorithm))
				params := with(creation(), []any{publicKeyParam(-65000), publicKeyParam(alg)}, 4)
				made := k.create(with(params, m{"hmac-secret": true, "thirdPartyPayment": true}, 6))
				if made.key[uint64(1)] != uint64(want[0].(int)) || len(made.key) != want[2] {
					t.Errorf("MCR-009: key %v", made.key)
				}
				if crv := want[1]; crv != nil && made.key[int64(-1)] != uint64(crv.(int)) {
					t.Errorf("MCR-009: curve %v", made.key[int64(-1)])
				}
				statement := made.reply[3].(m)
				if made.reply[1] != "packed" || len(statement) != 2 || statement["alg"] != int64(alg) {
					t.Errorf("MCR-011: %v", statement)
				}
				signed := slices.Concat(made.raw, clientDataHash)
				verifySignature(t, made.key, signed, statement["sig"].([]byte)) // MCR-012
				if most := k.ok(getInfo, nil)[8].(uint64); uint64(len(made.id)) > most {
					t.Errorf("MCR-008: ID of %d bytes, the longest has %d", len(made.id), most)
				}
				_, reply := k.assert(sign(testRP, made.id), made)
				ids[run], signatures[run] = made.id, reply[3].([]byte)

				stored := k.create(with(resident(testRP, "alice"), []any{publicKeyParam(alg)}, 4))
				k.Authenticator.Close()
				k.plugIn(k.storage, extended(everyAlgorithm))
				k.assert(sign(testRP), stored)
				k.assert(sign(testRP, made.id), made)
				if run == 0 {
					k.setPIN(testPIN)
					list := k.ok(credentialManagement, k.token(2, permCM, "").manage(4, m{1: made.rpIDHash}))
					if !reflect.DeepEqual(list[8], stored.key) {
						t.Errorf("credentialManagement: key %v, want %v", list[8], stored.key)
					}
				}
			}
			if !bytes.Equal(ids[0], ids[1]) || !bytes.Equal(signatures[0], signatures[1]) {
				t.Error("two runs with the same randomness differ")
			}
		})
	}
}

// TestAlgorithmsOfTheProfile: the key offers what it lists.
func TestAlgorithmsOfTheProfile(t *testing.T) {
	k := newKey(t)
	for _, alg := range []int{-35, -257, -47, -48} {
		k.refuses(unsupportedAlgorithm, makeCredential, with(creation(), []any{publicKeyParam(alg)}, 4))
	}
	k = newKey(t, extended())
	k.refuses(unsupportedAlgorithm, makeCredential, with(creation(), []any{publicKeyParam(-48)}, 4))
	made := k.create(with(creation(), []any{publicKeyParam(-35), publicKeyParam(-7)}, 4))
	if made.key[uint64(3)] != int64(-35) {
		t.Errorf("the first algorithm does not win: %v", made.key)
	}
}
