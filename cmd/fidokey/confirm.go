package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
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
		return safetyError{fmt.Errorf("nobody can be asked, for there is no terminal; --yes goes on without. %s", loss)}
	case err != nil:
		return err
	case !strings.EqualFold(strings.TrimSpace(answer), "yes"):
		return safetyError{errNotAgreed}
	}
	return nil
}

// pickOnTerminal asks for the number of an account. flag is why one must be chosen.
func (e *env) pickOnTerminal(ctx context.Context, all []*client.Asserted, flag string) (int, error) {
	e.live.stop()
	answer, err := term.ReadLine(ctx, fmt.Sprintf("%s\n%s is for one account. Which number? ", accounts(all), flag))
	if errors.Is(err, term.ErrNoTerminal) {
		return 0, usageError{fmt.Errorf("%s is for one account, and several have signed in; choose with --pick N or --first:\n%s", flag, accounts(all))}
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(answer))
	if err != nil {
		return 0, usageError{fmt.Errorf("%q is no number of an account", answer)}
	}
	return n, nil
}
