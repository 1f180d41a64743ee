package client

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/transport"
)

const (
	largeBlobKeySize = 32 // bytes
	// MaxLargeBlob is the longest blob that is written, or taken out of a
	// key's storage, in bytes before compression. A key of a few kilobytes may
	// claim to hold gigabytes of zeroes.
	MaxLargeBlob = 1 << 20
)

// sealedBlob is an entry of the large-blob array, a large-blob map (CTAP 2.1,
// section 6.10.3).
type sealedBlob struct {
	Ciphertext []byte  `cbor:"1,keyasint"` // AES-256-GCM, the tag at the end
	Nonce      []byte  `cbor:"2,keyasint"`
	OrigSize   *uint64 `cbor:"3,keyasint"` // bytes, before compression
}

const (
	gcmNonceSize = 12 // bytes
	gcmTagSize   = 16
)

// parseSealedBlob returns nil for an entry that is no large-blob map. wellFormed
// is false if it is one and has members that are not known here.
func parseSealedBlob(raw []byte) (sealed *sealedBlob, wellFormed bool) {
	var s sealedBlob
	if ctapcbor.Unmarshal(raw, &s) != nil || len(s.Ciphertext) < gcmTagSize || len(s.Nonce) != gcmNonceSize || s.OrigSize == nil {
		return nil, false
	}
	var members map[any]cbor.RawMessage
	return &s, ctapcbor.Unmarshal(raw, &members) == nil && len(members) == 3
}

// associatedData ties origSize to the ciphertext.
func associatedData(origSize uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte("blob"), origSize)
}

func largeBlobCipher(key []byte) (cipher.AEAD, error) {
	if len(key) != largeBlobKeySize {
		return nil, fmt.Errorf("largeBlobKey of %d bytes, not %d", len(key), largeBlobKeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// open returns the compressed blob, and false if the key is not the one.
func (s *sealedBlob) open(key []byte) ([]byte, bool) {
	gcm, err := largeBlobCipher(key)
	if err != nil {
		return nil, false
	}
	compressed, err := gcm.Open(nil, s.Nonce, s.Ciphertext, associatedData(*s.OrigSize))
	return compressed, err == nil
}

// sealBlob makes an entry of a blob.
func sealBlob(key, blob []byte) ([]byte, error) {
	gcm, err := largeBlobCipher(key)
	if err != nil {
		return nil, err
	}
	compressed, err := deflate(blob)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, gcmNonceSize)
	rand.Read(nonce)
	size := uint64(len(blob))
	return ctapcbor.Marshal(sealedBlob{
		Ciphertext: gcm.Seal(nil, nonce, compressed, associatedData(size)), Nonce: nonce, OrigSize: &size,
	})
}

// deflate compresses (RFC 1951, without a header).
func deflate(blob []byte) ([]byte, error) {
	if len(blob) > MaxLargeBlob {
		return nil, fmt.Errorf("large blob of %d bytes, more than %d", len(blob), MaxLargeBlob)
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(blob); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// inflate is the reverse. It never makes more than size bytes and one. Some
// programs put a zlib header (RFC 1950) before what they compress: python-fido2
// before its version 1.0 for one.
func inflate(compressed []byte, size uint64, tolerate func(what string)) ([]byte, error) {
	if size > MaxLargeBlob {
		return nil, fmt.Errorf("%w: large blob claims %d bytes, more than %d", ctap2.ErrMalformed, size, MaxLargeBlob)
	}
	blob, err := readBlob(flate.NewReader(bytes.NewReader(compressed)), size)
	if err == nil {
		return blob, nil
	}
	if r, noHeader := zlib.NewReader(bytes.NewReader(compressed)); noHeader == nil {
		if blob, err := readBlob(r, size); err == nil {
			tolerate("a large blob is compressed with a zlib header")
			return blob, nil
		}
	}
	return nil, fmt.Errorf("%w: large blob: %w", ctap2.ErrMalformed, err)
}

func readBlob(r io.Reader, size uint64) ([]byte, error) {
	blob, err := io.ReadAll(io.LimitReader(r, int64(size)+1))
	if err == nil && uint64(len(blob)) != size {
		err = errors.New("the length is not the one that is claimed")
	}
	return blob, err
}

func tolerateLargeBlob(ctx context.Context) func(what string) {
	return func(what string) {
		transport.Tolerate(ctx, ctap2.Finding{What: what, Where: ctap2.CommandLargeBlobs.String()})
	}
}
