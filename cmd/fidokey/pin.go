package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

func newPINCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pin",
		Short: "Set, change, verify the PIN, see how many tries are left, or demand more of PINs",
		Long: `Set, change or verify the PIN of a key, see how many tries are left, or demand
more of PINs.

A key takes 8 wrong PINs in all, and 3 in a row before it must be unplugged.
The tries left are read before each try and shown; no PIN is ever tried twice. A
new PIN is held against the key's shortest and longest PIN, in characters, before
anything is sent.

A PIN is never a flag's value, where other programs and the shell's history see
it: it comes from the terminal, a file, standard input or an environment variable.`,
		Example: "  fidokey pin set\n  fidokey pin verify --pin-file pin.txt",
	}
	cmd.AddCommand(newPINSetCmd(e), newPINChangeCmd(e), newPINVerifyCmd(e), newPINRetriesCmd(e),
		newPINForceChangeCmd(e), newPINMinLengthCmd(e))
	return cmd
}

func newPINSetCmd(e *env) *cobra.Command {
	var source pinSource
	cmd := &cobra.Command{
		Use:   "set",
		Short: "Give a key its first PIN",
		Long: `Give a key its first PIN. On the terminal it is asked for twice.

With --dry-run a PIN that is given by flag is held against the key's rules, as far
as the key tells them, and not set.`,
		Example: "  fidokey pin set\n  fidokey pin set --pin-env NEW_PIN",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runPINSet(cmd.Context(), e, &source) },
	}
	source.addFlags(cmd, "pin", "the PIN to set")
	// It is the new PIN, too: whoever says so, as for "pin change", is understood.
	source.addFlags(cmd, "new-pin", "the PIN to set")
	for _, from := range []string{"file", "stdin", "env"} {
		cmd.Flags().MarkHidden("new-pin-" + from)
		cmd.MarkFlagsMutuallyExclusive("pin-"+from, "new-pin-"+from)
	}
	addChangeFlags(e, cmd, false)
	return cmd
}

func runPINSet(ctx context.Context, e *env, source *pinSource) error {
	return e.onKey(ctx, e.prompt(nil, source), func(ctx context.Context, key *openedKey) (report, error) {
		return e.setPIN(ctx, key, source)
	})
}

func (e *env) setPIN(ctx context.Context, key *openedKey, source *pinSource) (report, error) {
	if e.dryRun {
		return e.dryPIN(ctx, key, source, false)
	}
	if err := key.SetPIN(ctx); err != nil {
		return nil, err
	}
	return done{"The PIN is set."}, nil
}

func newPINChangeCmd(e *env) *cobra.Command {
	var current, next pinSource
	cmd := &cobra.Command{
		Use:   "change",
		Short: "Replace the PIN of a key",
		Long: `Replace the PIN of a key. On the terminal the new one is asked for twice. A new
PIN that the key would refuse costs no try of the current one.

With --dry-run no PIN is tried; a new one that is given by flag is held against the
key's rules, as far as the key tells them.`,
		Example: "  fidokey pin change\n  fidokey pin change --pin-file old.txt --new-pin-file new.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.onKey(cmd.Context(), e.prompt(&current, &next), func(ctx context.Context, key *openedKey) (report, error) {
				return e.changePIN(ctx, key, &next)
			})
		},
	}
	current.addFlags(cmd, "pin", "the current PIN")
	next.addFlags(cmd, "new-pin", "the new PIN")
	addChangeFlags(e, cmd, false)
	return cmd
}

func (e *env) changePIN(ctx context.Context, key *openedKey, next *pinSource) (report, error) {
	if e.dryRun {
		return e.dryPIN(ctx, key, next, true)
	}
	if err := key.ChangePIN(ctx); err != nil {
		return nil, err
	}
	return done{"The PIN is changed."}, nil
}

// dryPIN says what would become of a new PIN, which is read only if a flag gives
// it.
func (e *env) dryPIN(ctx context.Context, key *openedKey, next *pinSource, change bool) (report, error) {
	info, err := key.Info(ctx)
	if err != nil {
		return nil, err
	}
	switch set, supported := info.Option(ctap2.OptionClientPIN); {
	case !supported:
		return nil, client.ErrPINUnsupported
	case set && !change:
		return nil, client.ErrPINSet
	case !set && change:
		return nil, client.ErrNoPIN
	case !next.given():
		return dry("The key would be given a PIN of %s.", pinLength(info)), nil
	}
	entered, err := next.read(e)
	if err != nil {
		return nil, err
	}
	defer clear(entered)
	if err := pin.Check(info, entered); err != nil {
		return nil, err
	}
	return dry("The key would be given this PIN, which keeps the rules that it tells: %s.", pinLength(info)), nil
}

func newPINVerifyCmd(e *env) *cobra.Command {
	var source pinSource
	cmd := &cobra.Command{
		Use:     "verify",
		Short:   "Try a PIN, once",
		Long:    "Try a PIN, once. A wrong one costs a try; the right one brings all tries back.",
		Example: "  fidokey pin verify --pin-file pin.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.onKey(cmd.Context(), e.prompt(&source, nil), func(ctx context.Context, key *openedKey) (report, error) {
				if err := key.VerifyPIN(ctx); err != nil {
					return nil, err
				}
				return done{"The PIN is right."}, nil
			})
		},
	}
	source.addFlags(cmd, "pin", "the PIN")
	return cmd
}

func newPINRetriesCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retries",
		Short: "Show how many tries are left; this costs none",
		Long: `Show how many wrong PINs the key still takes; this costs none. A right PIN brings
all tries back.`,
		Example: "  fidokey pin retries\n  fidokey pin retries --all",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runPINRetries(cmd.Context(), e) },
	}
	addAllFlag(e, cmd)
	return cmd
}

// pinReport is the answer of "pin retries".
type pinReport struct {
	Supported       bool  `json:"supported"`
	Set             bool  `json:"set"`
	PINRetries      *uint `json:"pinRetries,omitempty"`
	PowerCycleState bool  `json:"powerCycleState"`
	ForcePINChange  bool  `json:"forcePINChange"`

	state client.PINState
}

func (r pinReport) print(w *printer) { w.printf("%s", pinState(r.state)) }

func newPINReport(s client.PINState) pinReport {
	r := pinReport{Supported: s.Supported, Set: s.Set, ForcePINChange: s.MustChange, state: s}
	if s.Retries != nil {
		r.PINRetries, r.PowerCycleState = &s.Retries.Left, s.Retries.PowerCycle
	}
	return r
}

func runPINRetries(ctx context.Context, e *env) error {
	return e.onKeys(ctx, client.Prompt{}, func(ctx context.Context, key *openedKey) (report, error) {
		state, err := key.PINState(ctx)
		if err != nil {
			return nil, err
		}
		return newPINReport(state), nil
	})
}

// pinState puts the state of the PIN in words.
func pinState(s client.PINState) string {
	switch {
	case !s.Supported:
		return "not supported"
	case !s.Set:
		return "not set"
	case s.Retries.Left == 0:
		return "blocked: only a reset helps, which destroys every credential"
	case s.Retries.PowerCycle:
		return "set, " + s.Retries.String() + ", but none before the key was unplugged and plugged in again"
	case s.MustChange:
		return "set, " + s.Retries.String() + ", good for nothing but to be changed: fidokey pin change"
	}
	return "set, " + s.Retries.String()
}
