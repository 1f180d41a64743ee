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
	extensions        []assertionInput
	options           ctap2.Options
	pinUVAuthParam    []byte
	pinUVAuthProtocol *uint64
}

func decodeGetAssertion(p *Profile, params []byte) (*getAssertionRequest, error) {
	m, fault := decodeParams(params)
	req := &getAssertionRequest{
		rpID:           m.must(1).text(),
		clientDataHash: m.must(2).bytesOf(sha256.Size, sha256.Size),
		allowList:      decodeDescriptors(m.at(3)),
	}
	req.extensions = p.decodeAssertionInputs(m.at(4))
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
	finger         bool // has set the flag UV
	extensions     []assertionInput
	listed         bool // there is an allowList
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
	if s.finger = verified.finger; verified.uv() {
		s.flags |= ctap2.FlagUV
	}
	// 7. Locate the credentials.
	found := a.locate(req.allowList, s.rpIDHash, s.uv())
	if found.left == 0 {
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
	s.extensions, s.listed = req.extensions, len(req.allowList) > 0
	if err := a.checkAssertionInputs(s); err != nil {
		return nil, err
	}
	// 11. Of the credentials in an allowList any one will do.
	if s.listed {
		return a.sign(s, found.next())
	}
	// 12. Without an allowList the newest comes first, and getNextAssertion
	// gives the others. This key has no display to choose on. Names are only
	// for the verified user who must choose between accounts.
	s.showUser = true
	number := found.left
	s.showNames = s.uv() && number > 1
	// 13. Sign.
	resp, err := a.sign(s, found.next())
	if err != nil {
		return nil, err
	}
	if number > 1 {
		resp.NumberOfCredentials = uint(number)
		a.keep(c, &series{token: verified.token, assertion: s, assertions: found})
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
	if s.assertions == nil || s.assertions.left == 0 {
		return nil, ctap2.ErrNotAllowed
	}
	// 4. The next credential, with the same flags and extensions. 5. Sign.
	resp, err := a.sign(s.assertion, s.assertions.next())
	if err != nil {
		return nil, err
	}
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

// candidates are the credentials that may answer. They are found one by one, so
// that the first answer costs the same however many there are. Any command but
// the next of the series ends it: the list does not change underneath.
type candidates struct {
	list   []*credential // the next one comes from the end
	left   int           // how many may answer
	uv     bool
	listed bool // in an allowList
}

// next returns the next one; left was not 0.
func (f *candidates) next() *credential {
	f.left--
	for {
		c := f.list[len(f.list)-1]
		f.list = f.list[:len(f.list)-1]
		if !c.hidden(f.uv, f.listed) {
			return c
		}
	}
}

// locate is step 7: the credentials that may answer, the newest first. With an
// allowList they are the listed ones, in its order; an empty list is none.
func (a *Authenticator) locate(allowList []ctap2.Descriptor, rp rpIDHash, uv bool) *candidates {
	found := &candidates{uv: uv, listed: len(allowList) > 0}
	for _, d := range slices.Backward(allowList) {
		if c := a.state.find(d, rp); c != nil && !c.hidden(uv, found.listed) {
			found.list = append(found.list, c)
		}
	}
	found.left = len(found.list)
	if ofRP := a.state.byRP[rp]; !found.listed && ofRP != nil {
		found.list = ofRP.all
		for level, n := range ofRP.levels {
			if !hidden(uint(level), uv, false) {
				found.left += n
			}
		}
	}
	return found
}

// sign makes one answer. The counter is stored before the signature leaves.
func (a *Authenticator) sign(s *assertion, c *credential) (*ctap2.GetAssertionResponse, error) {
	n := &signing{assertion: s, credential: c, change: change{device: a.state.device}}
	for _, input := range s.extensions {
		if err := input.assert(a, n); err != nil {
			return nil, err
		}
	}
	if err := n.change.device.countUp(); err != nil {
		return nil, err
	}
	authData, err := authenticatorData(s.rpIDHash, s.flags, n.change.device.SignCount, nil, n.outputs.signed)
	if err != nil {
		return nil, err
	}
	signature, err := c.sign(slices.Concat(authData, s.clientDataHash))
	if err != nil {
		return nil, err
	}
	if err := a.state.commit(n.change); err != nil {
		return nil, err
	}
	descriptor := c.descriptor()
	return &ctap2.GetAssertionResponse{
		Credential: &descriptor,
		AuthData:   authData,
		Signature:  signature,
		User:       s.user(c),

		LargeBlobKey:             n.outputs.largeBlobKey,
		UnsignedExtensionOutputs: n.outputs.unsigned,
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
