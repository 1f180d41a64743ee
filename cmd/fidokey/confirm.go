package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/internal/term"
)

// safetyError is something that is not done before somebody has agreed to it.
type safetyError struct{ error }

func (e safetyError) Unwrap() error { return e.error }

// errNotAgreed is what the person has said.
var errNotAgreed = errors.New("nothing was done, since you did not agree")

// addChangeFlags gives a command that changes a key --dry-run, and if it destroys
// something --yes.
func addChangeFlags(e *env, cmd *cobra.Command, destroys bool) {
	cmd.Flags().BoolVar(&e.dryRun, "dry-run", false, "say what would be done, and do nothing")
	if destroys {
		cmd.Flags().BoolVarP(&e.yes, "yes", "y", false, "do not ask for agreement")
	}
}

// addForceFlag gives a command that destroys something --force, which is --yes in
// the words of ykman.
func addForceFlag(e *env, cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&e.yes, "force", "f", false, "do not ask for agreement")
	cmd.Flags().MarkHidden("force")
}

// confirm shows what will be lost and asks for agreement, on the terminal. With
// --yes it does not ask; without a terminal it refuses.
func (e *env) confirm(ctx context.Context, loss, question string) error {
	if e.yes {
		return nil
	}
	e.live.stop()
	answer, err := term.ReadLine(ctx, fmt.Sprintf("%s\n%s Type 'yes' to go on: ", loss, question))
	switch {
	case errors.Is(err, term.ErrNoTerminal):
		return safetyError{fmt.Errorf("%s\nnobody can be asked, for there is no terminal; --yes goes on without", loss)}
	case err != nil:
		return err
	case !strings.EqualFold(strings.TrimSpace(answer), "yes"):
		return safetyError{errNotAgreed}
	}
	return nil
}
