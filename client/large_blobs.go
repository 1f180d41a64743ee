package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

var (
	// ErrNoLargeBlobs is returned for a key without the large-blob array of CTAP
	// 2.1. Keys with the extension largeBlob of CTAP 2.3 have none either: they
	// store a blob with each credential, which AssertionExtensions reach.
	ErrNoLargeBlobs = errors.New("the key has no large-blob array")
	// ErrLargeBlobsCorrupt is wrapped by the state of an array that cannot be
	// read. RepairLargeBlobs empties it; nothing else writes it.
	ErrLargeBlobsCorrupt = errors.New("the large-blob array is corrupt")
	// ErrNoLargeBlob is returned where no entry of the array is of the credential.
	ErrNoLargeBlob = errors.New("no large blob is stored for the credential")
	// ErrNoLargeBlobKey is returned for a credential that was made without room
	// for a large blob.
	ErrNoLargeBlobKey = errors.New("the credential has no largeBlobKey")
	// ErrCredentialsIncomplete is returned by CollectLargeBlobs where not all
	// credentials are known: an entry of one that is not would be lost.
	ErrCredentialsIncomplete = errors.New("not all credentials of the key are known")
)

// A LargeBlobStorageError is an array that would be too long for the key. It
// unwraps to [ctap2.ErrLargeBlobStorageFull]; nothing was sent.
type LargeBlobStorageError struct{ Needed, Capacity uint } // bytes

func (e *LargeBlobStorageError) Error() string {
	return fmt.Sprintf("the large-blob array would have %d bytes, the key has room for %d", e.Needed, e.Capacity)
}

func (e *LargeBlobStorageError) Unwrap() error { return ctap2.ErrLargeBlobStorageFull }

// LargeBlobCredential is a credential with the key to its entry in the large-blob
// array, from credential management or an assertion. LargeBlobKey is nil for a
// credential that has none.
type LargeBlobCredential struct {
	RPID         string
	ID           []byte
	LargeBlobKey []byte // 32 bytes; secret
}

// LargeBlobArray is the large-blob array of a key (CTAP 2.1, section 6.10).
type LargeBlobArray struct {
	Raw      []byte // serialized, as it came
	Capacity uint   // bytes that the serialized array may have
	// Corrupt wraps [ErrLargeBlobsCorrupt]; nil if the array is sound. A corrupt
	// one has no Entries.
	Corrupt error
	Entries []LargeBlobEntry

	tolerate func(what string)
	opened   uint64 // bytes that came out so far, as claimed
}

// LargeBlobEntry is one element of the array.
type LargeBlobEntry struct {
	Raw []byte // CBOR, as it came
	// WellFormed is false for what is no large-blob map, or one with members that
	// are not known here. It may be another program's, and stays.
	WellFormed bool
	OrigSize   uint64 // bytes, as the entry claims; 0 if it is no large-blob map
	// Credential is the one whose key opens the entry; nil: none that was given.
	Credential *LargeBlobCredential
	Blob       []byte // nil if it was not opened
	Err        error  // why there is no Blob though the key fits

	sealed   *sealedBlob
	tolerate func(what string)
}

// Orphans returns how many well-formed entries none of the credentials opens.
func (a *LargeBlobArray) Orphans() int {
	n := 0
	for i := range a.Entries {
		if a.Entries[i].orphan() {
			n++
		}
	}
	return n
}

func (e *LargeBlobEntry) orphan() bool { return e.WellFormed && e.Credential == nil }

// LargeBlobPlan is what a change does, or would do, to the array.
type LargeBlobPlan struct {
	Before, After LargeBlobUse
	Capacity      uint // bytes
	Changed       bool // there is something to write
	Written       bool // false in a dry run
}

// LargeBlobUse is how much of the storage is in use.
type LargeBlobUse struct {
	Bytes   uint // of the serialized array
	Entries int  // 0 for a corrupt array
}

// LargeBlobs reads the large-blob array and opens what the credentials' keys
// open. A corrupt array is no error: Corrupt says so. It takes no PIN.
func (k *Key) LargeBlobs(ctx context.Context, credentials []LargeBlobCredential) (*LargeBlobArray, error) {
	ctx, _, err := k.begin(ctx)
	if err != nil {
		return nil, err
	}
	array, err := k.readLargeBlobs(ctx)
	if err != nil {
		return nil, err
	}
	return array, array.open(ctx, credentials)
}

// LargeBlob returns the blob that is stored under a credential's largeBlobKey.
func (k *Key) LargeBlob(ctx context.Context, largeBlobKey []byte) ([]byte, error) {
	ctx, _, err := k.begin(ctx)
	if err != nil {
		return nil, err
	}
	array, err := k.readLargeBlobs(ctx)
	if err != nil {
		return nil, err
	}
	return array.find(largeBlobKey)
}

// SetLargeBlob stores a blob under a credential's largeBlobKey, in place of the
// one that was there. As all that change the array it leaves the other entries
// byte for byte, writes nothing where nothing changes, and with dryRun only says
// what it would do.
func (k *Key) SetLargeBlob(ctx context.Context, largeBlobKey, blob []byte, dryRun bool) (*LargeBlobPlan, error) {
	return k.changeLargeBlobs(ctx, dryRun, func(a *LargeBlobArray) ([][]byte, error) { return a.set(largeBlobKey, blob) })
}

// DeleteLargeBlob removes what is stored under a credential's largeBlobKey. The
// error is [ErrNoLargeBlob] if there is nothing.
func (k *Key) DeleteLargeBlob(ctx context.Context, largeBlobKey []byte, dryRun bool) (*LargeBlobPlan, error) {
	return k.changeLargeBlobs(ctx, dryRun, func(a *LargeBlobArray) ([][]byte, error) { return a.remove(largeBlobKey) })
}

// CollectLargeBlobs removes the well-formed entries that no credential's key
// opens: those of credentials that were deleted. complete must be true, which is
// the caller's word that these are all discoverable credentials of the key.
func (k *Key) CollectLargeBlobs(ctx context.Context, credentials []LargeBlobCredential, complete, dryRun bool) (*LargeBlobPlan, error) {
	if !complete {
		return nil, ErrCredentialsIncomplete
	}
	for _, c := range credentials {
		if len(c.LargeBlobKey) != 0 && len(c.LargeBlobKey) != largeBlobKeySize {
			return nil, fmt.Errorf("%w: a largeBlobKey has %d bytes", ErrCredentialsIncomplete, len(c.LargeBlobKey))
		}
	}
	return k.changeLargeBlobs(ctx, dryRun, func(a *LargeBlobArray) ([][]byte, error) {
		if a.Corrupt != nil {
			return nil, a.Corrupt
		}
		if err := a.open(ctx, credentials); err != nil {
			return nil, err
		}
		kept := [][]byte{}
		for i := range a.Entries {
			if !a.Entries[i].orphan() {
				kept = append(kept, a.Entries[i].Raw)
			}
		}
		return kept, nil
	})
}

// RepairLargeBlobs puts an empty array in the place of a corrupt one, of which
// nothing can be saved. It leaves a sound array alone.
func (k *Key) RepairLargeBlobs(ctx context.Context, dryRun bool) (*LargeBlobPlan, error) {
	return k.changeLargeBlobs(ctx, dryRun, func(a *LargeBlobArray) ([][]byte, error) { return a.raws(), nil })
}

// changeLargeBlobs reads the array, lets change choose the entries that it shall
// have, and writes them.
func (k *Key) changeLargeBlobs(ctx context.Context, dryRun bool, change func(*LargeBlobArray) ([][]byte, error)) (*LargeBlobPlan, error) {
	ctx, _, err := k.begin(ctx)
	if err != nil {
		return nil, err
	}
	array, err := k.readLargeBlobs(ctx)
	if err != nil {
		return nil, err
	}
	entries, err := change(array)
	if err != nil {
		return nil, err
	}
	if dryRun {
		plan, _, err := array.plan(entries)
		return plan, err
	}
	return k.writeEntries(ctx, array, entries, nil)
}

// plan says what it means to put entries into the array, and returns the array
// with them.
func (a *LargeBlobArray) plan(entries [][]byte) (*LargeBlobPlan, []byte, error) {
	serialized, err := serializeLargeBlobs(entries)
	if err != nil {
		return nil, nil, err
	}
	plan := &LargeBlobPlan{
		Before:   LargeBlobUse{uint(len(a.Raw)), len(a.Entries)},
		After:    LargeBlobUse{uint(len(serialized)), len(entries)},
		Capacity: a.Capacity,
		Changed:  a.Corrupt != nil || !slices.EqualFunc(entries, a.raws(), bytes.Equal),
	}
	if !plan.Changed {
		plan.After = plan.Before
	}
	if plan.After.Bytes > plan.Capacity && plan.After.Bytes > plan.Before.Bytes {
		err = &LargeBlobStorageError{Needed: plan.After.Bytes, Capacity: plan.Capacity}
	}
	return plan, serialized, err
}

// writeEntries writes the array with other entries, if they are others. token may
// write; if it is nil one is got where the key asks for it.
func (k *Key) writeEntries(ctx context.Context, array *LargeBlobArray, entries [][]byte, token *pin.Token) (*LargeBlobPlan, error) {
	plan, serialized, err := array.plan(entries)
	if err != nil || !plan.Changed {
		return plan, err
	}
	alwaysUV, _ := k.info.Option(ctap2.OptionAlwaysUV)
	if token != nil || !protected(k.info) && !alwaysUV {
		err = k.writeLargeBlobs(ctx, serialized, token)
	} else {
		_, err = authorized(ctx, k, pin.Grant{Permissions: ctap2.PermissionLBW}, func(token *pin.Token) (none, error) {
			return none{}, k.writeLargeBlobs(ctx, serialized, token)
		})
	}
	plan.Written = err == nil
	return plan, err
}
