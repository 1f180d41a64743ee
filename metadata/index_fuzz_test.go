package metadata_test

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"

	"github.com/fidokey/fidokey/internal/mdstest"
	"github.com/fidokey/fidokey/metadata"
)

// FuzzIndex damages the index on disk: it is made anew, or what is found in it is what was
// asked for.
func FuzzIndex(f *testing.F) {
	c := metadata.Cache{Folder: f.TempDir()}
	if err := c.Store(verdict(mustSign(authority(), mdstest.Payload(7, 3))), source); err != nil {
		f.Fatal(err)
	}
	file := filepath.Join(c.Folder, "index.db")
	sound, err := os.ReadFile(file)
	if err != nil {
		f.Fatal(err)
	}
	page := os.Getpagesize()
	for at := 0; at < len(sound); at += page / 2 {
		f.Add(uint32(at+8), []byte{1, 0, 255, 255}, uint32(len(sound)))
	}
	f.Add(uint32(page+32), []byte{9}, uint32(len(sound)))
	f.Add(uint32(bytes.Index(sound, []byte(`"Example Key 0"`))), []byte{0, 0}, uint32(len(sound)))
	f.Add(uint32(bytes.Index(sound, []byte(mdstest.AAGUID(0)))), []byte("e"), uint32(len(sound)))
	f.Add(uint32(0), []byte{}, uint32(page))
	f.Fuzz(func(t *testing.T, at uint32, with []byte, size uint32) {
		data := bytes.Clone(sound)
		copy(data[int(at)%len(data):], with)
		for at := 0; at < 2*page; at += page { // who damages on purpose makes the checksums right
			hash := fnv.New64a()
			hash.Write(data[at+16 : at+72])
			binary.NativeEndian.PutUint64(data[at+72:], hash.Sum64())
		}
		if err := os.WriteFile(file, data[:min(int(size), len(data))], 0o600); err != nil {
			t.Fatal(err)
		}
		x, err := c.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { x.Close() }()
		for n := range 3 {
			id := mdstest.AAGUID(n)
			x.Name(id)
			if e, err := x.Entry(id); err != nil || e != nil && e.IDs()[0] != id {
				t.Errorf("%s: %v, %v", id, e, err)
			}
		}
		if _, err := x.Named("key"); err != nil {
			t.Error(err)
		}
		if err := x.Each(func(*metadata.Entry) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}
