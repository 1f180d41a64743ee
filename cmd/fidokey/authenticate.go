package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/webauthn"
)

type authenticateOptions struct {
	rp         relyingParty
	rpID       string
	allow      []string // files
	appID      string
	response   string // file
	choice     accountChoice
	extensions assertionExtensions
	system     systemChoice

	registrations []*webauthn.RegistrationResponse
	request       *webauthn.Request
}

// requestFlags say what is asked for, as --options does.
var requestFlags = []string{
	"rp", "user-verification", "allow", "app-id",
	"cred-blob", "hmac-secret", "prf", "prf-file", "large-blob-write", "third-party-payment", "uvm",
}

func newAuthenticateCmd(e *env) *cobra.Command {
	var o authenticateOptions
	cmd := &cobra.Command{
		Use:   "authenticate --rp RPID [--credential FILE] | --options FILE",
		Short: "Sign in as a browser would, and check the answer",
		Long: `Sign in as a browser would, and check the answer as a relying party would.

With --credential the credential that was saved at registration is asked for, and
the signature is verified with its public key; --allow names others that will do as
well. Without them every discoverable credential for the RP ID answers, and the
signatures cannot be verified.

--options takes the PublicKeyCredentialRequestOptionsJSON of a server instead of the
flags that say what is asked for; --credential then only verifies the signature.

Where several accounts answer, all are shown, newest first. --pick or --first takes
one of them; --response and --large-blob-read need one, and ask on the terminal.

The result of --json has an AuthenticationResponseJSON of WebAuthn for each account,
with the checks in a member of its own. --response saves that of one account, with
the request (challenge, RP ID, origin, user verification) in the member "request",
for 'fidokey verify'; secrets of --prf and --hmac-secret are not saved.

A key that speaks U2F only needs --credential or --allow; it verifies no user and
knows no extension.

` + systemHelp,
		Example: `  fidokey authenticate --rp login.microsoftonline.com --credential alice.json
  fidokey authenticate --rp example.com --first --response signed.json
  fidokey authenticate --options request.json --origin https://login.example.com
  fidokey authenticate --rp example.com --credential alice.json --large-blob-write notes.txt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd, e); err != nil {
				return err
			}
			if o.system.chosen(e) {
				return e.authenticateThroughSystem(cmd, &o)
			}
			return runAuthenticate(cmd.Context(), e, &o)
		},
	}
	o.rp.addFlags(cmd, "the file that 'fidokey register' saved")
	flags := cmd.Flags()
	flags.StringVar(&o.rpID, "rp", "", "the RP ID, as in login.microsoft.com")
	flags.StringArrayVar(&o.allow, "allow", nil, "another saved registration whose credential will do; may be repeated")
	flags.StringVar(&o.appID, "app-id", "", "the U2F AppID that the credentials may belong to")
	flags.StringVar(&o.response, "response", "", "save the assertion in this new file, for 'fidokey verify'")
	o.choice.addFlags(cmd)
	o.extensions.addFlags(cmd)
	o.system.addFlags(cmd)
	addChangeFlags(e, cmd, false)
	return cmd
}

// check reads the flags and files; it does not reach the key.
func (o *authenticateOptions) check(cmd *cobra.Command, e *env) error {
	if err := errors.Join(o.choice.check(), o.rp.onceFromStdin(o.rp.options), refuseOldFile("--response", o.response), refuseOldFile("--large-blob-read", o.extensions.readLargeBlob)); err != nil {
		return err
	}
	options, err := o.options(cmd, e)
	if err != nil {
		return err
	}
	c, err := o.rp.client(options.RPID)
	if err != nil {
		return err
	}
	if o.request, err = c.NewRequest(cmd.Context(), options); err != nil {
		return err
	}
	if o.rp.options != "" {
		e.waitAs(cmd, o.request.Lifetime)
	}
	return nil
}

// options are what the relying party asks for: the flags say it, or a file.
func (o *authenticateOptions) options(cmd *cobra.Command, e *env) (*webauthn.RequestOptions, error) {
	if o.rp.options == "" {
		return o.flagOptions()
	}
	if err := contradicts(cmd, "--options", requestFlags); err != nil {
		return nil, err
	}
	options, err := readOptions(e, o.rp.options, webauthn.ParseRequestOptions)
	if err != nil {
		return nil, err
	}
	if read := options.Extensions.LargeBlob; o.extensions.readLargeBlob != "" && (read == nil || read.Read == nil || !*read.Read) {
		return nil, usageError{errors.New("--large-blob-read: the options do not ask for a large blob")}
	}
	if o.rp.credential == "" {
		return options, nil
	}
	if o.registrations, err = loadRegistrations([]string{o.rp.credential}); err != nil {
		return nil, err
	}
	if named := (&webauthn.Request{RequestOptions: options}).Names(o.registrations[0].RawID); !named {
		return nil, usageError{fmt.Errorf("--credential %s is none that the options allow", o.rp.credential)}
	}
	return options, nil
}

func (o *authenticateOptions) flagOptions() (*webauthn.RequestOptions, error) {
	files := o.allow
	if o.rp.credential != "" {
		files = append([]string{o.rp.credential}, files...)
	}
	if o.rpID == "" {
		return nil, usageError{errors.New("a required flag is missing: --rp or --options says who asks")}
	}
	if err := checkRPID(o.rpID); err != nil {
		return nil, err
	}
	if o.appID != "" {
		if len(files) == 0 {
			return nil, usageError{errors.New("--app-id needs --credential or --allow: U2F keys find nothing by themselves")}
		}
		o.extensions.AppID = &o.appID
	}
	if err := o.extensions.check(client.UserVerification(o.rp.userVerification), len(files) > 0); err != nil {
		return nil, err
	}
	var err error
	if o.registrations, err = loadRegistrations(files); err != nil {
		return nil, err
	}
	return &webauthn.RequestOptions{
		Challenge: newChallenge(), RPID: o.rpID, AllowCredentials: listOf(o.registrations),
		UserVerification: o.rp.userVerification.String(), Extensions: o.extensions.ExtensionInputs,
	}, nil
}

func runAuthenticate(ctx context.Context, e *env, o *authenticateOptions) error {
	return e.onKey(ctx, e.prompt(&o.rp.pin, nil), func(ctx context.Context, key *openedKey) (report, error) {
		if e.dryRun {
			return dryRunOn(ctx, key, "sign in at "+o.request.RPID+change(o.request))
		}
		return e.authenticate(ctx, key, o)
	})
}

// change says what a sign-in changes on the key.
func change(r *webauthn.Request) string {
	if l := r.Extensions.LargeBlob; l != nil && l.Write != nil {
		return fmt.Sprintf(" and store a large blob of %d bytes", len(l.Write))
	}
	return ""
}

// authenticate gets the assertions. With a report an error is about what a
// relying party would say of them, or about a large blob.
func (e *env) authenticate(ctx context.Context, key *openedKey, o *authenticateOptions) (report, error) {
	assertions, err := key.Authenticate(ctx, o.request.Assertion())
	if err != nil {
		return nil, err
	}
	return e.authenticated(ctx, o, assertions)
}

// authenticated judges the assertions, or the one that was chosen, and saves what
// is to be saved.
func (e *env) authenticated(ctx context.Context, o *authenticateOptions, assertions []*client.Asserted) (report, error) {
	assertions, err := o.choice.choose(ctx, e, assertions, o.needsOne())
	if err != nil {
		return nil, err
	}
	asked := ofSignIn(o.request)
	r := &assertionsReport{Request: asked, Options: o.request.RequestOptions, NotSent: assertions[0].Extensions.NotSent}
	var failed []error
	for _, a := range assertions {
		signed := o.judge(asked, a)
		r.Assertions = append(r.Assertions, signed)
		failed = append(failed, signed.Checks.failed("sign-in"), o.saveLargeBlob(a))
	}
	e.noteNotSent(r.NotSent)
	e.noteEntra(asked.RPID)
	if o.registrations == nil {
		e.note("Without --credential the signature is not verified.")
	}
	if o.response != "" {
		r.savedIn = o.response
		failed = append(failed, saveAssertion(o.response, r.Assertions[0].AuthenticationResponse, asked.by(assertions[0], o.request.AppID)))
	}
	return r, errors.Join(failed...)
}

// needsOne returns the flag that is for one account only.
func (o *authenticateOptions) needsOne() string {
	switch {
	case o.response != "":
		return "--response"
	case o.extensions.readLargeBlob != "":
		return "--large-blob-read"
	}
	return ""
}

// by is the request as an assertion has answered it.
func (r request) by(a *client.Asserted, appID string) request {
	if a.AppID {
		r.AppID = appID
	}
	return r
}

// judge checks one assertion, with the public key of its registration.
func (o *authenticateOptions) judge(asked request, a *client.Asserted) *assertionReport {
	response := o.request.Response(a)
	outputs := ofAssertion(a, o.request.AppID, o.extensions.readLargeBlob)
	expected := asked.by(a, o.request.AppID).expectedOfAssertion()
	if len(o.registrations) > 0 {
		expected.Registration = o.registrations[0]
	}
	for _, r := range o.registrations {
		if bytes.Equal(r.RawID, response.RawID) {
			expected.Registration = r
		}
	}
	signed := &assertionReport{
		AuthenticationResponse: response, explanation: explanation{Checks: webauthn.CheckAuthentication(response, expected), all: o.rp.explain},
		flags: a.Data.Flags, counter: a.Data.SignCount, outputs: outputs,
	}
	if allowed := a.Extensions.ThirdPartyPayment; allowed != nil {
		signed.AuthenticatorExtensionResults = map[string]any{ctap2.ExtensionThirdPartyPayment: *allowed}
	}
	if a.User != nil {
		signed.UserName, signed.DisplayName = a.User.Name, a.User.DisplayName
	}
	return signed
}

// expectedOfAssertion has the AppID in place of the RP ID where the answer is for
// that.
func (r request) expectedOfAssertion() webauthn.Expected {
	expected := r.expected()
	if r.AppID != "" {
		expected.RPID = r.AppID
	}
	return expected
}

// saveLargeBlob saves the blob that was read, and returns why one was not read or
// written.
func (o *authenticateOptions) saveLargeBlob(a *client.Asserted) error {
	blob := a.Extensions.LargeBlob
	switch {
	case blob == nil: // not asked for, or told in NotSent
		return nil
	case blob.Err != nil:
		return fmt.Errorf("signed in, but the large blob: %w", blob.Err)
	case o.extensions.readLargeBlob == "":
		return nil
	case blob.Blob == nil:
		return fmt.Errorf("signed in, but %w", client.ErrNoLargeBlob)
	}
	return writeNewFile(o.extensions.readLargeBlob, blob.Blob)
}

// assertionsReport is the answer of "authenticate".
type assertionsReport struct {
	Request request `json:"request"`
	// Options are the whole of what the relying party asked for.
	Options    *webauthn.RequestOptions `json:"options"`
	Assertions []*assertionReport       `json:"assertions"`
	NotSent    []string                 `json:"notSent,omitempty"` // extensions that the key does not have

	savedIn string
}

// assertionReport is one account.
type assertionReport struct {
	*webauthn.AuthenticationResponse
	explanation
	UserName    string `json:"userName,omitempty"`
	DisplayName string `json:"userDisplayName,omitempty"`
	// AuthenticatorExtensionResults are outputs of the key for which WebAuthn has
	// no place.
	AuthenticatorExtensionResults map[string]any `json:"authenticatorExtensionResults,omitempty"`

	flags   ctap2.Flags
	counter uint32
	outputs *results
}

func (r *assertionsReport) print(w *printer) {
	if len(r.Assertions) > 1 {
		r.printAccounts(w)
	} else {
		w.printf("Signed in at %s.", r.Request.RPID)
		w.printf("")
		r.Assertions[0].print(w)
	}
	if r.savedIn != "" {
		w.printf("")
		w.line("Saved in", "%s", r.savedIn)
	}
}

// printAccounts shows all accounts in a table, and below it what there is to say
// of some.
func (r *assertionsReport) printAccounts(w *printer) {
	w.printf("%d accounts have signed in at %s; --pick N takes one of them.", len(r.Assertions), r.Request.RPID)
	w.printf("")
	var rows [][]string
	for i, a := range r.Assertions {
		verdict := "ok"
		if webauthn.Failed(a.Checks) != nil {
			verdict = "FAIL"
		}
		rows = append(rows, []string{fmt.Sprint(i + 1), cmp.Or(a.UserName, "-"), cmp.Or(a.DisplayName, "-"), cmp.Or(a.Response.UserHandle.String(), "-"), a.ID.String(), verdict})
	}
	w.table([]string{"#", "user", "display name", "user handle", "credential id", "checks"}, rows)
	for i, a := range r.Assertions {
		if a.all || len(a.outputs.lines) > 0 || webauthn.Failed(a.Checks) != nil {
			w.printf("")
			w.printf("Account %d:", i+1)
			a.print(w)
		}
	}
}

func (a *assertionReport) print(w *printer) {
	w.line("Credential ID", "%v", a.ID)
	if len(a.Response.UserHandle) > 0 {
		w.line("User handle", "%v", a.Response.UserHandle)
	}
	if a.UserName != "" {
		w.line("User", "%s", a.UserName)
	}
	w.line("Flags", "%v", a.flags)
	w.line("Signature counter", "%d", a.counter)
	a.outputs.print(w)
	a.explanation.print(w)
}

// accountChoice are the flags that take one of several accounts.
type accountChoice struct {
	pick  int // from 1; 0: not given
	first bool
	given bool
}

func (c *accountChoice) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.IntVar(&c.pick, "pick", 0, "of several accounts, take the one with this number")
	flags.BoolVar(&c.first, "first", false, "of several accounts, take the newest")
	cmd.MarkFlagsMutuallyExclusive("pick", "first")
	cmd.PreRun = func(cmd *cobra.Command, _ []string) { c.given = cmd.Flags().Changed("pick") }
}

func (c *accountChoice) check() error {
	if c.given && c.pick < 1 {
		return usageError{fmt.Errorf("--pick %d: accounts are numbered from 1", c.pick)}
	}
	return nil
}

// choose returns the account that was chosen, or all if none needs to be. flag is
// the one that needs a choice; then the person is asked.
func (c *accountChoice) choose(ctx context.Context, e *env, all []*client.Asserted, flag string) ([]*client.Asserted, error) {
	n := c.pick
	switch {
	case n > 0:
	case c.first:
		n = 1
	case flag == "" || len(all) == 1:
		return all, nil
	default:
		var err error
		if n, err = e.pickOnTerminal(ctx, all, flag); err != nil {
			return nil, err
		}
	}
	if n < 1 || n > len(all) {
		return nil, usageError{fmt.Errorf("there is no account %d; there are:\n%s", n, accounts(all))}
	}
	return slices.Clone(all[n-1 : n]), nil
}

// accounts lists them for a question.
func accounts(all []*client.Asserted) string {
	var lines []string
	for i, a := range all {
		name := webauthn.Base64URL(a.Credential.ID).String()
		if a.User != nil && a.User.Name != "" {
			name = a.User.Name
		}
		lines = append(lines, fmt.Sprintf("  %d  %s", i+1, printable(name)))
	}
	return strings.Join(lines, "\n")
}
