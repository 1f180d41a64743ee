package webauthn

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

// A Client is the browser that shows a page: it decides what the page may ask of a
// key, and vouches for where it comes from.
type Client struct {
	// Origin is where the page comes from: scheme, host and perhaps a port.
	Origin string
	// InsecureLocalhost lets pages from http://localhost use WebAuthn, as browsers
	// do.
	InsecureLocalhost bool
	// RelatedOrigins returns the .well-known/webauthn of a relying party, which
	// names pages of other domains that may use its RP ID. It is called where the
	// origin itself may not. [FetchRelatedOrigins] asks the relying party; nil
	// knows none.
	RelatedOrigins func(ctx context.Context, rpID string) ([]byte, error)
	// NoWeb is for RP IDs that no page can use, as "ssh:": neither RP ID nor origin
	// are looked at.
	NoWeb bool
}

// The lifetime of a request: what a relying party asks for is brought into the
// range that the specification recommends (WebAuthn Level 3, section 5.1.3).
const (
	MinTimeout     = 5 * time.Minute
	MaxTimeout     = 10 * time.Minute
	DefaultTimeout = MinTimeout
)

func lifetime(milliseconds uint) time.Duration {
	if milliseconds == 0 { // what Entra sends where it means none
		return DefaultTimeout
	}
	return min(max(time.Duration(min(uint64(milliseconds), 1<<32))*time.Millisecond, MinTimeout), MaxTimeout)
}

// rpID returns the RP ID for what a page asks for (WebAuthn Level 3, sections 5.1.3
// and 5.1.4: effective domain, RP ID, related origins), and the origin as it stands
// in client data.
func (c *Client) rpID(ctx context.Context, asked string) (rpID string, from origin, err error) {
	if c.NoWeb {
		return asked, origin{}, nil
	}
	if from, err = parseOrigin(c.Origin); err != nil {
		return "", from, err
	}
	if err := from.trustworthy(c.InsecureLocalhost); err != nil {
		return "", from, err
	}
	domain, err := from.effectiveDomain()
	switch {
	case err != nil || asked == "":
		return domain, from, err
	case mayUse(domain, asked):
		return asked, from, CheckRPID(asked)
	}
	if err := CheckRPID(asked); err != nil {
		return "", from, err
	}
	if c.RelatedOrigins == nil {
		return "", from, refuse("SecurityError", "the origin %v may not use the RP ID %s: it must be the origin's host or a suffix of it that is not public", from, asked)
	}
	document, err := c.RelatedOrigins(ctx, asked)
	if err != nil {
		return "", from, err
	}
	if ok, err := related(from, document); !ok || err != nil {
		return "", from, cmp.Or(err, refuse("SecurityError", "the origin %v may not use the RP ID %s, and is none of its related origins", from, asked))
	}
	return asked, from, nil
}

// originText is the origin in client data.
func (c *Client) originText(from origin) string {
	if c.NoWeb {
		return c.Origin
	}
	return from.String()
}

// A Creation is a registration that a client has agreed to.
type Creation struct {
	*CreationOptions
	RPID, Origin   string // as the relying party should find them
	ClientDataJSON []byte
	Lifetime       time.Duration
	AppID          string // of appidExclude, or ""
	// EnterpriseAttestation is who has decided that this relying party may identify
	// the key, where it asks for that. NewCreation leaves that to the key's maker.
	EnterpriseAttestation client.EnterpriseAttestation

	parameters []ctap2.CredentialParameters
	extensions client.RegistrationExtensions
}

// NewCreation is the first half of [[Create]](origin, options,
// sameOriginWithAncestors), up to the moment when a key is needed (WebAuthn Level
// 3, section 5.1.3). An error of type [*Error] is what a page would get.
func (c *Client) NewCreation(ctx context.Context, o *CreationOptions) (*Creation, error) {
	// The steps about frames and documents have no meaning here: the page is at the
	// top. Timeout: into its range.
	r := &Creation{CreationOptions: o, Lifetime: lifetime(o.Timeout)}
	// Length of user.id.
	if n := len(o.User.ID); n < 1 || n > 64 {
		return nil, refuse("TypeError", "user.id has %d bytes, and must have 1 to 64", n)
	}
	// Effective domain, RP ID.
	rpID, from, err := c.rpID(ctx, o.RP.ID)
	if err != nil {
		return nil, err
	}
	r.RPID, r.Origin = rpID, c.originText(from)
	// credTypesAndPubKeyAlgs.
	if r.parameters, err = credentialParameters(o.PubKeyCredParams); err != nil {
		return nil, err
	}
	// Client extension processing.
	if err := r.processExtensions(from); err != nil {
		return nil, err
	}
	// collectedClientData.
	r.ClientDataJSON = ClientData{Type: TypeCreate, Challenge: o.Challenge, Origin: r.Origin}.JSON()
	if o.AuthenticatorSelection.AuthenticatorAttachment == "platform" {
		return nil, errPlatform
	}
	if o.Attestation == AttestationEnterprise {
		r.EnterpriseAttestation = client.VendorFacilitated
	}
	return r, nil
}

// errPlatform stands for the empty list of authenticators.
var errPlatform = &Error{"NotAllowedError", "the relying party wants an authenticator that is built into this device (authenticatorAttachment platform), and a security key is none"}

// credentialParameters leaves out types that are not known. An empty list means
// what it means to all clients.
func credentialParameters(list []CredentialParameters) (parameters []ctap2.CredentialParameters, err error) {
	if len(list) == 0 {
		list = []CredentialParameters{{ctap2.PublicKeyType, cose.ES256}, {ctap2.PublicKeyType, cose.RS256}}
	}
	for _, p := range list {
		if p.Type == ctap2.PublicKeyType {
			parameters = append(parameters, ctap2.CredentialParameters{Type: p.Type, Algorithm: p.Algorithm})
		}
	}
	if parameters == nil {
		return nil, refuse("NotSupportedError", "pubKeyCredParams has no entry of type %s", ctap2.PublicKeyType)
	}
	return parameters, nil
}

// Algorithms are those that the relying party takes.
func (r *Creation) Algorithms() (algorithms []cose.Algorithm) {
	for _, p := range r.parameters {
		algorithms = append(algorithms, p.Algorithm)
	}
	return algorithms
}

// Discoverable reports whether a key makes a discoverable credential, and whether
// nothing else will do.
func (r *Creation) Discoverable(info *ctap2.GetInfoResponse) (discoverable, must bool) {
	selection := r.AuthenticatorSelection
	canStore, _ := info.Option(ctap2.OptionRK)
	switch selection.ResidentKey {
	case required:
		return true, true
	case preferred:
		return canStore, false
	case discouraged:
		return false, false
	}
	return selection.RequireResidentKey, selection.RequireResidentKey
}

// UserVerification is what the relying party asks for.
func (r *Creation) UserVerification() client.UserVerification {
	return userVerification(r.AuthenticatorSelection.UserVerification)
}

func userVerification(word string) client.UserVerification {
	switch word {
	case required:
		return client.Required
	case discouraged:
		return client.Discouraged
	}
	return client.Preferred
}

// Registration is what a key is asked for: the step "an authenticator becomes
// available" of section 5.1.3.
func (r *Creation) Registration(info *ctap2.GetInfoResponse) (client.Registration, error) {
	if most := info.MaxCredBlobLength; most != nil && uint(len(r.extensions.CredBlob)) > *most {
		// The key would make the credential and leave the blob away.
		return client.Registration{}, refuse("NotSupportedError", "credBlob has %d bytes; this key takes %d", len(r.extensions.CredBlob), *most)
	}
	registration := client.Registration{
		ClientDataHash:        Hash(r.ClientDataJSON),
		RP:                    ctap2.RP{ID: r.RPID, Name: r.RP.Name},
		User:                  ctap2.User{ID: r.User.ID, Name: r.User.Name, DisplayName: r.User.DisplayName},
		Parameters:            r.parameters,
		Exclude:               r.ExcludeCredentials.descriptors(),
		AppIDExclude:          r.AppID,
		UserVerification:      r.UserVerification(),
		Extensions:            r.extensions,
		EnterpriseAttestation: r.EnterpriseAttestation,
	}
	registration.Discoverable, _ = r.Discoverable(info)
	switch r.Attestation {
	case AttestationIndirect, AttestationDirect, AttestationEnterprise:
		registration.AttestationFormats = r.AttestationFormats
	}
	return registration, nil
}

// Response is what the page gets: a RegistrationResponseJSON, with the attestation
// as it was asked for. transports are those of the key.
func (r *Creation) Response(made *client.Registered, transports []string) (*RegistrationResponse, error) {
	answer := made.MakeCredentialResponse
	switch r.Attestation {
	case AttestationIndirect, AttestationDirect, AttestationEnterprise: // indirect: we have nobody who would stand in for the maker
	default:
		answer = WithoutAttestation(answer)
	}
	response, err := NewRegistration(r.ClientDataJSON, answer, transports)
	if err != nil {
		return nil, err
	}
	response.ClientExtensionResults = r.results(made.Extensions)
	return response, nil
}

// Create registers with a key, as navigator.credentials.create does.
func (c *Client) Create(ctx context.Context, key *client.Key, o *CreationOptions) (*RegistrationResponse, error) {
	r, err := c.NewCreation(ctx, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.Lifetime)
	defer cancel()
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	registration, err := r.Registration(info)
	if err != nil {
		return nil, err
	}
	made, err := key.Register(ctx, registration)
	if err != nil {
		return nil, err
	}
	return r.Response(made, info.Transports)
}

// A Request is a sign-in that a client has agreed to.
type Request struct {
	*RequestOptions
	RPID, Origin   string // as the relying party should find them
	ClientDataJSON []byte
	Lifetime       time.Duration
	AppID          string // of appid, or ""

	extensions client.AssertionExtensions
}

// NewRequest is the first half of [[DiscoverFromExternalSource]](origin, options,
// sameOriginWithAncestors), as [Client.NewCreation] (WebAuthn Level 3, section
// 5.1.4).
func (c *Client) NewRequest(ctx context.Context, o *RequestOptions) (*Request, error) {
	r := &Request{RequestOptions: o, Lifetime: lifetime(o.Timeout)}
	// Effective domain, RP ID.
	rpID, from, err := c.rpID(ctx, o.RPID)
	if err != nil {
		return nil, err
	}
	r.RPID, r.Origin = rpID, c.originText(from)
	// Client extension processing.
	if err := r.processExtensions(from); err != nil {
		return nil, err
	}
	// collectedClientData.
	r.ClientDataJSON = ClientData{Type: TypeGet, Challenge: o.Challenge, Origin: r.Origin}.JSON()
	// An allow list of which nothing is left is none that asks for any credential.
	if len(o.AllowCredentials) > 0 && o.AllowCredentials.descriptors() == nil {
		return nil, refuse("NotAllowedError", "allowCredentials has no entry of type %s", ctap2.PublicKeyType)
	}
	return r, nil
}

// UserVerification is what the relying party asks for.
func (r *Request) UserVerification() client.UserVerification {
	return userVerification(r.RequestOptions.UserVerification)
}

// Assertion is what a key is asked for.
func (r *Request) Assertion() client.Assertion {
	return client.Assertion{
		ClientDataHash:   Hash(r.ClientDataJSON),
		RPID:             r.RPID,
		Allow:            r.AllowCredentials.descriptors(),
		AppID:            r.AppID,
		UserVerification: r.UserVerification(),
		Extensions:       r.extensions,
	}
}

// Names reports whether a credential will do: it is in the allow list, or there is
// none.
func (r *Request) Names(id []byte) bool {
	return len(r.AllowCredentials) == 0 || slices.ContainsFunc(r.AllowCredentials, func(d CredentialDescriptor) bool { return bytes.Equal(d.ID, id) })
}

// Response is what the page gets: an AuthenticationResponseJSON.
func (r *Request) Response(a *client.Asserted) *AuthenticationResponse {
	response := NewAuthentication(r.ClientDataJSON, a.GetAssertionResponse)
	response.ClientExtensionResults = r.results(a)
	return response
}

// Get signs in with a key, as navigator.credentials.get does. Where several
// accounts answer, choose returns the index of one; nil takes the newest.
func (c *Client) Get(ctx context.Context, key *client.Key, o *RequestOptions, choose func([]*client.Asserted) (int, error)) (*AuthenticationResponse, error) {
	r, err := c.NewRequest(ctx, o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.Lifetime)
	defer cancel()
	all, err := key.Authenticate(ctx, r.Assertion())
	if err != nil {
		return nil, err
	}
	n := 0
	if choose != nil && len(all) > 1 {
		if n, err = choose(all); err != nil {
			return nil, err
		}
		if n < 0 || n >= len(all) {
			return nil, fmt.Errorf("account %d of %d", n, len(all))
		}
	}
	return r.Response(all[n]), nil
}
