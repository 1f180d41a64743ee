package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/client"
)

// blobChange is the answer of the commands that change large blobs. Before, After
// and Capacity are those of the large-blob array, where the key has one.
type blobChange struct {
	Before   *blobUse `json:"before,omitempty"`
	After    *blobUse `json:"after,omitempty"`
	Capacity uint     `json:"capacity,omitempty"` // bytes
	Changed  bool     `json:"changed"`            // there is something to change
	Written  bool     `json:"written"`
	DryRun   bool     `json:"dryRun"`

	done, nothing string // in words
}

type blobUse struct {
	Bytes   uint `json:"bytes"`
	Entries int  `json:"entries"`
}

func (u blobUse) String() string {
	return fmt.Sprintf("%d bytes, %s", u.Bytes, count(u.Entries, "entry", "entries"))
}

func newBlobChange(e *env, plan *client.LargeBlobPlan, done, nothing string) *blobChange {
	return &blobChange{
		Before: new(blobUse(plan.Before)), After: new(blobUse(plan.After)), Capacity: plan.Capacity,
		Changed: plan.Changed, Written: plan.Written, DryRun: e.dryRun, done: done, nothing: nothing,
	}
}

func (c *blobChange) print(w *printer) {
	if c.Before != nil {
		w.line("Before", "%v", c.Before)
		w.line("After", "%v", c.After)
		w.line("Room", "%d bytes", c.Capacity)
	}
	switch {
	case !c.Changed:
		w.printf("%s", c.nothing)
	case c.DryRun:
		w.printf("Nothing was written.")
	default:
		w.printf("%s", c.done)
	}
}

// changing runs a command that changes large blobs.
func (t *blobTarget) changing(ctx context.Context, e *env, change func(ctx context.Context, key *openedKey) (report, error)) error {
	var held heldPIN
	defer held.forget()
	return e.onKey(ctx, held.hold(e.prompt(&t.pin, nil)), change)
}

// changeArray changes the large-blob array, if the person agrees to what is lost;
// an empty loss is none. It is planned first, so that nobody is asked in vain.
func (e *env) changeArray(ctx context.Context, loss func(*client.LargeBlobPlan) string, change func(dryRun bool) (*client.LargeBlobPlan, error)) (*client.LargeBlobPlan, error) {
	plan, err := change(true)
	if err != nil || e.dryRun || !plan.Changed {
		return plan, err
	}
	if text := loss(plan); text != "" {
		if err := e.confirm(ctx, text, "Go on?"); err != nil {
			return nil, err
		}
	}
	return change(false)
}

func newBlobsSetCmd(e *env) *cobra.Command {
	var target blobTarget
	cmd := &cobra.Command{
		Use:   "set [ID] FILE|-",
		Short: "Store a large blob with a passkey",
		Long: `Store the content of a file, or of standard input, as the large blob of a passkey, in
place of the one that is there. Blobs of other passkeys are left byte for byte.

The key's room is small, a kilobyte or a few; blobs are compressed.`,
		Example: "  fidokey blobs set 3a91c2 certificate.der\n  fidokey blobs set --rp ssh:work certificate.pub --dry-run",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			file := args[len(args)-1]
			if len(args) > 1 {
				target.id = args[0]
			}
			return runBlobsSet(cmd.Context(), e, &target, file)
		},
	}
	target.addFlags(cmd)
	addChangeFlags(e, cmd, true)
	return cmd
}

func runBlobsSet(ctx context.Context, e *env, target *blobTarget, file string) error {
	if err := target.check(); err != nil {
		return err
	}
	blob, err := target.content(e, file)
	if err != nil {
		return err
	}
	return target.changing(ctx, e, func(ctx context.Context, key *openedKey) (report, error) {
		owner, err := target.find(ctx, e, key)
		if err != nil {
			return nil, err
		}
		if owner.largeBlobKey == nil {
			return e.setWithCredential(ctx, key, owner, blob)
		}
		old, err := owner.read(ctx, key)
		if err != nil && !errors.Is(err, client.ErrNoLargeBlob) {
			return nil, err
		}
		had := err == nil
		plan, err := e.changeArray(ctx, func(*client.LargeBlobPlan) string {
			if !had {
				return ""
			}
			return fmt.Sprintf("The blob of %s, %d bytes, will be replaced.", owner.name, len(old))
		}, func(dryRun bool) (*client.LargeBlobPlan, error) {
			return key.SetLargeBlob(ctx, owner.largeBlobKey, blob, dryRun)
		})
		if err != nil {
			return nil, err
		}
		return newBlobChange(e, plan, "The blob is stored.", "The key has this blob already."), nil
	})
}

// content reads the file, or standard input.
func (t *blobTarget) content(e *env, file string) ([]byte, error) {
	if file == "-" && t.pin.stdin {
		return nil, usageError{errors.New("standard input cannot have both the PIN and the blob: put one of them in a file")}
	}
	in, err := e.openInput(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	blob, err := io.ReadAll(io.LimitReader(in, client.MaxLargeBlob+1))
	if err == nil && len(blob) > client.MaxLargeBlob {
		err = usageError{fmt.Errorf("%s has more than %d bytes", file, client.MaxLargeBlob)}
	}
	return blob, err
}

// setWithCredential stores the blob on a key that keeps it with the credential.
// What is there now it does not tell without another touch.
func (e *env) setWithCredential(ctx context.Context, key *openedKey, owner *blobOwner, blob []byte) (report, error) {
	change := &blobChange{Changed: true, DryRun: e.dryRun, done: "The blob is stored."}
	if e.dryRun {
		return change, nil
	}
	if owner.id == nil {
		return nil, usageError{errors.New("give the ID of the credential: this key cannot list what it has")}
	}
	if err := e.confirm(ctx, fmt.Sprintf("If %s has a blob, it will be replaced.", owner.name), "Go on?"); err != nil {
		return nil, err
	}
	signed, err := signInForBlob(ctx, key, owner.rpID, owner.allow(), client.AssertionExtensions{WriteLargeBlob: blob})
	if err != nil {
		return nil, err
	}
	result := signed.Extensions.LargeBlob
	if result == nil || !result.Written {
		err := errors.New("the key did not store the blob")
		if result != nil && result.Err != nil {
			err = result.Err
		}
		return nil, err
	}
	change.Written = true
	return change, nil
}

func newBlobsDeleteCmd(e *env) *cobra.Command {
	var target blobTarget
	cmd := &cobra.Command{
		Use:   "delete [ID]",
		Short: "Delete the large blob of a passkey",
		Long: `Delete the large blob of a passkey. The passkey stays.

A key that keeps blobs with their credentials cannot delete one: store an empty one
in its place.`,
		Example: "  fidokey blobs delete 3a91c2",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				target.id = args[0]
			}
			return runBlobsDelete(cmd.Context(), e, &target)
		},
	}
	target.addFlags(cmd)
	addChangeFlags(e, cmd, true)
	return cmd
}

func runBlobsDelete(ctx context.Context, e *env, target *blobTarget) error {
	if err := target.check(); err != nil {
		return err
	}
	return target.changing(ctx, e, func(ctx context.Context, key *openedKey) (report, error) {
		if err := onlyArray(ctx, key); err != nil {
			return nil, err
		}
		owner, err := target.find(ctx, e, key)
		if err != nil {
			return nil, err
		}
		plan, err := e.changeArray(ctx, func(*client.LargeBlobPlan) string {
			return fmt.Sprintf("The blob of %s will be lost.", owner.name)
		}, func(dryRun bool) (*client.LargeBlobPlan, error) {
			return key.DeleteLargeBlob(ctx, owner.largeBlobKey, dryRun)
		})
		if err != nil {
			return nil, err
		}
		return newBlobChange(e, plan, "The blob is deleted.", ""), nil
	})
}

// onlyArray refuses keys without the large-blob array.
func onlyArray(ctx context.Context, key *openedKey) error {
	info, err := key.Info(ctx)
	if err != nil {
		return err
	}
	return keepsArray(info)
}

func newBlobsRepairCmd(e *env) *cobra.Command {
	var target blobTarget
	cmd := &cobra.Command{
		Use:   "repair",
		Short: "Empty a large-blob array that is corrupt",
		Long: `Empty a large-blob array that is corrupt: its checksum is wrong, or it is no array.
Nothing in it can be read any more, by anybody. A sound array is left alone.`,
		Example: "  fidokey blobs repair --dry-run",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runBlobsRepair(cmd.Context(), e, &target) },
	}
	target.pin.addFlags(cmd, "pin", "the PIN")
	addChangeFlags(e, cmd, true)
	return cmd
}

func runBlobsRepair(ctx context.Context, e *env, target *blobTarget) error {
	return target.changing(ctx, e, func(ctx context.Context, key *openedKey) (report, error) {
		if err := onlyArray(ctx, key); err != nil {
			return nil, err
		}
		plan, err := e.changeArray(ctx, func(p *client.LargeBlobPlan) string {
			return fmt.Sprintf("The array is corrupt; its %d bytes will be lost.", p.Before.Bytes)
		}, func(dryRun bool) (*client.LargeBlobPlan, error) { return key.RepairLargeBlobs(ctx, dryRun) })
		if err != nil {
			return nil, err
		}
		return newBlobChange(e, plan, "The array is empty and sound.", "The array is sound."), nil
	})
}

func newBlobsCollectCmd(e *env) *cobra.Command {
	var target blobTarget
	cmd := &cobra.Command{
		Use:   "collect",
		Short: "Remove large blobs of passkeys that were deleted",
		Long: `Remove large blobs that no passkey's largeBlobKey opens: those of passkeys that were
deleted (garbage collection). Entries of another kind are left alone. If the key
does not list all its passkeys, nothing is removed.`,
		Example: "  fidokey blobs collect --dry-run",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runBlobsCollect(cmd.Context(), e, &target) },
	}
	target.pin.addFlags(cmd, "pin", "the PIN")
	addChangeFlags(e, cmd, true)
	return cmd
}

func runBlobsCollect(ctx context.Context, e *env, target *blobTarget) error {
	return target.changing(ctx, e, func(ctx context.Context, key *openedKey) (report, error) {
		if err := onlyArray(ctx, key); err != nil {
			return nil, err
		}
		all, err := target.read(ctx, e, key)
		if errors.Is(err, client.ErrIncomplete) {
			return nil, safetyError{fmt.Errorf("%w, and blobs of the others would be lost: %w", client.ErrCredentialsIncomplete, err)}
		} else if err != nil {
			return nil, err
		}
		plan, err := e.changeArray(ctx, func(p *client.LargeBlobPlan) string {
			return fmt.Sprintf("%s that no passkey opens will be lost.", count(p.Before.Entries-p.After.Entries, "blob", "blobs"))
		}, func(dryRun bool) (*client.LargeBlobPlan, error) {
			return key.CollectLargeBlobs(ctx, all.forLargeBlobs(), true, dryRun)
		})
		if err != nil {
			return nil, err
		}
		return newBlobChange(e, plan, "They are removed.", "There is nothing to collect."), nil
	})
}
