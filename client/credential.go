package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// Registration is what a new credential shall be.
type Registration struct {
	ClientDataHash   []byte // SHA-256, 32 bytes
	RP               ctap2.RP
	User             ctap2.User
	Parameters       []ctap2.CredentialParameters // preferred first
	Exclude          []ctap2.Descriptor
	Discoverable     bool
	UserVerification UserVerification
	// AppIDExclude is the AppID under which credentials in Exclude may have been
	// registered over U2F (WebAuthn Level 3, section 10.1.2); empty: none.
	AppIDExclude string
}

// Register makes a credential (CTAP 2.1, section 6.1). If the key wants its PIN
// for that, the person is asked by Prompt.PIN.
func (k *Key) Register(ctx context.Context, r Registration) (*ctap2.MakeCredentialResponse, error) {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return nil, err
	}
	if onlyU2F(info) {
		return k.registerU2F(ctx, r)
	}
	if err := k.excludeByAppID(ctx, r); err != nil {
		return nil, err
	}
	if rk, _ := info.Option(ctap2.OptionRK); r.Discoverable && !rk {
		return nil, errors.New("the key cannot store discoverable credentials")
	}
	defer func() { k.info = nil }() // the room that is left changes
	return verifyUser(ctx, k, verification{
		wanted:     r.UserVerification,
		keyInsists: insistsToRegister(info, r.Discoverable),
		need:       pin.Grant{Permissions: ctap2.PermissionMC, RPID: r.RP.ID},
	}, r.ClientDataHash, func(proof proof) (*ctap2.MakeCredentialResponse, error) {
		options := ctap2.Options{UV: proof.uv}
		if r.Discoverable {
			options.RK = &r.Discoverable
		}
		return ctap2.Do(ctx, k.dev, ctap2.MakeCredential{
			ClientDataHash:    r.ClientDataHash,
			RP:                r.RP,
			User:              r.User,
			PubKeyCredParams:  r.Parameters,
			ExcludeList:       r.Exclude,
			Options:           orNil(options),
			PINUVAuthParam:    proof.param,
			PINUVAuthProtocol: proof.protocol,
		})
	})
}

// Assertion is what a sign-in asks for.
type Assertion struct {
	ClientDataHash   []byte // SHA-256, 32 bytes
	RPID             string
	Allow            []ctap2.Descriptor // empty: any discoverable credential
	UserVerification UserVerification
	// AppID is tried where the key has no credential in Allow under RPID; it is
	// what they were registered with over U2F (WebAuthn Level 3, section 10.1.1).
	// Whether it was used shows in the RP ID hash of the authenticator data.
	AppID string
}

// Authenticate returns an assertion for each credential that the key has for the
// relying party, newest first; with an allow list it is one (CTAP 2.1, sections
// 6.2 and 6.3).
func (k *Key) Authenticate(ctx context.Context, a Assertion) ([]*ctap2.GetAssertionResponse, error) {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return nil, err
	}
	if onlyU2F(info) {
		assertion, err := k.authenticateU2F(ctx, a, a.AppID)
		return alone(assertion, err)
	}
	if a.AppID != "" {
		return k.authenticateAppID(ctx, a)
	}
	alwaysUV, _ := info.Option(ctap2.OptionAlwaysUV)
	first, err := verifyUser(ctx, k, verification{
		wanted:     a.UserVerification,
		keyInsists: alwaysUV,
		need:       pin.Grant{Permissions: ctap2.PermissionGA, RPID: a.RPID},
	}, a.ClientDataHash, func(proof proof) (*ctap2.GetAssertionResponse, error) {
		return ctap2.Do(ctx, k.dev, ctap2.GetAssertion{
			RPID:              a.RPID,
			ClientDataHash:    a.ClientDataHash,
			AllowList:         a.Allow,
			Options:           orNil(ctap2.Options{UV: proof.uv}),
			PINUVAuthParam:    proof.param,
			PINUVAuthProtocol: proof.protocol,
		})
	})
	if err != nil {
		return nil, err
	}
	if len(a.Allow) > 0 {
		if first.Credential == nil && len(a.Allow) == 1 {
			first.Credential = &a.Allow[0] // CTAP 2.0 keys leave it out
		}
		first.NumberOfCredentials = 0
	}
	return k.rest(ctx, first)
}

// rest fetches the assertions that follow the first. A key that names no
// credential, or one a second time, is not believed.
func (k *Key) rest(ctx context.Context, first *ctap2.GetAssertionResponse) ([]*ctap2.GetAssertionResponse, error) {
	var all []*ctap2.GetAssertionResponse
	seen := map[string]bool{}
	for assertion := first; ; {
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

// orNil leaves the options map away when no option is sent.
func orNil(o ctap2.Options) *ctap2.Options {
	if o == (ctap2.Options{}) {
		return nil
	}
	return &o
}
