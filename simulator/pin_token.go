package simulator

import (
	"cmp"

	"github.com/fidokey/fidokey/ctap2"
)

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
	// 5. to 10. The PIN.
	secret, err := a.enterPIN(p, req)
	if err != nil {
		return nil, err
	}
	// 11. It must be changed first.
	if a.state.device.ForcePINChange {
		return nil, cmp.Or(a.profile.Disputes.TokenWhileForced, ctap2.ErrPINInvalid)
	}
	// 12. to 15. The first makeCredential or getAssertion binds the RP ID.
	var permissions ctap2.Permissions
	if a.profile.pinGivesMcGa() {
		permissions = permissionsMcGa
	}
	if a.profile.option(ctap2.OptionCredMgmtPreview) {
		permissions |= ctap2.PermissionCM // the preview command knows no other token
	}
	return a.issueToken(c, &tokenRequest{protocol: p, permissions: permissions}, secret, false)
}

// getTokenUsingPIN is getPinUvAuthTokenUsingPinWithPermissions, section
// 6.5.5.7.2.
func (a *Authenticator) getTokenUsingPIN(c *call, req *clientPINRequest) (*ctap2.ClientPINResponse, error) {
	// 1. to 4. The request.
	t, err := a.tokenRequest(req, req.pinHashEnc != nil, a.profile.refusedByPIN())
	if err != nil {
		return nil, err
	}
	// 5. to 10. The PIN.
	secret, err := a.enterPIN(t.protocol, req)
	if err != nil {
		return nil, err
	}
	// 11. It must be changed first.
	if a.state.device.ForcePINChange {
		return nil, cmp.Or(a.profile.Disputes.PermissionsForced, ctap2.ErrPINPolicyViolation)
	}
	// 12. to 17.
	return a.issueToken(c, t, secret, false)
}

// getTokenUsingUV is getPinUvAuthTokenUsingUvWithPermissions, section
// 6.5.5.7.3.
func (a *Authenticator) getTokenUsingUV(c *call, req *clientPINRequest) (*ctap2.ClientPINResponse, error) {
	// 1. to 4. The request.
	t, err := a.tokenRequest(req, true, a.profile.refusedByUV())
	if err != nil {
		return nil, err
	}
	// 5. Built-in user verification is set up.
	if !a.uvReady() {
		return nil, ctap2.ErrNotAllowed
	}
	// 6. Who retries, the key or the platform.
	preferred := a.profile.GetInfo.PreferredPlatformUVAttempts
	internalRetry := preferred == nil || *preferred <= 1
	// 7. Retries are left.
	if a.uvRetries() == 0 {
		return nil, ctap2.ErrUVBlocked
	}
	secret, err := t.protocol.decapsulate(req.keyAgreement)
	if err != nil {
		return nil, err
	}
	// 8. There is no display to ask for consent on. 9., 10. The finger.
	var rpID string
	if t.rpID != nil {
		rpID = *t.rpID
	}
	if err := a.performBuiltInUV(c, rpID, internalRetry); err != nil {
		return nil, err
	}
	// 11. to 16. A finger on the sensor is a person present.
	return a.issueToken(c, t, secret, true)
}

// A tokenRequest says what a token is to be like.
type tokenRequest struct {
	protocol    *pinSession
	permissions ctap2.Permissions
	rpID        *string // nil: not bound
}

const (
	permissionsMcGa  = ctap2.PermissionMC | ctap2.PermissionGA
	permissionsKnown = permissionsMcGa | ctap2.PermissionCM | ctap2.PermissionBE |
		ctap2.PermissionLBW | ctap2.PermissionACFG | ctap2.PermissionPCMR
)

// tokenRequest is steps 1 to 4 of the two subcommands with permissions. Unknown
// permissions are dropped.
func (a *Authenticator) tokenRequest(req *clientPINRequest, complete bool, refused ctap2.Permissions) (*tokenRequest, error) {
	// 1. Mandatory members.
	if req.protocol == nil || req.keyAgreement == nil || req.permissions == nil || !complete {
		return nil, ctap2.ErrMissingParameter
	}
	permissions := ctap2.Permissions(*req.permissions)
	if permissions&permissionsMcGa != 0 && req.rpID == nil {
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
	// 4. Permissions for what this key does not have. Reading with the
	// persistent token goes with nothing else.
	if permissions&refused != 0 || permissions&ctap2.PermissionPCMR != 0 && permissions != ctap2.PermissionPCMR {
		return nil, ctap2.ErrUnauthorizedPermission
	}
	if status := a.profile.Disputes.UnknownPermissions; permissions&^permissionsKnown != 0 && status != 0 {
		return nil, status
	}
	return &tokenRequest{protocol: p, permissions: permissions & permissionsKnown, rpID: req.rpID}, nil
}

// refusedByPIN are the permissions that a PIN does not give.
func (p *Profile) refusedByPIN() ctap2.Permissions {
	refused := p.refused()
	if !p.pinGivesMcGa() {
		refused |= permissionsMcGa
	}
	if !p.supports(ctap2.OptionBioEnroll) && !p.preview(ctap2.OptionUVMgmtPreview) {
		refused |= ctap2.PermissionBE
	}
	if !p.option(ctap2.OptionAuthnrCfg) {
		refused |= ctap2.PermissionACFG
	}
	return refused
}

// refusedByUV are the permissions that built-in user verification does not give.
func (p *Profile) refusedByUV() ctap2.Permissions {
	refused := p.refused()
	if !p.option(ctap2.OptionUVBioEnroll) {
		refused |= ctap2.PermissionBE
	}
	if !p.option(ctap2.OptionUVAcfg) {
		refused |= ctap2.PermissionACFG
	}
	return refused
}

// refused are the permissions that cannot be had in any way.
func (p *Profile) refused() (refused ctap2.Permissions) {
	if !p.option(ctap2.OptionCredMgmt) && !p.preview(ctap2.OptionCredMgmtPreview) {
		refused |= ctap2.PermissionCM
	}
	if !p.option(ctap2.OptionLargeBlobs) {
		refused |= ctap2.PermissionLBW
	}
	if !p.option(ctap2.OptionPerCredMgmtRO) {
		refused |= ctap2.PermissionPCMR
	}
	return refused
}

// enterPIN is steps 5 to 10 of the two subcommands that take a PIN. Step 7 has
// no display to ask for consent on.
func (a *Authenticator) enterPIN(p *pinSession, req *clientPINRequest) (secret []byte, err error) {
	if !a.pinSet() {
		return nil, cmp.Or(a.profile.Disputes.TokenWithoutPIN, ctap2.ErrPINNotSet)
	}
	if err := a.pinUsable(); err != nil {
		return nil, err
	}
	if secret, err = p.decapsulate(req.keyAgreement); err != nil {
		return nil, err
	}
	return secret, a.checkPIN(p, secret, req.pinHashEnc)
}

// issueToken gives a token to the platform. Tokens of all protocols that were
// given before are void, except for the persistent one, which is given again.
func (a *Authenticator) issueToken(c *call, t *tokenRequest, secret []byte, userPresent bool) (*ctap2.ClientPINResponse, error) {
	if t.permissions == ctap2.PermissionPCMR {
		value, err := a.persistentToken()
		if err != nil {
			return nil, err
		}
		encrypted, err := a.seal(t.protocol, secret, value)
		return &ctap2.ClientPINResponse{PINUVAuthToken: encrypted}, err
	}
	if err := a.resetTokens(a.session); err != nil {
		return nil, err
	}
	token := &t.protocol.token
	encrypted, err := a.seal(t.protocol, secret, token.value)
	if err != nil {
		return nil, err
	}
	a.beginUsing(token, c.origin.transport, userPresent)
	token.permissions = t.permissions
	token.rpID = t.rpID
	a.session.quirkRPID = t.rpID
	return &ctap2.ClientPINResponse{PINUVAuthToken: encrypted}, nil
}
