package simulator

import (
	"github.com/fidokey/fidokey/ctap2"
)

const extensionHMACSecret = "hmac-secret"

// credRandomSize and saltSize are sizes in bytes.
const (
	credRandomSize = 32
	saltSize       = 32
)

// createHMACSecret gives a new credential its two secrets, CTAP 2.1 section
// 12.5.
func (a *Authenticator) createHMACSecret(input bool, k *keyMaterial, outputs map[string]any) error {
	if !input {
		return nil
	}
	var err error
	if k.CredRandomWithUV, err = a.random(credRandomSize); err != nil {
		return err
	}
	if k.CredRandomWithoutUV, err = a.random(credRandomSize); err != nil {
		return err
	}
	outputs[extensionHMACSecret] = true
	return nil
}

// hmacSecretInput is what getAssertion brings; nil members are absent.
type hmacSecretInput struct {
	keyAgreement *keyAgreementKey
	saltEnc      []byte
	saltAuth     []byte
	protocol     *uint64
}

func decodeHMACSecret(i item) hmacSecretInput {
	m := i.members()
	return hmacSecretInput{
		keyAgreement: optional(m.at(1), decodeKeyAgreement),
		saltEnc:      m.at(2).bytes(),
		saltAuth:     m.at(3).bytes(),
		protocol:     optional(m.at(4), item.uint),
	}
}

// hmacSalts is an opened hmacSecretInput. It serves all assertions of a series.
type hmacSalts struct {
	protocol pinProtocol
	secret   []byte   // shared with the platform
	salts    [][]byte // one or two
}

// openHMACSecret checks the input of getAssertion, CTAP 2.1 section 12.5.
func (a *Authenticator) openHMACSecret(input *hmacSecretInput, up bool) (*hmacSalts, error) {
	// Without user presence there is no output.
	if !up {
		return nil, ctap2.ErrUnsupportedOption
	}
	if input.keyAgreement == nil || input.saltEnc == nil || input.saltAuth == nil {
		return nil, ctap2.ErrMissingParameter
	}
	// CTAP 2.0 platforms know no other protocol than one, and do not name it.
	number := input.protocol
	if number == nil {
		number = new(uint64(1))
	}
	p, err := a.pinUVAuthProtocol(number)
	if err != nil {
		return nil, err
	}
	secret, err := p.decapsulate(input.keyAgreement)
	if err != nil {
		return nil, err
	}
	if !verify(p, secret, input.saltEnc, input.saltAuth) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	salts, err := p.decrypt(secret, input.saltEnc)
	if err != nil || len(salts) != saltSize && len(salts) != 2*saltSize {
		return nil, ctap2.ErrInvalidParameter
	}
	opened := &hmacSalts{protocol: p.pinProtocol, secret: secret, salts: [][]byte{salts[:saltSize]}}
	if len(salts) > saltSize {
		opened.salts = append(opened.salts, salts[saltSize:])
	}
	return opened, nil
}

// hmacSecretOutput computes the encrypted output for one credential, or nil
// when the credential was made without the extension.
func (a *Authenticator) hmacSecretOutput(s *hmacSalts, c *credential, uv bool) ([]byte, error) {
	credRandom := c.CredRandomWithoutUV
	if uv {
		credRandom = c.CredRandomWithUV
	}
	if credRandom == nil {
		return nil, nil
	}
	var output []byte
	for _, salt := range s.salts {
		output = append(output, hmacSHA256(credRandom, salt)...)
	}
	return a.seal(s.protocol, s.secret, output)
}
