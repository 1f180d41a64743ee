package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/bench"
)

func newHILListCmd(e *env, o *hilOptions) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"status"},
		Short:   "List the keys of the bench file, where they are, and who has locked them",
		Long: `List the keys of the bench file: where each is, by which properties it was told, what
switches and touches it, and who has locked it for how long. A key that another job
has locked is not opened.`,
		Example: "  fidokey hil list\n  fidokey hil list --bench /etc/fidokey/bench.yaml --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.onPlaces(e, nil, func(b *bench.Bench, places []*bench.Place) error {
				r := hilListReport{State: b.State}
				for _, p := range places {
					key, err := listPlace(cmd.Context(), p)
					if err != nil {
						return err
					}
					r.Keys = append(r.Keys, key)
				}
				return e.say(nil, r)
			})
		},
	}
}

// hilListReport is the answer of "hil list".
type hilListReport struct {
	State string   `json:"state"` // the folder
	Keys  []hilKey `json:"keys"`
}

// hilKey is a key of the bench file.
type hilKey struct {
	Name    string      `json:"name"`
	Device  *deviceInfo `json:"device,omitempty"` // if it is there
	Port    string      `json:"port,omitempty"`
	Matched []string    `json:"matched,omitempty"`
	Absent  string      `json:"absent,omitempty"` // why it is not known where it is
	Power   string      `json:"power"`
	Touch   string      `json:"touch"`
	Reader  string      `json:"reader,omitempty"`
	Release bool        `json:"release"` // by the file
	Lock    *holderJSON `json:"lock,omitempty"`
}

func listPlace(ctx context.Context, p *bench.Place) (k hilKey, err error) {
	k = hilKey{Name: p.Name, Power: p.Power.Name(), Touch: p.Touch.Name(), Release: p.Release}
	if p.Reader != nil {
		k.Reader = p.Reader.Name
		if p.Power.Switch == nil && p.CanCycle() {
			k.Power = "field"
		}
	}
	h, err := p.Holder()
	if err != nil {
		return k, err
	}
	k.Lock = newHolderJSON(h)
	if h != nil && !p.Ours(h) && !h.Stale() {
		k.Absent = "it is locked, and was not asked"
		return k, nil
	}
	found, err := p.Find(ctx)
	if err != nil {
		k.Absent = strings.TrimPrefix(err.Error(), "key "+p.Name+": ")
		return k, ctx.Err()
	}
	k.Device, k.Port, k.Matched = foundDevice(found), found.Port, found.Matched
	return k, nil
}

func foundDevice(f *bench.Found) *deviceInfo {
	device := describe(f.HID)
	device.Path = f.Path
	return &device
}

func (r hilListReport) print(w *printer) {
	var rows [][]string
	for _, k := range r.Keys {
		where, release := "not here", "no"
		if k.Device != nil {
			where = strings.TrimSpace(k.Device.Path + " " + k.Port)
		}
		if k.Release {
			release = "yes"
		}
		rows = append(rows, []string{k.Name, where, strings.Join(k.Matched, ", "), k.Power, k.Touch, release, k.Lock.String()})
	}
	w.table([]string{"key", "where", "told by", "power", "touch", "release", "locked by"}, rows)
	for _, k := range r.Keys {
		if k.Absent != "" {
			w.printf("%s: %s", k.Name, k.Absent)
		}
	}
}

func newHILCheckCmd(e *env, o *hilOptions) *cobra.Command {
	var try bool
	cmd := &cobra.Command{
		Use:   "check [KEY...]",
		Short: "Check whether the bench is as its file says",
		Long: `Check whether the bench is as its file says: each key is there and told from the
others, whether it may be wiped and if not why, whether its PIN is known, whether its
drivers respond. The bench's PIN is tried, once; a key that refuses it is not asked
again before the PIN changes.

--try switches the power of each key off and on and has it ask for a touch, which
leaves it as it is.

The exit code is 0 if all is well; else 3 if a key is not there, 8 if one is to be
released and is not, 4 if a PIN is wrong, 1 for the rest.`,
		Example: "  fidokey hil check\n  fidokey hil check blue --try",
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.onPlaces(e, args, func(_ *bench.Bench, places []*bench.Place) error {
				r := hilCheckReport{Checks: []hilCheck{}}
				for _, p := range places {
					if err := r.place(cmd.Context(), e, o, p, try); err != nil {
						return err
					}
				}
				return errors.Join(e.say(nil, r), r.problems())
			})
		},
	}
	cmd.Flags().BoolVar(&try, "try", false, "switch the power off and on and touch the keys")
	return cmd
}

// hilCheckReport is the answer of "hil check".
type hilCheckReport struct {
	Checks []hilCheck `json:"checks"`
}

// hilCheck is what was found of a part of the bench.
type hilCheck struct {
	Key     string  `json:"key"`
	Check   string  `json:"check"` // "key", "release", "pin", "power", "touch", "field", "try"
	Outcome outcome `json:"outcome"`
	Seen    string  `json:"seen"`

	code int
}

func (r *hilCheckReport) add(p *bench.Place, check, seen string, err error, code int) {
	c := hilCheck{Key: p.Name, Check: check, Outcome: outcomeOK, Seen: seen}
	if err != nil {
		c.Outcome, c.code = outcomeProblem, code
		c.Seen = strings.TrimPrefix(err.Error(), "key "+p.Name+": ")
	}
	r.Checks = append(r.Checks, c)
}

// place checks a key and its drivers.
func (r *hilCheckReport) place(ctx context.Context, e *env, o *hilOptions, p *bench.Place, try bool) (err error) {
	lock, err := o.lock(ctx, e, p)
	if errors.Is(err, bench.ErrLocked) {
		r.add(p, "key", "", err, exitFailure)
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	v, err := p.Judge(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		r.add(p, "key", "", err, exitNoKey)
	} else {
		r.add(p, "key", fmt.Sprintf("%s, told by %s; %v", v.Found.Path, strings.Join(v.Found.Matched, ", "), v.Store), nil, 0)
		r.judged(p, v)
		if other := p.AlsoKnownAs(v.Found); other != nil {
			r.add(p, "key", "", fmt.Errorf("the file has %s as %s, too, with a lock of its own: leave one of them out, or add a serial number or a port to match", v.Found.Path, other.Name), exitFailure)
		}
	}
	r.drivers(ctx, p)
	if try && err == nil {
		t, err := p.Try(ctx)
		r.add(p, "try", trialWords(t), err, exitFailure)
	}
	return nil
}

// judged says whether the key may be wiped, and what of its PIN is known.
func (r *hilCheckReport) judged(p *bench.Place, v *bench.Verdict) {
	switch {
	case v.Released && v.Reason != "":
		r.add(p, "release", "it may be wiped: "+v.Reason, nil, 0)
	case v.Released:
		r.add(p, "release", "it may be wiped", nil, 0)
	case !p.Release:
		r.add(p, "release", "it is not wiped: "+v.Reason, nil, 0)
	default:
		r.add(p, "release", "", v.Err(), exitSafety)
	}
	switch v.PIN {
	case bench.PINRefused:
		r.add(p, "pin", "", errors.New("the key does not take the PIN of the bench, which is not tried again until it is changed"), exitPIN)
	case bench.PINUnknown:
		r.add(p, "pin", "a PIN is set that the bench does not know, or few tries are left; none is tried", nil, 0)
	case bench.PINKnown:
		r.add(p, "pin", "the key takes the PIN of the bench", nil, 0)
	default:
		r.add(p, "pin", "no PIN is set", nil, 0)
	}
}

func (r *hilCheckReport) drivers(ctx context.Context, p *bench.Place) {
	drivers := []struct {
		check string
		bench.Driver
	}{{"power", p.Power}, {"touch", p.Touch}}
	if p.Reader != nil {
		drivers = append(drivers, struct {
			check string
			bench.Driver
		}{"field", p.Reader.Field})
	}
	for _, d := range drivers {
		if d.Switch == nil {
			r.Checks = append(r.Checks, hilCheck{Key: p.Name, Check: d.check, Outcome: outcomeNotApplicable, Seen: "there is no driver"})
			continue
		}
		seen, err := d.Probe(ctx)
		r.add(p, d.check, strings.TrimSpace(d.Name()+": "+seen), err, exitFailure)
	}
}

func trialWords(t bench.Trial) string {
	var words []string
	if t.Cycle != nil {
		words = append(words, fmt.Sprintf("the key was gone %d ms after power off, and back %d ms after power on", t.Cycle.Gone, t.Cycle.There))
	}
	if t.Touched != nil {
		words = append(words, fmt.Sprintf("a touch was noticed after %d ms", *t.Touched))
	}
	if len(words) == 0 {
		return "nothing could be tried"
	}
	return strings.Join(words, "; ")
}

func (r hilCheckReport) print(w *printer) {
	var rows [][]string
	for _, c := range r.Checks {
		rows = append(rows, []string{string(c.Outcome), c.Key, c.Check, c.Seen})
	}
	w.table([]string{"", "key", "check", "found"}, rows)
}

// problems are what the exit code is made of: the first code that there is.
func (r hilCheckReport) problems() error {
	var p problemsError
	codes := map[int]bool{}
	for _, c := range r.Checks {
		if c.Outcome == outcomeProblem {
			p.count++
			codes[c.code] = true
		}
	}
	for _, code := range []int{exitNoKey, exitSafety, exitPIN, exitFailure} {
		if codes[code] {
			p.code = code
			return p
		}
	}
	return nil
}
