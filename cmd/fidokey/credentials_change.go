package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
)

func newCredentialsDeleteCmd(e *env) *cobra.Command {
	var reader credentialReader
	cmd := &cobra.Command{
		Use:   "delete ID...",
		Short: "Delete passkeys from a key, for good",
		Long: `Delete passkeys from a key. This cannot be undone: whoever has no other way to sign
in there is locked out. What will be lost is shown first.

A large blob of the credential stays behind in keys of CTAP 2.1, where nobody can
read it any more; 'fidokey blobs collect' removes it.`,
		Example: "  fidokey credentials delete 3a91c2 77e0b1",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCredentialsDelete(cmd.Context(), e, &reader, args)
		},
	}
	reader.addFlags(cmd)
	addChangeFlags(e, cmd, true)
	cmd.Flags().BoolVarP(&e.yes, "force", "f", false, "the same as --yes")
	return cmd
}

// deletedCredentials is the answer of "credentials delete".
type deletedCredentials struct {
	Deleted []credentialJSON `json:"deleted"`
	DryRun  bool             `json:"dryRun"` // they would have been

	names []string
}

func (d *deletedCredentials) print(w *printer) {
	for _, name := range d.names {
		if d.DryRun {
			w.printf("Would delete: %s.", name)
		} else {
			w.printf("Deleted: %s.", name)
		}
	}
}

func runCredentialsDelete(ctx context.Context, e *env, reader *credentialReader, ids []string) error {
	return e.onKey(ctx, e.prompt(&reader.pin, nil), func(ctx context.Context, key *openedKey) (report, error) {
		all, incomplete := reader.read(ctx, e, key)
		if incomplete != nil && !errors.Is(incomplete, client.ErrIncomplete) {
			return nil, incomplete
		}
		chosen, err := all.several(ids)
		if err != nil {
			return nil, notFound(err, incomplete)
		}
		if !e.dryRun {
			if err := e.confirm(ctx, chosen.loss(), "Delete for good?"); err != nil {
				return nil, err
			}
		}
		return e.deleteCredentials(ctx, key, chosen)
	})
}

// loss says what goes with the credentials.
func (f found) loss() string {
	lines := []string{"These passkeys will be lost:"}
	for i, id := range f.shortIDs() {
		lines = append(lines, "  "+f[i].nameOf()+", "+id)
	}
	return strings.Join(lines, "\n")
}

func (e *env) deleteCredentials(ctx context.Context, key *openedKey, chosen found) (report, error) {
	gone := &deletedCredentials{Deleted: []credentialJSON{}, DryRun: e.dryRun}
	blobs := false
	for _, c := range chosen {
		if !e.dryRun {
			if _, err := key.DeleteCredential(ctx, c.ID); err != nil {
				return gone, fmt.Errorf("%s: %w", c.nameOf(), err)
			}
		}
		gone.Deleted, gone.names = append(gone.Deleted, c.json()), append(gone.names, c.nameOf())
		blobs = blobs || len(c.LargeBlobKey) > 0
	}
	if blobs {
		e.note("A large blob may stay behind on the key; 'fidokey blobs collect' removes it.")
	}
	return gone, nil
}

func newCredentialsRenameCmd(e *env) *cobra.Command {
	var reader credentialReader
	var names userNames
	cmd := &cobra.Command{
		Use:   "rename ID",
		Short: "Change the user's name or display name of a passkey",
		Long: `Change the user's name or display name that a key has stored with a passkey. What is
not given stays as it is; an empty one is removed. The relying party has names of
its own, and is not told.`,
		Example: "  fidokey credentials rename 3a91c2 --name alice@example.com",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			names.nameGiven, names.displayNameGiven = cmd.Flags().Changed("name"), cmd.Flags().Changed("display-name")
			return runCredentialsRename(cmd.Context(), e, &reader, args[0], &names)
		},
	}
	reader.addFlags(cmd)
	cmd.Flags().StringVar(&names.name, "name", "", "the user's account name")
	cmd.Flags().StringVar(&names.displayName, "display-name", "", "the user's name for people")
	cmd.MarkFlagsOneRequired("name", "display-name")
	addChangeFlags(e, cmd, false)
	return cmd
}

// userNames are the names to be changed.
type userNames struct {
	name, displayName           string
	nameGiven, displayNameGiven bool
}

// apply returns the user with the names that are given.
func (n *userNames) apply(u ctap2.User) ctap2.User {
	if n.nameGiven {
		u.Name = n.name
	}
	if n.displayNameGiven {
		u.DisplayName = n.displayName
	}
	return u
}

// renamedCredential is the answer of "credentials rename".
type renamedCredential struct {
	Before credentialJSON `json:"before"`
	After  credentialJSON `json:"after"`
	DryRun bool           `json:"dryRun"`
}

func (r *renamedCredential) print(w *printer) {
	will := ""
	if r.DryRun {
		will = "would become "
	}
	w.line("RP ID", "%s", r.After.RPID)
	w.line("User", "%s", renamed(r.Before.UserName, r.After.UserName, will))
	w.line("Display name", "%s", renamed(r.Before.UserDisplayName, r.After.UserDisplayName, will))
}

// renamed shows a name as it is, or what became of it.
func renamed(before, after, will string) string {
	if before == after {
		return dashIfEmpty(after)
	}
	return fmt.Sprintf("%s%s (before: %s)", will, dashIfEmpty(after), dashIfEmpty(before))
}

func runCredentialsRename(ctx context.Context, e *env, reader *credentialReader, id string, names *userNames) error {
	return e.onKey(ctx, e.prompt(&reader.pin, nil), func(ctx context.Context, key *openedKey) (report, error) {
		all, incomplete := reader.read(ctx, e, key)
		if incomplete != nil && !errors.Is(incomplete, client.ErrIncomplete) {
			return nil, incomplete
		}
		c, err := all.one(id)
		if err != nil {
			return nil, notFound(err, incomplete)
		}
		result := &renamedCredential{Before: c.json(), DryRun: e.dryRun}
		c.User = names.apply(c.User)
		result.After = c.json()
		if e.dryRun {
			return result, nil
		}
		if err := key.UpdateUser(ctx, c.ID, c.User); err != nil {
			return nil, err
		}
		return result, nil
	})
}
