package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/metadata"
)

// errNotKnown is for a verdict that nobody can give.
var errNotKnown = errors.New("it cannot be said whether Entra accepts this")

type entraCheckOptions struct {
	policy, strength        string // files; the strength of a tenant has a name
	tenant                  bool
	graph                   graphOptions
	user, at                string
	groups                  []string
	guest                   bool
	metadata, root          string // files
	aaguids                 []string
	inventory, registration string
	pin                     pinSource

	models []ctap2.AAGUID
	asked  entra.Case // but for the key

	registered      []graph.Method // the user's passkeys
	knowsRegistered bool
}

func newEntraCheckCmd(e *env) *cobra.Command {
	var o entraCheckOptions
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether Entra accepts a key, and give a reason for each rule",
		Long: `Say whether Entra accepts a key, and give a reason for each rule: the one that is
plugged in, or models without a key (--aaguid, --inventory).

--policy is the passkey (FIDO2) policy of the tenant as Graph has it, from
policies/authenticationMethodsPolicy/authenticationMethodConfigurations/fido2. Every
passkey profile for the user is judged; one that takes the key is enough. Without a
policy it is judged what Entra needs of every key, with attestation enforced and
without. --strength is an authentication strength, which counts at sign-in.

With --tenant the policy, the groups of the user and whether the user is a guest come
from the tenant, and --strength names one of its authentication strengths. It takes the
permissions Policy.Read.All, and with --user User.Read.All and GroupMember.Read.All; with
UserAuthMethod-Passkey.Read.All it tells whether the key is registered for the user.

Where attestation is enforced the model must stand in the metadata of the FIDO
Alliance: the one that 'fidokey metadata update' has stored, or --metadata. Without,
it is looked up in Microsoft's list of accepted models, as of ` + metadata.Date().Format(time.DateOnly) + `.

--test-registration makes a passkey on the key as Entra would, judges what the key
brings to prove its model, and deletes it again. The RP ID of Entra's passkeys is
login.microsoft.com. login.microsoftonline.com, where people sign in, is another one:
a passkey for it is not found by Entra.

Exit code 7 means refused, 1 that it cannot be said.

` + signInHelp,
		Example: `  fidokey entra check --tenant --user sam@example.com
  fidokey entra check --policy policy.json
  fidokey entra check --policy policy.json --groups 5f0e8c1a-0000-4000-8000-000000000001 --strength strength.json
  fidokey entra check --test-registration login.microsoft.com
  fidokey entra check --policy policy.json --aaguid 2fc0579f-8113-47ea-b116-bb5a8db9202a
  fidokey entra check --policy policy.json --inventory keys.csv --json
  fidokey entra check --tenant --aaguid 2fc0579f-8113-47ea-b116-bb5a8db9202a --strength 'Company keys'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.asked.User.AnyGroup = !cmd.Flags().Changed("groups")
			return runEntraCheck(cmd.Context(), e, &o)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.policy, "policy", "", "the tenant's passkey (FIDO2) policy, a file in JSON; '-' is standard input")
	flags.BoolVar(&o.tenant, "tenant", false, "take the policy, and what is known of --user, from the tenant")
	flags.StringVar(&o.user, "user", "", "whose key it is to be (UPN); one with #EXT# in the name is a guest")
	flags.StringSliceVar(&o.groups, "groups", nil, "the IDs of the user's groups, '' for none (default: those in the tenant, else not known: every target counts)")
	flags.BoolVar(&o.guest, "guest", false, "the user is a guest")
	flags.StringVar(&o.strength, "strength", "", "an authentication strength with its combinationConfigurations, a file in JSON; with --tenant its name or ID")
	flags.StringVar(&o.metadata, "metadata", "", "the metadata BLOB to look into, a file (default: the stored one)")
	addRootFlag(cmd, &o.root)
	flags.StringVar(&o.at, "at", "", "judge by the certificates and the metadata's status of a day or time, as 2026-07-01 (default: now)")
	flags.StringArrayVar(&o.aaguids, "aaguid", nil, "judge a model without a key; may be repeated")
	flags.StringVar(&o.inventory, "inventory", "", "judge the models of a list: JSON, CSV or lines with AAGUIDs; '-' is standard input")
	flags.Var(oneOf{&o.registration, []string{entraRPID, onlineRPID}}, "test-registration", "make a passkey for this RP ID and delete it again: "+entraRPID+" or "+onlineRPID)
	o.pin.addFlags(cmd, "pin", "the PIN")
	o.graph.addFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("policy", "tenant")
	cmd.Flags().BoolVarP(&e.yes, "yes", "y", false, "do not ask for agreement to leave the test passkey on a key that cannot delete it")
	return cmd
}

func runEntraCheck(ctx context.Context, e *env, o *entraCheckOptions) error {
	if err := o.read(ctx, e); err != nil {
		return err
	}
	closeMetadata, err := o.openMetadata(e)
	if err != nil {
		return err
	}
	defer closeMetadata()
	if o.models == nil {
		var held heldPIN
		defer held.forget()
		return e.onKey(ctx, held.hold(e.prompt(&o.pin, nil)), func(ctx context.Context, key *openedKey) (report, error) { return e.entraCheck(ctx, key, o) })
	}
	r := o.newReport()
	for _, a := range o.models {
		r.judge(o.asked, entra.Key{AAGUID: a})
	}
	return errors.Join(e.say(nil, r), r.failed())
}

// read reads the files and flags, and asks the tenant.
func (o *entraCheckOptions) read(ctx context.Context, e *env) error {
	if err := o.readModels(e); err != nil {
		return err
	}
	if o.models != nil && (e.global.device != "" || o.registration != "") {
		return usageError{errors.New("--aaguid and --inventory judge models without a key; --device and --test-registration are for one")}
	}
	o.asked.Now = time.Now()
	if o.at != "" {
		var err error
		if o.asked.Now, err = parseAt(o.at); err != nil {
			return err
		}
	}
	readRules := o.readFiles
	if o.tenant {
		readRules = o.readTenant
	}
	if err := readRules(ctx, e); err != nil {
		return err
	}
	o.asked.User.Groups = o.groups
	o.asked.User.Guest = o.guest || strings.Contains(strings.ToUpper(o.user), "#EXT#")
	return nil
}

// readFiles reads the policy and the strength, where they are given.
func (o *entraCheckOptions) readFiles(_ context.Context, e *env) error {
	if o.policy != "" {
		text, err := e.readFile(o.policy)
		if err != nil {
			return err
		}
		if o.asked.Policy, err = entra.ParsePolicy(resultOf(text)); err != nil {
			return usageError{fmt.Errorf("%s: %w", o.policy, err)}
		}
	}
	if o.strength == "" {
		return nil
	}
	var err error
	o.asked.Strength, err = e.strengthOfFile(o.strength)
	return err
}

func (o *entraCheckOptions) readModels(e *env) error {
	for _, text := range o.aaguids {
		a, err := ctap2.ParseAAGUID(strings.ToLower(text))
		if err != nil {
			return usageError{fmt.Errorf("--aaguid %q is no AAGUID; 'fidokey metadata lookup NAME' finds that of a model", text)}
		}
		o.models = append(o.models, a)
	}
	if o.inventory == "" {
		return nil
	}
	text, err := e.readFile(o.inventory)
	if err != nil {
		return err
	}
	listed, err := entra.ParseInventory(text)
	if err != nil {
		return usageError{fmt.Errorf("%s: %w", o.inventory, err)}
	}
	o.models = append(o.models, listed...)
	return nil
}

// openMetadata finds the metadata to look into.
func (o *entraCheckOptions) openMetadata(e *env) (closeIt func(), err error) {
	closeIt = func() {}
	if o.metadata != "" {
		o.asked.Metadata, err = e.readMetadata(o.metadata, o.root, o.asked.Now)
		return closeIt, err
	}
	x, err := openMetadata()
	switch {
	case errors.Is(err, metadata.ErrNoCache):
		e.note("No metadata is stored, so only Microsoft's list of %s says which models attest. 'fidokey metadata update' gets it.", metadata.Date().Format(time.DateOnly))
		return closeIt, nil
	case err != nil:
		e.note("The stored metadata cannot be read: %v", err)
		return closeIt, nil
	}
	if o.at == "" {
		e.noteStale(newBlobReport(x))
	}
	o.asked.Metadata = x
	return func() { x.Close() }, nil
}

// blobFile is the metadata of a file, by AAGUID.
type blobFile map[string]*metadata.Entry

func (b blobFile) Entry(aaguid string) (*metadata.Entry, error) { return b[aaguid], nil }

// readMetadata reads the BLOB of --metadata, which must check out at a time.
func (e *env) readMetadata(file, root string, at time.Time) (blobFile, error) {
	verifier, err := rootFlag(root)
	if err != nil {
		return nil, err
	}
	verifier.Now = at
	data, err := e.readBlob(file)
	if err != nil {
		return nil, err
	}
	v := verifier.Verify(data)
	if err := badBlob(v); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	b := blobFile{}
	for _, entry := range v.Blob.Entries {
		if entry.AAGUID != "" {
			b[entry.AAGUID] = entry
		}
	}
	return b, nil
}

// entraCheck judges the key at hand.
func (e *env) entraCheck(ctx context.Context, key *openedKey, o *entraCheckOptions) (report, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	r := o.newReport()
	if r.Registered, err = o.compareRegistered(ctx, key.Key, info.AAGUID); err != nil {
		return nil, err
	}
	judged := entra.Key{AAGUID: info.AAGUID, Info: info}
	var failed error
	if o.registration != "" {
		var made *entra.Attestation
		if r.TestRegistration, made, err = e.testRegistration(ctx, key, o.registration); made == nil {
			return nil, err
		}
		judged.Attestation, judged.AAGUID = made, made.AAGUID
		failed = errors.Join(r.TestRegistration.Checks.failed("registration"), err)
	}
	r.judge(o.asked, judged)
	return r, errors.Join(r.failed(), failed)
}

// entraCheckReport is the answer of "entra check".
type entraCheckReport struct {
	Verdict          entra.Verdict     `json:"verdict"` // the worst
	Policy           bool              `json:"policy"`  // one was given
	User             string            `json:"user,omitempty"`
	Groups           []string          `json:"groups,omitzero"` // nil: not known
	Guest            bool              `json:"guest"`
	Registered       *entraRegistered  `json:"registered,omitempty"` // nil: not asked for
	TestRegistration *testRegistration `json:"testRegistration,omitempty"`
	Keys             []entraKeyReport  `json:"keys"`
}

// entraKeyReport is the verdict on one key or model.
type entraKeyReport struct {
	AAGUID  ctap2.AAGUID   `json:"aaguid"`
	Name    string         `json:"name"`
	Verdict entra.Verdict  `json:"verdict"`
	Summary string         `json:"summary"`
	Reasons []entra.Reason `json:"reasons"`
}

func (o *entraCheckOptions) newReport() *entraCheckReport {
	r := &entraCheckReport{Verdict: entra.VerdictAccepted, Policy: o.asked.Policy != nil, User: o.user, Guest: o.asked.User.Guest}
	if !o.asked.User.AnyGroup {
		r.Groups = append([]string{}, o.groups...)
	}
	return r
}

func (r *entraCheckReport) judge(c entra.Case, key entra.Key) {
	c.Key = key
	judged := entra.Judge(c)
	r.Keys = append(r.Keys, entraKeyReport{key.AAGUID, modelName(key.AAGUID), judged.Verdict, judged.Summary, judged.Reasons})
	if judged.Verdict == entra.VerdictRefused || r.Verdict == entra.VerdictAccepted {
		r.Verdict = judged.Verdict
	}
}

// failed is the error of a verdict that is not "accepted".
func (r *entraCheckReport) failed() error {
	switch r.Verdict {
	case entra.VerdictRefused:
		return verifyError{fmt.Errorf("refused by Entra: %s", cmp.Or(r.among(entra.VerdictRefused), "the key"))}
	case entra.VerdictUnknown:
		return errNotKnown
	}
	return nil
}

// among says how many of several have a verdict.
func (r *entraCheckReport) among(v entra.Verdict) string {
	if len(r.Keys) == 1 {
		return ""
	}
	n := 0
	for _, k := range r.Keys {
		if k.Verdict == v {
			n++
		}
	}
	return fmt.Sprintf("%d of %d models", n, len(r.Keys))
}

func (r *entraCheckReport) print(w *printer) {
	if len(r.Keys) > 1 {
		w.printf("Entra accepts %s.", r.among(entra.VerdictAccepted))
		r.printPolicy(w)
		var rows [][]string
		for _, k := range r.Keys {
			rows = append(rows, []string{string(k.Verdict), k.AAGUID.String(), k.Name, k.Summary})
		}
		w.table([]string{"verdict", "aaguid", "model", "why"}, rows)
		return
	}
	k := r.Keys[0]
	w.printf("%s", k.Summary)
	r.printPolicy(w)
	w.line("Model", "%s", k.Name)
	w.line("AAGUID", "%v", k.AAGUID)
	if r.User != "" {
		w.line("User", "%s", r.userWords())
	}
	if r.Registered != nil {
		r.Registered.print(w)
	}
	if t := r.TestRegistration; t != nil {
		t.print(w)
	}
	w.printf("")
	var rows [][]string
	for _, reason := range k.Reasons {
		outcome := string(reason.Outcome)
		switch reason.Outcome {
		case entra.Passed:
			outcome = "ok"
		case entra.Refused:
			outcome = "REFUSED"
		}
		rows = append(rows, []string{outcome, string(reason.Stage), reason.Profile, reason.Rule, reason.Detail})
	}
	w.table([]string{"", "at", "profile", "rule", "found"}, rows)
}

// userWords is the user with what counts of the account.
func (r *entraCheckReport) userWords() string {
	words := r.User
	if r.Guest {
		words += ", a guest"
	}
	if r.Groups != nil {
		words += fmt.Sprintf(" (groups: %d)", len(r.Groups))
	}
	return words
}

func (r *entraCheckReport) printPolicy(w *printer) {
	if !r.Policy {
		w.printf("No policy was given: judged is what Entra needs of every key.")
	}
	w.printf("")
}
