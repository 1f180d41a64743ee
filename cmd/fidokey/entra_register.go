package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/entra/enrol"
	"github.com/fidokey/fidokey/entra/graph"
)

type entraRegisterOptions struct {
	graph      graphOptions
	user, name string
	timeout    time.Duration
	pin        pinSource
	enrol      enrolOptions
}

func newEntraRegisterCmd(e *env) *cobra.Command {
	var o entraRegisterOptions
	cmd := &cobra.Command{
		Use:   "register {--user UPN | --csv FILE}",
		Short: "Make passkeys on keys and register them for users of the tenant",
		Long: `Make a passkey on a key and register it for a user of the tenant, as an
administrator does before handing out the key. A key without a PIN gets one first.
The tenant is asked whether it has the passkey afterwards; if it does not take it,
the credential is deleted from the key again.

It takes the permission UserAuthMethod-Passkey.ReadWrite.All, and a person who signs
in needs the role Authentication Administrator. Nobody registers for themselves
this way.

` + enrolHelp + "\n\n" + signInHelp,
		Example: `  fidokey entra register --user sam@example.com --name 'Blue key'
  fidokey entra register --user sam@example.com --sign-in device-code --tenant-id example.com --client-id 11111111-2222-4333-8444-555555555555
  fidokey entra register --csv users.csv --pin-random --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p --stations 4 --force-pin-change`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.enrol.check(cmd); err != nil {
				return err
			}
			if o.enrol.wanted() {
				return runEnrolment(cmd.Context(), e, &o)
			}
			return runEntraRegister(cmd.Context(), e, &o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.user, "user", "", "the user: the principal name (UPN) or ID")
	flags.StringVar(&o.name, "name", "", "the passkey's name for people, at most 30 characters (default: the key's model, or Security key)")
	flags.DurationVar(&o.timeout, "challenge-timeout", 0, "how long the tenant's options are good, 5m to 720h, by the beta version of Graph (default: 5m)")
	o.pin.addFlags(cmd, "pin", "the PIN, which is set first if the key has none,")
	o.enrol.addFlags(flags)
	cmd.MarkFlagsOneRequired("user", "csv")
	cmd.MarkFlagsMutuallyExclusive("user", "csv")
	o.graph.addFlags(cmd)
	addChangeFlags(e, cmd, false)
	return cmd
}

// entraMethod is a passkey in JSON.
type entraMethod struct {
	ID               string     `json:"id"`
	CredentialID     string     `json:"credentialId,omitempty"` // in hexadecimal, as the key has it
	DisplayName      string     `json:"displayName"`
	Created          *time.Time `json:"created,omitempty"`
	AAGUID           string     `json:"aaguid"`
	Model            string     `json:"model"`
	AttestationLevel string     `json:"attestationLevel"`
	PasskeyType      string     `json:"passkeyType"`
}

func newEntraMethod(m *graph.Method) entraMethod {
	j := entraMethod{
		ID: m.ID, DisplayName: printable(m.DisplayName), AAGUID: m.AAGUID, Model: printable(m.Model),
		AttestationLevel: m.AttestationLevel, PasskeyType: m.PasskeyType,
	}
	if id, err := m.CredentialID(); err == nil {
		j.CredentialID = hex.EncodeToString(id)
	}
	if !m.Created.IsZero() {
		j.Created = &m.Created.Time
	}
	if a, err := ctap2.ParseAAGUID(m.AAGUID); err == nil && j.Model == "" {
		j.Model = modelName(a)
	}
	return j
}

// entraRegisterReport is the answer of "entra register".
type entraRegisterReport struct {
	User   string      `json:"user"`
	Method entraMethod `json:"method"`
	Tenant string      `json:"tenant,omitempty"` // probably: as the user handle has it
	PINSet bool        `json:"pinSet"`           // the key had none
	// PINForced means that the key asks for another PIN before all else.
	PINForced bool `json:"pinForced,omitempty"`
}

func (r *entraRegisterReport) print(w *printer) {
	w.printf("Registered %q for %s.", r.Method.DisplayName, r.User)
	if r.PINSet {
		w.printf("The key had no PIN; it has one now.")
	}
	if r.PINForced {
		w.printf("The PIN must be changed before the key is used: fidokey pin change")
	}
	w.printf("")
	w.line("Credential ID", "%s", r.Method.CredentialID)
	w.line("Model", "%s", r.Method.Model)
	w.line("AAGUID", "%s", r.Method.AAGUID)
	w.line("Attestation", "%s", r.Method.AttestationLevel)
	w.line("Type", "%s", r.Method.PasskeyType)
	w.line("ID in Entra", "%s", r.Method.ID)
	if r.Tenant != "" {
		w.line("Tenant", "%s (probable)", r.Tenant)
	}
}

func runEntraRegister(ctx context.Context, e *env, o *entraRegisterOptions) error {
	if n := len([]rune(o.name)); n > graph.MaxDisplayName {
		return usageError{fmt.Errorf("--name has %d characters; Entra takes %d", n, graph.MaxDisplayName)}
	}
	g, err := o.graph.clientOf(e)
	if err != nil {
		return err
	}
	if err := g.Provisions(); err != nil {
		return usageError{err}
	}
	var held heldPIN
	defer held.forget()
	return e.onKey(ctx, held.holdNew(held.hold(e.prompt(&o.pin, &o.pin))), func(ctx context.Context, key *openedKey) (report, error) {
		if e.dryRun {
			return dryRunOn(ctx, key, "register a passkey for "+o.user)
		}
		return o.register(ctx, e, g, key)
	})
}

// holdNew keeps a PIN that is set, for what it is asked for next.
func (h *heldPIN) holdNew(prompt client.Prompt) client.Prompt {
	ask := prompt.NewPIN
	prompt.NewPIN = func(ctx context.Context, r client.NewPINRequest) ([]byte, error) {
		entered, err := ask(ctx, r)
		h.entered = bytes.Clone(entered)
		return entered, err
	}
	return prompt
}

func (o *entraRegisterOptions) register(ctx context.Context, e *env, g *graph.Client, key *openedKey) (report, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	made, err := enrol.Register(ctx, g, key.Key, enrol.Request{User: o.user, Name: cmp.Or(o.name, passkeyName(info.AAGUID)), Timeout: o.timeout})
	if made != nil {
		e.noteNotSent(made.NotSent)
	}
	if made == nil || made.Method == nil {
		return nil, err
	}
	handle, _ := entra.ParseUserHandle(made.UserHandle)
	r := &entraRegisterReport{User: o.user, Method: newEntraMethod(made.Method), Tenant: handle.Tenant, PINSet: made.PINSet}
	if o.enrol.forceChange { // last, for then the key does nothing else
		forced := key.ForcePINChange(ctx)
		if r.PINForced = forced == nil; forced != nil {
			e.note("%s keeps the PIN: %v.", o.user, forced)
		}
	}
	return r, err
}

func newEntraListCmd(e *env) *cobra.Command {
	var o graphOptions
	var user string
	cmd := &cobra.Command{
		Use:   "list --user UPN",
		Short: "List the passkeys of a user of the tenant",
		Long: `List the passkeys of a user of the tenant. It takes the permission
UserAuthMethod-Passkey.Read.All.

` + signInHelp,
		Example: "  fidokey entra list --user sam@example.com",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := o.clientOf(e)
			if err != nil {
				return err
			}
			methods, err := g.Methods(cmd.Context(), user)
			if err != nil {
				return err
			}
			r := &entraListReport{User: user, Methods: []entraMethod{}}
			for _, m := range methods {
				r.Methods = append(r.Methods, newEntraMethod(&m))
			}
			return e.say(nil, r)
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "the user: the principal name (UPN) or ID")
	cmd.MarkFlagRequired("user")
	o.addFlags(cmd)
	return cmd
}

// entraListReport is the answer of "entra list".
type entraListReport struct {
	User    string        `json:"user"`
	Methods []entraMethod `json:"methods"`
}

func (r *entraListReport) print(w *printer) {
	if len(r.Methods) == 0 {
		w.printf("%s has no passkeys.", r.User)
		return
	}
	var rows [][]string
	for _, m := range r.Methods {
		created := ""
		if m.Created != nil {
			created = m.Created.Format(time.DateOnly)
		}
		rows = append(rows, []string{m.DisplayName, m.Model, m.PasskeyType, m.AttestationLevel, created, m.ID})
	}
	w.table([]string{"name", "model", "type", "attestation", "created", "ID"}, rows)
}

func newEntraUnregisterCmd(e *env) *cobra.Command {
	var o graphOptions
	var user string
	cmd := &cobra.Command{
		Use:   "unregister ID --user UPN",
		Short: "Delete a passkey of a user from the tenant",
		Long: `Delete a passkey of a user from the tenant: the user cannot sign in with it any
more. 'fidokey entra list' shows the IDs; that of the credential in hexadecimal will do
too. The credential on the key stays, and is of no use: 'fidokey credentials delete'.

` + signInHelp,
		Example:           "  fidokey entra unregister 6z9ukjxztMwLkId4yMyR1Ok0 --user sam@example.com",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runEntraUnregister(cmd.Context(), e, &o, user, args[0])
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "the user: the principal name (UPN) or ID")
	cmd.MarkFlagRequired("user")
	o.addFlags(cmd)
	addChangeFlags(e, cmd, true)
	return cmd
}

func runEntraUnregister(ctx context.Context, e *env, o *graphOptions, user, id string) error {
	g, err := o.clientOf(e)
	if err != nil {
		return err
	}
	methods, err := g.Methods(ctx, user)
	if err != nil {
		return err
	}
	for _, m := range methods {
		one := newEntraMethod(&m)
		if m.ID != id && !strings.EqualFold(one.CredentialID, id) {
			continue
		}
		what := fmt.Sprintf("the passkey %q (%s) of %s", one.DisplayName, one.Model, user)
		if e.dryRun {
			return e.say(nil, dry("Would delete %s.", what))
		}
		if err := e.confirm(ctx, "The user cannot sign in any more with "+what+".", "Delete it?"); err != nil {
			return err
		}
		if err := g.Delete(ctx, user, m.ID); err != nil {
			return err
		}
		return e.say(nil, done{fmt.Sprintf("Deleted %s.", what)})
	}
	return errNoMethod
}

// errNoMethod is an ID that the user does not have.
var errNoMethod = errors.New("the user has no passkey with this ID")
