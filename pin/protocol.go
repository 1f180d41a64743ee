package pin

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

// Protocol is a PIN/UV auth protocol.
type Protocol uint

const (
	One Protocol = 1 // CTAP 2.1, section 6.5.6
	Two Protocol = 2 // CTAP 2.1, section 6.5.7
)

// ErrNoProtocol is returned for a key that lists no protocol of ours.
var ErrNoProtocol = errors.New("the key offers no PIN/UV auth protocol that is known here")

// Protocols returns the protocols of a key that are known here, in the key's
// order. A key that lists none has the one that its version of CTAP began with.
func Protocols(info *ctap2.GetInfoResponse) ([]Protocol, error) {
	if len(info.PINUVAuthProtocols) == 0 {
		if info.HasVersion(ctap2.VersionFIDO21) || info.HasVersion(ctap2.VersionFIDO23) {
			return []Protocol{Two, One}, nil
		}
		return []Protocol{One}, nil
	}
	var known []Protocol
	for _, p := range info.PINUVAuthProtocols {
		if p := Protocol(p); (p == One || p == Two) && !slices.Contains(known, p) {
			known = append(known, p)
		}
	}
	if known == nil {
		return nil, ErrNoProtocol
	}
	return known, nil
}

// A Secret is what the platform and an authenticator share for one transaction.
type Secret struct {
	protocol Protocol
	hmacKey  []byte
	aesKey   []byte
}

// Encapsulate makes a fresh key pair, agrees with the authenticator's key, and
// returns our public key for the authenticator together with the shared secret.
func Encapsulate(p Protocol, authenticator *cose.Key) (platform cose.Key, s *Secret, err error) {
	ours, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return cose.Key{}, nil, err
	}
	return encapsulate(p, authenticator, ours)
}

func encapsulate(p Protocol, authenticator *cose.Key, ours *ecdh.PrivateKey) (platform cose.Key, s *Secret, err error) {
	theirs, err := authenticator.ECDH()
	if err != nil {
		return cose.Key{}, nil, err
	}
	z, err := ours.ECDH(theirs)
	if err != nil {
		return cose.Key{}, nil, err
	}
	if s, err = newSecret(p, z); err != nil {
		return cose.Key{}, nil, err
	}
	platform, err = cose.FromECDH(ours.PublicKey())
	return platform, s, err
}

// newSecret is the kdf of the protocol; z is the x coordinate of the shared point.
func newSecret(p Protocol, z []byte) (*Secret, error) {
	switch p {
	case One:
		key := sha256.Sum256(z)
		return &Secret{One, key[:], key[:]}, nil
	case Two:
		salt := make([]byte, 32)
		hmacKey, err := hkdf.Key(sha256.New, z, salt, "CTAP2 HMAC key", 32)
		if err != nil {
			return nil, err
		}
		aesKey, err := hkdf.Key(sha256.New, z, salt, "CTAP2 AES key", 32)
		if err != nil {
			return nil, err
		}
		return &Secret{Two, hmacKey, aesKey}, nil
	}
	return nil, ErrNoProtocol
}

// Protocol returns the protocol that the secret belongs to.
func (s *Secret) Protocol() Protocol { return s.protocol }

// Encrypt returns the ciphertext of plain, whose length is a multiple of 16
// bytes. Under protocol two a random IV of 16 bytes stands before it.
func (s *Secret) Encrypt(plain []byte) ([]byte, error) {
	iv := make([]byte, aes.BlockSize) // protocol one: all zeroes
	if s.protocol == Two {
		rand.Read(iv)
	}
	return s.encrypt(plain, iv)
}

func (s *Secret) encrypt(plain, iv []byte) ([]byte, error) {
	if len(plain)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("pin: %d bytes to encrypt are not a multiple of 16", len(plain))
	}
	block, err := aes.NewCipher(s.aesKey)
	if err != nil {
		return nil, err
	}
	var out []byte
	if s.protocol == Two {
		out = append(out, iv...)
	}
	at := len(out)
	out = append(out, plain...)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out[at:], out[at:])
	return out, nil
}

// Decrypt is the reverse of Encrypt.
func (s *Secret) Decrypt(ciphertext []byte) ([]byte, error) {
	iv := make([]byte, aes.BlockSize)
	if s.protocol == Two {
		if len(ciphertext) < aes.BlockSize {
			return nil, fmt.Errorf("pin: ciphertext of %d bytes has no IV", len(ciphertext))
		}
		iv, ciphertext = ciphertext[:aes.BlockSize], ciphertext[aes.BlockSize:]
	}
	if len(ciphertext) == 0 || len(ciphertext)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("pin: ciphertext of %d bytes is not a multiple of 16", len(ciphertext))
	}
	block, err := aes.NewCipher(s.aesKey)
	if err != nil {
		return nil, err
	}
	plain := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, ciphertext)
	return plain, nil
}

// Authenticate returns the pinUvAuthParam of message under the shared secret: 16
// bytes under protocol one, 32 under protocol two.
func (s *Secret) Authenticate(message []byte) []byte {
	return authenticate(s.protocol, s.hmacKey, message)
}

// Wipe overwrites the secret.
func (s *Secret) Wipe() {
	clear(s.hmacKey)
	clear(s.aesKey)
}

func authenticate(p Protocol, key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	sum := mac.Sum(nil)
	if p == One {
		return sum[:16]
	}
	return sum
}
