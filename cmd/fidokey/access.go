package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"
)

// commandOf is the annotation of a command that answers as another one.
const commandOf = "fidokey-command"

// answersAs has a command answer, in JSON, as the one that it stands for.
func answersAs(cmd *cobra.Command, path string) *cobra.Command {
	cmd.Annotations = map[string]string{commandOf: path}
	return cmd
}

// alias gives a command another name.
func alias(cmd *cobra.Command, use, path string) *cobra.Command {
	cmd.Use, cmd.Example = use, "  fidokey access "+strings.Replace(use, " N", " 8", 1)
	return answersAs(cmd, path)
}

func newAccessCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:    "access",
		Hidden: true,
		Short:  "The commands for the PIN under the names that ykman has for them",
		Long: `Whoever comes from ykman finds its commands here under the names that they know:

  access change-pin              pin change, or pin set if there is no PIN yet
  access verify-pin              pin verify
  access force-change            pin force-change
  access set-min-length N        pin min-length N; -R RPID as there
  config toggle-always-uv        config always-uv on, or off
  config enable-ep-attestation   config enterprise-attestation on
  fingerprints add NAME          the same
  fingerprints delete ID|NAME    fingerprints remove; -f for --yes
  reset -f                       reset --yes

They work like the commands beside them, and have their flags. A PIN is not taken
from the command line: in place of -P and -n there are --pin-file, --pin-stdin and
--pin-env, and --new-pin-file and so on.`,
		Example: "  fidokey access change-pin",
	}
	cmd.AddCommand(
		newAccessChangePINCmd(e),
		alias(newPINVerifyCmd(e), "verify-pin", "pin verify"),
		alias(newPINForceChangeCmd(e), "force-change", "pin force-change"),
		alias(newPINMinLengthCmd(e), "set-min-length N", "pin min-length"),
	)
	return cmd
}

// newAccessChangePINCmd sets the PIN where there is none, as ykman does.
func newAccessChangePINCmd(e *env) *cobra.Command {
	var current, next pinSource
	cmd := &cobra.Command{
		Use:     "change-pin",
		Short:   "Set the PIN, or replace it",
		Long:    "Set the PIN of a key that has none, or replace the one that it has.",
		Example: "  fidokey access change-pin",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.onKey(cmd.Context(), e.prompt(&current, &next), func(ctx context.Context, key *openedKey) (report, error) {
				if state, err := key.PINState(ctx); err != nil {
					return nil, err
				} else if !state.Set {
					return e.setPIN(ctx, key, &next)
				}
				return e.changePIN(ctx, key, &next)
			})
		},
	}
	current.addFlags(cmd, "pin", "the current PIN")
	next.addFlags(cmd, "new-pin", "the new PIN")
	addChangeFlags(e, cmd, false)
	return answersAs(cmd, "pin change")
}

// errPINInArgv takes the place of an error that might repeat the PIN.
var errPINInArgv = errors.New("a PIN is not taken from the command line, where other programs and the shell's history see it: use --pin-file, --pin-stdin or --pin-env (--new-pin-file and so on for a new one)")

// flagError is for flags that are not known: those that carry a PIN in other
// programs are explained.
func flagError(_ *cobra.Command, err error) error {
	for _, flag := range []string{"shorthand flag: 'P'", "shorthand flag: 'n'", "unknown flag: --pin", "unknown flag: --new-pin"} {
		if strings.Contains(err.Error(), flag) {
			return errPINInArgv
		}
	}
	return err
}
