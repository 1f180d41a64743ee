package simulator

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"slices"
)

// A pinProtocol is the authenticator's side of the arithmetic of a PIN/UV auth
// protocol, CTAP 2.1 section 6.5.4.
type pinProtocol interface {
	// kdf turns the x coordinate of the shared point into the shared secret.
	kdf(z []byte) ([]byte, error)
	// ivSize is how many random bytes encrypt needs.
	ivSize() int
	// encrypt takes plaintext of a multiple of 16 bytes.
	encrypt(key, iv, plaintext []byte) ([]byte, error)
	decrypt(key, ciphertext []byte) ([]byte, error)
	authenticate(key, message []byte) []byte
}

// verify checks a MAC, in constant time; its length must be the full one.
func verify(p pinProtocol, key, message, signature []byte) bool {
	return hmac.Equal(p.authenticate(key, message), signature)
}

// protocolOne is PIN/UV auth protocol one, CTAP 2.1 section 6.5.6.
type protocolOne struct{}

func (protocolOne) kdf(z []byte) ([]byte, error) {
	secret := sha256.Sum256(z)
	return secret[:], nil
}

func (protocolOne) ivSize() int { return 0 }

func (protocolOne) encrypt(key, _, plaintext []byte) ([]byte, error) {
	return encryptCBC(key, make([]byte, aes.BlockSize), plaintext)
}

func (protocolOne) decrypt(key, ciphertext []byte) ([]byte, error) {
	return decryptCBC(key, make([]byte, aes.BlockSize), ciphertext)
}

func (protocolOne) authenticate(key, message []byte) []byte {
	return hmacSHA256(key, message)[:16]
}

// protocolTwo is PIN/UV auth protocol two, CTAP 2.1 section 6.5.7. Its shared
// secret is an HMAC key of 32 bytes and an AES key of 32 bytes.
type protocolTwo struct{}

func (protocolTwo) kdf(z []byte) ([]byte, error) {
	salt := make([]byte, 32)
	hmacKey, err := hkdf.Key(sha256.New, z, salt, "CTAP2 HMAC key", 32)
	if err != nil {
		return nil, err
	}
	aesKey, err := hkdf.Key(sha256.New, z, salt, "CTAP2 AES key", 32)
	if err != nil {
		return nil, err
	}
	return slices.Concat(hmacKey, aesKey), nil
}

func (protocolTwo) ivSize() int { return aes.BlockSize }

func (protocolTwo) encrypt(key, iv, plaintext []byte) ([]byte, error) {
	ciphertext, err := encryptCBC(key[32:], iv, plaintext)
	if err != nil {
		return nil, err
	}
	return slices.Concat(iv, ciphertext), nil
}

func (protocolTwo) decrypt(key, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) < aes.BlockSize {
		return nil, errCiphertext
	}
	return decryptCBC(key[32:], ciphertext[:aes.BlockSize], ciphertext[aes.BlockSize:])
}

func (protocolTwo) authenticate(key, message []byte) []byte {
	return hmacSHA256(key[:32], message) // a token is 32 bytes long anyway
}

var errCiphertext = errors.New("ciphertext is not one or more whole blocks")

func encryptCBC(key, iv, plaintext []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	ciphertext := make([]byte, len(plaintext))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(ciphertext, plaintext)
	return ciphertext, nil
}

func decryptCBC(key, iv, ciphertext []byte) ([]byte, error) {
	if len(ciphertext) == 0 || len(ciphertext)%aes.BlockSize != 0 {
		return nil, errCiphertext
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	plaintext := make([]byte, len(ciphertext))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plaintext, ciphertext)
	return plaintext, nil
}

func hmacSHA256(key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}

// COSE_Key values of a key agreement key (CTAP 2.1, section 6.5.6).
const (
	ktyEC2           = 2
	algECDHESHKDF256 = -25
	crvP256          = 1
)

var errPlatformKey = errors.New("not a key agreement key on P-256")

// sharedSecret is decapsulate: it agrees on a secret with the platform's key.
func sharedSecret(p pinProtocol, private *ecdh.PrivateKey, platform keyAgreementKey) ([]byte, error) {
	if platform.kty != ktyEC2 || platform.alg != algECDHESHKDF256 || platform.crv != crvP256 ||
		len(platform.x) != 32 || len(platform.y) != 32 {
		return nil, errPlatformKey
	}
	public, err := ecdh.P256().NewPublicKey(slices.Concat([]byte{4}, platform.x, platform.y))
	if err != nil {
		return nil, errPlatformKey // not on the curve
	}
	z, err := private.ECDH(public)
	if err != nil {
		return nil, errPlatformKey
	}
	return p.kdf(z)
}
