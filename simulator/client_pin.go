package simulator

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"unicode/utf8"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

const (
	maxPINRetries    = 8
	maxPINMismatches = 3 // in a row, then the key wants a power cycle
	paddedPINSize    = 64
	pinHashSize      = 16
)

// clientPINRequest is a decoded authenticatorClientPIN; nil members are absent.
type clientPINRequest struct {
	protocol       *uint64
	subCommand     uint64
	keyAgreement   *keyAgreementKey
	pinUVAuthParam []byte
	newPINEnc      []byte
	pinHashEnc     []byte
	permissions    *uint64
	rpID           *string
}

func decodeClientPIN(params []byte) (*clientPINRequest, error) {
	m, fault := decodeParams(params)
	req := &clientPINRequest{
		protocol:       optional(m.at(1), item.uint),
		subCommand:     m.must(2).uint(),
		keyAgreement:   optional(m.at(3), decodeKeyAgreement),
		pinUVAuthParam: m.at(4).bytes(),
		newPINEnc:      m.at(5).bytes(),
		pinHashEnc:     m.at(6).bytes(),
		permissions:    optional(m.at(9), item.uint),
		rpID:           optional(m.at(10), item.text),
	}
	return req, fault.err
}

// clientPIN is authenticatorClientPIN, CTAP 2.1 section 6.5.5. Subcommands for
// what the key does not have are unknown to it.
func (a *Authenticator) clientPIN(c *call, req *clientPINRequest) (*ctap2.ClientPINResponse, error) {
	sub := ctap2.PINSubCommand(req.subCommand)
	if !a.profile.clientPINSubCommand(sub) {
		return nil, ctap2.ErrInvalidSubcommand
	}
	switch sub {
	case ctap2.GetPINRetries:
		return a.getPINRetries()
	case ctap2.GetKeyAgreement:
		return a.getKeyAgreement(req)
	case ctap2.SetPIN:
		return nil, a.setPIN(req)
	case ctap2.ChangePIN:
		return nil, a.changePIN(req)
	case ctap2.GetPINToken:
		return a.getPINToken(c, req)
	case ctap2.GetPINUVAuthTokenUsingUVWithPermissions:
		return a.getTokenUsingUV(c, req)
	case ctap2.GetUVRetries:
		return &ctap2.ClientPINResponse{UVRetries: new(a.uvRetries())}, nil
	}
	return a.getTokenUsingPIN(c, req)
}

// clientPINSubCommand reports whether the key has a subcommand.
func (p *Profile) clientPINSubCommand(sub ctap2.PINSubCommand) bool {
	switch sub {
	case ctap2.GetKeyAgreement:
		return true
	case ctap2.GetPINRetries, ctap2.SetPIN, ctap2.ChangePIN, ctap2.GetPINToken:
		return p.supports(ctap2.OptionClientPIN)
	case ctap2.GetPINUVAuthTokenUsingPINWithPermissions:
		return p.supports(ctap2.OptionClientPIN) && p.option(ctap2.OptionPINUVAuthToken)
	case ctap2.GetPINUVAuthTokenUsingUVWithPermissions:
		return p.supports(ctap2.OptionUV) && p.option(ctap2.OptionPINUVAuthToken)
	case ctap2.GetUVRetries:
		return p.supports(ctap2.OptionUV)
	}
	return false
}

// getPINRetries is section 6.5.5.2, which does not ask whether there is a PIN.
func (a *Authenticator) getPINRetries() (*ctap2.ClientPINResponse, error) {
	if s := a.profile.Disputes.RetriesWithoutPIN; s != 0 && !a.pinSet() {
		return nil, s
	}
	return &ctap2.ClientPINResponse{
		PINRetries:      new(a.state.device.PINRetries),
		PowerCycleState: new(a.latched()),
	}, nil
}

// latched reports whether too many wrong PINs came in a row.
func (a *Authenticator) latched() bool { return a.session.pinMismatches >= maxPINMismatches }

// getKeyAgreement is section 6.5.5.4.
func (a *Authenticator) getKeyAgreement(req *clientPINRequest) (*ctap2.ClientPINResponse, error) {
	p, err := a.pinUVAuthProtocol(req.protocol)
	if err != nil {
		return nil, err
	}
	key, err := cose.FromECDH(p.private.PublicKey())
	if err != nil {
		return nil, err
	}
	return &ctap2.ClientPINResponse{KeyAgreement: &key}, nil
}

// setPIN is section 6.5.5.5.
func (a *Authenticator) setPIN(req *clientPINRequest) error {
	// 1. Mandatory members.
	if req.protocol == nil || req.keyAgreement == nil || req.pinUVAuthParam == nil || req.newPINEnc == nil {
		return ctap2.ErrMissingParameter
	}
	// 2. Protocol.
	p, err := a.pinUVAuthProtocol(req.protocol)
	if err != nil {
		return err
	}
	// 3. Only the first PIN is set without the old one.
	if a.pinSet() {
		return cmp.Or(a.profile.Disputes.SetPINAgain, ctap2.ErrPINAuthInvalid)
	}
	// 4. Shared secret.
	secret, err := p.decapsulate(req.keyAgreement)
	if err != nil {
		return err
	}
	// 5. MAC.
	if !verify(p, secret, req.newPINEnc, req.pinUVAuthParam) {
		return ctap2.ErrPINAuthInvalid
	}
	// 6. to 10. The PIN itself.
	pin, err := a.decryptNewPIN(p, secret, req.newPINEnc)
	if err != nil {
		return err
	}
	// 11., 12. Store it.
	c := change{device: a.state.device}
	c.device.setPIN(pin)
	return a.state.commit(c)
}

// changePIN is section 6.5.5.6.
func (a *Authenticator) changePIN(req *clientPINRequest) error {
	// 1. Mandatory members.
	if req.protocol == nil || req.keyAgreement == nil || req.pinUVAuthParam == nil ||
		req.newPINEnc == nil || req.pinHashEnc == nil {
		return ctap2.ErrMissingParameter
	}
	// 2. Protocol.
	p, err := a.pinUVAuthProtocol(req.protocol)
	if err != nil {
		return err
	}
	// 3. Retries.
	if err := a.pinUsable(); err != nil {
		return err
	}
	// 4. Shared secret.
	secret, err := p.decapsulate(req.keyAgreement)
	if err != nil {
		return err
	}
	// 5. MAC.
	message := append(bytes.Clone(req.newPINEnc), req.pinHashEnc...)
	if !verify(p, secret, message, req.pinUVAuthParam) {
		return ctap2.ErrPINAuthInvalid
	}
	// 6. to 8. The old PIN.
	if err := a.checkPIN(p, secret, req.pinHashEnc); err != nil {
		return err
	}
	// 9. to 12., 14. The new PIN itself.
	pin, err := a.decryptNewPIN(p, secret, req.newPINEnc)
	if err != nil {
		return err
	}
	// 13. A forced change is not to the same PIN.
	c := change{device: a.state.device}
	c.device.setPIN(pin)
	if a.state.device.ForcePINChange && bytes.Equal(c.device.PINHash, a.state.device.PINHash) {
		return ctap2.ErrPINPolicyViolation
	}
	// 15. to 18. Store it. 20. The persistent token is void.
	c.device.ForcePINChange = false
	c.device.PersistentToken = nil
	if err := a.state.commit(c); err != nil {
		return err
	}
	// 19. So are all others.
	return a.resetTokens(a.session)
}

// decryptNewPIN is steps 6 to 10 of setPIN and 9 to 14 of changePIN.
func (a *Authenticator) decryptNewPIN(p pinProtocol, secret, newPINEnc []byte) ([]byte, error) {
	padded, err := p.decrypt(secret, newPINEnc)
	if err != nil {
		return nil, ctap2.ErrPINAuthInvalid
	}
	if len(padded) != paddedPINSize {
		return nil, cmp.Or(a.profile.Disputes.NewPINSize, ctap2.ErrInvalidParameter)
	}
	pin := bytes.TrimRight(padded, "\x00")
	if len(pin) == paddedPINSize { // without a terminator it may have been longer
		return nil, ctap2.ErrPINPolicyViolation
	}
	length := uint(utf8.RuneCount(pin))
	if !utf8.Valid(pin) || length < a.minPINLength() || length > a.profile.maxPINLength() {
		return nil, ctap2.ErrPINPolicyViolation
	}
	if a.pinComplexityPolicy() && !complexPIN([]rune(string(pin))) {
		return nil, ctap2.ErrPINPolicyViolation
	}
	return pin, nil
}

// setPIN stores a PIN in the way that the protocols compare it.
func (d *device) setPIN(pin []byte) {
	hash := sha256.Sum256(pin)
	d.PINHash = hash[:pinHashSize]
	d.PINLength = uint(utf8.RuneCount(pin))
	d.pinEntered()
}

// pinEntered is what the right PIN does.
func (d *device) pinEntered() {
	d.PINRetries = maxPINRetries
	d.UVFailures = 0
	d.UVSincePIN = 0
}

// pinUsable checks that there is a PIN and that it may be tried.
func (a *Authenticator) pinUsable() error {
	switch {
	case !a.pinSet():
		return ctap2.ErrPINNotSet
	case a.state.device.PINRetries == 0:
		return ctap2.ErrPINBlocked
	case a.latched():
		return ctap2.ErrPINAuthBlocked
	}
	return nil
}

// checkPIN is steps 6 to 8 of changePIN and 8 to 10 of the two that give
// tokens. The attempt is paid for, durably, before the PIN is looked at.
func (a *Authenticator) checkPIN(p *pinSession, secret, pinHashEnc []byte) error {
	attempt := change{device: a.state.device}
	attempt.device.PINRetries--
	if err := a.state.commit(attempt); err != nil {
		return err
	}
	hash, err := p.decrypt(secret, pinHashEnc)
	if err != nil || subtle.ConstantTimeCompare(hash, a.state.device.PINHash) != 1 {
		return a.wrongPIN(p)
	}
	a.session.pinMismatches = 0
	success := change{device: a.state.device}
	success.device.pinEntered()
	return a.state.commit(success)
}

// wrongPIN makes the platform start over with a new key agreement key.
func (a *Authenticator) wrongPIN(p *pinSession) error {
	a.session.pinMismatches++
	if err := a.regenerate(p); err != nil {
		return err
	}
	switch {
	case a.state.device.PINRetries == 0:
		return ctap2.ErrPINBlocked
	case a.latched():
		return ctap2.ErrPINAuthBlocked
	}
	return ctap2.ErrPINInvalid
}
