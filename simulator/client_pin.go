package simulator

import (
	"bytes"
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

// clientPIN is authenticatorClientPIN, CTAP 2.1 section 6.5.5. The subcommands
// for built-in user verification are not there, for this key has none.
func (a *Authenticator) clientPIN(c *call, req *clientPINRequest) (*ctap2.ClientPINResponse, error) {
	switch ctap2.PINSubCommand(req.subCommand) {
	case ctap2.GetPINRetries:
		return a.getPINRetries(), nil
	case ctap2.GetKeyAgreement:
		return a.getKeyAgreement(req)
	case ctap2.SetPIN:
		return nil, a.setPIN(req)
	case ctap2.ChangePIN:
		return nil, a.changePIN(req)
	case ctap2.GetPINToken:
		return a.getPINToken(c, req)
	case ctap2.GetPINUVAuthTokenUsingPINWithPermissions:
		if !a.profile.option(ctap2.OptionPINUVAuthToken) {
			return nil, ctap2.ErrInvalidSubcommand
		}
		return a.getTokenWithPermissions(c, req)
	}
	return nil, ctap2.ErrInvalidSubcommand
}

// protected reports whether some form of user verification is configured, which
// for this key means that a PIN is set.
func (a *Authenticator) protected() bool { return len(a.state.device.PINHash) > 0 }

// getPINRetries is section 6.5.5.2.
func (a *Authenticator) getPINRetries() *ctap2.ClientPINResponse {
	return &ctap2.ClientPINResponse{
		PINRetries:      new(a.state.device.PINRetries),
		PowerCycleState: new(a.latched()),
	}
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
	if a.protected() {
		return ctap2.ErrPINAuthInvalid
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
	// 9. to 12., 14. The new PIN itself. 13. A change is never forced.
	pin, err := a.decryptNewPIN(p, secret, req.newPINEnc)
	if err != nil {
		return err
	}
	// 15. to 18. Store it.
	c := change{device: a.state.device}
	c.device.setPIN(pin)
	if err := a.state.commit(c); err != nil {
		return err
	}
	// 19. All tokens are void. 20. There is no persistent one.
	return a.resetTokens(a.session)
}

// decryptNewPIN is steps 6 to 10 of setPIN and 9 to 14 of changePIN.
func (a *Authenticator) decryptNewPIN(p pinProtocol, secret, newPINEnc []byte) ([]byte, error) {
	padded, err := p.decrypt(secret, newPINEnc)
	if err != nil {
		return nil, ctap2.ErrPINAuthInvalid
	}
	if len(padded) != paddedPINSize {
		return nil, ctap2.ErrInvalidParameter
	}
	pin := bytes.TrimRight(padded, "\x00")
	if len(pin) == paddedPINSize { // without a terminator it may have been longer
		return nil, ctap2.ErrPINPolicyViolation
	}
	if !utf8.Valid(pin) || uint(utf8.RuneCount(pin)) < a.minPINLength() {
		return nil, ctap2.ErrPINPolicyViolation
	}
	return pin, nil
}

// setPIN stores a PIN in the way that the protocols compare it.
func (d *device) setPIN(pin []byte) {
	hash := sha256.Sum256(pin)
	d.PINHash = hash[:pinHashSize]
	d.PINLength = uint(utf8.RuneCount(pin))
	d.PINRetries = maxPINRetries
}

// pinUsable checks that there is a PIN and that it may be tried.
func (a *Authenticator) pinUsable() error {
	switch {
	case !a.protected():
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
	success.device.PINRetries = maxPINRetries
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

// getPINToken is section 6.5.5.7.1, of CTAP 2.0.
func (a *Authenticator) getPINToken(c *call, req *clientPINRequest) (*ctap2.ClientPINResponse, error) {
	// 1. Mandatory members.
	if req.protocol == nil || req.keyAgreement == nil || req.pinHashEnc == nil {
		return nil, ctap2.ErrMissingParameter
	}
	// 2. Protocol.
	p, err := a.pinUVAuthProtocol(req.protocol)
	if err != nil {
		return nil, err
	}
	// 3., 4. Permissions belong to the other subcommand.
	if req.permissions != nil || req.rpID != nil {
		return nil, ctap2.ErrInvalidParameter
	}
	// 5. to 10. The PIN. 11. A change is never forced.
	secret, err := a.enterPIN(p, req)
	if err != nil {
		return nil, err
	}
	// 12. to 15. The first makeCredential or getAssertion binds the RP ID.
	return a.issueToken(c, p, secret, a.profile.legacyPermissions(), nil)
}

// getTokenWithPermissions is getPinUvAuthTokenUsingPinWithPermissions, section
// 6.5.5.7.2.
func (a *Authenticator) getTokenWithPermissions(c *call, req *clientPINRequest) (*ctap2.ClientPINResponse, error) {
	// 1. Mandatory members.
	if req.protocol == nil || req.keyAgreement == nil || req.pinHashEnc == nil || req.permissions == nil {
		return nil, ctap2.ErrMissingParameter
	}
	permissions := ctap2.Permissions(*req.permissions)
	if permissions&(ctap2.PermissionMC|ctap2.PermissionGA) != 0 && req.rpID == nil {
		return nil, ctap2.ErrMissingParameter
	}
	// 2. Protocol.
	p, err := a.pinUVAuthProtocol(req.protocol)
	if err != nil {
		return nil, err
	}
	// 3. No permissions are no request.
	if permissions == 0 {
		return nil, ctap2.ErrInvalidParameter
	}
	// 4. Permissions for what this key does not have.
	if permissions&refusedPermissions != 0 {
		return nil, ctap2.ErrUnauthorizedPermission
	}
	// 5. to 10. The PIN. 11. A change is never forced.
	secret, err := a.enterPIN(p, req)
	if err != nil {
		return nil, err
	}
	// 12. There is no persistent token. 13. to 17. Unknown permissions are
	// dropped.
	return a.issueToken(c, p, secret, permissions&grantedPermissions, req.rpID)
}

// The permissions of section 6.5.5.7 that this key knows.
const (
	grantedPermissions = ctap2.PermissionMC | ctap2.PermissionGA | ctap2.PermissionCM
	refusedPermissions = ctap2.PermissionBE | ctap2.PermissionLBW | ctap2.PermissionACFG | ctap2.PermissionPCMR
)

// enterPIN is steps 5 to 10 of the two subcommands that give tokens. Step 7 has
// no display to ask for consent on.
func (a *Authenticator) enterPIN(p *pinSession, req *clientPINRequest) (secret []byte, err error) {
	if err := a.pinUsable(); err != nil {
		return nil, err
	}
	if secret, err = p.decapsulate(req.keyAgreement); err != nil {
		return nil, err
	}
	return secret, a.checkPIN(p, secret, req.pinHashEnc)
}

// issueToken gives a new token to the platform. Tokens of all protocols that
// were given before are void.
func (a *Authenticator) issueToken(c *call, p *pinSession, secret []byte, permissions ctap2.Permissions, rpID *string) (*ctap2.ClientPINResponse, error) {
	if err := a.resetTokens(a.session); err != nil {
		return nil, err
	}
	encrypted, err := a.seal(p, secret, p.token.value)
	if err != nil {
		return nil, err
	}
	a.beginUsing(&p.token, c.origin.transport, false)
	p.token.permissions = permissions
	p.token.rpID = rpID
	return &ctap2.ClientPINResponse{PINUVAuthToken: encrypted}, nil
}
