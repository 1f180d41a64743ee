package simulator

import (
	"cmp"
	"crypto/sha256"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
)

// getAssertionRequest is a decoded authenticatorGetAssertion; nil members are
// absent.
type getAssertionRequest struct {
	rpID              string
	clientDataHash    []byte
	allowList         []ctap2.Descriptor
	hmacSecret        *hmacSecretInput
	options           ctap2.Options
	pinUVAuthParam    []byte
	pinUVAuthProtocol *uint64
}

func decodeGetAssertion(params []byte) (*getAssertionRequest, error) {
	m, fault := decodeParams(params)
	req := &getAssertionRequest{
		rpID:           m.must(1).text(),
		clientDataHash: m.must(2).bytesOf(sha256.Size, sha256.Size),
		allowList:      decodeDescriptors(m.at(3)),
	}
	extensions := m.at(4).members()
	req.hmacSecret = optional(extensions.at(extensionHMACSecret), decodeHMACSecret)
	req.options = decodeOptions(m.at(5))
	req.pinUVAuthParam = m.at(6).bytes()
	req.pinUVAuthProtocol = optional(m.at(7), item.uint)
	return req, fault.err
}

// An assertion is what the answers of getAssertion and the getNextAssertions
// after it have in common.
type assertion struct {
	rpIDHash       rpIDHash
	clientDataHash []byte
	flags          ctap2.Flags
	hmac           *hmacSalts // nil: not asked for
	showUser       bool
	showNames      bool
}

func (s *assertion) uv() bool { return s.flags&ctap2.FlagUV != 0 }

// getAssertion is authenticatorGetAssertion, CTAP 2.1 section 6.2.2.
func (a *Authenticator) getAssertion(c *call, req *getAssertionRequest) (*ctap2.GetAssertionResponse, error) {
	if err := a.checkListSize(req.allowList); err != nil {
		return nil, err
	}
	// 1. An empty pinUvAuthParam only asks which key this is.
	if a.asksWhichKey(req.pinUVAuthParam) {
		return nil, a.answerWhichKey(c, req.rpID)
	}
	// 2. A pinUvAuthParam needs a protocol that we speak.
	auth, err := a.authProtocol(req.pinUVAuthParam, req.pinUVAuthProtocol)
	if err != nil {
		return nil, err
	}
	// 3. Nobody is verified or present so far.
	s := &assertion{rpIDHash: sha256.Sum256([]byte(req.rpID)), clientDataHash: req.clientDataHash}
	// 4. Options.
	up, err := a.assertionOptions(req)
	if err != nil {
		return nil, err
	}
	cl := &claim{
		rpID: req.rpID, clientDataHash: req.clientDataHash, permission: ctap2.PermissionGA,
		param: req.pinUVAuthParam, protocol: auth, builtIn: auth == nil && option(req.options.UV, false),
	}
	// 5. alwaysUv, which is not for silent requests.
	if a.alwaysUV() && up {
		if err := a.requireUV(cl); err != nil {
			return nil, err
		}
	}
	// 6. Verify the user.
	verified, err := a.verifyUser(c, cl)
	if err != nil {
		return nil, err
	}
	if verified.uv() {
		s.flags |= ctap2.FlagUV
	}
	// 7. Locate the credentials.
	found := a.locate(req.allowList, s.rpIDHash, s.uv())
	if len(found) == 0 {
		return nil, ctap2.ErrNoCredentials
	}
	// 8. A finger was gesture enough. 9. User presence.
	if up && !verified.finger {
		if !verified.present() {
			if err := a.waitForConsent(c, req.rpID); err != nil {
				return nil, err
			}
		}
		a.session.consumeTokens()
	}
	if up {
		s.flags |= ctap2.FlagUP
	}
	// 10. Extensions.
	if req.hmacSecret != nil {
		if s.hmac, err = a.openHMACSecret(req.hmacSecret, up); err != nil {
			return nil, err
		}
	}
	// 11. Of the credentials in an allowList any one will do.
	if len(req.allowList) > 0 {
		return a.sign(s, found[0])
	}
	// 12. Without an allowList the newest comes first, and getNextAssertion
	// gives the others. This key has no display to choose on. Names are only
	// for the verified user who must choose between accounts.
	s.showUser = true
	s.showNames = s.uv() && len(found) > 1
	// 13. Sign.
	resp, err := a.sign(s, found[0])
	if err != nil {
		return nil, err
	}
	if len(found) > 1 {
		resp.NumberOfCredentials = uint(len(found))
		a.keep(c, &series{token: verified.token, assertion: s, assertions: found[1:]})
	}
	return resp, nil
}

// getNextAssertion is authenticatorGetNextAssertion, CTAP 2.1 section 6.3.
func (a *Authenticator) getNextAssertion(c *call) (*ctap2.GetAssertionResponse, error) {
	// 1. to 3. There is a series, it has something left, and it is not too old.
	s, err := a.continued(c)
	if err != nil {
		return nil, err
	}
	if len(s.assertions) == 0 {
		return nil, ctap2.ErrNotAllowed
	}
	// 4. The next credential, with the same flags and extensions. 5. Sign.
	resp, err := a.sign(s.assertion, s.assertions[0])
	if err != nil {
		return nil, err
	}
	s.assertions = s.assertions[1:]
	a.keep(c, s)
	return resp, nil
}

// assertionOptions is step 4. Unknown options were left out by the decoder.
func (a *Authenticator) assertionOptions(req *getAssertionRequest) (up bool, err error) {
	// A pinUvAuthParam takes precedence over uv.
	if req.pinUVAuthParam == nil && option(req.options.UV, false) && !a.uvReady() {
		return false, ctap2.ErrInvalidOption
	}
	if req.options.RK != nil {
		return false, cmp.Or(a.profile.Disputes.RKInGetAssertion, ctap2.ErrUnsupportedOption)
	}
	return option(req.options.UP, true), nil
}

// locate is step 7: the credentials that may answer, the newest first. With an
// allowList they are the listed ones, in its order; an empty list is none.
func (a *Authenticator) locate(allowList []ctap2.Descriptor, rp rpIDHash, uv bool) []*credential {
	listed := len(allowList) > 0
	var candidates []*credential
	if !listed {
		candidates = slices.Clone(a.state.byRP[rp])
		slices.Reverse(candidates)
	}
	for _, d := range allowList {
		if c := a.state.find(d, rp); c != nil {
			candidates = append(candidates, c)
		}
	}
	return slices.DeleteFunc(candidates, func(c *credential) bool { return c.hidden(uv, listed) })
}

// sign makes one answer. The counter is stored before the signature leaves.
func (a *Authenticator) sign(s *assertion, c *credential) (*ctap2.GetAssertionResponse, error) {
	outputs := map[string]any{}
	if s.hmac != nil {
		output, err := a.hmacSecretOutput(s.hmac, c, s.uv())
		if err != nil {
			return nil, err
		}
		if output != nil {
			outputs[extensionHMACSecret] = output
		}
	}
	counted := change{device: a.state.device}
	if err := counted.device.countUp(); err != nil {
		return nil, err
	}
	authData, err := authenticatorData(s.rpIDHash, s.flags, counted.device.SignCount, nil, outputs)
	if err != nil {
		return nil, err
	}
	signature, err := c.sign(slices.Concat(authData, s.clientDataHash))
	if err != nil {
		return nil, err
	}
	if err := a.state.commit(counted); err != nil {
		return nil, err
	}
	descriptor := c.descriptor()
	return &ctap2.GetAssertionResponse{
		Credential: &descriptor,
		AuthData:   authData,
		Signature:  signature,
		User:       s.user(c),
	}, nil
}

// user returns as much of the user as the answer may tell.
func (s *assertion) user(c *credential) *ctap2.User {
	switch {
	case !s.showUser:
		return nil
	case s.showNames:
		return &c.User
	}
	return &ctap2.User{ID: c.User.ID}
}
