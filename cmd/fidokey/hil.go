package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/bench"
	"github.com/fidokey/fidokey/transport/hid"
)

// benchVariable names the bench file.
const benchVariable = "FIDOKEY_BENCH"

// hilOptions are what all commands of "hil" have.
type hilOptions struct {
	file, owner string
	wait        time.Duration
}

func newHILCmd(e *env) *cobra.Command {
	o := &hilOptions{}
	cmd := &cobra.Command{
		Use:   "hil",
		Short: "Use keys on a hardware bench: their power, their touches, their locks",
		Long: `Use keys on a hardware bench (hardware in the loop): keys with a switch in their
power supply and something that touches them. A bench file says which key is which,
what switches and touches it, and whether it may be wiped; docs/hil.md begins with
a hub, a relay and three keys.

A key is wiped only if the bench file releases it by two properties that match, and
nothing is on it that the bench does not know. Whoever uses a key locks it, so that
jobs share a bench; what waits for --wait.`,
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&o.file, "bench", "", "the bench file (default: $"+benchVariable+", else bench.yaml)")
	flags.StringVar(&o.owner, "owner", "", "who locks keys, as a job's number; whoever says the same shares the lock (default: $"+bench.OwnerVariable+", else this process)")
	flags.DurationVar(&o.wait, "wait", 0, "how long to wait for a key that another job has locked")
	cmd.AddCommand(newHILListCmd(e, o), newHILCheckCmd(e, o), newHILPowerCmd(e, o), newHILTouchCmd(e, o), newHILResetCmd(e, o),
		newHILAdoptCmd(e, o), newHILLockCmd(e, o), newHILUnlockCmd(e, o), newHILServeCmd(e, o))
	return cmd
}

// open reads the bench file.
func (o *hilOptions) open(e *env) (*bench.Bench, error) {
	state, err := stateFile("bench")
	if err != nil {
		return nil, err
	}
	path := cmp.Or(o.file, os.Getenv(benchVariable), "bench.yaml")
	b, err := bench.Load(path, bench.Options{
		State: state, Owner: cmp.Or(o.owner, os.Getenv(bench.OwnerVariable)), Backend: hid.Backend(e.global.backend),
		Say: func(text string) { e.wait(text, eventNote, map[string]any{"message": text}) },
	})
	var wrong *bench.FileError
	switch {
	case errors.As(err, &wrong):
		return nil, usageError{err}
	case errors.Is(err, fs.ErrNotExist):
		return nil, usageError{fmt.Errorf("%w; $FIDOKEY_BENCH names the bench file, or --bench of hil", err)}
	case err != nil:
		return nil, err
	}
	b.State, err = filepath.Abs(b.State)
	return b, err
}

// onPlaces runs do on places of the bench, all of them if none is named.
func (o *hilOptions) onPlaces(e *env, names []string, do func(b *bench.Bench, places []*bench.Place) error) error {
	b, err := o.open(e)
	if err != nil {
		return err
	}
	places := b.Places()
	if len(names) > 0 {
		places = nil
	}
	for _, name := range names {
		p, failed := b.Place(name)
		err = errors.Join(err, failed)
		if !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	if err == nil {
		err = do(b, places)
	}
	return errors.Join(err, b.Close())
}

// onLocked runs do on a key that it has locked.
func (o *hilOptions) onLocked(ctx context.Context, e *env, name string, do func(p *bench.Place) error) error {
	return o.onPlaces(e, []string{name}, func(_ *bench.Bench, places []*bench.Place) error {
		p := places[0]
		lock, err := o.lock(ctx, e, p)
		if err != nil {
			return err
		}
		return errors.Join(do(p), lock.Unlock())
	})
}

func (o *hilOptions) lock(ctx context.Context, e *env, p *bench.Place) (*bench.Lock, error) {
	lock, err := p.Lock(ctx, o.wait)
	if err == nil && lock.Broken != nil {
		e.note("The lock of %s was that of %s, which has ended; it was taken over.", p.Name, lock.Broken.Owner)
	}
	return lock, err
}

// holderJSON is who has locked a key.
type holderJSON struct {
	bench.Holder
	AgeSeconds int64 `json:"ageSeconds"`
	Stale      bool  `json:"stale"`
}

func newHolderJSON(h *bench.Holder) *holderJSON {
	if h == nil {
		return nil
	}
	return &holderJSON{*h, int64(h.Age().Seconds()), h.Stale()}
}

func (h *holderJSON) String() string {
	switch {
	case h == nil:
		return "-"
	case h.Stale:
		return h.Owner + ", which has ended"
	}
	return fmt.Sprintf("%s, for %v", h.Owner, h.Age())
}
