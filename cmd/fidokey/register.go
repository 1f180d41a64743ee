package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/webauthn"
)

type registerOptions struct {
	rp                        relyingParty
	user, displayName, userID string
	algorithms                []string
	parsedUserID              []byte
	parameters                []ctap2.CredentialParameters
}

func newRegisterCmd(e *env) *cobra.Command {
	var o registerOptions
	cmd := &cobra.Command{
		Use:   "register --rp RPID --user NAME",
		Short: "Make a discoverable credential as a browser would, and check the answer",
		Long: `Make a discoverable credential as a browser would, check the answer as a relying
party would, and show what was found. The credential stays on the key.

--json prints the RegistrationResponseJSON of WebAuthn; --credential saves the
same in a file, for 'fidokey authenticate --credential'.`,
		Example: "  fidokey register --rp login.microsoftonline.com --user alice@example.com --credential alice.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
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
	return cmd
}

// check reads the flags; it does not reach the key.
func (o *registerOptions) check() error {
	if err := o.rp.check(); err != nil {
		return err
	}
	if o.user == "" {
		return usageError{errors.New("--user is empty")}
	}
	if o.displayName == "" {
		o.displayName = o.user
	}
	if o.userID == "" {
		o.parsedUserID = make([]byte, 32)
		rand.Read(o.parsedUserID)
	} else {
		id, err := hex.DecodeString(o.userID)
		if err != nil || len(id) == 0 || len(id) > 64 {
			return usageError{fmt.Errorf("--user-id %q is not 1 to 64 bytes in hexadecimal", o.userID)}
		}
		o.parsedUserID = id
	}
	for _, name := range o.algorithms {
		algorithm, err := cose.ParseAlgorithm(name)
		if err != nil {
			return usageError{fmt.Errorf("--algorithm: %w", err)}
		}
		o.parameters = append(o.parameters, ctap2.CredentialParameters{Algorithm: algorithm, Type: ctap2.PublicKeyType})
	}
	if o.rp.credential != "" {
		// Better now than when the credential is made.
		if _, err := os.Stat(o.rp.credential); !errors.Is(err, fs.ErrNotExist) {
			return usageError{fmt.Errorf("--credential %s: the file is there already, or its folder is not: choose another", o.rp.credential)}
		}
	}
	return nil
}

func runRegister(ctx context.Context, e *env, o *registerOptions) error {
	return e.withKey(ctx, e.prompt(&o.rp.pin, nil), func(key *openedKey) error { return e.register(ctx, key, o) })
}

func (e *env) register(ctx context.Context, key *openedKey, o *registerOptions) error {
	info, err := key.Info(ctx)
	if err != nil {
		return err
	}
	clientDataJSON, challenge := o.rp.clientData(webauthn.TypeCreate)
	made, err := key.Register(ctx, client.Registration{
		ClientDataHash:   webauthn.Hash(clientDataJSON),
		RP:               ctap2.RP{ID: o.rp.id, Name: o.rp.id},
		User:             ctap2.User{ID: o.parsedUserID, Name: o.user, DisplayName: o.displayName},
		Parameters:       o.parameters,
		Discoverable:     true,
		UserVerification: client.UserVerification(o.rp.userVerification),
	})
	if err != nil {
		return err
	}
	response, err := webauthn.NewRegistration(clientDataJSON, made.MakeCredentialResponse, info.Transports)
	if err != nil {
		return err
	}
	if o.rp.credential != "" {
		if err := saveRegistration(o.rp.credential, response); err != nil {
			return fmt.Errorf("the credential was made, but could not be saved: %w", err)
		}
	}
	checks := webauthn.CheckRegistration(response, webauthn.Expected{
		Challenge: challenge, Origin: o.rp.origin, RPID: o.rp.id,
		UserVerified: o.rp.userVerification == userVerification(client.Required),
		Algorithms:   algorithmsOf(o.parameters), AAGUID: info.AAGUID,
	})
	if e.global.json {
		err = e.writeJSON(response)
	} else {
		err = e.printRegistration(o, response, checks)
	}
	if err != nil {
		return err
	}
	if note := entraNote(o.rp.id); note != "" {
		fmt.Fprintln(e.stderr, note)
	}
	if err := webauthn.Failed(checks); err != nil {
		return verifyError{fmt.Errorf("a relying party would refuse this registration: %w", err)}
	}
	return nil
}

func algorithmsOf(parameters []ctap2.CredentialParameters) (algorithms []cose.Algorithm) {
	for _, p := range parameters {
		algorithms = append(algorithms, p.Algorithm)
	}
	return algorithms
}

func (e *env) printRegistration(o *registerOptions, r *webauthn.RegistrationResponse, checks []webauthn.Check) error {
	fmt.Fprintf(e.stdout, "Registered %s at %s.\n\n", o.user, o.rp.id)
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "Credential ID:\t%v\n", r.ID)
	if credential, data, err := r.Credential(); err == nil {
		fmt.Fprintf(w, "Model:\t%s\n", modelName(credential.AAGUID))
		fmt.Fprintf(w, "AAGUID:\t%v\n", credential.AAGUID)
		fmt.Fprintf(w, "Flags:\t%v\n", data.Flags)
		fmt.Fprintf(w, "Signature counter:\t%d\n", data.SignCount)
	}
	fmt.Fprintf(w, "Public key:\t%v\n", r.Response.PublicKeyAlgorithm)
	fmt.Fprintf(w, "Transports:\t%s\n", printable(strings.Join(r.Response.Transports, ", ")))
	if o.rp.credential != "" {
		fmt.Fprintf(w, "Saved in:\t%s\n", o.rp.credential)
	}
	w.Flush()
	fmt.Fprintln(e.stdout, "\nWhat a relying party checks:")
	printChecks(w, checks)
	return w.Flush()
}

// saveRegistration writes a new file, never over an old one.
func saveRegistration(path string, r *webauthn.RegistrationResponse) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(f)
	encoder.SetIndent("", "  ")
	return errors.Join(encoder.Encode(r), f.Close())
}

// loadRegistration reads what saveRegistration, or "register --json", wrote.
func loadRegistration(path string) (*webauthn.RegistrationResponse, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var r webauthn.RegistrationResponse
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s is not a RegistrationResponseJSON as 'fidokey register' saves it: %w", path, err)
	}
	if _, _, err := r.Credential(); err != nil {
		return nil, fmt.Errorf("%s is not a RegistrationResponseJSON as 'fidokey register' saves it: %w", path, err)
	}
	return &r, nil
}
