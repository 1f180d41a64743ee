package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/internal/ctaptest"
)

// arrayKey is a key with nothing but a large-blob array.
type arrayKey struct{ array []byte }

func (k arrayKey) Exchange(_ context.Context, msg []byte) ([]byte, error) {
	switch ctap2.Command(msg[0]) {
	case ctap2.CommandGetInfo:
		return edited(nil, func(m map[int]any) {
			m[1], m[3], m[4], m[5] = []string{"FIDO_2_1"}, make([]byte, 16), map[string]bool{"largeBlobs": true}, 2048
		}), nil
	case ctap2.CommandLargeBlobs:
		var offset uint64
		var m map[int]any
		if ctapcbor.Unmarshal(msg[1:], &m) == nil {
			offset, _ = m[3].(uint64)
		}
		rest := k.array[min(offset, uint64(len(k.array))):]
		return edited(nil, func(m map[int]any) { m[1] = rest[:min(1984, len(rest))] }), nil
	}
	return []byte{1}, nil
}

func (arrayKey) Close() error { return nil }

// FuzzLargeBlobs reads an array whose hash is right, with a key that opens what it
// can. The other entries of a plan stay byte for byte.
func FuzzLargeBlobs(f *testing.F) {
	var v struct {
		LargeBlobKey, SerializedLargeBlobArray, InitialSerializedLargeBlobArray ctaptest.Hex
	}
	ctaptest.Vectors(f, "large-blob", &v)
	for _, array := range [][]byte{v.SerializedLargeBlobArray, v.InitialSerializedLargeBlobArray, serializedArray([][]byte{sealedEntry(v.LargeBlobKey, deflated([]byte("blob")), 4), {0x01}})} {
		f.Add(array[:len(array)-16], false)
	}
	f.Add([]byte(v.SerializedLargeBlobArray), true)
	f.Fuzz(func(t *testing.T, array []byte, asItIs bool) {
		if !asItIs {
			array = withHash(bytes.Clone(array))
		}
		key := client.New(arrayKey{array}, client.Options{})
		read, err := key.LargeBlobs(t.Context(), []client.LargeBlobCredential{{LargeBlobKey: v.LargeBlobKey}})
		if err != nil {
			t.Fatal(err) // an array is corrupt, or it is not
		}
		if !bytes.Equal(read.Raw, array) || (read.Corrupt != nil) && len(read.Entries) > 0 || read.Corrupt != nil && !errors.Is(read.Corrupt, client.ErrLargeBlobsCorrupt) {
			t.Errorf("%d bytes of %d, %d entries, %v", len(read.Raw), len(array), len(read.Entries), read.Corrupt)
		}
		size := 0
		for _, e := range read.Entries {
			size += len(e.Raw)
			if e.Blob != nil && (e.Credential == nil || uint64(len(e.Blob)) != e.OrigSize) || len(e.Blob) > client.MaxLargeBlob {
				t.Errorf("a blob of %d bytes, %d claimed, of %v", len(e.Blob), e.OrigSize, e.Credential)
			}
		}
		if size > len(array) {
			t.Errorf("entries of %d bytes in %d", size, len(array))
		}
		plan, err := key.SetLargeBlob(t.Context(), v.LargeBlobKey, []byte("new"), true)
		if (err == nil) == (read.Corrupt != nil) && !errors.Is(err, ctap2.ErrLargeBlobStorageFull) {
			t.Errorf("%+v, %v", plan, err)
		}
	})
}

// FuzzFileTokens reads any file of tokens, of which no error tells a byte.
func FuzzFileTokens(f *testing.F) {
	const secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"
	store := client.NewFileTokens(filepath.Join(f.TempDir(), "tokens"))
	kept := client.PersistentToken{Protocol: 2, Token: bytes.Repeat([]byte{7}, 32)}
	if err := store.Save(f.Context(), kept); err != nil {
		f.Fatal(err)
	}
	text, err := json.Marshal([]client.PersistentToken{kept})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`[{"token":"` + secret + `"}]`))
	f.Add([]byte(`{"token":"` + secret + `"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		store := client.NewFileTokens(path)
		all, err := store.Load(t.Context(), ctap2.AAGUID{})
		if err != nil {
			if strings.Contains(err.Error(), secret) || len(all) > 0 {
				t.Errorf("%v with %d tokens", err, len(all))
			}
			return
		}
		for _, token := range all {
			if err := store.Delete(t.Context(), token); err != nil {
				t.Error(err)
			}
		}
		if left, err := store.Load(t.Context(), ctap2.AAGUID{}); err != nil || len(left) > 0 {
			t.Errorf("%d tokens are left, %v", len(left), err)
		}
	})
}
