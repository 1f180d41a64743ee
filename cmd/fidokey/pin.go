package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
)

func newPINCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pin",
		Short: "Set, change, verify the PIN, or see how many tries are left",
		Long: `Set, change or verify the PIN of a key, or see how many tries are left.

A key takes 8 wrong PINs in all, and 3 in a row before it must be unplugged.
The tries left are read before each try and shown; no PIN is ever tried twice.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPINSetCmd(e), newPINChangeCmd(e), newPINVerifyCmd(e), newPINRetriesCmd(e))
	return cmd
}

func newPINSetCmd(e *env) *cobra.Command {
	var source pinSource
	cmd := &cobra.Command{
		Use:     "set",
		Short:   "Give a key its first PIN",
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
	return cmd
}

func runPINSet(ctx context.Context, e *env, source *pinSource) error {
	return e.withKey(ctx, e.prompt(nil, source), func(key *openedKey) error {
		if err := key.SetPIN(ctx); err != nil {
			return err
		}
		return e.say(&key.device, done{"The PIN is set."})
	})
}

func newPINChangeCmd(e *env) *cobra.Command {
	var current, next pinSource
	cmd := &cobra.Command{
		Use:     "change",
		Short:   "Replace the PIN of a key",
		Example: "  fidokey pin change\n  fidokey pin change --pin-file old.txt --new-pin-file new.txt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runPINChange(cmd.Context(), e, &current, &next)
		},
	}
	current.addFlags(cmd, "pin", "the current PIN")
	next.addFlags(cmd, "new-pin", "the new PIN")
	return cmd
}

func runPINChange(ctx context.Context, e *env, current, next *pinSource) error {
	return e.withKey(ctx, e.prompt(current, next), func(key *openedKey) error {
		if err := key.ChangePIN(ctx); err != nil {
			return err
		}
		return e.say(&key.device, done{"The PIN is changed."})
	})
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
			return runPINVerify(cmd.Context(), e, &source)
		},
	}
	source.addFlags(cmd, "pin", "the PIN")
	return cmd
}

func runPINVerify(ctx context.Context, e *env, source *pinSource) error {
	return e.withKey(ctx, e.prompt(source, nil), func(key *openedKey) error {
		if err := key.VerifyPIN(ctx); err != nil {
			return err
		}
		return e.say(&key.device, done{"The PIN is right."})
	})
}

func newPINRetriesCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "retries",
		Short:   "Show how many tries are left; this costs none",
		Example: "  fidokey pin retries",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runPINRetries(cmd.Context(), e) },
	}
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
	}
	return "set, " + s.Retries.String()
}
