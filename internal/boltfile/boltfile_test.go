package boltfile_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fidokey/fidokey/internal/boltfile"
)

const pageSize = 1024

// made returns a file with all that there is: branches, values of several pages, a bucket
// in a bucket, one in the place of a value, and free pages.
func made(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "made.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 3 {
		err := db.Update(func(tx *bbolt.Tx) error {
			large, err1 := tx.CreateBucketIfNotExists([]byte("large"))
			small, err2 := tx.CreateBucketIfNotExists([]byte("small"))
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			inner, err1 := large.CreateBucketIfNotExists([]byte("inner"))
			err2 = small.Put([]byte("key"), []byte{byte(round)})
			if err := errors.Join(err1, err2); err != nil {
				return err
			}
			for i := range 60 {
				if err := inner.Put(fmt.Appendf(nil, "key %02d", i), make([]byte, 100)); err != nil {
					return err
				}
			}
			return large.Put([]byte("long"), make([]byte, 3*pageSize))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func check(data []byte) error { return boltfile.Check(bytes.NewReader(data), int64(len(data))) }

// sum makes the checksums of the first two pages right, whatever is in them.
func sum(data []byte) {
	for at := 0; at < 2*pageSize && at+80 <= len(data); at += pageSize {
		hash := fnv.New64a()
		hash.Write(data[at+16 : at+72])
		binary.NativeEndian.PutUint64(data[at+72:], hash.Sum64())
	}
}

// readAll has bbolt follow all that there is.
func readAll(t testing.TB, data []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file.db")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		t.Fatalf("bbolt: %v", err)
	}
	defer db.Close()
	var read func(b *bbolt.Bucket) error
	read = func(b *bbolt.Bucket) error {
		if b == nil {
			return nil // none, or not where its name belongs
		}
		return b.ForEach(func(name, value []byte) error {
			if inner := b.Bucket(name); inner != nil {
				return read(inner)
			}
			bytes.Count(value, name)
			b.Get(name)
			return nil
		})
	}
	db.View(func(tx *bbolt.Tx) error {
		tx.ForEach(func(_ []byte, b *bbolt.Bucket) error { return read(b) })
		for range tx.Check() {
		}
		return nil
	})
}

// elementOf is where the first element is that has a key with this text in it.
func elementOf(t *testing.T, data []byte, key string) (page, at int) {
	t.Helper()
	n := binary.NativeEndian
	for page := 2 * pageSize; page+pageSize <= len(data); page += pageSize {
		if n.Uint64(data[page:]) != uint64(page/pageSize) || n.Uint16(data[page+8:]) != 2 {
			continue
		}
		for i := range int(n.Uint16(data[page+10:])) {
			at := page + 16 + 16*i
			from := at + int(n.Uint32(data[at+4:]))
			if to := from + int(n.Uint32(data[at+8:])); to <= len(data) && from < to && string(data[from:to]) == key {
				return page, at
			}
		}
	}
	t.Fatalf("no key %q", key)
	return 0, 0
}

// TestCheck: a file that is sound passes, and one that would have bbolt leave it, or go in
// circles, does not.
func TestCheck(t *testing.T) {
	sound := made(t)
	if err := check(sound); err != nil {
		t.Fatal(err)
	}
	readAll(t, sound)
	n := binary.NativeEndian
	last := 0 // the page that counts
	if n.Uint64(sound[pageSize+64:]) > n.Uint64(sound[64:]) {
		last = pageSize
	}
	root := n.Uint64(sound[last+32:])
	longPage, long := elementOf(t, sound, "long")
	_, inner := elementOf(t, sound, "inner")
	_, small := elementOf(t, sound, "small")
	value := func(at int) int { return at + int(n.Uint32(sound[at+4:])+n.Uint32(sound[at+8:])) }
	branch := int(n.Uint64(sound[value(inner):])) * pageSize
	if n.Uint16(sound[branch+8:]) != 1 {
		t.Fatal("the bucket is one leaf")
	}
	list := int(n.Uint64(sound[last+48:])) * pageSize
	for name, damage := range map[string]func(data []byte){
		"pages of no bytes":           func(d []byte) { n.PutUint32(d[24:], 0); n.PutUint32(d[pageSize+24:], 0) },
		"pages of two sizes":          func(d []byte) { n.PutUint32(d[pageSize+24:], 4*pageSize) },
		"pages that are not there":    func(d []byte) { n.PutUint64(d[last+56:], 1<<40) },
		"a root outside":              func(d []byte) { n.PutUint64(d[last+32:], 1<<50) },
		"a root that is a first page": func(d []byte) { n.PutUint64(d[last+32:], 1) },
		"no list of free pages":       func(d []byte) { n.PutUint64(d[last+48:], 1<<64-1) },
		"a tree as list":              func(d []byte) { n.PutUint64(d[last+48:], root) },
		"a list that is longer":       func(d []byte) { n.PutUint16(d[list+10:], 0xfffe) },
		"a list without end":          func(d []byte) { n.PutUint16(d[list+10:], 0xffff); n.PutUint64(d[list+16:], 1<<62) },
		"a free page that is in use":  func(d []byte) { n.PutUint64(d[list+16:], root) },
		"a page of another number":    func(d []byte) { n.PutUint64(d[longPage:], 3) },
		"a page of no kind":           func(d []byte) { n.PutUint16(d[longPage+8:], 3) },
		"a page that goes on":         func(d []byte) { n.PutUint32(d[longPage+12:], 1<<31) },
		"a circle":                    func(d []byte) { n.PutUint64(d[branch+16+8:], uint64(branch/pageSize)) },
		"a branch that leads outside": func(d []byte) { n.PutUint64(d[branch+16+8:], 1<<50) },
		"a branch without elements":   func(d []byte) { n.PutUint16(d[branch+10:], 0) },
		"a leaf of very many":         func(d []byte) { n.PutUint16(d[longPage+10:], 0xffff) },
		"a key outside":               func(d []byte) { n.PutUint32(d[branch+16:], 1<<31) },
		"no key":                      func(d []byte) { n.PutUint32(d[long+8:], 0) },
		"a value outside":             func(d []byte) { n.PutUint32(d[long+12:], 1<<32-1) },
		"a value that is a bucket":    func(d []byte) { n.PutUint32(d[long:], 1) },
		"a bucket too small":          func(d []byte) { n.PutUint32(d[inner+12:], 8) },
		"a bucket that leads outside": func(d []byte) { n.PutUint64(d[value(inner):], 1<<50) },
		"a small bucket of very many": func(d []byte) { n.PutUint16(d[value(small)+16+10:], 0xffff) },
		"a small bucket with another": func(d []byte) { n.PutUint32(d[value(small)+32:], 1) },
	} {
		data := bytes.Clone(sound)
		damage(data)
		sum(data)
		if err := check(data); !errors.Is(err, boltfile.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for size := int(n.Uint64(sound[last+56:]))*pageSize - 1; size > 0; size -= pageSize / 2 {
		if err := check(sound[:size]); !errors.Is(err, boltfile.ErrDamaged) {
			t.Errorf("cut off at %d: %v", size, err)
		}
	}
	torn := bytes.Clone(sound)
	torn[last+20]++ // as when the power fails: the other one counts
	if err := check(torn); err != nil {
		t.Errorf("torn: %v", err)
	}
	readAll(t, torn)
}

// FuzzCheck changes a file at one place and another: bbolt can read what passes, and panics
// nowhere.
func FuzzCheck(f *testing.F) {
	sound := made(f)
	for at := 0; at < len(sound); at += pageSize / 2 {
		f.Add(uint16(at), []byte{1}, uint16(at+8), []byte{1, 0, 255, 255})
	}
	f.Add(uint16(0), []byte{}, uint16(0), []byte{})
	f.Fuzz(func(t *testing.T, at uint16, one []byte, more uint16, two []byte) {
		data := bytes.Clone(sound)
		copy(data[int(at)%len(data):], one)
		copy(data[int(more)%len(data):], two)
		sum(data)
		switch err := check(data); {
		case err == nil:
			readAll(t, data)
		case !errors.Is(err, boltfile.ErrDamaged):
			t.Error(err)
		}
	})
}
