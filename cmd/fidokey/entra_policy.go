package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/entra/graph"
)

const (
	readPolicyHelp = `It takes the permission Policy.Read.AuthenticationMethod or Policy.Read.All, and a
person who signs in needs the role Authentication Policy Administrator or Global Reader.

`
	changePolicyHelp = `The change is shown before it is made, and you are asked; --dry-run shows it and sends
nothing. What Graph would refuse is not sent: the default profile deleted or renamed, a
profile deleted that a target uses, more than 3 profiles or 20 KB. The policy is read
again before it is written, so that nobody else's change is lost, and read back
afterwards. Until everything goes by it takes about ten minutes.

It takes the permission Policy.ReadWrite.AuthenticationMethod, and a person who signs in
needs the role Authentication Policy Administrator.
` + affectedHelp + `

Exit code 7 means that the policy cannot be so, or that Graph does not show the change
afterwards, 8 that nobody agreed or that somebody else has changed it meanwhile.

`
)

func newEntraPolicyCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "The tenant's passkey (FIDO2) policy: show it, change which models it takes",
		Long: `The tenant's passkey (FIDO2) policy: show it, change which models it takes. A tenant
has up to 3 passkey profiles, each with the models that its users may have; the default
profile and the older settings of the policy follow each other.`,
	}
	cmd.AddCommand(newEntraPolicyShowCmd(e), newEntraPolicyExportCmd(e), newEntraPolicyDiffCmd(e),
		newEntraPolicyAllowCmd(e), newEntraPolicyBlockCmd(e), newEntraPolicyApplyCmd(e))
	return cmd
}

// policyOfTenant reads the policy.
func policyOfTenant(ctx context.Context, g *graph.Client) (*entra.Policy, error) {
	text, err := g.Policy(ctx)
	if err != nil {
		return nil, err
	}
	return entra.ParsePolicy(text)
}

// policyOfFile reads what 'export' or Graph has written.
func (e *env) policyOfFile(path string) (*entra.Policy, error) {
	text, err := e.readFile(path)
	if err != nil {
		return nil, err
	}
	p, err := entra.ParsePolicy(resultOf(text))
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return p, nil
}

// policyMeant is that of a file, or of the tenant where none is named.
func (e *env) policyMeant(ctx context.Context, o *graphOptions, files []string) (*entra.Policy, error) {
	if len(files) > 0 {
		return e.policyOfFile(files[0])
	}
	g, err := o.clientOf(e)
	if err != nil {
		return nil, err
	}
	return policyOfTenant(ctx, g)
}

func newEntraPolicyShowCmd(e *env) *cobra.Command {
	var o graphOptions
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Show the passkey policy: targets, and each profile with its models",
		Long: `Show the passkey policy: who is targeted, and each profile with the models that it
allows or blocks, by name, who uses it, and how much room is left. FILE is a policy as
'fidokey entra policy export' has written it, instead of the tenant's; '-' is standard
input.

` + readPolicyHelp + signInHelp,
		Example: `  fidokey entra policy show
  fidokey entra policy show policy.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := e.policyMeant(cmd.Context(), &o, args)
			if err != nil {
				return err
			}
			return e.say(nil, newPolicyReport(p))
		},
	}
	o.addFlags(cmd)
	return cmd
}

// policyReport is the answer of "entra policy show".
type policyReport struct {
	State                            string          `json:"state"`
	IsSelfServiceRegistrationAllowed *bool           `json:"isSelfServiceRegistrationAllowed,omitempty"`
	HasProfiles                      bool            `json:"hasProfiles"` // false: the legacy settings stand for one
	Targets                          []policyTarget  `json:"targets"`
	Excluded                         []string        `json:"excluded"`
	Profiles                         []policyProfile `json:"profiles"`
	Size                             *policySize     `json:"size"`
}

type policyTarget struct {
	ID       string   `json:"id"`
	Profiles []string `json:"profiles"` // names
}

type policyProfile struct {
	ID                     string            `json:"id,omitempty"`
	Name                   string            `json:"name"`
	Default                bool              `json:"default"`
	PasskeyTypes           string            `json:"passkeyTypes"`
	AttestationEnforcement string            `json:"attestationEnforcement"`
	UsedBy                 []string          `json:"usedBy"` // targets
	KeyRestrictions        modelRestrictions `json:"keyRestrictions"`
}

type modelRestrictions struct {
	IsEnforced      bool          `json:"isEnforced"`
	EnforcementType string        `json:"enforcementType,omitempty"`
	Models          []listedModel `json:"models"`
}

type listedModel struct {
	AAGUID string `json:"aaguid"`
	Name   string `json:"name"`
}

// policySize is how much room a policy takes, by Microsoft's figures.
type policySize struct {
	Bytes       int `json:"bytes"` // an estimate
	Limit       int `json:"limit"`
	MoreAAGUIDs int `json:"moreAAGUIDs"` // that fit
}

func newPolicySize(p *entra.Policy) *policySize {
	size := p.Size()
	return &policySize{size, entra.MaxSize, max(0, entra.MaxSize-size) / entra.SizeAAGUID}
}

func (s *policySize) String() string {
	return fmt.Sprintf("about %.1f of %d KB; %d more AAGUIDs fit", float64(s.Bytes)/1024, s.Limit/1024, s.MoreAAGUIDs)
}

func newListedModels(aaguids []string) []listedModel {
	list := []listedModel{}
	for _, text := range aaguids {
		m := listedModel{AAGUID: text, Name: "unknown model"}
		if a, err := ctap2.ParseAAGUID(strings.ToLower(strings.TrimSpace(text))); err == nil {
			m = listedModel{a.String(), modelName(a)}
		}
		list = append(list, m)
	}
	return list
}

func newPolicyReport(p *entra.Policy) *policyReport {
	r := &policyReport{
		State: p.State, IsSelfServiceRegistrationAllowed: p.IsSelfServiceRegistrationAllowed,
		Targets: []policyTarget{}, Excluded: []string{}, Size: newPolicySize(p),
	}
	names := map[string][]string{} // by target
	for _, q := range p.Profiles() {
		one := policyProfile{
			ID: q.ID, Name: q.Title(), Default: p.IsDefault(q), PasskeyTypes: q.PasskeyTypes, AttestationEnforcement: q.AttestationEnforcement,
			UsedBy: append([]string{}, p.UsedBy(q)...), KeyRestrictions: modelRestrictions{Models: []listedModel{}},
		}
		if k := q.KeyRestrictions; k != nil {
			one.KeyRestrictions = modelRestrictions{k.IsEnforced != nil && *k.IsEnforced, k.EnforcementType, newListedModels(k.AAGUIDs)}
		}
		for _, target := range one.UsedBy {
			names[target] = append(names[target], one.Name)
		}
		r.Profiles = append(r.Profiles, one)
		r.HasProfiles = r.HasProfiles || q.ID != ""
	}
	for _, t := range p.IncludeTargets {
		r.Targets = append(r.Targets, policyTarget{t.ID, append([]string{}, names[t.ID]...)})
	}
	for _, t := range p.ExcludeTargets {
		r.Excluded = append(r.Excluded, t.ID)
	}
	return r
}

func (r *policyReport) print(w *printer) {
	w.line("Passkeys (FIDO2)", "%s", r.State)
	switch allowed := r.IsSelfServiceRegistrationAllowed; {
	case allowed == nil:
		w.line("Self-service setup", "not known")
	case *allowed:
		w.line("Self-service setup", "allowed")
	default:
		w.line("Self-service setup", "off, which stops administrators from registering passkeys too")
	}
	for i, t := range r.Targets {
		w.item("Targets", fmt.Sprintf("%s (%s)", t.ID, cmp.Or(strings.Join(t.Profiles, ", "), "no profile that is there")), i == 0)
	}
	if len(r.Targets) == 0 {
		w.line("Targets", "none, so nobody can use passkeys")
	}
	for i, id := range r.Excluded {
		w.item("Excluded", id, i == 0)
	}
	w.line("Size", "%s", r.Size)
	for _, q := range r.Profiles {
		q.print(w)
	}
}

func (q *policyProfile) print(w *printer) {
	w.printf("")
	title := "Profile"
	if q.Default {
		title = "Default profile"
	}
	w.line(title, "%s", q.Name)
	if q.ID != "" {
		w.line("ID", "%s", q.ID)
	}
	w.line("Types", "%s", q.PasskeyTypes)
	w.line("Attestation", "%s", q.AttestationEnforcement)
	if len(q.UsedBy) == 0 {
		w.line("Used by", "nobody")
	}
	for i, id := range q.UsedBy {
		w.item("Used by", id, i == 0)
	}
	w.line("Models", "%s", q.KeyRestrictions)
	printListed(w, q.KeyRestrictions.Models)
}

func (k modelRestrictions) String() string {
	switch {
	case !k.IsEnforced && len(k.Models) > 0:
		return fmt.Sprintf("all; this list to %s is not enforced", k.EnforcementType)
	case !k.IsEnforced:
		return "all"
	case strings.EqualFold(k.EnforcementType, entra.EnforcementBlock):
		return fmt.Sprintf("all but %d", len(k.Models))
	case strings.EqualFold(k.EnforcementType, entra.EnforcementAllow):
		return fmt.Sprintf("%d and no others", len(k.Models))
	}
	return fmt.Sprintf("a list of the kind %q, which is not known here", k.EnforcementType)
}

func printListed(w *printer, models []listedModel) {
	if len(models) == 0 {
		return
	}
	var rows [][]string
	for _, m := range models {
		rows = append(rows, []string{m.AAGUID, m.Name})
	}
	w.table([]string{"aaguid", "model"}, rows)
}

func newEntraPolicyExportCmd(e *env) *cobra.Command {
	var o graphOptions
	cmd := &cobra.Command{
		Use:   "export [FILE]",
		Short: "Write the passkey policy as Graph has it to a new file, or to standard output",
		Long: `Write the passkey policy as Graph has it to a new file, or to standard output, for
'fidokey entra check --policy', 'fidokey entra policy diff' and 'apply'.

` + readPolicyHelp + signInHelp,
		Example: `  fidokey entra policy export policy.json
  fidokey entra policy export > policy.json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := o.clientOf(e)
			if err != nil {
				return err
			}
			return e.export(args, "the passkey policy", func() (json.RawMessage, error) { return g.Policy(cmd.Context()) })
		},
	}
	o.addFlags(cmd)
	return cmd
}

// graphReport is something as Graph has it.
type graphReport struct{ json.RawMessage }

func (r graphReport) print(w *printer) {
	text, err := json.MarshalIndent(r.RawMessage, "", "  ")
	if err != nil {
		w.err = err
		return
	}
	fmt.Fprintf(w, "%s\n", escapeUnprintable(text))
}

// export writes what Graph has to the file that is named, or to standard output.
func (e *env) export(files []string, what string, read func() (json.RawMessage, error)) error {
	if len(files) > 0 {
		if err := refuseOldFile("FILE", files[0]); err != nil {
			return err
		}
	}
	text, err := read()
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return e.say(nil, graphReport{text})
	}
	if err := writeNewJSON(files[0], text); err != nil {
		return err
	}
	return e.say(nil, done{fmt.Sprintf("Wrote %s to %s.", what, files[0])})
}

func newEntraPolicyDiffCmd(e *env) *cobra.Command {
	var o graphOptions
	cmd := &cobra.Command{
		Use:   "diff FILE [FILE]",
		Short: "Compare the tenant's passkey policy with a file, or two files",
		Long: `Compare the tenant's passkey policy with a file, or two files with each other, for
which no tenant is asked. '+' is what only the second has, '-' what only the first has.
Order, upper and lower case, and what is empty or absent are no difference.

Exit code 7 means that they differ.

` + readPolicyHelp + signInHelp,
		Example: `  fidokey entra policy diff policy.json
  fidokey entra policy diff before.json after.json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			last := len(args) - 1
			from, err := e.policyMeant(cmd.Context(), &o, args[:last])
			if err != nil {
				return err
			}
			to, err := e.policyOfFile(args[last])
			if err != nil {
				return err
			}
			return e.sayDifferences(from.Differences(to))
		},
	}
	o.addFlags(cmd)
	return cmd
}

// differencesReport is the answer of "entra policy diff".
type differencesReport struct {
	Changes []policyChange `json:"changes"`
}

func (r *differencesReport) print(w *printer) {
	if len(r.Changes) == 0 {
		w.printf("There is no difference.")
		return
	}
	fmt.Fprintf(w, "%s\n", linesOf(r.Changes, nil))
}

func (e *env) sayDifferences(changes []entra.Change) error {
	err := e.say(nil, &differencesReport{newPolicyChanges(changes)})
	if len(changes) > 0 {
		err = errors.Join(err, verifyError{fmt.Errorf("there are %d differences", len(changes))})
	}
	return err
}
