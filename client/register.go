package client

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/transport"
)

// Registration is what a new credential shall be.
type Registration struct {
	ClientDataHash []byte // SHA-256, 32 bytes
	RP             ctap2.RP
	User           ctap2.User
	// Parameters are the algorithms, preferred first. Those that the key does not
	// list are not sent, unless it lists none of them.
	Parameters []ctap2.CredentialParameters
	// Exclude names credentials beside which no other shall be made. It may be of
	// any length.
	Exclude []ctap2.Descriptor
	// AppIDExclude is the U2F application that credentials of Exclude may belong
	// to (WebAuthn Level 3, section 10.1.2); empty if there is none.
	AppIDExclude     string
	Discoverable     bool
	UserVerification UserVerification
	Extensions       RegistrationExtensions
	// EnterpriseAttestation asks for a statement that may identify the key. It is
	// not sent to a key on which that is not enabled.
	EnterpriseAttestation EnterpriseAttestation
	// AttestationFormats are preferred first, for keys that list theirs (CTAP 2.2).
	AttestationFormats []string
}

// EnterpriseAttestation is who has decided which relying party may identify the
// key (CTAP 2.1, section 7.1). The zero value asks for plain attestation.
type EnterpriseAttestation uint

const (
	VendorFacilitated EnterpriseAttestation = 1 // the key's maker
	PlatformManaged   EnterpriseAttestation = 2 // we have
)

// ErrNoDiscoverable is returned where a discoverable credential is asked of a key
// that stores none. Nothing was sent.
var ErrNoDiscoverable = errors.New("the key cannot store discoverable credentials")

// Registered is a new credential.
type Registered struct {
	// The answer as it came. AuthData is what is signed; Data is read from it.
	*ctap2.MakeCredentialResponse
	Data       *ctap2.AuthenticatorData
	Extensions RegistrationOutputs
}

// Register makes a credential (CTAP 2.1, section 6.1). If the key wants its PIN
// for that, the person is asked by Prompt.PIN. An exclude list of which the key
// has a credential ends in [ctap2.ErrCredentialExcluded], after a touch.
func (k *Key) Register(ctx context.Context, r Registration) (*Registered, error) {
	return withTaps(ctx, k, func() (*Registered, error) { return k.register(ctx, r) })
}

func (k *Key) register(ctx context.Context, r Registration) (*Registered, error) {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return nil, err
	}
	c, err := newCreation(k, &r)
	if err != nil {
		return nil, err
	}
	if onlyU2F(info) {
		resp, err := k.registerU2F(ctx, r)
		if err != nil {
			return nil, err
		}
		return c.registered(ctx, resp, nil)
	}
	if rk, _ := info.Option(ctap2.OptionRK); r.Discoverable && !rk {
		return nil, ErrNoDiscoverable
	}
	if r.AppIDExclude != "" {
		if err := c.checkAppID(ctx); err != nil {
			return nil, err
		}
	}
	defer func() { k.info = nil }() // the room that is left changes
	return verifyUser(ctx, k, c.verification(), func(p proof) (*Registered, error) { return c.run(ctx, p) })
}

// A creation is a registration on its way to the key.
type creation struct {
	*Registration
	k       *Key
	info    *ctap2.GetInfoResponse
	inputs  inputs
	salts   [][]byte             // for hmac-secret-mc
	request ctap2.MakeCredential // but for the user verification and hmac-secret-mc
	exclude []ctap2.Descriptor
	search  bool // the exclude list does not fit into the request
}

func newCreation(k *Key, r *Registration) (*creation, error) {
	c := &creation{Registration: r, k: k, info: k.info, inputs: inputs{info: k.info}, exclude: sendable(k.info, r.Exclude)}
	if err := c.inputs.forRegistration(&r.Extensions, r.Discoverable); err != nil {
		return nil, err
	}
	if err := c.chooseSalts(); err != nil {
		return nil, err
	}
	c.request = ctap2.MakeCredential{
		ClientDataHash:   r.ClientDataHash,
		RP:               r.RP,
		User:             r.User,
		PubKeyCredParams: listedParameters(c.info, r.Parameters),
		Extensions:       c.inputs.sent,
	}
	c.attestation()
	whole := c.request
	whole.ExcludeList, whole.PINUVAuthParam, whole.PINUVAuthProtocol = c.exclude, longestParam[:], uint(pin.Two)
	whole.Options = &ctap2.Options{RK: new(true)}
	if c.salts != nil {
		whole.Extensions = maps.Clone(whole.Extensions)
		if err := whole.Extensions.Set(ctap2.ExtensionHMACSecretMC, make([]byte, hmacSecretInputSize)); err != nil {
			return nil, err
		}
	}
	c.search = len(c.exclude) > 1 && (len(c.exclude) > listEntries(c.info) || !fits(c.info, whole))
	return c, nil
}

// chooseSalts finds the salts for hmac-secret-mc. prf has them only for a user
// who is verified; else it is evaluated at the first sign-in.
func (c *creation) chooseSalts() error {
	e := &c.Extensions
	if err := checkSalts(e.HMACSecretSalts); err != nil {
		return err
	}
	c.salts = e.HMACSecretSalts
	if e.PRF != nil {
		if c.salts != nil {
			return errSaltsAndPRF
		}
		if len(e.PRF.EvalByCredential) > 0 {
			return errors.New("prf: evalByCredential is not for registrations")
		}
		if protected(c.info) {
			c.salts = e.PRF.Eval.salts()
		}
	}
	if c.salts != nil && !(listsExtension(c.info, ctap2.ExtensionHMACSecretMC) && listsExtension(c.info, ctap2.ExtensionHMACSecret)) {
		c.salts = nil
		c.inputs.notSent = append(c.inputs.notSent, ctap2.ExtensionHMACSecretMC)
	}
	return nil
}

// attestation asks for what the key has.
func (c *creation) attestation() {
	if ep, _ := c.info.Option(ctap2.OptionEP); ep {
		c.request.EnterpriseAttestation = uint(c.EnterpriseAttestation)
	} else if c.EnterpriseAttestation != 0 {
		c.inputs.notSent = append(c.inputs.notSent, "enterpriseAttestation")
	}
	if len(c.info.AttestationFormats) > 0 {
		c.request.AttestationFormatsPreference = c.AttestationFormats
	} else if len(c.AttestationFormats) > 0 {
		c.inputs.notSent = append(c.inputs.notSent, "attestationFormatsPreference")
	}
}

func (c *creation) verification() verification {
	v := verification{
		wanted:     c.UserVerification,
		keyInsists: insistsToRegister(c.info, c.Discoverable),
		need:       pin.Grant{Permissions: ctap2.PermissionMC, RPID: c.RP.ID},
	}
	if c.search { // with the same token, for it must not be asked for twice
		v.need.Permissions |= ctap2.PermissionGA
	}
	if c.salts != nil && c.Extensions.PRF != nil {
		v.wanted = Required
	}
	return v
}

// run makes the credential.
func (c *creation) run(ctx context.Context, p proof) (*Registered, error) {
	req := c.request
	req.Options = &ctap2.Options{UV: p.uv}
	if c.Discoverable {
		req.Options.RK = &c.Discoverable
	}
	req.Options = orNil(*req.Options)
	req.PINUVAuthParam, req.PINUVAuthProtocol = p.param(req.ClientDataHash)
	req.ExcludeList = c.exclude
	if c.search {
		s := &search{k: c.k, rpID: c.RP.ID, token: p.token}
		found, err := s.find(ctx, c.exclude)
		if err != nil {
			return nil, err
		}
		req.ExcludeList = nil
		if found != nil { // the key says so itself, after a touch
			req.ExcludeList = []ctap2.Descriptor{*found}
		}
	}
	return withSalts(ctx, c.k, c.salts, func(in *ctap2.HMACSecretInput, secret *pin.Secret) (*Registered, error) {
		if in != nil {
			req.Extensions = maps.Clone(req.Extensions)
			if err := req.Extensions.Set(ctap2.ExtensionHMACSecretMC, in); err != nil {
				return nil, err
			}
		}
		resp, err := c.k.makeCredential(ctx, req)
		if err != nil {
			return nil, err
		}
		made, err := c.registered(ctx, resp, secret)
		return made, misread(req, err)
	})
}

// checkAppID looks for credentials of U2F, before there is a token: one for this
// relying party would be lost, for some keys void it at the first request for
// another.
func (c *creation) checkAppID(ctx context.Context) error {
	s := &search{k: c.k, rpID: c.AppIDExclude}
	found, err := s.find(ctx, c.exclude)
	if errors.Is(err, ctap2.ErrPUATRequired) {
		return nil // what asks for user verification is not of U2F
	}
	if found == nil || err != nil {
		return err
	}
	// The person touches the key before anybody learns what it has. The signature
	// is for nothing, so a refusal does not matter.
	_, err = ctap2.Do(ctx, c.k.dev, ctap2.GetAssertion{RPID: c.AppIDExclude, ClientDataHash: make([]byte, 32), AllowList: []ctap2.Descriptor{*found}})
	var refused *ctap2.Error
	if err != nil && !errors.As(err, &refused) {
		return err
	}
	return errExcluded()
}

// listedParameters are those of the key: some refuse a list for one entry that
// they do not know. If nothing is left, the key shall say so itself.
func listedParameters(info *ctap2.GetInfoResponse, wanted []ctap2.CredentialParameters) []ctap2.CredentialParameters {
	var listed []ctap2.CredentialParameters
	for _, p := range wanted {
		if slices.Contains(info.Algorithms, p) {
			listed = append(listed, p)
		}
	}
	if listed == nil {
		return wanted
	}
	return listed
}

// makeCredential sends a request, and others in its place where a key refuses for
// no good reason. That is safe with the same token: what is looked at here comes
// before the touch that uses it up (CTAP 2.1, section 6.1.2, step 3). If a key
// does otherwise, its first answer stands; no PIN is asked for again.
func (k *Key) makeCredential(ctx context.Context, req ctap2.MakeCredential) (*ctap2.MakeCredentialResponse, error) {
	resp, err := ctap2.Do(ctx, k.dev, req)
	for _, other := range k.otherwise(req, err) {
		made, again := ctap2.Do(ctx, k.dev, other.request)
		switch {
		case again == nil:
			transport.Tolerate(ctx, ctap2.Finding{What: fmt.Sprintf("%v, but not %s", err, other.change), Where: ctap2.CommandMakeCredential.String()})
			return made, nil
		case deadToken(again):
			return nil, err
		case !sameStatus(err, again):
			return nil, again
		}
	}
	return resp, err
}

// otherwise is a request that may do better.
type otherwise struct {
	request ctap2.MakeCredential
	change  string
}

// otherwise returns what to try after err: one algorithm after the other, or
// names of no more than the 64 bytes that every key must take.
func (k *Key) otherwise(req ctap2.MakeCredential, err error) (others []otherwise) {
	switch {
	case errors.Is(err, ctap2.ErrUnsupportedAlgorithm) && len(req.PubKeyCredParams) > 1 && k.maySupport(req.PubKeyCredParams):
		for _, p := range req.PubKeyCredParams {
			single := req
			single.PubKeyCredParams = []ctap2.CredentialParameters{p}
			others = append(others, otherwise{single, fmt.Sprintf("for %v alone", p.Algorithm)})
		}
	case meansTooLong(err):
		short := req
		short.User.Name, short.User.DisplayName = cutName(req.User.Name), cutName(req.User.DisplayName)
		if short.User.Name != req.User.Name || short.User.DisplayName != req.User.DisplayName {
			others = append(others, otherwise{short, "with names cut to 64 bytes"})
		}
	}
	return others
}

// maySupport reports whether the key lists the algorithms, or none at all.
func (k *Key) maySupport(params []ctap2.CredentialParameters) bool {
	return len(k.info.Algorithms) == 0 || slices.Contains(k.info.Algorithms, params[0])
}

// meansTooLong reports whether a key may refuse a request for its length. Some
// say so by a status of their maker's.
func meansTooLong(err error) bool {
	var refused *ctap2.Error
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Status {
	case ctap2.ErrInvalidLength, ctap2.ErrInvalidParameter, ctap2.ErrLimitExceeded, ctap2.ErrInvalidCBOR, ctap2.ErrRequestTooLarge, ctap2.ErrOther:
		return true
	}
	return refused.Status >= 0xf0
}

const maxNameSize = 64 // bytes that a key takes of a name (CTAP 2.1, section 6.1.2)

// cutName cuts a name between two code points.
func cutName(name string) string {
	if len(name) <= maxNameSize {
		return name
	}
	end := maxNameSize
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end]
}

func sameStatus(a, b error) bool {
	var first, second *ctap2.Error
	return errors.As(a, &first) && errors.As(b, &second) && first.Status == second.Status
}

// registered reads the answer.
func (c *creation) registered(ctx context.Context, resp *ctap2.MakeCredentialResponse, secret *pin.Secret) (*Registered, error) {
	data, err := ctap2.ParseAuthenticatorData(resp.AuthData)
	if err != nil {
		return nil, fmt.Errorf("%v: %w: %w", ctap2.CommandMakeCredential, ctap2.ErrMalformed, err)
	}
	if data.Credential == nil {
		return nil, fmt.Errorf("%v: %w: authenticator data has no credential", ctap2.CommandMakeCredential, ctap2.ErrMalformed)
	}
	out := newOutputs(ctx, ctap2.CommandMakeCredential, data.Extensions)
	made := &Registered{MakeCredentialResponse: resp, Data: data}
	made.Extensions = RegistrationOutputs{
		CredBlob:            optionalOutput[bool](out, ctap2.ExtensionCredBlob),
		MinPINLength:        optionalOutput[uint](out, ctap2.ExtensionMinPINLength),
		PINComplexityPolicy: optionalOutput[bool](out, ctap2.ExtensionPINComplexityPolicy),
		HMACSecret:          optionalOutput[bool](out, ctap2.ExtensionHMACSecret),
		HMACSecretOutputs:   out.secrets(ctap2.ExtensionHMACSecretMC, secret, len(c.salts)),
		LargeBlob:           c.largeBlobSupported(resp),
		NotSent:             c.inputs.notSent,
	}
	out.read(ctap2.ExtensionCredProtect, &made.Extensions.CredProtect)
	out.read(ctap2.ExtensionUVM, &made.Extensions.UVM)
	made.Extensions.Others = out.others
	if c.Extensions.PRF != nil {
		enabled := made.Extensions.HMACSecret
		made.Extensions.PRF = &PRFOutputs{Enabled: enabled != nil && *enabled, Results: prfValues(made.Extensions.HMACSecretOutputs)}
	}
	if c.Extensions.CredProps {
		made.Extensions.CredProps = c.credProps()
	}
	if got, asked := made.Extensions.CredProtect, c.Extensions.CredProtect; c.Extensions.EnforceCredProtect && got < asked {
		out.tolerate(ctap2.ExtensionCredProtect, fmt.Errorf("%v was asked for", asked))
	}
	return made, nil
}

// credProps says whether the credential is discoverable. Before CTAP 2.1 a key
// was free to make every credential so.
func (c *creation) credProps() *CredProps {
	canStore, _ := c.info.Option(ctap2.OptionRK)
	if !c.Discoverable && canStore && !c.info.HasVersion(ctap2.VersionFIDO21) && !c.info.HasVersion(ctap2.VersionFIDO23) {
		return &CredProps{}
	}
	return &CredProps{RK: &c.Discoverable}
}

// largeBlobSupported reports whether there is a place for a large blob; nil if
// none was asked for.
func (c *creation) largeBlobSupported(resp *ctap2.MakeCredentialResponse) *bool {
	if c.Extensions.LargeBlob == "" {
		return nil
	}
	var out ctap2.LargeBlobOutput
	_, err := resp.UnsignedExtensionOutputs.Get(ctap2.ExtensionLargeBlob, &out)
	return new(len(resp.LargeBlobKey) == largeBlobKeySize || err == nil && out.Supported != nil && *out.Supported)
}

// orNil leaves the options map away when no option is sent.
func orNil(o ctap2.Options) *ctap2.Options {
	if o == (ctap2.Options{}) {
		return nil
	}
	return &o
}
