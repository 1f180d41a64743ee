package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/entra/graph"
)

// affectedHelp says what --affected does.
const affectedHelp = `--affected names the passkeys that would be shut out, with their users; this takes
UserAuthMethod-Passkey.Read.All and AuditLog.Read.All as well, or User.Read.All where the
tenant has no licence for the registration report.`

// addAffectedFlag gives a command that changes a policy --affected.
func addAffectedFlag(cmd *cobra.Command, affected *bool) {
	cmd.Flags().BoolVar(affected, "affected", false, "look through all passkeys of the tenant for those that would be shut out")
}

// An entraChange is one of the passkey policy or of a strength, before it is made.
type entraChange struct {
	what    string // "the passkey policy"
	changes []entra.Change
	notes   []entra.Note
	size    *policySize // nil: there is no limit
	// passkeys of the tenant are looked through for those that the change shuts out; nil:
	// nobody has asked for that.
	passkeys iter.Seq2[graph.UserMethods, error]
	// shutOut names by what a passkey no longer signs in.
	shutOut func(m *graph.Method) []string
	// meanwhile reads again what is to be changed, and lists what somebody else has
	// changed since. Graph has no ETag for it.
	meanwhile func(ctx context.Context) ([]entra.Change, error)
	write     func(ctx context.Context) error
	// left reads back, and lists the changes that are still to be made.
	left func(ctx context.Context) ([]entra.Change, error)
}

// errNotKept is a change that Graph has taken and does not show.
var errNotKept = verifyError{errors.New("the change was taken by Graph, which does not show all of it; what is missing is listed")}

// entraChangeReport is the answer of commands that change a policy or a strength.
type entraChangeReport struct {
	Changes []policyChange `json:"changes"`
	Notes   []entra.Note   `json:"notes"`
	Size    *policySize    `json:"size,omitempty"`
	Written bool           `json:"written"`
	DryRun  bool           `json:"dryRun,omitempty"`
	Missing []policyChange `json:"missing,omitempty"` // Graph does not show them afterwards
	// Affected are the passkeys that may not sign in any more; nil: nobody has looked.
	Affected []affectedPasskey `json:"affected,omitzero"`

	what string
}

// affectedPasskey is one that a change shuts out, unless another profile of its user
// takes it.
type affectedPasskey struct {
	User   string   `json:"user"`
	Name   string   `json:"name"`
	AAGUID string   `json:"aaguid"`
	Model  string   `json:"model"`
	By     []string `json:"by"` // profiles, or the strength
}

func (p affectedPasskey) String() string {
	return printable(fmt.Sprintf("! %s: %q on %s no longer signs in by %s", p.User, p.Name, cmp.Or(p.Model, p.AAGUID), strings.Join(p.By, ", ")))
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

// lines is all that is to be known of the change. Of the passkeys that it shuts out it
// has the first.
func (r *entraChangeReport) lines() string {
	const most = 20
	text := linesOf(r.Changes, r.Notes)
	for _, p := range r.Affected[:min(len(r.Affected), most)] {
		text += "\n" + p.String()
	}
	switch n := len(r.Affected); {
	case n > most:
		text += fmt.Sprintf("\n! and %d more; --json lists all", n-most)
	case n == 0 && r.Affected != nil:
		text += "\nNo passkey of the tenant is shut out by its model or type."
	}
	return strings.TrimPrefix(text, "\n")
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
	if text := r.lines(); text != "" {
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
	var err error
	if c.passkeys != nil && len(c.changes) > 0 {
		if r.Affected, err = c.affected(e); err != nil {
			return err
		}
	}
	if len(c.changes) == 0 || e.dryRun {
		return e.say(nil, r)
	}
	if err := e.confirm(ctx, r.lines(), fmt.Sprintf("Change %s?", c.what)); err != nil {
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

// affected looks through all passkeys of the tenant.
func (c *entraChange) affected(e *env) ([]affectedPasskey, error) {
	found, unread := []affectedPasskey{}, 0
	for u, err := range c.passkeys {
		if err != nil {
			return nil, err
		}
		if u.Err != nil {
			unread++
		}
		for _, m := range u.Methods {
			if by := c.shutOut(&m); len(by) > 0 {
				one := newEntraMethod(&m)
				found = append(found, affectedPasskey{cmp.Or(u.UPN, u.User), one.DisplayName, one.AAGUID, one.Model, by})
			}
		}
	}
	if unread > 0 {
		e.note("The passkeys of %s could not be read, and may be shut out too.", count(unread, "user", "users"))
	}
	return found, nil
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
