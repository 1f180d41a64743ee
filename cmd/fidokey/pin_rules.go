package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
)

func newPINForceChangeCmd(e *env) *cobra.Command {
	var source pinSource
	cmd := &cobra.Command{
		Use:   "force-change",
		Short: "Make the key refuse its PIN until it is changed",
		Long: `Make the key refuse its PIN until it is changed, as is good for one that somebody
else has set. Whoever knows the PIN changes it with 'fidokey pin change'.`,
		Example: "  fidokey pin force-change",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.demandOfPINs(cmd.Context(), &source, client.MinPINLength{ForceChange: true})
		},
	}
	source.addFlags(cmd, "pin", "the current PIN")
	addChangeFlags(e, cmd, false)
	return cmd
}

func newPINMinLengthCmd(e *env) *cobra.Command {
	var source pinSource
	var demands client.MinPINLength
	cmd := &cobra.Command{
		Use:   "min-length [N]",
		Short: "Demand longer PINs, for good, and say who is told",
		Long: `Demand PINs of at least N characters from now on. If the PIN is shorter it must be
changed before it is good for anything else.

N cannot be smaller than it is, and only a reset of the key takes back what is set
here: the reset destroys every credential. So you are asked before.

--rp names relying parties that learn at registration how long PINs must be (the
extensions minPinLength and pinComplexityPolicy); they take the place of those that
were named before. --complexity has the key enforce its maker's rules for PINs.
'fidokey config show' has what is set.`,
		Example: "  fidokey pin min-length 8 --rp login.microsoft.com",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := parseMinLength(&demands, args); err != nil {
				return err
			}
			return e.demandOfPINs(cmd.Context(), &source, demands)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVarP(&demands.RPIDs, "rp", "R", nil, "a relying party that learns of the minimum, by its RP ID; may be given several times")
	flags.BoolVar(&demands.ForceChange, "force-change", false, "refuse the PIN until it is changed")
	flags.BoolVar(&demands.ComplexityPolicy, "complexity", false, "enforce the rules of the key's maker for PINs (CTAP 2.2)")
	source.addFlags(cmd, "pin", "the current PIN")
	addChangeFlags(e, cmd, true)
	return cmd
}

// parseMinLength refuses what demands nothing.
func parseMinLength(m *client.MinPINLength, args []string) error {
	for _, id := range m.RPIDs {
		if err := checkRPID(id); err != nil {
			return err
		}
	}
	if len(args) == 0 {
		if len(m.RPIDs) == 0 && !m.ForceChange && !m.ComplexityPolicy {
			return usageError{errors.New("nothing is demanded: give a number of characters, --rp, --force-change or --complexity")}
		}
		return nil
	}
	n, err := strconv.ParseUint(args[0], 10, 8)
	if err != nil || n == 0 {
		return usageError{fmt.Errorf("%q is not a number of characters, as 8 is", args[0])}
	}
	m.Length = uint(n)
	return nil
}

// demandOfPINs makes a key ask more of PINs, after agreement to what only a reset
// takes back.
func (e *env) demandOfPINs(ctx context.Context, source *pinSource, m client.MinPINLength) error {
	return e.onKey(ctx, e.prompt(source, nil), func(ctx context.Context, key *openedKey) (report, error) {
		info, err := key.Info(ctx)
		if err != nil {
			return nil, err
		}
		if err := m.Check(info); err != nil {
			return nil, err
		}
		if e.dryRun {
			return dry("This would hold from then on: %s.", demandsInWords(m)), nil
		}
		if m.Length != 0 || len(m.RPIDs) > 0 || m.ComplexityPolicy {
			loss := "Only a reset, which destroys every credential on the key, takes this back: " + demandsInWords(m) + "."
			if err := e.confirm(ctx, loss, "Set it?"); err != nil {
				return nil, err
			}
		}
		if err := key.SetMinPINLength(ctx, m); err != nil {
			return nil, err
		}
		return done{"From now on: " + demandsInWords(m) + "."}, nil
	})
}

func demandsInWords(m client.MinPINLength) string {
	var all []string
	if m.Length != 0 {
		all = append(all, fmt.Sprintf("PINs have at least %d characters", m.Length))
	}
	if len(m.RPIDs) > 0 {
		all = append(all, "the minimum is told to "+strings.Join(m.RPIDs, ", "))
	}
	if m.ComplexityPolicy {
		all = append(all, "PINs keep the rules of the key's maker")
	}
	if m.ForceChange {
		all = append(all, "the PIN must be changed before it is good for anything else")
	}
	return strings.Join(all, "; ")
}
