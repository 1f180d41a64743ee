package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"github.com/fidokey/fidokey/internal/boltfile"
)

const (
	// fileSchema is the version of the records' form. A file of another version
	// is left alone.
	fileSchema = "1"
	fileNote   = "fidokey simulator: a test instrument. Private keys lie here in plain sight; do not use it for anything worth protecting."

	fileLockTimeout = 5 * time.Second
)

// Buckets and keys of the file.
var (
	metaBucket    = []byte("fidokey-simulator")
	recordsBucket = []byte("records")
	schemaKey     = []byte("schema")
	noteKey       = []byte("note")
)

// file is a Storage in one bbolt file.
type file struct{ db *bbolt.DB }

// OpenFile returns a Storage in a file, which it creates when it is not there,
// together with its folder. The file stays locked until Close. One that is
// damaged, or not of this program's making, is an error and stays as it is.
func OpenFile(path string) (Storage, error) { return openFile(path, fileLockTimeout) }

func openFile(path string, lockTimeout time.Duration) (Storage, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("simulator storage: %w", err)
	}
	db, err := openBolt(path, lockTimeout)
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("simulator storage: %s is in use by another fidokey; end it, or choose another file", path)
	}
	if err != nil {
		return nil, fmt.Errorf("simulator storage: %s: %w; move the file away to start with a new key", path, err)
	}
	return &file{db}, nil
}

// openBolt opens a file for writing once it has been read through. What is left that
// bbolt panics over is a file that somebody changes meanwhile.
func openBolt(path string, lockTimeout time.Duration) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			err = boltfile.ErrDamaged
			if db != nil {
				err = errors.Join(err, db.Close())
			}
		}
	}()
	switch info, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		createWhole(path)
	case err == nil && info.Size() > 0:
		if err := inspect(path, lockTimeout); err != nil {
			return nil, err
		}
	}
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout})
	if err != nil {
		return nil, err
	}
	if err := db.Update(initialize); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// createWhole makes a new file under another name first: power may be cut meanwhile, and
// what is half made looks like a key that is damaged. Where it fails, for there are no
// links or another program was quicker, opening the file does all that there is to do.
func createWhole(path string) {
	early, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new*")
	if err != nil {
		return
	}
	defer os.Remove(early.Name())
	if early.Close() != nil {
		return
	}
	db, err := bbolt.Open(early.Name(), 0o600, nil)
	if err != nil {
		return
	}
	if err := errors.Join(db.Update(initialize), db.Close()); err == nil {
		_ = os.Link(early.Name(), path)
	}
}

// inspect reads a file without writing to it.
func inspect(path string, lockTimeout time.Duration) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close()
	if err := boltfile.CheckFile(path); err != nil {
		return err
	}
	return db.View(func(tx *bbolt.Tx) (err error) {
		if err := checkSchema(tx); err != nil {
			return err
		}
		for fault := range tx.Check() {
			err = fmt.Errorf("%w: %w", boltfile.ErrDamaged, fault)
		}
		return err
	})
}

// checkSchema refuses files that are not ours, or of another schema.
func checkSchema(tx *bbolt.Tx) error {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		if first, _ := tx.Cursor().First(); first != nil {
			return errors.New("not a file of the fidokey simulator")
		}
		return nil // created, and never initialized
	}
	if schema := meta.Get(schemaKey); string(schema) != fileSchema {
		return fmt.Errorf("file has schema version %q, this fidokey knows %s: use the fidokey that wrote it", schema, fileSchema)
	}
	if tx.Bucket(recordsBucket) == nil {
		return boltfile.ErrDamaged
	}
	return nil
}

// initialize makes a new file ready.
func initialize(tx *bbolt.Tx) error {
	if tx.Bucket(metaBucket) != nil {
		return nil
	}
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucket(recordsBucket); err != nil {
		return err
	}
	if err := meta.Put(noteKey, []byte(fileNote)); err != nil {
		return err
	}
	return meta.Put(schemaKey, []byte(fileSchema))
}

func (f *file) Load() (map[string][]byte, error) {
	records := map[string][]byte{}
	err := f.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(recordsBucket).ForEach(func(name, record []byte) error {
			records[string(name)] = bytes.Clone(record)
			return nil
		})
	})
	return records, err
}

func (f *file) Commit(changes map[string][]byte) error {
	return f.db.Update(func(tx *bbolt.Tx) error {
		records := tx.Bucket(recordsBucket)
		for name, record := range changes {
			if err := putOrDelete(records, []byte(name), record); err != nil {
				return err
			}
		}
		return nil
	})
}

func putOrDelete(b *bbolt.Bucket, name, record []byte) error {
	if record == nil {
		return b.Delete(name)
	}
	return b.Put(name, record)
}

func (f *file) Close() error { return f.db.Close() }
