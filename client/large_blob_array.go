package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/transport"
)

// open opens what the credentials' keys open.
func (a *LargeBlobArray) open(ctx context.Context, credentials []LargeBlobCredential) error {
	for i := range a.Entries {
		e := &a.Entries[i]
		for j := range credentials {
			if ctx.Err() != nil { // a key may have many of both
				return ended(ctx)
			}
			if a.openWith(e, credentials[j].LargeBlobKey) {
				e.Credential = &credentials[j]
				break
			}
		}
	}
	return nil
}

// maxOpened bounds the blobs that come out of one array, in bytes: each of its
// entries may be a thousand times longer then.
const maxOpened = 8 * MaxLargeBlob

// openWith opens an entry, if the key fits.
func (a *LargeBlobArray) openWith(e *LargeBlobEntry, key []byte) bool {
	compressed, ok := e.unsealed(key)
	switch {
	case !ok:
	case a.opened > maxOpened:
		e.Err = fmt.Errorf("%w: large blobs of more than %d bytes in all", ctap2.ErrMalformed, maxOpened)
	default:
		e.Blob, e.Err = inflate(compressed, e.OrigSize, e.tolerate)
		a.opened += min(e.OrigSize, MaxLargeBlob)
	}
	return ok
}

// unsealed returns the compressed blob, if the key fits.
func (e *LargeBlobEntry) unsealed(key []byte) ([]byte, bool) {
	if e.sealed == nil {
		return nil, false
	}
	return e.sealed.open(key)
}

func (e *LargeBlobEntry) fits(key []byte) bool {
	_, ok := e.unsealed(key)
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
		if e := &a.Entries[i]; a.openWith(e, key) {
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
		if e := &a.Entries[i]; !e.fits(key) {
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
		if e := &a.Entries[i]; !e.fits(key) {
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
		e := LargeBlobEntry{Raw: raw, tolerate: a.tolerate}
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
	a := &LargeBlobArray{Capacity: leastLargeBlobs, tolerate: tolerateLargeBlob(ctx)}
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
