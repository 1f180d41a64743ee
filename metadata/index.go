package metadata

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/fidokey/fidokey/internal/boltfile"
)

// indexVersion changes with what is in the buckets below.
const indexVersion = 1

// The buckets. An entry is known by its place, four bytes.
var (
	bucketInfo    = []byte("info")    // one value under infoKey: indexHeader in JSON
	bucketIDs     = []byte("ids")     // identifier -> place
	bucketNames   = []byte("names")   // place -> description
	bucketEntries = []byte("entries") // place -> entry in JSON, as the BLOB has it

	infoKey = []byte("info")
)

// lockTimeout is how long a program that looks up a name waits for another. Nobody
// changes an index in place, so there is nobody to wait for.
const lockTimeout = 200 * time.Millisecond

// IndexInfo is what there is to say of a BLOB as a whole.
type IndexInfo struct {
	No          int64
	NextUpdate  Day
	LegalHeader string
	Source      Source
	Entries     int
	Skipped     []Skipped
}

type indexHeader struct {
	Version int
	Blob    stamp
	IndexInfo
}

// Index finds entries of a stored BLOB. It is for one goroutine.
type Index struct {
	db      *bbolt.DB
	info    IndexInfo
	rebuild func() (*Index, error) // nil: it was rebuilt already
}

var errIndex = errors.New("the index is damaged, or of another BLOB")

// writeIndex makes an index in a file that is empty.
func writeIndex(file string, b *Blob, from Source, blob stamp) error {
	header, err := json.Marshal(indexHeader{indexVersion, blob, IndexInfo{
		b.No, b.NextUpdate, b.LegalHeader, from, len(b.Entries), b.Skipped,
	}})
	if err != nil {
		return err
	}
	db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		w := indexWriter{tx: tx}
		w.put(bucketInfo, infoKey, header)
		for i, e := range b.Entries {
			place := binary.BigEndian.AppendUint32(nil, uint32(i))
			w.put(bucketNames, place, []byte(e.Statement.Description))
			w.put(bucketEntries, place, e.Raw)
			for _, id := range e.IDs() {
				w.put(bucketIDs, []byte(id), place)
			}
		}
		return w.err
	})
	return errors.Join(err, db.Close())
}

// indexWriter keeps the first error.
type indexWriter struct {
	tx  *bbolt.Tx
	err error
}

func (w *indexWriter) put(bucket, key, value []byte) {
	if w.err != nil {
		return
	}
	var b *bbolt.Bucket
	if b, w.err = w.tx.CreateBucketIfNotExists(bucket); w.err == nil {
		w.err = b.Put(key, value)
	}
}

// openIndex opens an index, if it is that of a BLOB.
func openIndex(file string, blob stamp) (*Index, error) {
	if err := boltfile.CheckFile(file); err != nil {
		return nil, err
	}
	x := &Index{}
	err := whole(func() (err error) {
		x.db, err = bbolt.Open(file, 0o600, &bbolt.Options{ReadOnly: true, Timeout: lockTimeout})
		return err
	})
	if err != nil {
		return nil, err
	}
	var header indexHeader
	err = x.read(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketInfo)
		if b == nil {
			return errIndex
		}
		return json.Unmarshal(b.Get(infoKey), &header)
	})
	if err == nil && (header.Version != indexVersion || header.Blob != blob) {
		err = errIndex
	}
	if err != nil {
		x.Close()
		return nil, err
	}
	x.info = header.IndexInfo
	return x, nil
}

// whole makes an error of what happens to bbolt in a file that somebody damages while it
// is open: it believes in what it has mapped into memory.
func whole(read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", errIndex, p)
		}
	}()
	return read()
}

func (x *Index) read(read func(tx *bbolt.Tx) error) error {
	return whole(func() error { return x.db.View(read) })
}

// view is read for what may be read twice: where the index turns out to be damaged,
// it is made anew.
func (x *Index) view(read func(tx *bbolt.Tx) error) error {
	err := x.read(read)
	if !errors.Is(err, errIndex) || x.rebuild == nil {
		return err
	}
	again, errAgain := x.rebuild()
	if errAgain != nil {
		return errors.Join(err, errAgain)
	}
	x.Close()
	*x = *again
	return x.read(read)
}

// Close lets go of the file.
func (x *Index) Close() error { return x.db.Close() }

// Info returns what there is to say of the BLOB as a whole.
func (x *Index) Info() IndexInfo { return x.info }

// Name returns the description of a model; id is one that NormalID gives.
func (x *Index) Name(id string) (name string, found bool) {
	// One that cannot be read has no name here.
	_ = x.find(id, func(tx *bbolt.Tx, place []byte) error {
		b := tx.Bucket(bucketNames)
		if b == nil {
			return errIndex
		}
		name, found = string(b.Get(place)), true
		return nil
	})
	return name, found
}

// Entry returns the entry of a model, or nil if there is none; id is one that
// NormalID gives. Nothing else of the BLOB is read.
func (x *Index) Entry(id string) (e *Entry, err error) {
	err = x.find(id, func(tx *bbolt.Tx, place []byte) (err error) {
		e, err = entryAt(tx, place)
		if err == nil && !slices.Contains(e.IDs(), id) {
			err = errIndex
		}
		return err
	})
	return e, err
}

// find calls read with the place of an entry, if it is there.
func (x *Index) find(id string, read func(tx *bbolt.Tx, place []byte) error) error {
	return x.view(func(tx *bbolt.Tx) error {
		ids := tx.Bucket(bucketIDs)
		if ids == nil {
			return nil // a BLOB without entries
		}
		if place := ids.Get([]byte(id)); place != nil {
			return read(tx, place)
		}
		return nil
	})
}

func entryAt(tx *bbolt.Tx, place []byte) (*Entry, error) {
	b := tx.Bucket(bucketEntries)
	if b == nil {
		return nil, errIndex
	}
	e := &Entry{Raw: append(json.RawMessage(nil), b.Get(place)...)} // the page is not ours
	if err := json.Unmarshal(e.Raw, e); err != nil {
		return nil, fmt.Errorf("%w: %w", errIndex, err)
	}
	if err := e.check(map[string]bool{}); err != nil {
		return nil, fmt.Errorf("%w: %w", errIndex, err)
	}
	return e, nil
}

// Named returns the entries whose description has words in it, upper or lower case;
// that with exactly these words comes alone. Only these entries are read.
func (x *Index) Named(words string) (entries []*Entry, err error) {
	words = strings.ToLower(words)
	err = x.view(func(tx *bbolt.Tx) error {
		names := tx.Bucket(bucketNames)
		if names == nil {
			return nil
		}
		entries = nil
		var exact, part [][]byte
		err := names.ForEach(func(place, name []byte) error {
			switch name := strings.ToLower(string(name)); {
			case name == words:
				exact = append(exact, place)
			case strings.Contains(name, words):
				part = append(part, place)
			}
			return nil
		})
		if err != nil {
			return err
		}
		if exact != nil {
			part = exact
		}
		for _, place := range part {
			e, err := entryAt(tx, place)
			if err != nil {
				return err
			}
			entries = append(entries, e)
		}
		return nil
	})
	return entries, err
}

// Each calls do with every entry, in the order of the BLOB, until it returns an
// error.
func (x *Index) Each(do func(e *Entry) error) error {
	done := 0 // before the index turned out to be damaged
	return x.view(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketEntries)
		if b == nil {
			return nil
		}
		n := 0
		return b.ForEach(func(place, _ []byte) error {
			if n++; n <= done {
				return nil
			}
			e, err := entryAt(tx, place)
			if err != nil {
				return err
			}
			done++
			return do(e)
		})
	})
}
