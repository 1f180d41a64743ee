package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// Assertion is what a sign-in asks for.
type Assertion struct {
	ClientDataHash []byte // SHA-256, 32 bytes
	RPID           string
	// Allow names the credentials that will do; it may be of any length. Empty: any
	// discoverable credential.
	Allow []ctap2.Descriptor
	// AppID is the U2F application that credentials of Allow may belong to
	// (WebAuthn Level 3, section 10.1.1); empty if there is none.
	AppID            string
	UserVerification UserVerification
	Extensions       AssertionExtensions
}

// Asserted is a signature by one credential.
type Asserted struct {
	// The answer as it came, except for Credential, which is filled in where the
	// key left it out. AuthData is what is signed; Data is read from it.
	*ctap2.GetAssertionResponse
	Data       *ctap2.AuthenticatorData
	Extensions AssertionOutputs
	// AppID means that the credential belongs to Assertion.AppID, and the signature
	// is for that instead of the RP ID.
	AppID bool
}

// Authenticate returns an assertion for each credential that the key has for the
// relying party, newest first; with an allow list it is one (CTAP 2.1, sections
// 6.2 and 6.3). If there is none the error is [ctap2.ErrNoCredentials]; it may
// come without a touch.
func (k *Key) Authenticate(ctx context.Context, a Assertion) ([]*Asserted, error) {
	return withTaps(ctx, k, func() ([]*Asserted, error) { return k.authenticate(ctx, a) })
}

func (k *Key) authenticate(ctx context.Context, a Assertion) ([]*Asserted, error) {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return nil, err
	}
	s, err := newSignIn(k, info, &a)
	if err != nil {
		return nil, err
	}
	if onlyU2F(info) {
		signed, err := k.authenticateU2F(ctx, a)
		if err != nil {
			return nil, err
		}
		return s.asserted(ctx, []*ctap2.GetAssertionResponse{signed}, nil, 0)
	}
	told := true
	if a.AppID != "" {
		if told, err = s.tryAppID(ctx); err != nil {
			return nil, err
		}
	}
	run := func(p proof) ([]*Asserted, error) { return s.run(ctx, p) }
	asserted, err := verifyUser(ctx, k, s.verification(), run)
	if !told && errors.Is(err, ctap2.ErrNoCredentials) {
		s.rpID = a.AppID
		return verifyUser(ctx, k, s.verification(), run)
	}
	return asserted, err
}

// A signIn is an Assertion on its way to the key.
type signIn struct {
	*Assertion
	k      *Key
	info   *ctap2.GetInfoResponse
	inputs inputs
	rpID   string // RPID, or AppID
	allow  []ctap2.Descriptor
	search bool // which credential will sign must be known before
}

func newSignIn(k *Key, info *ctap2.GetInfoResponse, a *Assertion) (*signIn, error) {
	s := &signIn{Assertion: a, k: k, info: info, inputs: inputs{info: info}, rpID: a.RPID, allow: sendable(info, a.Allow)}
	if len(a.Allow) > 0 && len(s.allow) == 0 {
		// An empty list would ask for any credential.
		return nil, fmt.Errorf("no credential ID of the allow list has a length that this key makes: %w",
			&ctap2.Error{Command: ctap2.CommandGetAssertion, Status: ctap2.ErrNoCredentials})
	}
	e := &a.Extensions
	if e.WriteLargeBlob != nil && (len(a.Allow) == 0 || e.ReadLargeBlob) {
		return nil, errors.New("a large blob is written with an allow list, and not read at the same time")
	}
	if err := s.checkSecrets(); err != nil {
		return nil, err
	}
	if err := s.inputs.forAssertion(e); err != nil {
		return nil, err
	}
	whole := s.request(s.allow)
	whole.PINUVAuthParam, whole.PINUVAuthProtocol = longestParam[:], uint(pin.Two)
	if s.hasSecrets() {
		whole.Extensions = maps.Clone(whole.Extensions)
		if err := whole.Extensions.Set(ctap2.ExtensionHMACSecret, make([]byte, hmacSecretInputSize)); err != nil {
			return nil, err
		}
	}
	tooLong := len(s.allow) > listEntries(info) || !fits(info, whole)
	s.search = len(s.allow) > 1 && (tooLong || e.PRF != nil && len(e.PRF.EvalByCredential) > 0)
	return s, nil
}

// checkSecrets checks what is asked of hmac-secret, and drops it for keys that do
// not have it.
func (s *signIn) checkSecrets() error {
	e := &s.Extensions
	if err := checkSalts(e.HMACSecretSalts); err != nil {
		return err
	}
	if e.PRF != nil {
		if e.HMACSecretSalts != nil {
			return errSaltsAndPRF
		}
		if err := e.PRF.check(s.Allow); err != nil {
			return err
		}
	}
	if s.hasSecrets() && !listsExtension(s.info, ctap2.ExtensionHMACSecret) {
		e.PRF, e.HMACSecretSalts = nil, nil
		s.inputs.notSent = append(s.inputs.notSent, ctap2.ExtensionHMACSecret)
	}
	return nil
}

func (s *signIn) hasSecrets() bool {
	return s.Extensions.HMACSecretSalts != nil || s.Extensions.PRF != nil
}

// salts are those for the credential that will sign: the one of the allow list,
// or any.
func (s *signIn) salts(allow []ctap2.Descriptor) [][]byte {
	prf := s.Extensions.PRF
	switch {
	case prf == nil:
		return s.Extensions.HMACSecretSalts
	case len(allow) == 1:
		return prf.values(allow[0].ID).salts()
	}
	return prf.values(nil).salts()
}

// writesArray reports whether the large-blob array will be changed.
func (s *signIn) writesArray() bool {
	return s.Extensions.WriteLargeBlob != nil && largeBlobWay(s.info) == ctap2.ExtensionLargeBlobKey
}

func (s *signIn) verification() verification {
	alwaysUV, _ := s.info.Option(ctap2.OptionAlwaysUV)
	v := verification{
		wanted:     s.UserVerification,
		keyInsists: alwaysUV,
		need:       pin.Grant{Permissions: ctap2.PermissionGA, RPID: s.rpID},
	}
	if s.writesArray() {
		// This permission outlives the touch: one token does for both.
		v.need.Permissions |= ctap2.PermissionLBW
	}
	if s.Extensions.PRF != nil {
		v.wanted = Required // WebAuthn has one PRF only, the one with user verification
	}
	return v
}

// tryAppID makes AppID the RP ID if the key has a credential under it and none
// under the RP ID. It comes before there is a token, which some keys void at a
// request for another relying party. told is false if the key tells nothing
// without the user.
func (s *signIn) tryAppID(ctx context.Context) (told bool, err error) {
	for _, rpID := range []string{s.RPID, s.AppID} {
		silent := &search{k: s.k, rpID: rpID}
		found, err := silent.find(ctx, s.allow)
		switch {
		case errors.Is(err, ctap2.ErrPUATRequired):
			return false, nil
		case err != nil:
			return false, err
		case found != nil:
			s.rpID, s.allow, s.search = rpID, []ctap2.Descriptor{*found}, false
			return true, nil
		}
	}
	return true, nil
}

func (s *signIn) request(allow []ctap2.Descriptor) ctap2.GetAssertion {
	return ctap2.GetAssertion{RPID: s.rpID, ClientDataHash: s.ClientDataHash, AllowList: allow, Extensions: s.inputs.sent}
}

// run gets the assertions.
func (s *signIn) run(ctx context.Context, p proof) ([]*Asserted, error) {
	allow := s.allow
	if s.search {
		found, err := s.choose(ctx, p)
		if err != nil {
			return nil, err
		}
		allow = []ctap2.Descriptor{*found}
	}
	req := s.request(allow)
	req.Options = orNil(ctap2.Options{UV: p.uv})
	req.PINUVAuthParam, req.PINUVAuthProtocol = p.param(req.ClientDataHash)
	salts := s.salts(allow)
	asserted, err := withSalts(ctx, s.k, salts, func(in *ctap2.HMACSecretInput, secret *pin.Secret) ([]*Asserted, error) {
		if in != nil {
			req.Extensions = maps.Clone(req.Extensions)
			if err := req.Extensions.Set(ctap2.ExtensionHMACSecret, in); err != nil {
				return nil, err
			}
		}
		responses, err := s.k.getAssertions(ctx, req)
		if err != nil {
			return nil, misread(req, err)
		}
		all, err := s.asserted(ctx, responses, secret, len(salts))
		return all, misread(req, err)
	})
	if err != nil {
		return nil, err
	}
	if s.Extensions.ReadLargeBlob || s.Extensions.WriteLargeBlob != nil {
		s.largeBlobs(ctx, asserted, p.token)
	}
	return asserted, nil
}

// choose finds the credential that will sign.
func (s *signIn) choose(ctx context.Context, p proof) (*ctap2.Descriptor, error) {
	silent := &search{k: s.k, rpID: s.rpID, token: p.token}
	found, err := silent.find(ctx, s.allow)
	if found != nil || err != nil {
		return found, err
	}
	none := &ctap2.Error{Command: ctap2.CommandGetAssertion, Status: ctap2.ErrNoCredentials}
	if silent.odd != nil {
		return nil, fmt.Errorf("%w; one answer was: %w", none, silent.odd)
	}
	return nil, none
}

// getAssertions returns the first assertion and those that follow.
func (k *Key) getAssertions(ctx context.Context, req ctap2.GetAssertion) ([]*ctap2.GetAssertionResponse, error) {
	first, err := ctap2.Do(ctx, k.dev, req)
	if err != nil {
		return nil, err
	}
	if len(req.AllowList) > 0 {
		if first.Credential == nil && len(req.AllowList) == 1 {
			if k.info.HasVersion(ctap2.VersionFIDO21) { // before, it was allowed
				ctap2.Missing(ctx, ctap2.CommandGetAssertion, "credential (1)", first.Raw)
			}
			first.Credential = &req.AllowList[0]
		}
		first.NumberOfCredentials = 0
	} else if first.User == nil {
		ctap2.Missing(ctx, ctap2.CommandGetAssertion, "user (4)", first.Raw)
	}
	return k.rest(ctx, first)
}

// rest fetches the assertions that follow the first. A key that names no
// credential, or one a second time, is not believed.
func (k *Key) rest(ctx context.Context, first *ctap2.GetAssertionResponse) ([]*ctap2.GetAssertionResponse, error) {
	var all []*ctap2.GetAssertionResponse
	seen := map[string]bool{}
	for assertion, bytes := first, 0; ; {
		if bytes += weight(assertion.Raw, nil, assertion.User); len(all) >= maxListed || bytes > maxListedBytes {
			return nil, fmt.Errorf("%w: there is no end to the assertions", ctap2.ErrMalformed)
		}
		if assertion.Credential == nil {
			return nil, fmt.Errorf("%w: assertion %d names no credential", ctap2.ErrMalformed, len(all)+1)
		}
		if id := string(assertion.Credential.ID); seen[id] {
			return nil, fmt.Errorf("%w: assertion %d is for a credential that was there before", ctap2.ErrMalformed, len(all)+1)
		} else {
			seen[id] = true
		}
		all = append(all, assertion)
		if uint(len(all)) >= first.NumberOfCredentials {
			return all, nil
		}
		var err error
		if assertion, err = ctap2.Do(ctx, k.dev, ctap2.GetNextAssertion{}); err != nil {
			return nil, err
		}
	}
}

// asserted reads the answers.
func (s *signIn) asserted(ctx context.Context, responses []*ctap2.GetAssertionResponse, secret *pin.Secret, salts int) ([]*Asserted, error) {
	var all []*Asserted
	for _, resp := range responses {
		data, err := ctap2.ParseAuthenticatorData(resp.AuthData)
		if err != nil {
			return nil, fmt.Errorf("%v: %w: %w", ctap2.CommandGetAssertion, ctap2.ErrMalformed, err)
		}
		out := newOutputs(ctx, ctap2.CommandGetAssertion, data.Extensions)
		a := &Asserted{GetAssertionResponse: resp, Data: data, AppID: data.RPIDHash != sha256.Sum256([]byte(s.RPID))}
		out.read(ctap2.ExtensionCredBlob, &a.Extensions.CredBlob)
		out.read(ctap2.ExtensionUVM, &a.Extensions.UVM)
		a.Extensions.ThirdPartyPayment = optionalOutput[bool](out, ctap2.ExtensionThirdPartyPayment)
		secrets := out.secrets(ctap2.ExtensionHMACSecret, secret, salts)
		if s.Extensions.PRF != nil {
			a.Extensions.PRF = prfValues(secrets)
		} else {
			a.Extensions.HMACSecretOutputs = secrets
		}
		a.Extensions.Others, a.Extensions.NotSent = out.others, s.inputs.notSent
		all = append(all, a)
	}
	return all, nil
}

// largeBlobs reads or writes the blobs of the credentials that have signed.
func (s *signIn) largeBlobs(ctx context.Context, asserted []*Asserted, token *pin.Token) {
	switch largeBlobWay(s.info) {
	case ctap2.ExtensionLargeBlob:
		for _, a := range asserted {
			result := storedLargeBlob(ctx, a.UnsignedExtensionOutputs)
			if s.Extensions.WriteLargeBlob != nil && errors.Is(result.Err, ctap2.ErrMalformed) {
				result.Err = &mayBeDone{blobMayBeWritten, result.Err}
			}
			a.Extensions.LargeBlob = result
		}
	case ctap2.ExtensionLargeBlobKey:
		array, err := s.k.readLargeBlobs(ctx)
		for _, a := range asserted {
			a.Extensions.LargeBlob = s.arrayLargeBlob(ctx, array, err, a.LargeBlobKey, token)
		}
	}
}

// storedLargeBlob is the answer of a key that keeps blobs with the credentials.
func storedLargeBlob(ctx context.Context, unsigned ctap2.Extensions) *LargeBlobResult {
	var out ctap2.LargeBlobOutput
	result := &LargeBlobResult{}
	if _, result.Err = unsigned.Get(ctap2.ExtensionLargeBlob, &out); result.Err != nil {
		return result
	}
	result.Written = out.Written != nil && *out.Written
	if out.Written != nil && !*out.Written {
		result.Err = errors.New("the key did not store the large blob")
	}
	if out.Blob != nil {
		result.Blob, result.Err = inflate(out.Blob, uint64(out.OriginalSize), tolerateLargeBlob(ctx))
	}
	return result
}

// arrayLargeBlob finds the credential's entry in the array, or puts it there.
func (s *signIn) arrayLargeBlob(ctx context.Context, array *LargeBlobArray, err error, key []byte, token *pin.Token) *LargeBlobResult {
	switch {
	case err != nil:
		return &LargeBlobResult{Err: err}
	case len(key) != largeBlobKeySize:
		return &LargeBlobResult{Err: ErrNoLargeBlobKey}
	case !s.writesArray():
		blob, err := array.find(key)
		if errors.Is(err, ErrNoLargeBlob) {
			err = nil
		}
		return &LargeBlobResult{Blob: blob, Err: err}
	}
	entries, err := array.set(key, s.Extensions.WriteLargeBlob)
	if err == nil {
		_, err = s.k.writeEntries(ctx, array, entries, token)
	}
	return &LargeBlobResult{Written: err == nil, Err: err}
}
