package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
)

// tokenFile is where --remember keeps read-only tokens.
func tokenFile() (string, error) { return stateFile("read-only-tokens.json") }

// remembered are the read-only tokens of keys since CTAP 2.2 (permission pcmr).
// Those that are kept are used; new ones are kept with --remember only.
type remembered struct {
	*client.FileTokens
	env  *env
	path string
	keep bool
}

func addRememberFlag(cmd *cobra.Command, keep *bool) {
	cmd.Flags().BoolVar(keep, "remember", false, "keep the key's read-only token in your state folder, so that this needs no PIN the next time (CTAP 2.2)")
}

// openRemembered makes what is kept available to the keys that are opened next.
func (e *env) openRemembered(keep bool) error {
	path, err := tokenFile()
	if err != nil {
		if keep {
			return err
		}
		return nil
	}
	if _, err := os.Stat(path); !keep && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	e.tokens = &remembered{client.NewFileTokens(path), e, path, keep}
	return nil
}

// Save keeps a token if that is wanted.
func (r *remembered) Save(ctx context.Context, t client.PersistentToken) error {
	if !r.keep {
		return nil
	}
	if err := r.FileTokens.Save(ctx, t); err != nil {
		return err
	}
	r.env.note("The read-only token of this key is kept in %s: whoever has it can list the passkeys of this key, and do no more. 'fidokey credentials forget' drops it.", r.path)
	return nil
}

// noteForgetful says where --remember has no effect.
func (e *env) noteForgetful(info *ctap2.GetInfoResponse, keep bool) {
	if has, _ := info.Option(ctap2.OptionPerCredMgmtRO); keep && !has {
		e.note("This key gives no lasting read-only access (perCredMgmtRO): nothing is remembered.")
	}
}

func newCredentialsForgetCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "forget",
		Short: "Drop the read-only tokens that --remember has kept",
		Long: `Drop the read-only tokens that --remember has kept on this computer, those of all
keys. No key is asked. A key gives the same token again to whoever has its PIN; a
new PIN, or a reset, makes it void everywhere.`,
		Example: "  fidokey credentials forget",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return runCredentialsForget(e) },
	}
	addChangeFlags(e, cmd, false)
	return cmd
}

func runCredentialsForget(e *env) error {
	path, err := tokenFile()
	if err != nil {
		return err
	}
	if e.dryRun {
		_, err = os.Stat(path)
	} else {
		err = os.Remove(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e.say(nil, done{"Nothing was remembered."})
	case err != nil:
		return err
	case e.dryRun:
		return e.say(nil, done{"The tokens in " + path + " would be dropped."})
	}
	return e.say(nil, done{"The tokens in " + path + " are dropped."})
}
