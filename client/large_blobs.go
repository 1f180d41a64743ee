package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/transport"
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

	sealed *sealedBlob
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
	array.open(credentials)
	return array, nil
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
		a.open(credentials)
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

// open opens what the credentials' keys open.
func (a *LargeBlobArray) open(credentials []LargeBlobCredential) {
	for i := range a.Entries {
		e := &a.Entries[i]
		for j := range credentials {
			if e.openWith(credentials[j].LargeBlobKey) {
				e.Credential = &credentials[j]
				break
			}
		}
	}
}

func (e *LargeBlobEntry) openWith(key []byte) bool {
	if e.sealed == nil {
		return false
	}
	compressed, ok := e.sealed.open(key)
	if ok {
		e.Blob, e.Err = inflate(compressed, e.OrigSize)
	}
	return ok
}

// find returns the blob that the key opens.
func (a *LargeBlobArray) find(key []byte) ([]byte, error) {
	if _, err := largeBlobCipher(key); err != nil {
		return nil, err
	}
	if a.Corrupt != nil {
		return nil, a.Corrupt
	}
	for i := range a.Entries {
		if e := &a.Entries[i]; e.openWith(key) {
			return e.Blob, e.Err
		}
	}
	return nil, ErrNoLargeBlob
}

// set returns the entries with a blob in place of what the key opens, or at the
// end. An entry that has it already stays as it is.
func (a *LargeBlobArray) set(key, blob []byte) ([][]byte, error) {
	if a.Corrupt != nil {
		return nil, a.Corrupt
	}
	if old, err := a.find(key); err == nil && bytes.Equal(old, blob) {
		return a.raws(), nil
	}
	sealed, err := sealBlob(key, blob)
	if err != nil {
		return nil, err
	}
	var entries [][]byte
	placed := false
	for i := range a.Entries {
		if e := &a.Entries[i]; !e.openWith(key) {
			entries = append(entries, e.Raw)
		} else if !placed { // a second one would never be found
			entries, placed = append(entries, sealed), true
		}
	}
	if !placed {
		entries = append(entries, sealed)
	}
	return entries, nil
}

// remove returns the entries without those that the key opens.
func (a *LargeBlobArray) remove(key []byte) ([][]byte, error) {
	if _, err := a.find(key); errors.Is(err, ErrLargeBlobsCorrupt) || errors.Is(err, ErrNoLargeBlob) || len(key) != largeBlobKeySize {
		return nil, err
	}
	entries := [][]byte{}
	for i := range a.Entries {
		if e := &a.Entries[i]; !e.openWith(key) {
			entries = append(entries, e.Raw)
		}
	}
	return entries, nil
}

func (a *LargeBlobArray) raws() [][]byte {
	raws := make([][]byte, len(a.Entries))
	for i := range a.Entries {
		raws[i] = a.Entries[i].Raw
	}
	return raws
}

const (
	largeBlobHashSize = 16   // bytes of SHA-256 at the end of the array
	leastLargeBlobs   = 1024 // bytes that every key with large blobs has room for
	// mostLargeBlobs bounds what is read of a key, in bytes.
	mostLargeBlobs = 1 << 20
)

// serializeLargeBlobs returns an array of entries with its hash.
func serializeLargeBlobs(entries [][]byte) ([]byte, error) {
	array, err := ctapcbor.Marshal(uint64(len(entries)))
	if err != nil {
		return nil, err
	}
	array[0] |= 0x80 // the head of an array is that of an integer with another major type
	array = append(array, bytes.Join(entries, nil)...)
	sum := sha256.Sum256(array)
	return append(array, sum[:largeBlobHashSize]...), nil
}

// parse reads the entries of Raw, or says why not. A hash that is right leaves no
// doubt that somebody wanted the array to be like that.
func (a *LargeBlobArray) parse() error {
	size := len(a.Raw) - largeBlobHashSize
	if size < 1 {
		return fmt.Errorf("%w: it has %d bytes", ErrLargeBlobsCorrupt, len(a.Raw))
	}
	if sum := sha256.Sum256(a.Raw[:size]); !bytes.Equal(a.Raw[size:], sum[:largeBlobHashSize]) {
		return fmt.Errorf("%w: its checksum is wrong", ErrLargeBlobsCorrupt)
	}
	var entries []cbor.RawMessage
	if err := ctapcbor.Unmarshal(a.Raw[:size], &entries); err != nil {
		return fmt.Errorf("%w: %w", ErrLargeBlobsCorrupt, err)
	}
	for _, raw := range entries {
		e := LargeBlobEntry{Raw: raw}
		if e.sealed, e.WellFormed = parseSealedBlob(raw); e.sealed != nil {
			e.OrigSize = *e.sealed.OrigSize
		}
		a.Entries = append(a.Entries, e)
	}
	return nil
}

// fragmentSize is maxFragmentLength, in bytes. A key that claims less than CTAP
// asks for gets small fragments all the same.
func (k *Key) fragmentSize() uint {
	return max(k.info.MessageSize(), 2*ctap2.LargeBlobsOverhead) - ctap2.LargeBlobsOverhead
}

// readLargeBlobs reads the array, fragment by fragment. A short one is the last.
func (k *Key) readLargeBlobs(ctx context.Context) (*LargeBlobArray, error) {
	if has, _ := k.info.Option(ctap2.OptionLargeBlobs); !has {
		return nil, ErrNoLargeBlobs
	}
	a := &LargeBlobArray{Capacity: leastLargeBlobs}
	if n := k.info.MaxSerializedLargeBlobArray; n != nil {
		a.Capacity = max(a.Capacity, *n)
	}
	size := k.fragmentSize()
	for {
		resp, err := ctap2.Do(ctx, k.dev, ctap2.LargeBlobs{Get: &size, Offset: uint(len(a.Raw))})
		if errors.Is(err, ctap2.ErrInvalidParameter) && len(a.Raw) > 0 {
			transport.Tolerate(ctx, ctap2.Finding{What: "reading at the very end of the large-blob array is refused", Where: ctap2.CommandLargeBlobs.String()})
			break
		}
		if err != nil {
			return nil, err
		}
		a.Raw = append(a.Raw, resp.Config...)
		if uint(len(resp.Config)) > size || len(a.Raw) > mostLargeBlobs {
			return nil, fmt.Errorf("%v: %w: more bytes than were asked for", ctap2.CommandLargeBlobs, ctap2.ErrMalformed)
		}
		if uint(len(resp.Config)) < size {
			break
		}
	}
	if a.Corrupt = a.parse(); a.Corrupt != nil {
		transport.Tolerate(ctx, ctap2.Finding{What: a.Corrupt.Error(), Where: ctap2.CommandLargeBlobs.String(), Raw: a.Raw})
	}
	return a, nil
}

// writeLargeBlobs writes a serialized array. The key keeps the old one until the
// last fragment is there. Every fragment is authenticated; token is nil for a key
// that asks for none.
func (k *Key) writeLargeBlobs(ctx context.Context, serialized []byte, token *pin.Token) error {
	total := uint(len(serialized))
	for offset := uint(0); offset < total; {
		end := min(offset+k.fragmentSize(), total)
		req := ctap2.LargeBlobs{Set: serialized[offset:end], Offset: offset}
		if offset == 0 { // and only then, or it is refused
			req.Length = total
		}
		if token != nil {
			req.PINUVAuthParam, req.PINUVAuthProtocol = token.Authenticate(req.AuthMessage()), uint(token.Protocol())
		}
		if _, err := ctap2.Do(ctx, k.dev, req); err != nil {
			return fmt.Errorf("bytes %d to %d of %d: %w", offset, end, total, err)
		}
		offset = end
	}
	return nil
}
