package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/bench"
)

// hilDone is the answer of commands that did something to a key of the bench.
type hilDone struct {
	done
	Key   string       `json:"key"`
	Cycle *bench.Cycle `json:"cycle,omitempty"`
	Reset *bench.Reset `json:"reset,omitempty"`
}

func newHILPowerCmd(e *env, o *hilOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "power KEY on|off|cycle",
		Short: "Unplug a key of the bench, or plug it in",
		Long: `Switch the power of a key, and wait until that is to be seen: the key is gone, or is
back. The finger is taken off the key before.`,
		Example:           "  fidokey hil power blue cycle",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if args[1] != "on" && args[1] != "off" && args[1] != "cycle" {
				return usageError{fmt.Errorf("%q is not on, off or cycle", args[1])}
			}
			return o.onLocked(cmd.Context(), e, args[0], func(p *bench.Place) error {
				r := hilDone{Key: p.Name}
				if args[1] == "cycle" {
					c, err := p.PowerCycle(cmd.Context())
					if err != nil {
						return err
					}
					r.Cycle = &c
					r.Done = fmt.Sprintf("The key %s was unplugged and plugged in again: gone after %d ms, back after %d ms.", p.Name, c.Gone, c.There)
					return e.say(nil, r)
				}
				took, err := p.SwitchPower(cmd.Context(), args[1] == "on")
				if err != nil {
					return err
				}
				r.Done = fmt.Sprintf("The power of %s is %s: seen after %d ms.", p.Name, args[1], took.Milliseconds())
				return e.say(nil, r)
			})
		},
	}
}

func newHILTouchCmd(e *env, o *hilOptions) *cobra.Command {
	var hold time.Duration
	var long bool
	cmd := &cobra.Command{
		Use:     "touch KEY",
		Short:   "Touch a key of the bench",
		Long:    "Touch a key, whether it blinks or not, and take the finger off again.",
		Example: "  fidokey hil touch blue\n  fidokey hil touch blue --hold 2s",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if hold < 0 || hold > time.Minute {
				return usageError{fmt.Errorf("--hold %v: must be up to a minute", hold)}
			}
			return o.onLocked(cmd.Context(), e, args[0], func(p *bench.Place) error {
				if err := p.TouchNow(cmd.Context(), hold, long); err != nil {
					return err
				}
				return e.say(nil, hilDone{done: done{fmt.Sprintf("The key %s was touched.", p.Name)}, Key: p.Name})
			})
		},
	}
	cmd.Flags().DurationVar(&hold, "hold", 0, "how long the finger stays (default: times.touch of the bench file)")
	cmd.Flags().BoolVar(&long, "long", false, "touch as for a reset that takes a long touch (times.longTouch)")
	cmd.MarkFlagsMutuallyExclusive("hold", "long")
	return cmd
}

func newHILResetCmd(e *env, o *hilOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "reset KEY",
		Short: "Wipe a key of the bench",
		Long: `Wipe a key of the bench: power off and on, the reset as the first command within ten
seconds, and the touch that the key asks for, a long one if it does. The answer says
how long each took.

It takes a key that the bench file releases, with nothing on it that the bench does
not know; else nothing is done, with exit code 8.`,
		Example: "  fidokey hil reset blue --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.onLocked(cmd.Context(), e, args[0], func(p *bench.Place) error {
				v, err := p.Judge(cmd.Context())
				if err != nil {
					return err
				}
				if err := v.Err(); err != nil {
					return err
				}
				loss := fmt.Sprintf("A reset destroys everything on the key %s (%s): %v.", p.Name, v.Found.Path, v.Store)
				if e.dryRun {
					return e.say(foundDevice(v.Found), dry("%s", loss))
				}
				if err := e.confirm(cmd.Context(), loss, "There is no way back. Destroy all of it?"); err != nil {
					return err
				}
				r, err := p.Reset(cmd.Context(), v)
				if err != nil {
					return err
				}
				said := fmt.Sprintf("The key %s was reset: sent %d ms after power on, done after %d ms.", p.Name, r.Sent, r.Done)
				return e.say(foundDevice(v.Found), hilDone{done: done{said}, Key: p.Name, Reset: r})
			})
		},
	}
	addChangeFlags(e, cmd, true)
	return cmd
}

func newHILAdoptCmd(e *env, o *hilOptions) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "adopt KEY",
		Short: "Say that what is on a key of the bench may be destroyed",
		Long: `Say that what is on a key of the bench now is the bench's, and may be destroyed by
the next run. The bench notes it, and refuses to wipe the key as soon as there is
something else on it. A PIN that the key refused is tried again, once.

A key on which, by its own word, there is nothing needs nobody's.`,
		Example: "  fidokey hil adopt blue --yes",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.onLocked(cmd.Context(), e, args[0], func(p *bench.Place) error {
				if !p.Release {
					return fmt.Errorf("key %s: %w: the bench file does not release it", p.Name, bench.ErrNotReleased)
				}
				found, err := p.Find(cmd.Context())
				if err != nil {
					return err
				}
				loss := fmt.Sprintf("What is on the key %s (%s) may be destroyed from now on.", p.Name, found.Path)
				if e.dryRun {
					return e.say(foundDevice(found), dry("%s", loss))
				}
				if err := e.confirm(cmd.Context(), loss, "Is there nothing on it that anybody needs?"); err != nil {
					return err
				}
				v, err := p.Adopt(cmd.Context())
				if err != nil {
					return err
				}
				said := fmt.Sprintf("Noted: the key %s has %v.", p.Name, v.Store)
				return errors.Join(e.say(foundDevice(found), hilDone{done: done{said}, Key: p.Name}), v.Err())
			})
		},
	}
	addChangeFlags(e, cmd, true)
	return cmd
}
