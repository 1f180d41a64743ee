package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/bench"
)

func newHILLockCmd(e *env, o *hilOptions) *cobra.Command {
	pid, span := 0, time.Duration(0)
	cmd := &cobra.Command{
		Use:   "lock KEY... [-- COMMAND...]",
		Short: "Lock keys of the bench, so that other jobs wait",
		Long: `Lock keys of the bench, so that other jobs wait. With a command the keys are locked
while it runs, and the exit code is that of the command; fidokey shares the lock
within it.

Without one they stay locked until 'fidokey hil unlock', or until the process that
has called this ends: a shell, or the program that is named with --pid; or for as
long as --for says. A lock whose process has ended is taken over by whoever wants it,
with a note. --owner gives the lock a name; whoever says the same shares it.`,
		Example: `  fidokey hil lock blue green --wait 10m -- make nightly
  fidokey hil lock blue --owner "$CI_JOB_ID" --for 2h --wait 1h`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			names, command := args, []string(nil)
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				names, command = args[:at], args[at:]
			}
			switch {
			case len(names) == 0:
				return usageError{errors.New("no key is named")}
			case span < 0 || len(command) > 0 && (span != 0 || pid != 0):
				return usageError{errors.New("--for and --pid are for a lock without a command, and more than 0")}
			case len(command) > 0 && e.global.json:
				return usageError{errors.New("--json: a command prints its own")}
			}
			return o.onPlaces(e, names, func(b *bench.Bench, places []*bench.Place) error {
				if len(command) > 0 {
					return o.runLocked(cmd.Context(), e, b.Owner(), places, command)
				}
				holder := bench.NewHolder(b.Owner(), cmp.Or(pid, os.Getppid()))
				if span != 0 {
					holder.Until = holder.Since.Add(span)
				}
				return o.keepLocked(cmd.Context(), e, places, holder)
			})
		},
	}
	cmd.Flags().DurationVar(&span, "for", 0, "stay locked for that long, whatever process ends: for the steps of a job")
	cmd.Flags().IntVar(&pid, "pid", 0, "the process that has the lock for as long as it runs (default: the one that has called this)")
	cmd.MarkFlagsMutuallyExclusive("for", "pid")
	return cmd
}

// hilLockReport is the answer of "hil lock" and "hil unlock".
type hilLockReport struct {
	done
	Keys []hilLocked `json:"keys"`
}

type hilLocked struct {
	Name string      `json:"name"`
	Lock *holderJSON `json:"lock,omitempty"` // that it has, or had before it was unlocked
}

// lockAll locks all keys or none, in an order that is the same for all.
func (o *hilOptions) lockAll(ctx context.Context, e *env, places []*bench.Place, holder bench.Holder) (locks []*bench.Lock, err error) {
	end := time.Now().Add(o.wait)
	for _, p := range places {
		lock, err := p.LockFor(ctx, holder, time.Until(end))
		if err != nil {
			return nil, errors.Join(err, unlockAll(locks))
		}
		if lock.Broken != nil {
			e.note("The lock of %s was that of %s, which has ended; it was taken over.", p.Name, lock.Broken.Owner)
		}
		locks = append(locks, lock)
	}
	return locks, nil
}

func unlockAll(locks []*bench.Lock) (err error) {
	for _, l := range locks {
		err = errors.Join(err, l.Unlock())
	}
	return err
}

func (o *hilOptions) keepLocked(ctx context.Context, e *env, places []*bench.Place, holder bench.Holder) error {
	locks, err := o.lockAll(ctx, e, places, holder)
	if err != nil {
		return err
	}
	r := hilLockReport{}
	for i, p := range places {
		r.Keys = append(r.Keys, hilLocked{p.Name, newHolderJSON(&locks[i].Holder)})
	}
	r.Done = fmt.Sprintf("Locked for %s: %s.", locks[0].Owner, namesOf(places))
	return e.say(nil, r)
}

func namesOf(places []*bench.Place) string {
	var names []string
	for _, p := range places {
		names = append(names, p.Name)
	}
	return strings.Join(names, ", ")
}

// runLocked runs a command while the keys are locked.
func (o *hilOptions) runLocked(ctx context.Context, e *env, owner string, places []*bench.Place, command []string) error {
	locks, err := o.lockAll(ctx, e, places, bench.NewHolder(owner, os.Getpid()))
	if err != nil {
		return err
	}
	e.live.stop()
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Stdin, c.Stdout, c.Stderr = e.stdin, e.stdout, e.stderr
	c.Env = append(os.Environ(), bench.OwnerVariable+"="+locks[0].Owner)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) }
	c.WaitDelay = 10 * time.Second
	err = c.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.Exited() {
		err = commandError{ended.ExitCode(), err}
	}
	return errors.Join(err, unlockAll(locks))
}

// commandError is the end of a command of somebody else's, with its exit code.
type commandError struct {
	code int
	error
}

func newHILUnlockCmd(e *env, o *hilOptions) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "unlock KEY...",
		Short: "Unlock keys of the bench",
		Long: `Unlock keys that this job has locked, or whose process has ended. --force unlocks a key
of another job, which goes on using it: see 'fidokey hil list' first.`,
		Example: "  fidokey hil unlock blue",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return o.onPlaces(e, args, func(_ *bench.Bench, places []*bench.Place) error {
				r := hilLockReport{done: done{fmt.Sprintf("Unlocked: %s.", namesOf(places))}}
				for _, p := range places {
					was, err := p.Unlock(force)
					if err != nil {
						return err
					}
					r.Keys = append(r.Keys, hilLocked{p.Name, newHolderJSON(was)})
				}
				return e.say(nil, r)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "unlock a key of another job, too")
	return cmd
}
