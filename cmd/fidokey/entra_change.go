package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
)

// An entraChange is one of the passkey policy or of a strength, before it is made.
type entraChange struct {
	what    string // "the passkey policy"
	changes []entra.Change
	notes   []entra.Note
	size    *policySize // nil: there is no limit
	// meanwhile reads again what is to be changed, and lists what somebody else has
	// changed since. Graph has no ETag for it.
	meanwhile func(ctx context.Context) ([]entra.Change, error)
	write     func(ctx context.Context) error
	// left reads back, and lists the changes that are still to be made.
	left func(ctx context.Context) ([]entra.Change, error)
}

// errNotKept is a change that Graph has taken and does not show.
var errNotKept = verifyError{errors.New("Graph has taken the change, and does not show all of it; what is missing is listed")}

// entraChangeReport is the answer of commands that change a policy or a strength.
type entraChangeReport struct {
	Changes []policyChange `json:"changes"`
	Notes   []entra.Note   `json:"notes"`
	Size    *policySize    `json:"size,omitempty"`
	Written bool           `json:"written"`
	DryRun  bool           `json:"dryRun,omitempty"`
	Missing []policyChange `json:"missing,omitempty"` // Graph does not show them afterwards

	what string
}

// policyChange is a change with the name of the model that it is about.
type policyChange struct {
	entra.Change
	Model string `json:"model,omitempty"`
}

func newPolicyChanges(changes []entra.Change) []policyChange {
	list := make([]policyChange, len(changes))
	for i, c := range changes {
		list[i].Change = c
		for _, v := range []any{c.Old, c.New} {
			text, _ := v.(string)
			if a, err := ctap2.ParseAAGUID(strings.ToLower(text)); err == nil && strings.HasSuffix(strings.ToLower(c.Path), "aaguids") {
				list[i].Model = modelName(a)
			}
		}
	}
	return list
}

func (c policyChange) String() string {
	s := c.Change.String()
	if c.Model != "" {
		s += "  " + c.Model
	}
	return printable(s)
}

func noteInWords(n entra.Note) string {
	var parts []string
	if n.Warning {
		parts = append(parts, "Warning")
	}
	if n.Profile != "" {
		parts = append(parts, n.Profile)
	}
	return printable(strings.Join(append(parts, n.Text), ": "))
}

// linesOf has each change and note in a line. What the older settings only repeat of
// the default profile is said once.
func linesOf(changes []policyChange, notes []entra.Note) string {
	var lines []string
	for _, c := range changes {
		repeats := func(other policyChange) bool {
			return strings.HasSuffix(other.Path, "]."+c.Path) && fmt.Sprint(other.Old, other.New) == fmt.Sprint(c.Old, c.New)
		}
		if !slices.ContainsFunc(changes, repeats) {
			lines = append(lines, c.String())
		}
	}
	if len(lines) < len(changes) {
		lines = append(lines, "The older settings of the policy follow the default profile.")
	}
	for _, n := range notes {
		lines = append(lines, noteInWords(n))
	}
	return strings.Join(lines, "\n")
}

func (r *entraChangeReport) print(w *printer) {
	switch {
	case len(r.Changes) == 0:
		w.printf("Nothing is to be changed in %s.", r.what)
	case r.DryRun:
		w.printf("Nothing was done. Would change %s:", r.what)
	case r.Written:
		w.printf("Changed %s. It takes minutes, about ten, until everything goes by it.", r.what)
	}
	if text := linesOf(r.Changes, r.Notes); text != "" {
		fmt.Fprintf(w, "%s\n", text)
	}
	if r.Size != nil && len(r.Changes) > 0 {
		w.printf("Size: %s", r.Size)
	}
	if len(r.Missing) > 0 {
		w.printf("Graph does not show:")
		fmt.Fprintf(w, "%s\n", linesOf(r.Missing, nil))
	}
}

// make makes a change, after the person has seen it and agreed.
func (c *entraChange) make(ctx context.Context, e *env) error {
	r := &entraChangeReport{Changes: newPolicyChanges(c.changes), Notes: c.notes, Size: c.size, DryRun: e.dryRun, what: c.what}
	if r.Notes == nil {
		r.Notes = []entra.Note{}
	}
	if len(c.changes) == 0 || e.dryRun {
		return e.say(nil, r)
	}
	if err := e.confirm(ctx, linesOf(r.Changes, r.Notes), fmt.Sprintf("Change %s?", c.what)); err != nil {
		return err
	}
	meanwhile, err := c.meanwhile(ctx)
	if err != nil {
		return err
	}
	if len(meanwhile) > 0 {
		return safetyError{fmt.Errorf("somebody else has changed %s meanwhile, and nothing was written; run the command again. What they changed:\n%s", c.what, linesOf(newPolicyChanges(meanwhile), nil))}
	}
	if err := c.write(ctx); err != nil {
		return err
	}
	r.Written = true
	missing, err := c.readBack(ctx)
	if err != nil {
		return fmt.Errorf("the change was written, but could not be read back: %w", err)
	}
	if r.Missing = newPolicyChanges(missing); len(missing) > 0 {
		return errors.Join(e.say(nil, r), errNotKept)
	}
	return e.say(nil, r)
}

// readBack gives Graph some seconds until each of its servers shows a change.
func (c *entraChange) readBack(ctx context.Context) (missing []entra.Change, err error) {
	const tries, pause = 4, time.Second
	for n := 1; ; n++ {
		if missing, err = c.left(ctx); err != nil || len(missing) == 0 || n == tries {
			return missing, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// stillMissing are the changes, of those that were made, that are still to be made.
func stillMissing(made, left []entra.Change) (missing []entra.Change) {
	for _, c := range left {
		for _, m := range made {
			if c.Path == m.Path && c.String() == m.String() {
				missing = append(missing, c)
			}
		}
	}
	return missing
}
