package metadata_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fidokey/fidokey/internal/mdstest"
	"github.com/fidokey/fidokey/metadata"
)

func verdict(data []byte) *metadata.Verdict {
	return metadata.Verifier{Roots: []*x509.Certificate{authority().Root}}.Verify(data)
}

// stored returns a cache with the BLOB of the tests.
func stored(t testing.TB) metadata.Cache {
	t.Helper()
	c := metadata.Cache{Folder: filepath.Join(t.TempDir(), "made", "anew")}
	if err := c.Store(verdict(blob()), source); err != nil {
		t.Fatal(err)
	}
	return c
}

var source = metadata.Source{From: "https://mds.example/", ETag: `"7"`, At: time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)}

func open(t testing.TB, c metadata.Cache) *metadata.Index {
	t.Helper()
	x, err := c.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	return x
}

func TestCache(t *testing.T) {
	x := open(t, stored(t))
	if i := x.Info(); i.No != 7 || i.Entries != models || i.Source != source || i.LegalHeader == "" || i.NextUpdate.IsZero() {
		t.Errorf("%+v", i)
	}
	for id, want := range map[string]string{
		mdstest.AAGUID(0): "Example Key 0",
		"f1d0#0005":       "Example Key 5",
		"0000000000000000000000000000000000000002": "Example Key 2",
	} {
		e, err := x.Entry(id)
		if err != nil || e == nil || e.Statement.Description != want || len(e.StatusReports) != 1 {
			t.Errorf("%s: %v, %v", id, e, err)
		}
		if name, ok := x.Name(id); !ok || name != want {
			t.Errorf("%s: %q, %v", id, name, ok)
		}
	}
	if e, err := x.Entry(mdstest.AAGUID(2)); e != nil || err != nil {
		t.Errorf("a model that is not there: %v, %v", e, err)
	}
	if name, ok := x.Name(mdstest.AAGUID(2)); ok {
		t.Errorf("a model that is not there: %q", name)
	}
	for words, want := range map[string]int{"example key 29": 1, "KEY 29": 11, "nothing": 0} {
		if found, err := x.Named(words); err != nil || len(found) != want {
			t.Errorf("%q: %d, %v", words, len(found), err)
		}
	}
	n := 0
	if err := x.Each(func(e *metadata.Entry) error { n++; return nil }); err != nil || n != models {
		t.Errorf("each: %d, %v", n, err)
	}
}

func TestEmptyBlobInCache(t *testing.T) {
	c := metadata.Cache{Folder: t.TempDir()}
	if _, err := c.Open(); !errors.Is(err, metadata.ErrNoCache) {
		t.Errorf("an empty folder: %v", err)
	}
	empty := mustSign(authority(), []byte(`{"no":1,"nextUpdate":"2999-01-01","entries":[]}`))
	if err := c.Store(verdict(empty), source); err != nil {
		t.Fatal(err)
	}
	x := open(t, c)
	e, err := x.Entry(mdstest.AAGUID(0))
	found, errNamed := x.Named("key")
	if e != nil || found != nil || errors.Join(err, errNamed) != nil {
		t.Errorf("%v, %v, %v, %v", e, found, err, errNamed)
	}
}

// TestStoreKeepsTheOld: nothing that is bad or older replaces what is there.
func TestStoreKeepsTheOld(t *testing.T) {
	c := stored(t)
	for name, data := range map[string][]byte{
		"signature":     tampered(1, func(s string) string { return s + " " }),
		"serial number": mustSign(authority(), mdstest.Payload(6, 1)), // judged without knowing the old
		"login page":    []byte("<html>"),
	} {
		if err := c.Store(verdict(data), source); err == nil {
			t.Errorf("%s: it is stored", name)
		}
		if x := open(t, c); x.Info().No != 7 || x.Info().Entries != models {
			t.Errorf("%s: %+v", name, x.Info())
		}
	}
	left := filepath.Join(c.Folder, "blob-1.tmp") // by a program that was ended
	yesterday := time.Now().AddDate(0, 0, -1)
	if err := errors.Join(os.WriteFile(left, nil, 0o600), os.Chtimes(left, yesterday, yesterday)); err != nil {
		t.Fatal(err)
	}
	if err := c.Store(verdict(mustSign(authority(), mdstest.Payload(8, 2))), source); err != nil {
		t.Fatal(err)
	}
	if x := open(t, c); x.Info().No != 8 || x.Info().Entries != 2 {
		t.Errorf("the next: %+v", x.Info())
	}
	files, err := filepath.Glob(filepath.Join(c.Folder, "*"))
	if err != nil || len(files) != 2 {
		t.Errorf("files that are left: %v, %v", files, err)
	}
}

// TestIndexIsRebuilt: what is wrong with the index is no matter while the BLOB is
// there.
func TestIndexIsRebuilt(t *testing.T) {
	for name, damage := range map[string]func(index string) error{
		"missing":   os.Remove,
		"empty":     func(f string) error { return os.Truncate(f, 0) },
		"cut off":   func(f string) error { return os.Truncate(f, 64<<10) },
		"no index":  func(f string) error { return os.WriteFile(f, bytes.Repeat([]byte("x"), 1<<20), 0o600) },
		"zeros":     func(f string) error { return os.WriteFile(f, make([]byte, 1<<20), 0o600) },
		"no blocks": func(f string) error { return overwrite(f, 4*int64(os.Getpagesize())) },
		"a circle":  circle,
		"an entry":  func(f string) error { return replaceIn(f, `"Example Key 0"`, `"Example Key 0}`) },
		"of another BLOB": func(f string) error {
			other := metadata.Cache{Folder: filepath.Join(filepath.Dir(f), "other")}
			if err := other.Store(verdict(mustSign(authority(), mdstest.Payload(9, 1))), source); err != nil {
				return err
			}
			return os.Rename(filepath.Join(other.Folder, "index.db"), f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := metadata.Cache{Folder: t.TempDir()}
			if err := c.Store(verdict(mustSign(authority(), mdstest.Payload(7, 20))), source); err != nil {
				t.Fatal(err)
			}
			if err := damage(filepath.Join(c.Folder, "index.db")); err != nil {
				t.Fatal(err)
			}
			x := open(t, c)
			e, err := x.Entry(mdstest.AAGUID(0))
			if err != nil || e == nil || x.Info().No != 7 || x.Info().Entries != 20 {
				t.Errorf("%v, %v, %+v", e, err, x.Info())
			}
		})
	}
}

// circle has each branch of a file of bbolt's lead to itself.
func circle(file string) error {
	data, err := os.ReadFile(file)
	found, page := false, os.Getpagesize()
	for at := 0; at+page <= len(data); at += page {
		if head := data[at:]; binary.NativeEndian.Uint64(head) == uint64(at/page) && binary.NativeEndian.Uint16(head[8:]) == 1 {
			binary.NativeEndian.PutUint64(head[24:], uint64(at/page))
			found = true
		}
	}
	if err == nil && !found {
		err = errors.New("there is no branch")
	}
	return errors.Join(err, os.WriteFile(file, data, 0o600))
}

// replaceIn changes a file, which must have the old text.
func replaceIn(file, before, after string) error {
	data, err := os.ReadFile(file)
	if err == nil && !bytes.Contains(data, []byte(before)) {
		err = errors.New("there is no " + before)
	}
	return errors.Join(err, os.WriteFile(file, bytes.Replace(data, []byte(before), []byte(after), 1), 0o600))
}

// overwrite puts other bytes in place of all from an offset on.
func overwrite(file string, from int64) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for i := from; i < int64(len(data)); i++ {
		data[i] = 0xa5
	}
	return os.WriteFile(file, data, 0o600)
}

// TestDamagedBlob: without index a BLOB counts only as it was signed; with index it
// is not read at all.
func TestDamagedBlob(t *testing.T) {
	c := stored(t)
	file := filepath.Join(c.Folder, "blob.jwt")
	at, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	data := slices.Clone(blob())
	data[len(data)/2] ^= 1
	if err := errors.Join(os.WriteFile(file, data, 0o600), os.Chtimes(file, at.ModTime(), at.ModTime())); err != nil {
		t.Fatal(err)
	}
	if e, err := open(t, c).Entry(mdstest.AAGUID(0)); e == nil || err != nil {
		t.Errorf("with index: %v", err)
	}
	if err := os.Remove(filepath.Join(c.Folder, "index.db")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(); err == nil {
		t.Error("an index is made of a damaged BLOB")
	}
}

// TestLookupReadsOneEntry counts what a lookup allocates, which is little more than
// the entry. The BLOB has been made unreadable, and a name takes less still.
func TestLookupReadsOneEntry(t *testing.T) {
	c := stored(t)
	allocated := func(do func(x *metadata.Index)) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		x, err := c.Open()
		if err != nil {
			t.Fatal(err)
		}
		do(x)
		x.Close()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	var size int
	entry := allocated(func(x *metadata.Index) {
		e, err := x.Entry(mdstest.AAGUID(0))
		if err != nil || e == nil {
			t.Fatal(err)
		}
		size = len(e.Raw)
	})
	name := allocated(func(x *metadata.Index) { x.Name(mdstest.AAGUID(0)) })
	t.Logf("the BLOB has %d bytes, the entry %d; the entry takes %d, the name %d", len(blob()), size, entry, name)
	if entry > uint64(4*size) || name > uint64(size) {
		t.Errorf("an entry of %d bytes takes %d, its name %d", size, entry, name)
	}
}

// TestConcurrentUse: readers and writers at once; each reader sees one BLOB whole.
func TestConcurrentUse(t *testing.T) {
	c := metadata.Cache{Folder: t.TempDir()}
	blobs := map[int64]*metadata.Verdict{}
	for n := 1; n <= 6; n++ {
		blobs[int64(n)] = verdict(mustSign(authority(), mdstest.Payload(n, n)))
	}
	if err := c.Store(blobs[1], source); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := int64(2); n <= 6; n++ {
		all.Go(func() { c.Store(blobs[n], source) }) // one that comes late is refused
		all.Go(func() {
			x, err := c.Open()
			if err != nil {
				t.Error(err)
				return
			}
			defer x.Close()
			seen := 0
			x.Each(func(*metadata.Entry) error { seen++; return nil })
			if i := x.Info(); int64(seen) != i.No || i.Entries != seen {
				t.Errorf("%d entries of %+v", seen, i)
			}
		})
	}
	all.Wait()
	if err := c.Store(blobs[6], source); err != nil {
		t.Fatal(err)
	}
	if i := open(t, c).Info(); i.No != 6 {
		t.Errorf("%+v", i)
	}
}

// TestReadOnlyFolder: an index that is whole needs no right to write; without one
// there is an error, and soon.
func TestReadOnlyFolder(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("this user may write everywhere")
	}
	c := stored(t)
	os.Chmod(c.Folder, 0o500)
	defer os.Chmod(c.Folder, 0o700)
	open(t, c)
}

// BenchmarkBare is what nobody who reads a BLOB can leave out: its payload's base64, hash
// and JSON.
func BenchmarkBare(b *testing.B) {
	b.SetBytes(int64(len(blob())))
	for b.Loop() {
		payload, err := base64.RawURLEncoding.DecodeString(string(bytes.Split(blob(), []byte("."))[1]))
		if err != nil {
			b.Fatal(err)
		}
		sha256.Sum256(blob())
		var parsed struct{ Entries []json.RawMessage }
		if err := json.Unmarshal(payload, &parsed); err != nil || len(parsed.Entries) == 0 {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	blob()
	b.SetBytes(int64(len(blob())))
	for b.Loop() {
		if verdict(blob()).Err() != nil {
			b.Fatal()
		}
	}
}

// BenchmarkStore makes the index too.
func BenchmarkStore(b *testing.B) {
	c := metadata.Cache{Folder: b.TempDir()}
	b.SetBytes(int64(len(blob())))
	for b.Loop() {
		if err := c.Store(verdict(blob()), source); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	c := stored(b)
	for b.Loop() {
		x, err := c.Open()
		if err != nil {
			b.Fatal(err)
		}
		if e, err := x.Entry(mdstest.AAGUID(0)); e == nil || err != nil {
			b.Fatal(err)
		}
		x.Close()
	}
}

func BenchmarkName(b *testing.B) {
	c := stored(b)
	for b.Loop() {
		x, err := c.Open()
		if err != nil {
			b.Fatal(err)
		}
		if _, ok := x.Name(mdstest.AAGUID(0)); !ok {
			b.Fatal()
		}
		x.Close()
	}
}
