package pin

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
)

// A Token is a decrypted pinUvAuthToken.
type Token struct {
	protocol Protocol
	key      []byte
}

// NewToken returns a token of which the bytes are known, as those of a
// persistent token are that was kept. It takes a copy of key, 16 or 32 bytes
// under protocol one and 32 under protocol two.
func NewToken(p Protocol, key []byte) (*Token, error) {
	if len(key) != 32 && (p != One || len(key) != 16) {
		return nil, fmt.Errorf("pinUvAuthToken of %d bytes", len(key))
	}
	return &Token{p, slices.Clone(key)}, nil
}

func openToken(secret *Secret, encrypted []byte) (*Token, error) {
	if len(encrypted) == 0 {
		return nil, missing("pinUvAuthToken (2)")
	}
	key, err := secret.Decrypt(encrypted)
	if err != nil {
		return nil, fmt.Errorf("%w: pinUvAuthToken: %w", ctap2.ErrMalformed, err)
	}
	defer clear(key)
	token, err := NewToken(secret.protocol, key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ctap2.ErrMalformed, err)
	}
	return token, nil
}

// Protocol returns the protocol that a request must name beside the param.
func (t *Token) Protocol() Protocol { return t.protocol }

// Authenticate returns the pinUvAuthParam of message under the token.
func (t *Token) Authenticate(message []byte) []byte {
	return authenticate(t.protocol, t.key, message)
}

// Bytes returns a copy of the token, for a persistent one to be kept. Whoever
// has it can list the credentials of the key.
func (t *Token) Bytes() []byte { return slices.Clone(t.key) }

// Wipe overwrites the token.
func (t *Token) Wipe() { clear(t.key) }

// What [Token.DecryptMember] reads.
const (
	EncIdentifier     = "encIdentifier"     // CTAP 2.2
	EncCredStoreState = "encCredStoreState" // CTAP 2.3
)

// DecryptMember decrypts encIdentifier or encCredStoreState of getInfo with a
// persistent token (CTAP 2.3, section 6.4). The value is not authenticated: the
// token of another key gives other 16 bytes, and no error.
func (t *Token) DecryptMember(name string, encrypted []byte) (plain [16]byte, err error) {
	if len(encrypted) != 2*aes.BlockSize {
		return plain, fmt.Errorf("%w: %s of %d bytes, not 32", ctap2.ErrMalformed, name, len(encrypted))
	}
	key, err := hkdf.Key(sha256.New, t.key, make([]byte, 32), name, 16)
	if err != nil {
		return plain, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return plain, err
	}
	cipher.NewCBCDecrypter(block, encrypted[:aes.BlockSize]).CryptBlocks(plain[:], encrypted[aes.BlockSize:])
	return plain, nil
}
