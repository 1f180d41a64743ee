package simulator

import (
	"cmp"

	"github.com/fidokey/fidokey/ctap2"
)

const (
	extensionHMACSecret   = "hmac-secret"
	extensionHMACSecretMC = "hmac-secret-mc"
)

// credRandomSize and saltSize are sizes in bytes.
const (
	credRandomSize = 32
	saltSize       = 32
)

// hmacSecretCreation gives a new credential its two secrets, CTAP 2.1 section
// 12.5.
type hmacSecretCreation struct{}

func decodeHMACSecretCreation(i item) creationInput {
	if !i.bool() {
		return nil
	}
	return hmacSecretCreation{}
}

func (hmacSecretCreation) create(a *Authenticator, r *registration) (err error) {
	if r.credential.CredRandomWithUV, err = a.random(credRandomSize); err != nil {
		return err
	}
	if r.credential.CredRandomWithoutUV, err = a.random(credRandomSize); err != nil {
		return err
	}
	r.outputs.sign(extensionHMACSecret, true)
	return nil
}

// hmacSecretInput is what getAssertion brings, and hmac-secret-mc; nil members
// are absent.
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

// hmacSecretMC is the same at creation, CTAP 2.2 section 12.8.
type hmacSecretMC struct{ hmacSecretInput }

func decodeHMACSecretMC(i item) creationInput { return hmacSecretMC{decodeHMACSecret(i)} }

// create computes the output with the secrets that hmac-secret has just made.
func (in hmacSecretMC) create(a *Authenticator, r *registration) error {
	if r.credential.CredRandomWithUV == nil { // hmac-secret was not asked for
		return ctap2.ErrMissingParameter
	}
	salts, err := a.openHMACSecret(&in.hmacSecretInput)
	if err != nil {
		return err
	}
	output, err := a.hmacSecretOutput(salts, r.credential, r.flags&ctap2.FlagUV != 0)
	if err != nil {
		return err
	}
	r.outputs.sign(extensionHMACSecretMC, output)
	return nil
}

// hmacSecretAssertion serves all assertions of a series: check opens it.
type hmacSecretAssertion struct {
	hmacSecretInput
	salts *hmacSalts
}

func decodeHMACSecretAssertion(i item) assertionInput {
	return &hmacSecretAssertion{hmacSecretInput: decodeHMACSecret(i)}
}

func (in *hmacSecretAssertion) check(a *Authenticator, s *assertion) (err error) {
	// Without user presence there is no output.
	if s.flags&ctap2.FlagUP == 0 {
		return ctap2.ErrUnsupportedOption
	}
	in.salts, err = a.openHMACSecret(&in.hmacSecretInput)
	return err
}

func (in *hmacSecretAssertion) assert(a *Authenticator, s *signing) error {
	output, err := a.hmacSecretOutput(in.salts, s.credential, s.uv())
	if err == nil && output != nil {
		s.outputs.sign(extensionHMACSecret, output)
	}
	return err
}

// hmacSalts is an opened hmacSecretInput.
type hmacSalts struct {
	protocol pinProtocol
	secret   []byte   // shared with the platform
	salts    [][]byte // one or two
}

// openHMACSecret checks and decrypts the salts, CTAP 2.1 section 12.5.
func (a *Authenticator) openHMACSecret(input *hmacSecretInput) (*hmacSalts, error) {
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
		return nil, cmp.Or(a.profile.Disputes.SaltLength, ctap2.ErrInvalidParameter)
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
