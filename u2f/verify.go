package u2f

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrSignature is wrapped by the errors about a signature that does not fit.
var ErrSignature = errors.New("the signature does not verify")

// Verify checks the signature of an answer to r with the key of the certificate
// in the answer (FIDO U2F Raw Message Formats, section 4.3), and that the public
// key is a point of P-256. Who issued the certificate it does not ask.
func (r Register) Verify(made *RegisterResponse) error {
	if _, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), made.PublicKey); err != nil {
		return fmt.Errorf("%v: %w: public key: %w", InstructionRegister, ErrMalformed, err)
	}
	certificate, err := x509.ParseCertificate(made.Certificate)
	if err != nil {
		return fmt.Errorf("%v: %w: certificate: %w", InstructionRegister, ErrMalformed, err)
	}
	key, ok := certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return fmt.Errorf("%v: %w: the certificate has no key for ECDSA", InstructionRegister, ErrMalformed)
	}
	signed := slices.Concat([]byte{0}, r.Application[:], r.Challenge[:], made.KeyHandle, made.PublicKey)
	return verify(InstructionRegister, key, signed, made.Signature)
}

// Verify checks the signature of an answer to a with the public key that Register
// gave (FIDO U2F Raw Message Formats, section 5.4).
func (a Authenticate) Verify(signed *AuthenticateResponse, publicKey []byte) error {
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), publicKey)
	if err != nil {
		return fmt.Errorf("%v: public key: %w", InstructionAuthenticate, err)
	}
	message := append(slices.Clone(a.Application[:]), signed.UserPresence)
	message = binary.BigEndian.AppendUint32(message, signed.Counter)
	return verify(InstructionAuthenticate, key, append(message, a.Challenge[:]...), signed.Signature)
}

func verify(i Instruction, key *ecdsa.PublicKey, message, signature []byte) error {
	hash := sha256.Sum256(message)
	if !ecdsa.VerifyASN1(key, hash[:], signature) {
		return fmt.Errorf("%v: %w", i, ErrSignature)
	}
	return nil
}
