package simulator_test

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/simulator"
)

// FuzzOpenFile damages the file of a simulated key: it is refused, by its name, and stays
// as it is, or it can be read and written.
func FuzzOpenFile(f *testing.F) {
	const page = 4096
	path := filepath.Join(f.TempDir(), "key.db")
	sound := realFile(f, path)
	for at := 0; at < len(sound); at += page / 2 {
		f.Add(uint32(at+8), []byte{1, 0, 255, 255}, uint32(len(sound)))
	}
	f.Add(uint32(page+32), []byte{9}, uint32(len(sound)))
	f.Add(uint32(0), []byte{}, uint32(page))
	f.Fuzz(func(t *testing.T, at uint32, with []byte, size uint32) {
		data := bytes.Clone(sound)
		copy(data[int(at)%len(data):], with)
		for at := 0; at < 2*page; at += page { // who damages on purpose makes the checksums right
			hash := fnv.New64a()
			hash.Write(data[at+16 : at+72])
			binary.NativeEndian.PutUint64(data[at+72:], hash.Sum64())
		}
		data = data[:min(int(size), len(data))]
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := simulator.OpenFile(path)
		if err != nil {
			if left, _ := os.ReadFile(path); !strings.Contains(err.Error(), path) || !bytes.Equal(left, data) {
				t.Errorf("the file was changed, or is not named: %v", err)
			}
			return
		}
		defer s.Close()
		records, err := s.Load()
		if err != nil {
			t.Fatal(err)
		}
		for name := range records {
			if err := s.Commit(map[string][]byte{name: nil, "new": make([]byte, 5000)}); err != nil {
				t.Errorf("%q: %v", name, err)
			}
			break
		}
	})
}
