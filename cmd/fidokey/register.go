package main

import (
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

// The words of --attestation.
const (
	attestationNone       = "none"
	attestationDirect     = "direct"
	attestationEnterprise = "enterprise"
)

type registerOptions struct {
	rp                        relyingParty
	user, displayName, userID string
	algorithms                []string
	discoverable              string
	notDiscoverable           bool
	exclude                   []string // files
	appIDExclude              string
	attestation, enterprise   string
	extensions                registrationExtensions

	system systemChoice

	parsedUserID []byte
	parameters   []ctap2.CredentialParameters
	excluded     []ctap2.Descriptor
}

func newRegisterCmd(e *env) *cobra.Command {
	o := registerOptions{discoverable: "required", attestation: attestationDirect}
	cmd := &cobra.Command{
		Use:   "register --rp RPID --user NAME",
		Short: "Make a credential as a browser would, and check the answer",
		Long: `Make a credential as a browser would, check the answer as a relying party would,
and show what was found. The credential stays on the key, unless it was made with
--no-discoverable: then it is in the answer, and only there.

The result of --json is a RegistrationResponseJSON of WebAuthn, with the request
and the checks in members of their own. --credential saves the response alone, for
'fidokey authenticate --credential' and 'fidokey verify'; secrets of --prf are not
saved.

A key that speaks U2F only needs --no-discoverable (or --discoverable preferred),
has ES256 only, verifies no user and knows no extension.

` + systemHelp,
		Example: `  fidokey register --rp login.microsoftonline.com --user alice@example.com --credential alice.json
  fidokey register --rp example.com --user alice --no-discoverable --attestation none
  fidokey register --rp example.com --user alice --cred-protect 3 --prf 'disk key' --large-blob required`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(cmd); err != nil {
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
	flags.StringVar(&o.user, "user", "", "the user's account name")
	cmd.MarkFlagRequired("user")
	flags.StringVar(&o.displayName, "display-name", "", "the user's name for people (default: the account name)")
	flags.StringVar(&o.userID, "user-id", "", "the user handle, 1 to 64 bytes in hexadecimal (default: 32 random bytes)")
	flags.StringSliceVar(&o.algorithms, "algorithm", []string{"ES256", "EdDSA", "RS256"}, "the algorithms, preferred first")
	flags.Var(oneOf{&o.discoverable, []string{"required", "preferred", "discouraged"}}, "discoverable", "whether the key stores the credential, as a passkey: required, preferred or discouraged")
	flags.BoolVar(&o.notDiscoverable, "no-discoverable", false, "the same as --discoverable discouraged")
	cmd.MarkFlagsMutuallyExclusive("discoverable", "no-discoverable")
	flags.StringArrayVar(&o.exclude, "exclude", nil, "make nothing if the key has the credential of this saved registration; may be repeated")
	flags.StringVar(&o.appIDExclude, "app-id-exclude", "", "the U2F AppID that credentials of --exclude may belong to")
	flags.Var(oneOf{&o.attestation, []string{attestationNone, attestationDirect, attestationEnterprise}}, "attestation", "none, direct or enterprise: what proves the model")
	flags.Var(oneOf{&o.enterprise, []string{"vendor", "platform"}}, "enterprise-attestation", "who chose the RP ID for '--attestation enterprise': vendor or platform (default: vendor)")
	o.extensions.addFlags(cmd)
	o.system.addFlags(cmd)
	addChangeFlags(e, cmd, false)
	return cmd
}

// check reads the flags and files; it does not reach the key.
func (o *registerOptions) check(cmd *cobra.Command) error {
	if err := errors.Join(o.rp.check(), o.checkUser(), checkAppID("app-id-exclude", o.appIDExclude)); err != nil {
		return err
	}
	for _, name := range o.algorithms {
		algorithm, err := cose.ParseAlgorithm(name)
		if err != nil {
			return usageError{fmt.Errorf("--algorithm: %w", err)}
		}
		o.parameters = append(o.parameters, ctap2.CredentialParameters{Algorithm: algorithm, Type: ctap2.PublicKeyType})
	}
	if o.notDiscoverable {
		o.discoverable = "discouraged"
	}
	if o.enterprise != "" {
		if cmd.Flags().Changed("attestation") && o.attestation != attestationEnterprise {
			return usageError{fmt.Errorf("--enterprise-attestation does not go with --attestation %s", o.attestation)}
		}
		o.attestation = attestationEnterprise
	}
	if o.appIDExclude != "" && len(o.exclude) == 0 {
		return usageError{errors.New("--app-id-exclude is for --exclude")}
	}
	excluded, err := loadRegistrations(o.exclude)
	if err != nil {
		return err
	}
	o.excluded = descriptors(excluded)
	if err := o.extensions.check(); err != nil {
		return err
	}
	return refuseOldFile("--credential", o.rp.credential)
}

func (o *registerOptions) checkUser() error {
	if o.user == "" {
		return usageError{errors.New("--user is empty")}
	}
	if o.displayName == "" {
		o.displayName = o.user
	}
	if o.userID == "" {
		o.parsedUserID = make([]byte, 32)
		rand.Read(o.parsedUserID)
		return nil
	}
	id, err := hex.DecodeString(o.userID)
	if err != nil || len(id) == 0 || len(id) > 64 {
		return usageError{fmt.Errorf("--user-id %q is not 1 to 64 bytes in hexadecimal", o.userID)}
	}
	o.parsedUserID = id
	return nil
}

// registration is what the key is asked for.
func (o *registerOptions) registration(info *ctap2.GetInfoResponse, clientDataJSON []byte) client.Registration {
	canStore, _ := info.Option(ctap2.OptionRK)
	r := client.Registration{
		ClientDataHash:   webauthn.Hash(clientDataJSON),
		RP:               ctap2.RP{ID: o.rp.id, Name: o.rp.id},
		User:             ctap2.User{ID: o.parsedUserID, Name: o.user, DisplayName: o.displayName},
		Parameters:       o.parameters,
		Exclude:          o.excluded,
		AppIDExclude:     o.appIDExclude,
		Discoverable:     o.discoverable == "required" || o.discoverable == "preferred" && canStore,
		UserVerification: client.UserVerification(o.rp.userVerification),
		Extensions:       o.extensions.RegistrationExtensions,
	}
	switch {
	case o.attestation == attestationEnterprise && o.enterprise == "platform":
		r.EnterpriseAttestation = client.PlatformManaged
	case o.attestation == attestationEnterprise:
		r.EnterpriseAttestation = client.VendorFacilitated
	}
	return r
}

func runRegister(ctx context.Context, e *env, o *registerOptions) error {
	return e.onKey(ctx, e.prompt(&o.rp.pin, nil), func(ctx context.Context, key *openedKey) (report, error) {
		if e.dryRun {
			return dryRunOn(ctx, key, fmt.Sprintf("register %s at %s (discoverable: %s)", o.user, o.rp.id, o.discoverable))
		}
		return e.register(ctx, key, o)
	})
}

// register makes the credential. With a report an error is about what a relying
// party would say of it.
func (e *env) register(ctx context.Context, key *openedKey, o *registerOptions) (report, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	if err := o.extensions.fits(info); err != nil {
		return nil, err
	}
	clientDataJSON, asked := o.rp.request(webauthn.TypeCreate)
	made, err := key.Register(ctx, o.registration(info, clientDataJSON))
	if err != nil {
		return nil, err
	}
	return e.registered(o, asked, clientDataJSON, made, info.Transports, info.AAGUID)
}

// registered judges a new credential, and saves it.
func (e *env) registered(o *registerOptions, asked request, clientDataJSON []byte, made *client.Registered, transports []string, aaguid ctap2.AAGUID) (report, error) {
	answer := made.MakeCredentialResponse
	if o.attestation == attestationNone {
		answer = webauthn.WithoutAttestation(answer)
	}
	response, err := webauthn.NewRegistration(clientDataJSON, answer, transports)
	if err != nil {
		return nil, err
	}
	outputs := ofRegistration(o.extensions.RegistrationExtensions, made.Extensions, o.appIDExclude)
	response.ClientExtensionResults = outputs.clientExtensionResults()
	expected := asked.expected()
	expected.Algorithms, expected.AAGUID = algorithmsOf(o.parameters), aaguid
	r := &registrationReport{
		RegistrationResponse: response, Request: asked, explanation: explainRegistration(response, expected, o.rp.explain),
		NotSent: made.Extensions.NotSent, user: o.user, savedIn: o.rp.credential, outputs: outputs,
	}
	if o.attestation == attestationEnterprise {
		r.EnterpriseAttestation = &made.EnterpriseAttestation
	}
	e.noteNotSent(r.NotSent)
	e.noteEntra(o.rp.id)
	err = r.Checks.failed("registration")
	if o.rp.credential != "" {
		if failed := saveRegistration(o.rp.credential, response); failed != nil {
			err = errors.Join(err, fmt.Errorf("the credential was made, but could not be saved: %w", failed))
		}
	}
	return r, err
}

func algorithmsOf(parameters []ctap2.CredentialParameters) (algorithms []cose.Algorithm) {
	for _, p := range parameters {
		algorithms = append(algorithms, p.Algorithm)
	}
	return algorithms
}

// registrationReport is the answer of "register".
type registrationReport struct {
	*webauthn.RegistrationResponse
	explanation
	Request request  `json:"request"`
	NotSent []string `json:"notSent,omitempty"` // extensions that the key does not have
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
