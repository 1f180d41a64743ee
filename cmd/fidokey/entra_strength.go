package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/entra/graph"
)

const (
	readStrengthHelp = `It takes the permission Policy.Read.All, and a person who signs in needs the role
Conditional Access Administrator or Global Reader.

`
	changeStrengthHelp = `The change is shown before it is made, and you are asked; --dry-run shows it and sends
nothing. The strength is read again before it is written, and read back afterwards.
Microsoft's own strengths cannot be changed.

It takes the permissions Policy.Read.All and Policy.ReadWrite.ConditionalAccess or
Policy.ReadWrite.AuthenticationMethod, and a person who signs in needs the role
Conditional Access Administrator.
` + affectedHelp + `

Exit code 7 means that the strength cannot be so, or that Graph does not show the change
afterwards, 8 that nobody agreed or that somebody else has changed it meanwhile.

`
)

func newEntraStrengthCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "strength",
		Short: "Authentication strengths of Conditional Access: which models sign in",
		Long: `Authentication strengths of Conditional Access: which models sign in where one is asked
for. A strength that allows passkeys allows those of every model, or has a list of
models. It counts at sign-in only; the passkey policy says what can be registered.

A strength is named by its name or ID.`,
	}
	cmd.AddCommand(newEntraStrengthListCmd(e), newEntraStrengthShowCmd(e), newEntraStrengthExportCmd(e), newEntraStrengthDiffCmd(e),
		newEntraStrengthAllowCmd(e), newEntraStrengthRemoveCmd(e), newEntraStrengthApplyCmd(e))
	return cmd
}

// tenantStrength is one as Graph has it.
type tenantStrength struct {
	*entra.Strength
	raw json.RawMessage
}

// strengthsOf lists those of the tenant.
func strengthsOf(ctx context.Context, g *graph.Client) (strengths []tenantStrength, err error) {
	all, err := g.Strengths(ctx)
	if err != nil {
		return nil, err
	}
	for _, text := range all {
		s, err := entra.ParseStrength(text)
		if err != nil {
			return nil, err
		}
		strengths = append(strengths, tenantStrength{s, text})
	}
	return strengths, nil
}

// strengthNamed finds one by ID or name.
func strengthNamed(ctx context.Context, g *graph.Client, name string) (found tenantStrength, err error) {
	strengths, err := strengthsOf(ctx, g)
	if err != nil {
		return found, err
	}
	var fits []tenantStrength
	var lines []string
	for _, s := range strengths {
		lines = append(lines, fmt.Sprintf("  %s  %s", s.ID, printable(s.DisplayName)))
		if strings.EqualFold(s.ID, name) {
			return s, nil
		}
		if strings.EqualFold(s.DisplayName, name) {
			fits = append(fits, s)
		}
	}
	if len(fits) != 1 {
		return found, usageError{fmt.Errorf("%q names %d authentication strengths; there are:\n%s", name, len(fits), strings.Join(lines, "\n"))}
	}
	return fits[0], nil
}

func (e *env) strengthOfFile(path string) (*entra.Strength, error) {
	text, err := e.readFile(path)
	if err != nil {
		return nil, err
	}
	s, err := entra.ParseStrength(resultOf(text))
	if err != nil {
		return nil, usageError{fmt.Errorf("%s: %w", path, err)}
	}
	return s, nil
}

// strengthReport is the answer of "entra strength show".
type strengthReport struct {
	ID                  string        `json:"id"`
	DisplayName         string        `json:"displayName"`
	PolicyType          string        `json:"policyType,omitempty"` // builtIn, custom
	AllowedCombinations []string      `json:"allowedCombinations"`
	AllowsPasskeys      bool          `json:"allowsPasskeys"`
	Models              []listedModel `json:"models"` // empty: every model, if passkeys are allowed
}

func newStrengthReport(s *entra.Strength) *strengthReport {
	return &strengthReport{
		s.ID, s.DisplayName, s.PolicyType, append([]string{}, s.AllowedCombinations...), s.AllowsPasskeys(), newListedModels(s.AllowedAAGUIDs()),
	}
}

// passkeys says in words which sign in.
func (r *strengthReport) passkeys() string {
	switch {
	case !r.AllowsPasskeys:
		return "none"
	case len(r.Models) == 0:
		return "of every model"
	}
	return fmt.Sprintf("of %d models", len(r.Models))
}

func (r *strengthReport) print(w *printer) {
	w.line("Strength", "%s", r.DisplayName)
	w.line("ID", "%s", r.ID)
	w.line("Kind", "%s", cmp.Or(r.PolicyType, "not known"))
	w.line("Combinations", "%s", strings.Join(r.AllowedCombinations, "; "))
	w.line("Passkeys", "%s", r.passkeys())
	if len(r.Models) > 0 {
		w.printf("")
	}
	printListed(w, r.Models)
}

// strengthsReport is the answer of "entra strength list".
type strengthsReport struct {
	Strengths []*strengthReport `json:"strengths"`
}

func (r *strengthsReport) print(w *printer) {
	if len(r.Strengths) == 0 {
		w.printf("The tenant has no authentication strengths.")
		return
	}
	var rows [][]string
	for _, s := range r.Strengths {
		rows = append(rows, []string{s.ID, s.PolicyType, s.passkeys(), s.DisplayName})
	}
	w.table([]string{"id", "kind", "passkeys", "strength"}, rows)
}

func newEntraStrengthListCmd(e *env) *cobra.Command {
	var o graphOptions
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the authentication strengths of the tenant",
		Long:    "List the authentication strengths of the tenant, and which passkeys each allows.\n\n" + readStrengthHelp + signInHelp,
		Example: "  fidokey entra strength list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := o.clientOf(e)
			if err != nil {
				return err
			}
			strengths, err := strengthsOf(cmd.Context(), g)
			if err != nil {
				return err
			}
			r := &strengthsReport{Strengths: []*strengthReport{}}
			for _, s := range strengths {
				r.Strengths = append(r.Strengths, newStrengthReport(s.Strength))
			}
			slices.SortFunc(r.Strengths, func(a, b *strengthReport) int { return strings.Compare(a.DisplayName, b.DisplayName) })
			return e.say(nil, r)
		},
	}
	o.addFlags(cmd)
	return cmd
}

// onStrength gives a command what it needs: the strength that its first argument names.
func onStrength(e *env, cmd *cobra.Command, do func(ctx context.Context, g *graph.Client, s tenantStrength, args []string) error) *cobra.Command {
	var o graphOptions
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		g, err := o.clientOf(e)
		if err != nil {
			return err
		}
		s, err := strengthNamed(cmd.Context(), g, args[0])
		if err != nil {
			return err
		}
		return do(cmd.Context(), g, s, args[1:])
	}
	o.addFlags(cmd)
	return cmd
}

func newEntraStrengthShowCmd(e *env) *cobra.Command {
	return onStrength(e, &cobra.Command{
		Use:     "show STRENGTH",
		Short:   "Show an authentication strength with the models that it allows",
		Long:    "Show an authentication strength with the models that it allows, by name.\n\n" + readStrengthHelp + signInHelp,
		Example: "  fidokey entra strength show 'Security keys'",
		Args:    cobra.ExactArgs(1),
	}, func(_ context.Context, _ *graph.Client, s tenantStrength, _ []string) error {
		return e.say(nil, newStrengthReport(s.Strength))
	})
}

func newEntraStrengthExportCmd(e *env) *cobra.Command {
	return onStrength(e, &cobra.Command{
		Use:   "export STRENGTH [FILE]",
		Short: "Write an authentication strength as Graph has it",
		Long: `Write an authentication strength as Graph has it to a new file, or to standard output,
for 'fidokey entra check --strength', 'fidokey entra strength diff' and 'apply'.

` + readStrengthHelp + signInHelp,
		Example: "  fidokey entra strength export 'Security keys' strength.json",
		Args:    cobra.RangeArgs(1, 2),
	}, func(_ context.Context, _ *graph.Client, s tenantStrength, args []string) error {
		return e.export(args, "the authentication strength", func() (json.RawMessage, error) { return s.raw, nil })
	})
}

func newEntraStrengthDiffCmd(e *env) *cobra.Command {
	return onStrength(e, &cobra.Command{
		Use:   "diff STRENGTH FILE",
		Short: "Compare an authentication strength with a file",
		Long: `Compare an authentication strength with a file: its combinations, and the models that
its passkeys may be on. '+' is what only the file has, '-' what it does not have.

Exit code 7 means that they differ.

` + readStrengthHelp + signInHelp,
		Example: "  fidokey entra strength diff 'Security keys' strength.json",
		Args:    cobra.ExactArgs(2),
	}, func(_ context.Context, _ *graph.Client, s tenantStrength, args []string) error {
		file, err := e.strengthOfFile(args[0])
		if err != nil {
			return err
		}
		return e.sayDifferences(s.Differences(file))
	})
}

func newEntraStrengthAllowCmd(e *env) *cobra.Command {
	var inventories []string
	var enforce, affected bool
	cmd := onStrength(e, &cobra.Command{
		Use:   "allow STRENGTH [AAGUID|NAME]...",
		Short: "Add models to the list of an authentication strength",
		Long: `Add models to the list of an authentication strength. One without a list allows every
passkey already; --enforce gives it a list, and then no others sign in where Conditional
Access asks for the strength.

` + modelsHelp + "\n\n" + changeStrengthHelp + signInHelp,
		Example: `  fidokey entra strength allow 'Security keys' 2fc0579f-8113-47ea-b116-bb5a8db9202a --enforce
  fidokey entra strength allow 'Security keys' --from-inventory`,
		Args: cobra.MinimumNArgs(1),
	}, func(ctx context.Context, g *graph.Client, s tenantStrength, args []string) error {
		return e.editStrength(ctx, g, s, args, inventories, affected, func(to *entra.Strength, models []ctap2.AAGUID) ([]entra.Note, error) {
			return to.Allow(models, enforce)
		})
	})
	cmd.Flags().BoolVar(&enforce, "enforce", false, "make a list for a strength that allows every passkey")
	addInventoryFlag(cmd, &inventories)
	addAffectedFlag(cmd, &affected)
	addChangeFlags(e, cmd, true)
	return cmd
}

func newEntraStrengthRemoveCmd(e *env) *cobra.Command {
	var inventories []string
	var affected bool
	cmd := onStrength(e, &cobra.Command{
		Use:   "remove STRENGTH [AAGUID|NAME]...",
		Short: "Take models from the list of an authentication strength",
		Long: `Take models from the list of an authentication strength: passkeys on them no longer sign
in where Conditional Access asks for it. The last model stays, for a strength without a
list allows every passkey.

` + modelsHelp + "\n\n" + changeStrengthHelp + signInHelp,
		Example: `  fidokey entra strength remove 'Security keys' 2fc0579f-8113-47ea-b116-bb5a8db9202a`,
		Args:    cobra.MinimumNArgs(1),
	}, func(ctx context.Context, g *graph.Client, s tenantStrength, args []string) error {
		return e.editStrength(ctx, g, s, args, inventories, affected, (*entra.Strength).Remove)
	})
	addInventoryFlag(cmd, &inventories)
	addAffectedFlag(cmd, &affected)
	addChangeFlags(e, cmd, true)
	return cmd
}

func newEntraStrengthApplyCmd(e *env) *cobra.Command {
	var affected bool
	cmd := onStrength(e, &cobra.Command{
		Use:   "apply STRENGTH FILE",
		Short: "Give an authentication strength the list of models of a file",
		Long: `Give an authentication strength the list of models of a file, as 'fidokey entra strength
export' or Graph has written it; '-' is standard input. If the file has no list, every
passkey is allowed. Combinations are changed in the admin center only.

` + changeStrengthHelp + signInHelp,
		Example: "  fidokey entra strength apply 'Security keys' strength.json --dry-run",
		Args:    cobra.ExactArgs(2),
	}, func(ctx context.Context, g *graph.Client, s tenantStrength, args []string) error {
		file, err := e.strengthOfFile(args[0])
		if err != nil {
			return err
		}
		to, err := s.Applied(file)
		if err != nil {
			return err
		}
		return e.changeStrength(ctx, g, s.Strength, to, nil, affected)
	})
	addAffectedFlag(cmd, &affected)
	addChangeFlags(e, cmd, true)
	return cmd
}

// editStrength changes the list by models.
func (e *env) editStrength(ctx context.Context, g *graph.Client, s tenantStrength, args, inventories []string, affected bool, edit func(to *entra.Strength, models []ctap2.AAGUID) ([]entra.Note, error)) error {
	models, err := e.modelsNamed(ctx, g, args, inventories)
	if err != nil {
		return err
	}
	to := s.Clone()
	notes, err := edit(to, models)
	if err != nil {
		return editError(fmt.Errorf("%q: %w", s.Title(), err))
	}
	return e.changeStrength(ctx, g, s.Strength, to, notes, affected)
}

// changeStrength makes another strength of the tenant's.
func (e *env) changeStrength(ctx context.Context, g *graph.Client, s, to *entra.Strength, notes []entra.Note, affected bool) error {
	if err := s.CheckEdit(to); err != nil {
		return editError(err)
	}
	c := entraChange{
		what: fmt.Sprintf("the authentication strength %q", s.Title()), changes: s.Differences(to),
		notes: append(notes, s.Consequences(to)...),
	}
	if affected {
		c.passkeys = g.Passkeys(ctx)
		c.shutOut = func(m *graph.Method) []string {
			if s.ShutOut(to, m.AAGUID) {
				return []string{s.Title()}
			}
			return nil
		}
	}
	c.write = func(ctx context.Context) (err error) {
		for _, w := range s.Writes(to) {
			if w.Configuration == nil {
				err = g.DeleteCombination(ctx, s.ID, w.ID)
			} else {
				err = g.SetCombination(ctx, s.ID, w.ID, w.Configuration)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	c.meanwhile = func(ctx context.Context) ([]entra.Change, error) {
		now, err := strengthNamed(ctx, g, s.ID)
		if err != nil {
			return nil, err
		}
		return s.Differences(now.Strength), nil
	}
	c.left = func(ctx context.Context) ([]entra.Change, error) {
		now, err := strengthNamed(ctx, g, s.ID)
		if err != nil {
			return nil, err
		}
		return stillMissing(c.changes, now.Differences(to)), nil
	}
	return c.make(ctx, e)
}
