package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/webauthn"
)

func newAuthenticateCmd(e *env) *cobra.Command {
	var rp relyingParty
	cmd := &cobra.Command{
		Use:   "authenticate --rp RPID [--credential FILE]",
		Short: "Sign in as a browser would, and check the answer",
		Long: `Sign in as a browser would, and check the answer as a relying party would.

With --credential the credential that was saved at registration is asked for, and
the signature is verified with its public key. Without it every discoverable
credential for the RP ID answers, and the signatures cannot be verified.

--json prints an AuthenticationResponseJSON of WebAuthn for each, one to a line.`,
		Example: "  fidokey authenticate --rp login.microsoftonline.com --credential alice.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := rp.check(); err != nil {
				return err
			}
			return runAuthenticate(cmd.Context(), e, &rp)
		},
	}
	rp.addFlags(cmd, "the file that 'fidokey register' saved")
	return cmd
}

func runAuthenticate(ctx context.Context, e *env, rp *relyingParty) error {
	var registration *webauthn.RegistrationResponse
	if rp.credential != "" {
		var err error
		if registration, err = loadRegistration(rp.credential); err != nil {
			return err
		}
	}
	return e.withKey(ctx, e.prompt(&rp.pin, nil), func(key *openedKey) error {
		return e.authenticate(ctx, key, rp, registration)
	})
}

// authenticate asks for the credential of registration, or for any if that is nil.
func (e *env) authenticate(ctx context.Context, key *openedKey, rp *relyingParty, registration *webauthn.RegistrationResponse) error {
	var allow []ctap2.Descriptor
	if registration != nil {
		allow = []ctap2.Descriptor{{ID: registration.RawID, Type: ctap2.PublicKeyType}}
	}
	clientDataJSON, challenge := rp.clientData(webauthn.TypeGet)
	assertions, err := key.Authenticate(ctx, client.Assertion{
		ClientDataHash:   webauthn.Hash(clientDataJSON),
		RPID:             rp.id,
		Allow:            allow,
		UserVerification: client.UserVerification(rp.userVerification),
	})
	if err != nil {
		return err
	}
	expected := webauthn.Expected{
		Challenge: challenge, Origin: rp.origin, RPID: rp.id,
		UserVerified: rp.userVerification == userVerification(client.Required),
		Registration: registration,
	}
	var failed []error
	for _, assertion := range assertions {
		response := webauthn.NewAuthentication(clientDataJSON, assertion.GetAssertionResponse)
		checks := webauthn.CheckAuthentication(response, expected)
		if e.global.json {
			err = json.NewEncoder(e.stdout).Encode(response)
		} else {
			err = e.printAuthentication(rp, assertion, checks)
		}
		if err != nil {
			return err
		}
		failed = append(failed, webauthn.Failed(checks))
	}
	if note := entraNote(rp.id); note != "" {
		fmt.Fprintln(e.stderr, note)
	}
	if registration == nil {
		fmt.Fprintln(e.stderr, "Without --credential the signature is not verified.")
	}
	if err := errors.Join(failed...); err != nil {
		return verifyError{fmt.Errorf("a relying party would refuse this sign-in: %w", err)}
	}
	return nil
}

func (e *env) printAuthentication(rp *relyingParty, a *client.Asserted, checks []webauthn.Check) error {
	fmt.Fprintf(e.stdout, "Signed in at %s.\n\n", rp.id)
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Credential ID:\t%v\n", webauthn.Base64URL(a.Credential.ID))
	if a.User != nil {
		fmt.Fprintf(w, "User handle:\t%v\n", webauthn.Base64URL(a.User.ID))
		if a.User.Name != "" {
			fmt.Fprintf(w, "User:\t%s\n", printable(a.User.Name))
		}
	}
	fmt.Fprintf(w, "Flags:\t%v\n", a.Data.Flags)
	fmt.Fprintf(w, "Signature counter:\t%d\n", a.Data.SignCount)
	w.Flush()
	fmt.Fprintln(e.stdout, "\nWhat a relying party checks:")
	printChecks(w, checks)
	fmt.Fprintln(w)
	return w.Flush()
}
