package simulator_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"
)

const testRP = "example.com"

var clientDataHash = slices.Repeat([]byte{0xcd}, 32)

func publicKeyParam(alg int) m { return m{"alg": alg, "type": "public-key"} }

// creation is the smallest makeCredential.
func creation() m {
	return m{
		1: clientDataHash,
		2: m{"id": testRP},
		3: m{"id": []byte{1, 2, 3, 4}},
		4: []any{publicKeyParam(-7)},
	}
}

// resident is a makeCredential of a discoverable credential.
func resident(rpID, user string) m {
	params := creation()
	params[2] = m{"id": rpID, "name": "RP of " + rpID}
	params[3] = m{"id": []byte(user), "name": user + "@" + rpID, "displayName": "The " + user}
	params[7] = m{"rk": true}
	return params
}

// sign is the smallest getAssertion, with an allowList if there are ids.
func sign(rpID string, ids ...[]byte) m {
	params := m{1: rpID, 2: clientDataHash}
	if len(ids) > 0 {
		params[3] = descriptors(ids...)
	}
	return params
}

func descriptor(id []byte) m { return m{"id": id, "type": "public-key"} }

func descriptors(ids ...[]byte) []any {
	var list []any
	for _, id := range ids {
		list = append(list, descriptor(id))
	}
	return list
}

// authData is authenticator data, taken apart.
type authData struct {
	raw        []byte
	rpIDHash   []byte
	up, uv     bool
	at, ed     bool
	rest       byte // all other flags
	count      uint32
	aaguid     []byte
	id         []byte
	key        m
	extensions m
}

func parseAuthData(t *testing.T, raw []byte) authData {
	t.Helper()
	flags := raw[32]
	d := authData{
		raw: raw, rpIDHash: raw[:32],
		up: flags&1 != 0, uv: flags&4 != 0, at: flags&0x40 != 0, ed: flags&0x80 != 0,
		rest:  flags &^ 0xc5,
		count: binary.BigEndian.Uint32(raw[33:37]),
	}
	rest := raw[37:]
	if d.at {
		size := int(binary.BigEndian.Uint16(rest[16:]))
		d.aaguid, d.id, rest = rest[:16], rest[18:18+size], rest[18+size:]
		rest = decodeFirst(t, rest, &d.key)
	}
	if d.ed {
		rest = decodeFirst(t, rest, &d.extensions)
	}
	if len(rest) > 0 {
		t.Fatalf("%d bytes after authenticator data", len(rest))
	}
	return d
}

func decodeFirst(t *testing.T, raw []byte, v any) (rest []byte) {
	t.Helper()
	rest, err := decMode.UnmarshalFirst(raw, v)
	if err != nil {
		t.Fatal(err)
	}
	return rest
}

// created is what a registration left behind.
type created struct {
	authData
	reply map[int]any
}

// create makes a credential.
func (k *key) create(params m) created {
	k.Helper()
	reply := k.ok(makeCredential, params)
	return created{parseAuthData(k.T, reply[2].([]byte)), reply}
}

// assert signs and verifies the signature with a credential's key.
func (k *key) assert(params m, c created) (authData, map[int]any) {
	k.Helper()
	reply := k.ok(getAssertion, params)
	return k.verified(reply, c), reply
}

// verified checks the signature of an assertion.
func (k *key) verified(reply map[int]any, c created) authData {
	k.Helper()
	raw := reply[2].([]byte)
	verifySignature(k.T, c.key, slices.Concat(raw, clientDataHash), reply[3].([]byte))
	return parseAuthData(k.T, raw)
}

// verifySignature uses the standard library for what all keys have, and for the
// rest what is not the simulator's.
func verifySignature(t *testing.T, key m, message, signature []byte) {
	t.Helper()
	good := false
	switch alg := key[uint64(3)].(int64); alg {
	case -7:
		if len(key) != 5 || key[uint64(1)] != uint64(2) || key[int64(-1)] != uint64(1) {
			t.Fatalf("not an ES256 key: %v", key)
		}
		point := slices.Concat([]byte{4}, key[int64(-2)].([]byte), key[int64(-3)].([]byte))
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			t.Fatal(err)
		}
		digest := sha256.Sum256(message)
		good = ecdsa.VerifyASN1(public, digest[:], signature)
	case -8:
		if len(key) != 4 || key[uint64(1)] != uint64(1) || key[int64(-1)] != uint64(6) {
			t.Fatalf("not an Ed25519 key: %v", key)
		}
		good = ed25519.Verify(key[int64(-2)].([]byte), message, signature)
	default:
		good = verifyOther(t, alg, key, message, signature)
	}
	if !good {
		t.Error("signature does not verify")
	}
}
