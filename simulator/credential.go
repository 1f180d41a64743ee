package simulator

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// keyMaterial is the secret of a credential, and what it must be known by when
// only its ID is at hand.
type keyMaterial struct {
	Algorithm   cose.Algorithm `cbor:"1,keyasint"`
	Seed        []byte         `cbor:"2,keyasint"` // of the private key; see deriveKey
	CredProtect uint           `cbor:"3,keyasint"` // level 1 to 3
	// CredRandomWithUV and CredRandomWithoutUV are nil without hmac-secret.
	CredRandomWithUV    []byte `cbor:"4,keyasint,omitempty"`
	CredRandomWithoutUV []byte `cbor:"5,keyasint,omitempty"`
	ThirdPartyPayment   bool   `cbor:"11,keyasint,omitempty"`
	U2F                 bool   `cbor:"17,keyasint,omitempty"` // made by a U2F command

	derived signingKey // of Algorithm and Seed, as soon as it was needed
}

// key returns the private key. It is derived once; commands take turns.
func (k *keyMaterial) key() (signingKey, error) {
	if k.derived == nil {
		key, err := deriveKey(k.Algorithm, k.Seed)
		if err != nil {
			return nil, err
		}
		k.derived = key
	}
	return k.derived, nil
}

// A credential is never changed; a new version takes its place.
type credential struct {
	keyMaterial
	ID       []byte   `cbor:"6,keyasint"`
	RPIDHash rpIDHash `cbor:"7,keyasint"`

	// Only discoverable credentials have what follows.
	RP     ctap2.RP   `cbor:"8,keyasint"`
	User   ctap2.User `cbor:"9,keyasint"`
	Serial uint64     `cbor:"10,keyasint"` // a higher one was made later

	// What extensions store.
	CredBlob         []byte `cbor:"12,keyasint,omitempty"`
	LargeBlobKey     []byte `cbor:"13,keyasint,omitempty"`
	LargeBlobSupport bool   `cbor:"14,keyasint,omitempty"` // of the largeBlob extension
	LargeBlob        []byte `cbor:"15,keyasint,omitzero"`  // compressed; empty is not absent
	LargeBlobSize    uint64 `cbor:"16,keyasint,omitempty"` // before compression
}

// discoverableIDSize is the length in bytes of the random ID of a discoverable
// credential.
const discoverableIDSize = 32

// maxCredentialIDLength is the length of the longest ID: nonce, ciphertext of
// the longest keyMaterial, tag.
const maxCredentialIDLength = nonceSize + 114 + tagSize

// The sizes of AES-GCM.
const (
	nonceSize = 12
	tagSize   = 16
)

func (c *credential) descriptor() ctap2.Descriptor {
	return ctap2.Descriptor{ID: c.ID, Type: ctap2.PublicKeyType}
}

// errNotRandom says that many draws gave nothing that could be used.
var errNotRandom = errors.New("source of randomness repeats itself")

const maxDraws = 64

// newCredentialID returns an ID for a discoverable credential. A seeded source
// that started over with an old storage may come upon one that is taken.
func (a *Authenticator) newCredentialID() ([]byte, error) {
	for range maxDraws {
		id, err := a.random(discoverableIDSize)
		if err != nil || a.state.byID[string(id)] == nil {
			return id, err
		}
	}
	return nil, errNotRandom
}

// randomP256 returns a private key and its scalar, by rejection sampling:
// crypto/ecdsa draws no key from a source that is handed in.
func (a *Authenticator) randomP256() (scalar []byte, key *ecdsa.PrivateKey, err error) {
	for range maxDraws { // one in 2³² is out of range
		if scalar, err = a.random(32); err != nil {
			return nil, nil, err
		}
		if key, err = ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar); err == nil {
			return scalar, key, nil
		}
	}
	return nil, nil, errNotRandom
}

// check reports whether there is a private key. It derives none that takes long.
func (k *keyMaterial) check() error {
	if k.Algorithm == cose.RS256 && len(k.Seed) == seedSize {
		return nil
	}
	_, err := deriveKey(k.Algorithm, k.Seed)
	return err
}

// publicKey returns the COSE_Key.
func (k *keyMaterial) publicKey() (*cose.Key, error) {
	key, err := k.key()
	if err != nil {
		return nil, err
	}
	return key.public()
}

// publicPoint returns an uncompressed point of P-256, as U2F has it.
func (k *keyMaterial) publicPoint() ([]byte, error) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), k.Seed)
	if err != nil {
		return nil, err
	}
	return key.PublicKey.Bytes()
}

// sign signs a message.
func (k *keyMaterial) sign(message []byte) ([]byte, error) {
	key, err := k.key()
	if err != nil {
		return nil, err
	}
	return key.sign(message)
}

// wrap returns the ID of a credential that is not discoverable: its key
// material, encrypted under the master key and bound to the RP.
func (a *Authenticator) wrap(k *keyMaterial, rp rpIDHash) ([]byte, error) {
	plaintext, err := ctapcbor.Marshal(k)
	if err != nil {
		return nil, err
	}
	nonce, err := a.random(nonceSize)
	if err != nil {
		return nil, err
	}
	aead, err := a.state.aead()
	if err != nil {
		return nil, err
	}
	return aead.Seal(nonce, nonce, plaintext, rp[:]), nil
}

func (s *state) aead() (cipher.AEAD, error) {
	block, err := aes.NewCipher(s.device.MasterKey)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// unwrap opens a credential ID, or returns nil when wrap did not make it for
// this RP.
func (s *state) unwrap(id []byte, rp rpIDHash) *credential {
	if len(id) < nonceSize {
		return nil
	}
	aead, err := s.aead()
	if err != nil {
		return nil
	}
	plaintext, err := aead.Open(nil, id[:nonceSize], id[nonceSize:], rp[:])
	if err != nil {
		return nil
	}
	c := &credential{ID: id, RPIDHash: rp}
	if ctapcbor.Unmarshal(plaintext, &c.keyMaterial) != nil {
		return nil
	}
	return c
}

// checkListSize refuses an allowList or excludeList that is longer than
// maxCredentialCountInList.
func (a *Authenticator) checkListSize(list []ctap2.Descriptor) error {
	if most := a.profile.GetInfo.MaxCredentialCountInList; most != nil && uint(len(list)) > *most {
		return ctap2.ErrLimitExceeded
	}
	return nil
}

// find returns the credential that a descriptor names, if it is of this device
// and of this RP, else nil. Descriptors of unknown types name nothing.
func (s *state) find(d ctap2.Descriptor, rp rpIDHash) *credential {
	if d.Type != ctap2.PublicKeyType {
		return nil
	}
	if c := s.byID[string(d.ID)]; c != nil {
		if c.RPIDHash != rp {
			return nil
		}
		return c
	}
	return s.unwrap(d.ID, rp)
}
