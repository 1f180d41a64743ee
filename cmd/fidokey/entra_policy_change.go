package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/entra/graph"
)

// policyEditOptions are the flags of "entra policy allow" and "block".
type policyEditOptions struct {
	graph       graphOptions
	profiles    []string
	everywhere  bool
	enforce     bool
	affected    bool
	inventories []string
	edit        func(p *entra.Policy, profile string, models []ctap2.AAGUID, enforce bool) ([]entra.Note, error)
	judge       bool // say of which models it is no use
}

func newEntraPolicyAllowCmd(e *env) *cobra.Command {
	o := policyEditOptions{edit: (*entra.Policy).Allow, judge: true}
	return o.command(e, "allow", &cobra.Command{
		Short: "Make the passkey policy take models",
		Long: `Make the passkey policy take models: in a profile with an allow list they are added to
it, in one with a block list they go from it. A profile whose restrictions are not
enforced takes every model already; --enforce makes an allow list of it, and then passkeys
on any other model no longer sign in by it.`,
		Example: `  fidokey entra policy allow 2fc0579f-8113-47ea-b116-bb5a8db9202a --dry-run
  fidokey entra policy allow 'Microsoft Authenticator' 'Windows Hello (hardware)' --profile 'Phones'
  fidokey entra policy allow --from-inventory
  fidokey entra policy allow --from-inventory=tenant --enforce`,
	}, "make an allow list of restrictions that are not enforced")
}

func newEntraPolicyBlockCmd(e *env) *cobra.Command {
	o := policyEditOptions{edit: (*entra.Policy).Block}
	return o.command(e, "block", &cobra.Command{
		Short: "Make the passkey policy refuse models",
		Long: `Make the passkey policy refuse models: in a profile with a block list they are added to
it, in one with an allow list they go from it. A profile whose restrictions are not
enforced blocks nothing; --enforce makes a block list of it. Passkeys on these models no
longer sign in by the profile. The last model of an allow list stays, for an empty one
refuses every key.`,
		Example: `  fidokey entra policy block 2fc0579f-8113-47ea-b116-bb5a8db9202a --dry-run
  fidokey entra policy block --from-inventory=revoked.csv --all-profiles`,
	}, "make a block list of restrictions that are not enforced")
}

// command completes the command of a verb.
func (o *policyEditOptions) command(e *env, verb string, cmd *cobra.Command, enforceHelp string) *cobra.Command {
	cmd.Use = verb + " [AAGUID|NAME]..."
	cmd.Long += `

The profile is the default one unless --profile names others, or --all-profiles means
all.

` + modelsHelp + "\n\n" + changePolicyHelp + signInHelp
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.RunE = func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), e, args) }
	flags := cmd.Flags()
	flags.StringArrayVar(&o.profiles, "profile", nil, "the profile, by name or ID (default: the default profile); may be repeated")
	flags.BoolVar(&o.everywhere, "all-profiles", false, "all profiles")
	cmd.MarkFlagsMutuallyExclusive("profile", "all-profiles")
	flags.BoolVar(&o.enforce, "enforce", false, enforceHelp)
	addInventoryFlag(cmd, &o.inventories)
	addAffectedFlag(cmd, &o.affected)
	o.graph.addFlags(cmd)
	addChangeFlags(e, cmd, true)
	return cmd
}

func (o *policyEditOptions) run(ctx context.Context, e *env, args []string) error {
	g, err := o.graph.clientOf(e)
	if err != nil {
		return err
	}
	models, err := e.modelsNamed(ctx, g, args, o.inventories)
	if err != nil {
		return err
	}
	p, err := policyOfTenant(ctx, g)
	if err != nil {
		return err
	}
	to, notes, err := o.edited(e, p, models)
	if err != nil {
		return err
	}
	return e.changePolicy(ctx, g, p, to, notes, o.affected)
}

// edited returns the policy that is to be, and what is to be known of it.
func (o *policyEditOptions) edited(e *env, p *entra.Policy, models []ctap2.AAGUID) (to *entra.Policy, notes []entra.Note, err error) {
	m, closeMetadata := e.storedMetadata()
	defer closeMetadata()
	to = p.Clone()
	for _, profile := range o.named(p) {
		more, err := o.edit(to, profile, models, o.enforce)
		if err == nil && o.judge {
			var useless []entra.Note
			useless, err = judgeAllowed(to, profile, models, entra.Case{Metadata: m, Now: time.Now()})
			more = append(more, useless...)
		}
		if err != nil {
			return nil, nil, editError(err)
		}
		notes = append(notes, more...)
	}
	return to, notes, nil
}

// named are the profiles that are meant.
func (o *policyEditOptions) named(p *entra.Policy) (names []string) {
	switch {
	case o.everywhere:
		for _, q := range p.Profiles() {
			names = append(names, q.ID) // "" is the default one
		}
		return names
	case len(o.profiles) > 0:
		return o.profiles
	}
	return []string{""}
}

// editError sorts out what is the matter of the command line.
func editError(err error) error {
	for _, known := range []error{entra.ErrNotEnforced, entra.ErrUnlisted, entra.ErrAllBlocked, entra.ErrAllAllowed, entra.ErrBuiltIn, entra.ErrNoPasskeys} {
		if errors.Is(err, known) {
			return err
		}
	}
	return usageError{err}
}

// changePolicy makes another policy of the tenant's.
func (e *env) changePolicy(ctx context.Context, g *graph.Client, p, to *entra.Policy, notes []entra.Note, affected bool) error {
	if err := p.CheckEdit(to); err != nil {
		return err
	}
	c := entraChange{
		what: "the passkey policy", changes: p.Differences(to), size: newPolicySize(to),
		notes: append(notes, p.Consequences(to)...),
		write: func(ctx context.Context) error { return g.SetPolicy(ctx, p.Patch(to)) },
	}
	if affected {
		c.passkeys = g.Passkeys(ctx)
		c.shutOut = func(m *graph.Method) []string { return p.ShutOut(to, m.AAGUID, m.PasskeyType) }
	}
	c.meanwhile = func(ctx context.Context) ([]entra.Change, error) {
		now, err := policyOfTenant(ctx, g)
		if err != nil {
			return nil, err
		}
		return p.Differences(now), nil
	}
	c.left = func(ctx context.Context) ([]entra.Change, error) {
		now, err := policyOfTenant(ctx, g)
		if err != nil {
			return nil, err
		}
		return stillMissing(c.changes, now.Differences(to)), nil
	}
	return c.make(ctx, e)
}

func newEntraPolicyApplyCmd(e *env) *cobra.Command {
	var o graphOptions
	var affected bool
	cmd := &cobra.Command{
		Use:   "apply FILE",
		Short: "Make the tenant's passkey policy that of a file",
		Long: `Make the tenant's passkey policy that of a file, as 'fidokey entra policy export' or
Graph has written it; '-' is standard input. What the file does not have stays as it is,
but each list is replaced as a whole: a profile that the file does not have is deleted.
A new profile has a name and no ID. The default profile and the older settings follow
each other; change one of both.

` + changePolicyHelp + signInHelp,
		Example: `  fidokey entra policy apply policy.json --dry-run
  fidokey entra policy apply policy.json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			g, err := o.clientOf(e)
			if err != nil {
				return err
			}
			file, err := e.policyOfFile(args[0])
			if err != nil {
				return err
			}
			p, err := policyOfTenant(cmd.Context(), g)
			if err != nil {
				return err
			}
			to, err := p.Applied(file)
			if err != nil {
				return err
			}
			return e.changePolicy(cmd.Context(), g, p, to, nil, affected)
		},
	}
	o.addFlags(cmd)
	addAffectedFlag(cmd, &affected)
	addChangeFlags(e, cmd, true)
	return cmd
}
