package simulator_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fidokey/fidokey/simulator"
)

func TestStorages(t *testing.T) {
	for name, open := range map[string]func() simulator.Storage{
		"memory": simulator.NewMemory,
		"file": func() simulator.Storage {
			s, err := simulator.OpenFile(filepath.Join(t.TempDir(), "key.db"))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		s := open()
		for i, c := range []struct {
			changes, want map[string][]byte
		}{
			{map[string][]byte{}, map[string][]byte{}},
			{map[string][]byte{"a": {1}, "b": {2}}, map[string][]byte{"a": {1}, "b": {2}}},
			{map[string][]byte{"a": nil, "b": {3}, "c": nil}, map[string][]byte{"b": {3}}},
		} {
			if err := s.Commit(c.changes); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Load(); err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s, commit %d: %v, %v", name, i, got, err)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFileIsPrivateAndSaysWhatItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "key.db")
	s, err := simulator.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if runtime.GOOS != "windows" {
		for name, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): os.ModeDir | 0o700} {
			if info, err := os.Stat(name); err != nil || info.Mode() != want {
				t.Errorf("%s: mode %v, %v", name, info.Mode(), err)
			}
		}
	}
	content, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(content, []byte("test instrument")) {
		t.Error("no note in the file")
	}
}

func TestFileInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.db")
	s, err := simulator.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = simulator.OpenFileWithin(path, time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), path+" is in use by another fidokey") {
		t.Errorf("error %v", err)
	}
}

// TestFileLeftAlone: what cannot be read is refused with a remedy, and stays.
func TestFileLeftAlone(t *testing.T) {
	dir := t.TempDir()
	real := realFile(t, filepath.Join(dir, "real.db"))
	newer := bolt(t, filepath.Join(dir, "newer.db"), func(tx *bbolt.Tx) error {
		meta, err := tx.CreateBucket([]byte("fidokey-simulator"))
		if err != nil {
			return err
		}
		return meta.Put([]byte("schema"), []byte("2"))
	})
	foreign := bolt(t, filepath.Join(dir, "foreign.db"), func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("accounts"))
		return err
	})
	scribbled := bytes.Clone(real)
	for i := 2 * 4096; i < len(scribbled); i++ {
		scribbled[i] ^= 0xa5
	}
	for _, c := range []struct {
		name    string
		content []byte
		says    string
	}{
		{"text", []byte("dear diary"), "move the file away"},
		{"garbage", bytes.Repeat([]byte("garbage!"), 5000), "move the file away"},
		{"cut off", real[:len(real)/2], "move the file away"},
		{"cut off after the first pages", real[:2*4096+100], "move the file away"},
		{"scribbled over", scribbled, "move the file away"},
		{"newer schema", newer, `schema version "2"`},
		{"foreign", foreign, "not a file of the fidokey simulator"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(dir, strings.ReplaceAll(c.name, " ", "-")+".bad")
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := simulator.OpenFile(path)
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if msg := err.Error(); !strings.Contains(msg, path) || !strings.Contains(msg, c.says) {
				t.Errorf("error %q", msg)
			}
			if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, c.content) {
				t.Error("the file was changed")
			}
		})
	}
}

// TestFileDamagedAnywhere: with each page in turn scribbled over, or leading to itself, or
// the rest from there cut off, a file is refused and stays, or nothing is lost.
func TestFileDamagedAnywhere(t *testing.T) {
	const page = 4096
	dir := t.TempDir()
	real := realFile(t, filepath.Join(dir, "real.db"))
	path, circles := filepath.Join(dir, "bad.db"), 0
	try := func(name string, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
		s, err := simulator.OpenFile(path)
		if err != nil {
			if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, content) {
				t.Errorf("%s: the file was changed", name)
			}
			return
		}
		defer s.Close()
		records, err := s.Load()
		if err != nil || len(records) != 200 {
			t.Errorf("%s: %d records, %v", name, len(records), err)
		}
	}
	for at := page; at < len(real); at += page {
		try(fmt.Sprint("cut off at ", at), real[:at])
		scribbled := bytes.Clone(real)
		for i := range page {
			scribbled[at+i] ^= 0xa5
		}
		try(fmt.Sprint("scribbled at ", at), scribbled)
		if n := binary.NativeEndian; n.Uint16(real[at+8:]) == 1 { // a branch, of one transaction or another
			circle := bytes.Clone(real)
			n.PutUint64(circle[at+24:], n.Uint64(real[at:]))
			try(fmt.Sprint("a circle at ", at), circle)
			circles++
		}
	}
	if circles == 0 {
		t.Error("there is no branch")
	}
}

// realFile returns the content of a file with many records.
func realFile(t testing.TB, path string) []byte {
	t.Helper()
	s, err := simulator.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string][]byte{}
	for i := range 200 {
		changes[fmt.Sprint("record", i)] = make([]byte, 500)
	}
	for range 3 { // the later ones use pages that the first has left free
		if err := s.Commit(changes); err != nil {
			t.Fatal(err)
		}
		changes = map[string][]byte{"record0": {1}}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func bolt(t *testing.T, path string, fill func(*bbolt.Tx) error) []byte {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(fill); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
