package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/webauthn"
)

type registerOptions struct {
	rp                        relyingParty
	rpIDs                     []string
	rpFile                    string
	presets                   []string
	user, displayName, userID string
	algorithms                []string
	discoverable              string
	notDiscoverable           bool
	exclude                   []string // files
	appIDExclude              string
	attestation, enterprise   string
	extensions                registrationExtensions
	batch                     batch

	system systemChoice

	creations []*webauthn.Creation // in a batch more than one
}

// creationFlags say what is asked for, as --options does.
var creationFlags = []string{
	"preset", "rp", "rps", "user", "display-name", "user-id", "algorithm", "discoverable", "no-discoverable", "exclude", "app-id-exclude",
	"attestation", "user-verification", "count", "keep",
	"cred-protect", "enforce", "cred-blob", "cred-props", "hmac-secret", "prf", "prf-file", "large-blob", "min-pin-length",
	"pin-complexity-policy", "third-party-payment", "uvm",
}

func newRegisterCmd(e *env) *cobra.Command {
	o := registerOptions{discoverable: "required", attestation: webauthn.AttestationDirect}
	cmd := &cobra.Command{
		Use:   "register --rp RPID --user NAME | --preset NAME | --options FILE",
		Short: "Make a credential as a browser would, and check the answer",
		Long: `Make a credential as a browser would, check the answer as a relying party would,
and show what was found. The credential stays on the key, unless it was made with
--no-discoverable: then it is in the answer, and only there.

The result of --json is a RegistrationResponseJSON of WebAuthn, with the request,
the options and the checks in members of their own. --credential saves the response
alone, for 'fidokey authenticate --credential' and 'fidokey verify'; secrets of --prf
are not saved.

--options takes the PublicKeyCredentialCreationOptionsJSON of a server instead of the
flags that say what is asked for: bare, in the member "publicKey", or as Microsoft
Graph has it. What no browser would do for the page at --origin is refused before
the key is touched.

` + presetsHelp() + `
` + batchHelp + `
A key that speaks U2F only needs --no-discoverable (or --discoverable preferred),
has ES256 only, verifies no user and knows no extension.

` + systemHelp,
		Example: `  fidokey register --rp login.microsoftonline.com --user alice@example.com --credential alice.json
  fidokey register --preset entra,google,github --count 1
  fidokey register --options creation.json --origin https://login.example.com
  fidokey register --rp example.com --user alice --no-discoverable --attestation none
  fidokey register --rp example.com --user alice --cred-protect 3 --prf 'disk key' --large-blob required`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd, e); err != nil {
				return err
			}
			if o.system.chosen(e) {
				return e.registerThroughSystem(cmd, &o)
			}
			return runRegister(cmd.Context(), e, &o)
		},
	}
	o.rp.addFlags(cmd, "save the registration in this new file")
	flags := cmd.Flags()
	flags.StringSliceVar(&o.rpIDs, "rp", nil, "the RP ID, as in login.microsoft.com; several, with commas: for a batch")
	flags.StringVar(&o.rpFile, "rps", "", "make a batch for the RP IDs in this file, one a line; '-' is standard input")
	flags.StringSliceVar(&o.presets, "preset", nil, "ask for what a well-known relying party asks for; several, with commas: for a batch")
	flags.StringVar(&o.user, "user", "", "the user's account name (default with --preset: "+testUser+")")
	flags.StringVar(&o.displayName, "display-name", "", "the user's name for people (default: the account name)")
	flags.StringVar(&o.userID, "user-id", "", "the user handle, 1 to 64 bytes in hexadecimal (default: random bytes, mostly 32)")
	flags.StringSliceVar(&o.algorithms, "algorithm", []string{"ES256", "EdDSA", "RS256"}, "the algorithms, preferred first")
	flags.Var(oneOf{&o.discoverable, []string{"required", "preferred", "discouraged"}}, "discoverable", "whether the key stores the credential, as a passkey: required, preferred or discouraged")
	flags.BoolVar(&o.notDiscoverable, "no-discoverable", false, "the same as --discoverable discouraged")
	cmd.MarkFlagsMutuallyExclusive("discoverable", "no-discoverable")
	flags.StringArrayVar(&o.exclude, "exclude", nil, "make nothing if the key has the credential of this saved registration; may be repeated")
	flags.StringVar(&o.appIDExclude, "app-id-exclude", "", "the U2F AppID that credentials of --exclude may belong to")
	flags.Var(oneOf{&o.attestation, []string{webauthn.AttestationNone, webauthn.AttestationIndirect, webauthn.AttestationDirect, webauthn.AttestationEnterprise}}, "attestation", "none, indirect, direct or enterprise: what proves the model")
	flags.Var(oneOf{&o.enterprise, []string{"vendor", "platform"}}, "enterprise-attestation", "who chose the RP ID for '--attestation enterprise': vendor or platform (default: vendor)")
	o.extensions.addFlags(cmd)
	o.batch.addFlags(cmd)
	o.system.addFlags(cmd)
	addChangeFlags(e, cmd, true)
	return cmd
}

// check reads the flags and files, and has the client agree; it does not reach the
// key.
func (o *registerOptions) check(cmd *cobra.Command, e *env) error {
	if err := errors.Join(o.batch.check(cmd), o.rp.onceFromStdin(o.rp.options, o.rpFile)); err != nil {
		return err
	}
	pages, err := o.pages(cmd, e)
	if err != nil {
		return err
	}
	o.batch.wanted = o.batch.wanted || len(pages) > 1 || o.rpFile != ""
	for _, p := range pages {
		for n := range o.batch.count {
			if err := o.add(cmd.Context(), p, n); err != nil {
				return err
			}
		}
	}
	if err := o.checkEnterprise(); err != nil {
		return err
	}
	if o.rp.options != "" {
		e.waitAs(cmd, o.creations[0].Lifetime)
	}
	if o.batch.wanted {
		return o.batch.fits(o)
	}
	return refuseOldFile("--credential", o.rp.credential)
}

// A page is what asks for a credential: its client, and the options without those
// that are new each time.
type page struct {
	client  *webauthn.Client
	options webauthn.CreationOptions
	handle  func() webauthn.Base64URL // a user handle
}

// pages are whoever is to ask: --options, presets or the flags say it.
func (o *registerOptions) pages(cmd *cobra.Command, e *env) ([]page, error) {
	switch {
	case o.rp.options != "":
		return o.fileOptions(cmd, e)
	case len(o.presets) > 0:
		return o.presetOptions(cmd)
	}
	return o.flagOptions(cmd, e)
}

func (o *registerOptions) fileOptions(cmd *cobra.Command, e *env) ([]page, error) {
	if err := contradicts(cmd, "--options", creationFlags); err != nil {
		return nil, err
	}
	options, err := readOptions(e, o.rp.options, webauthn.ParseCreationOptions)
	if err != nil {
		return nil, err
	}
	c, err := o.rp.client(options.RP.ID)
	return []page{{client: c, options: *options}}, err
}

func (o *registerOptions) presetOptions(cmd *cobra.Command) (pages []page, err error) {
	if o.user == "" {
		o.user = testUser
	}
	excluded, err := o.checkUser()
	if err != nil {
		return nil, err
	}
	for _, name := range o.presets {
		p, err := presetNamed(name)
		if err != nil {
			return nil, err
		}
		own := []string{"preset", "user", "display-name", "user-id", "exclude", "count", "keep"}
		if err := contradicts(cmd, "--preset "+name, without(creationFlags, own...)); err != nil {
			return nil, err
		}
		c, err := o.rp.client(p.options.RP.ID)
		if err != nil {
			return nil, err
		}
		c.Origin, c.NoWeb = cmp.Or(o.rp.origin, p.origin), p.noWeb
		options := p.options
		options.ExcludeCredentials = excluded
		pages = append(pages, page{c, options, p.handle})
	}
	return pages, nil
}

// flagOptions makes the options that the flags describe, for each RP ID.
func (o *registerOptions) flagOptions(cmd *cobra.Command, e *env) (pages []page, err error) {
	if o.rpFile != "" {
		if o.rpIDs, err = e.readRPIDs(o.rpIDs, o.rpFile); err != nil {
			return nil, err
		}
	}
	switch {
	case len(o.rpIDs) == 0:
		return nil, usageError{errors.New("a required flag is missing: --rp, --rps, --preset or --options says who asks")}
	case o.user == "":
		return nil, usageError{errors.New("the required flag --user is missing, or empty")}
	}
	options, err := o.describe(cmd)
	if err != nil {
		return nil, err
	}
	for _, id := range o.rpIDs {
		if err := checkRPID(id); err != nil {
			return nil, err
		}
		c, err := o.rp.client(id)
		if err != nil {
			return nil, err
		}
		options.RP = webauthn.RPEntity{ID: id, Name: id}
		pages = append(pages, page{c, options, func() webauthn.Base64URL { return newHandle("", 32) }})
	}
	return pages, nil
}

// describe returns the options but for the relying party.
func (o *registerOptions) describe(cmd *cobra.Command) (options webauthn.CreationOptions, err error) {
	if o.notDiscoverable {
		o.discoverable = "discouraged"
	}
	if o.enterprise != "" {
		if cmd.Flags().Changed("attestation") && o.attestation != webauthn.AttestationEnterprise {
			return options, usageError{fmt.Errorf("--enterprise-attestation does not go with --attestation %s", o.attestation)}
		}
		o.attestation = webauthn.AttestationEnterprise
	}
	if err := o.extensions.check(); err != nil {
		return options, err
	}
	if o.appIDExclude != "" {
		if len(o.exclude) == 0 {
			return options, usageError{errors.New("--app-id-exclude is for --exclude")}
		}
		o.extensions.AppIDExclude = &o.appIDExclude
	}
	options.AuthenticatorSelection.ResidentKey = o.discoverable
	options.AuthenticatorSelection.UserVerification = o.rp.userVerification.String()
	options.Attestation, options.Extensions = o.attestation, o.extensions.ExtensionInputs
	for _, name := range o.algorithms {
		algorithm, err := cose.ParseAlgorithm(name)
		if err != nil {
			return options, usageError{fmt.Errorf("--algorithm: %w", err)}
		}
		options.PubKeyCredParams = append(options.PubKeyCredParams, webauthn.CredentialParameters{Type: ctap2.PublicKeyType, Algorithm: algorithm})
	}
	options.ExcludeCredentials, err = o.checkUser()
	return options, err
}

// checkUser checks the flags that go with --preset too: the user, and whom not to
// make a credential beside.
func (o *registerOptions) checkUser() (excluded webauthn.CredentialList, err error) {
	if o.displayName == "" {
		o.displayName = o.user
	}
	if o.userID != "" {
		if id, err := hex.DecodeString(o.userID); err != nil || len(id) == 0 || len(id) > 64 {
			return nil, usageError{fmt.Errorf("--user-id %q is not 1 to 64 bytes in hexadecimal", o.userID)}
		}
	}
	registrations, err := loadRegistrations(o.exclude)
	return listOf(registrations), err
}

// add has the client agree to the nth credential for a page.
func (o *registerOptions) add(ctx context.Context, p page, n int) error {
	options := p.options
	if p.handle != nil {
		options.Challenge = newChallenge()
		options.User = webauthn.UserEntity{ID: p.handle(), Name: o.user, DisplayName: o.displayName}
		if o.userID != "" {
			options.User.ID, _ = hex.DecodeString(o.userID)
		}
		if o.batch.count > 1 {
			options.User.Name = fmt.Sprintf("%s %d", o.user, n+1)
		}
	}
	c, err := p.client.NewCreation(ctx, &options)
	if err != nil {
		return err
	}
	o.creations = append(o.creations, c)
	return nil
}

// newHandle returns a user handle of random bytes behind a prefix.
func newHandle(prefix string, size int) webauthn.Base64URL {
	handle := make([]byte, size)
	rand.Read(handle[copy(handle, prefix):])
	return handle
}

// checkEnterprise sets who has chosen the relying party.
func (o *registerOptions) checkEnterprise() error {
	for _, c := range o.creations {
		switch {
		case o.enterprise != "" && c.Attestation != webauthn.AttestationEnterprise:
			return usageError{fmt.Errorf("--enterprise-attestation: attestation %q is asked for", c.Attestation)}
		case o.enterprise == "platform":
			c.EnterpriseAttestation = client.PlatformManaged
		}
	}
	return nil
}

func runRegister(ctx context.Context, e *env, o *registerOptions) error {
	if o.batch.wanted {
		return e.runBatch(ctx, o)
	}
	c := o.creations[0]
	return e.onKey(ctx, e.prompt(&o.rp.pin, nil), func(ctx context.Context, key *openedKey) (report, error) {
		if e.dryRun {
			return dryRunOn(ctx, key, fmt.Sprintf("register %s at %s (discoverable: %s)", c.User.Name, c.RPID, residentKey(c)))
		}
		return e.register(ctx, key, o, c)
	})
}

// residentKey is what the options say of it, in one word.
func residentKey(c *webauthn.Creation) string {
	word := "discouraged"
	if c.AuthenticatorSelection.RequireResidentKey {
		word = "required"
	}
	return cmp.Or(c.AuthenticatorSelection.ResidentKey, word)
}

// register makes the credential. With a report an error is about what a relying
// party would say of it.
func (e *env) register(ctx context.Context, key *openedKey, o *registerOptions, c *webauthn.Creation) (report, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	made, err := makeCredential(ctx, key, info, c)
	if err != nil {
		return nil, err
	}
	r, err := judgeRegistration(c, made, info.Transports, info.AAGUID)
	if err != nil {
		return nil, err
	}
	return r, e.registered(o, r)
}

func makeCredential(ctx context.Context, key *openedKey, info *ctap2.GetInfoResponse, c *webauthn.Creation) (*client.Registered, error) {
	registration, err := c.Registration(info)
	if err != nil {
		return nil, err
	}
	return key.Register(ctx, registration)
}

// judgeRegistration has a relying party look at a new credential.
func judgeRegistration(c *webauthn.Creation, made *client.Registered, transports []string, aaguid ctap2.AAGUID) (*registrationReport, error) {
	response, err := c.Response(made, transports)
	if err != nil {
		return nil, err
	}
	asked := ofCreation(c)
	expected := asked.expected()
	expected.Algorithms, expected.AAGUID = c.Algorithms(), aaguid
	r := &registrationReport{
		RegistrationResponse: response, Request: asked, Options: c.CreationOptions, explanation: explainRegistration(response, expected),
		AuthenticatorExtensionResults: authenticatorResults(made.Extensions),
		NotSent:                       made.Extensions.NotSent, user: c.User.Name, outputs: ofRegistration(c, made.Extensions),
	}
	if c.Attestation == webauthn.AttestationEnterprise {
		r.EnterpriseAttestation = &made.EnterpriseAttestation
	}
	return r, nil
}

// registered tells of a new credential, and saves it.
func (e *env) registered(o *registerOptions, r *registrationReport) error {
	r.all = o.rp.explain
	e.noteNotSent(r.NotSent)
	e.noteEntra(r.Request.RPID)
	err := r.Checks.failed("registration")
	if r.savedIn = o.rp.credential; r.savedIn != "" {
		if failed := saveRegistration(r.savedIn, r.RegistrationResponse); failed != nil {
			err = errors.Join(err, fmt.Errorf("the credential was made, but could not be saved: %w", failed))
		}
	}
	return err
}

// registrationReport is the answer of "register".
type registrationReport struct {
	*webauthn.RegistrationResponse
	Request request `json:"request"`
	// Options are the whole of what the relying party asked for.
	Options *webauthn.CreationOptions `json:"options"`
	explanation
	// AuthenticatorExtensionResults are outputs of the key for which WebAuthn has
	// no place.
	AuthenticatorExtensionResults map[string]any `json:"authenticatorExtensionResults,omitempty"`
	NotSent                       []string       `json:"notSent,omitempty"` // extensions that the key does not have
	// EnterpriseAttestation says whether it was given, where it was asked for.
	EnterpriseAttestation *bool `json:"enterpriseAttestation,omitempty"`

	user, savedIn string
	outputs       *results
}

func (r *registrationReport) print(w *printer) {
	w.printf("Registered %s at %s.", r.user, r.Request.RPID)
	w.printf("")
	w.line("Credential ID", "%v", r.ID)
	if credential, data, err := r.Credential(); err == nil {
		w.line("Model", "%s", modelName(credential.AAGUID))
		w.line("AAGUID", "%v", credential.AAGUID)
		w.line("Flags", "%v", data.Flags)
		w.line("Signature counter", "%d", data.SignCount)
	}
	w.line("Public key", "%v", r.Response.PublicKeyAlgorithm)
	if transports := r.Response.Transports; len(transports) > 0 { // keys of CTAP 2.0 do not tell
		w.line("Transports", "%s", strings.Join(transports, ", "))
	}
	if given := r.EnterpriseAttestation; given != nil {
		w.line("Enterprise attestation", "%s", map[bool]string{true: "given", false: "not given; the key did not identify itself"}[*given])
	}
	r.outputs.print(w)
	if r.savedIn != "" {
		w.line("Saved in", "%s", r.savedIn)
	}
	r.explanation.print(w)
}
