package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// PRF is the input of WebAuthn's prf (WebAuthn Level 3, section 10.1.4).
type PRF struct {
	Eval *PRFValues
	// EvalByCredential has inputs for some credentials of the allow list, by
	// credential ID (the bytes, in a string). They go before Eval.
	EvalByCredential map[string]PRFValues
}

// PRFValues are inputs, of any length, or outputs, of 32 bytes. Second is nil
// where there is only one.
type PRFValues struct{ First, Second []byte }

// PRFOutputs are the output of prf at registration.
type PRFOutputs struct {
	Enabled bool
	// Results are nil where the key evaluates nothing at registration.
	Results *PRFValues
}

const (
	saltSize = 32 // bytes
	// hmacSecretInputSize is more than an encoded [ctap2.HMACSecretInput] has, in
	// bytes.
	hmacSecretInputSize = 210
)

var (
	errSalts       = errors.New("hmac-secret takes one or two salts of 32 bytes")
	errSaltsAndPRF = errors.New("prf and hmac-secret are one extension: ask for one of them")
)

func checkSalts(salts [][]byte) error {
	if salts == nil {
		return nil
	}
	if len(salts) < 1 || len(salts) > 2 || len(salts[0]) != saltSize || len(salts[len(salts)-1]) != saltSize {
		return errSalts
	}
	return nil
}

// salts are what hmac-secret gets for the inputs of prf.
func (v *PRFValues) salts() [][]byte {
	if v == nil {
		return nil
	}
	salts := [][]byte{prfSalt(v.First)}
	if v.Second != nil {
		salts = append(salts, prfSalt(v.Second))
	}
	return salts
}

func prfSalt(input []byte) []byte {
	sum := sha256.Sum256(append([]byte("WebAuthn PRF\x00"), input...))
	return sum[:]
}

// prfValues are the outputs as prf has them.
func prfValues(outputs [][]byte) *PRFValues {
	switch len(outputs) {
	case 0:
		return nil
	case 1:
		return &PRFValues{First: outputs[0]}
	}
	return &PRFValues{First: outputs[0], Second: outputs[1]}
}

// check reports what is wrong with prf in an assertion (WebAuthn Level 3, section
// 10.1.4, client extension processing).
func (p *PRF) check(allow []ctap2.Descriptor) error {
	listed := map[string]bool{}
	for _, d := range allow {
		listed[string(d.ID)] = true
	}
	for id := range p.EvalByCredential {
		if !listed[id] {
			return fmt.Errorf("prf: credential %x of evalByCredential is not in the allow list", id)
		}
	}
	return nil
}

// values are the inputs for a credential of the allow list, or for any if id is
// nil.
func (p *PRF) values(id []byte) *PRFValues {
	if v, ok := p.EvalByCredential[string(id)]; ok && id != nil {
		return &v
	}
	return p.Eval
}

// withSalts runs try with an input of hmac-secret that has the salts, encrypted
// for the key; without salts, with none. secret decrypts the answer.
func withSalts[R any](ctx context.Context, k *Key, salts [][]byte, try func(in *ctap2.HMACSecretInput, secret *pin.Secret) (R, error)) (R, error) {
	if salts == nil {
		return try(nil, nil)
	}
	return withProtocol(k, func(p pin.Protocol) (none R, err error) {
		platform, secret, err := pin.Agree(ctx, k.dev, p)
		if err != nil {
			return none, err
		}
		defer secret.Wipe()
		in := &ctap2.HMACSecretInput{KeyAgreement: platform}
		if in.SaltEnc, err = encryptSalts(secret, salts); err != nil {
			return none, err
		}
		in.SaltAuth = secret.Authenticate(in.SaltEnc)
		if p != pin.One { // which is the default, and all that CTAP 2.0 keys know
			in.PINUVAuthProtocol = uint(p)
		}
		return try(in, secret)
	}, nil)
}

func encryptSalts(secret *pin.Secret, salts [][]byte) ([]byte, error) {
	plain := make([]byte, 0, 2*saltSize)
	for _, salt := range salts {
		plain = append(plain, salt...)
	}
	defer clear(plain)
	return secret.Encrypt(plain)
}

// openSecrets decrypts the outputs for n salts.
func openSecrets(secret *pin.Secret, encrypted []byte, n int) ([][]byte, error) {
	plain, err := secret.Decrypt(encrypted)
	if err != nil {
		return nil, err
	}
	if len(plain) != n*saltSize {
		clear(plain)
		return nil, fmt.Errorf("%d bytes for %d salts", len(plain), n)
	}
	outputs := [][]byte{plain[:saltSize:saltSize]}
	if n > 1 {
		outputs = append(outputs, plain[saltSize:])
	}
	return outputs, nil
}
