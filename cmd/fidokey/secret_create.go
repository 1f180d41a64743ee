package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/webauthn"
)

// secretCreation are the flags of "secret create".
type secretCreation struct {
	rp, user, credential string
	discoverable         bool
	userVerification     userVerification
	pin                  pinSource
}

func newSecretCreateCmd(e *env) *cobra.Command {
	o := secretCreation{userVerification: userVerification(client.Discouraged)}
	cmd := &cobra.Command{
		Use:   "create --rp RPID",
		Short: "Make a credential for 'fidokey secret', and save it in a file",
		Long: `Make a credential for 'fidokey secret', and save it in a new file.

A credential that is not discoverable takes no room on the key and exists in the file
only: without that, all that was locked with its secrets is lost. The file is no
secret. With --discoverable the key stores the credential, and the file is not
needed.

--uv required makes a credential that never gives a secret without user verification
(credProtect 3). Otherwise the choice is made with each secret.`,
		Example: `  fidokey secret create --rp disk.example --credential disk.json
  fidokey secret create --rp disk.example --discoverable --user laptop --uv required`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runSecretCreate(cmd.Context(), e, &o) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.rp, "rp", "", "an RP ID of your choice, as in disk.example")
	cmd.MarkFlagRequired("rp")
	flags.StringVar(&o.user, "user", "fidokey secret", "a name by which the credential is known in lists")
	flags.StringVar(&o.credential, "credential", "", "save the credential in this new file")
	flags.BoolVar(&o.discoverable, "discoverable", false, "store the credential on the key")
	flags.Var(&o.userVerification, "uv", "required or discouraged: whether each secret takes user verification")
	addChangeFlags(e, cmd, false)
	o.pin.addFlags(cmd, "pin", "the PIN")
	return cmd
}

func (o *secretCreation) check() error {
	switch {
	case o.rp == "":
		return usageError{errors.New("--rp is empty")}
	case o.user == "":
		return usageError{errors.New("--user is empty")}
	case o.credential == "" && !o.discoverable:
		return usageError{errors.New("where shall it be? Name a file with --credential, or store it on the key with --discoverable")}
	case o.userVerification == userVerification(client.Preferred):
		return usageError{errors.New("--uv takes required or discouraged")}
	}
	return refuseOldFile("--credential", o.credential)
}

func (o *secretCreation) registration() client.Registration {
	id := make([]byte, 32)
	rand.Read(id)
	r := client.Registration{
		RP:   ctap2.RP{ID: o.rp, Name: o.rp},
		User: ctap2.User{ID: id, Name: o.user, DisplayName: o.user},
		Parameters: []ctap2.CredentialParameters{
			{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}, {Algorithm: cose.EdDSA, Type: ctap2.PublicKeyType},
		},
		Discoverable:     o.discoverable,
		UserVerification: client.UserVerification(o.userVerification),
		Extensions:       client.RegistrationExtensions{HMACSecret: true},
	}
	if r.UserVerification == client.Required {
		r.Extensions.CredProtect, r.Extensions.EnforceCredProtect = client.UserVerificationRequired, true
	}
	return r
}

// secretCredential is the answer of "secret create".
type secretCredential struct {
	RPID         string      `json:"rpId"`
	CredentialID ctap2.Bytes `json:"credentialId,omitempty"` // absent in a dry run
	Discoverable bool        `json:"discoverable"`
	File         string      `json:"file,omitempty"`
	DryRun       bool        `json:"dryRun"`
}

func (c *secretCredential) print(w *printer) {
	if c.DryRun {
		w.printf("A credential for %s would be made.", c.RPID)
		return
	}
	w.line("RP ID", "%s", c.RPID)
	w.line("Credential ID", "%x", []byte(c.CredentialID))
	if c.File != "" {
		w.line("Saved in", "%s", c.File)
	}
}

func runSecretCreate(ctx context.Context, e *env, o *secretCreation) error {
	if err := o.check(); err != nil {
		return err
	}
	return e.onKey(ctx, e.prompt(&o.pin, nil), func(ctx context.Context, key *openedKey) (report, error) {
		if err := makesSecrets(ctx, key); err != nil {
			return nil, err
		}
		answer := &secretCredential{RPID: o.rp, Discoverable: o.discoverable, File: o.credential, DryRun: e.dryRun}
		if e.dryRun {
			return answer, nil
		}
		var err error
		answer.CredentialID, err = o.create(ctx, key)
		if answer.CredentialID == nil {
			return nil, err
		}
		return answer, err
	})
}

// create makes the credential and saves it. If it was made it returns its ID, also
// with an error.
func (o *secretCreation) create(ctx context.Context, key *openedKey) ([]byte, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	r := o.registration()
	challenge := make([]byte, 32)
	rand.Read(challenge)
	clientDataJSON := webauthn.ClientData{Type: webauthn.TypeCreate, Challenge: challenge, Origin: "https://" + o.rp}.JSON()
	r.ClientDataHash = webauthn.Hash(clientDataJSON)
	made, err := key.Register(ctx, r)
	if err != nil {
		return nil, err
	}
	id := made.Data.Credential.ID
	if made.Extensions.HMACSecret == nil || !*made.Extensions.HMACSecret {
		return id, verifyError{errors.New("the key has made a credential, and not for hmac-secret as was asked")}
	}
	if o.credential == "" {
		return id, nil
	}
	response, err := webauthn.NewRegistration(clientDataJSON, made.MakeCredentialResponse, info.Transports)
	if err == nil {
		err = saveRegistration(o.credential, response)
	}
	if err != nil {
		return id, fmt.Errorf("the credential was made, but could not be saved: %w", err)
	}
	return id, nil
}
