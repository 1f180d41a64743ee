package metadata

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// ErrNoCache is for a folder without a BLOB.
var ErrNoCache = errors.New("no metadata is stored")

// A Cache is a folder with the last BLOB that was good, and its index. Several
// programs may use it at once: both files are replaced, never changed.
type Cache struct {
	Folder string
}

// Source is where a BLOB came from, and what its server wants to hear when it is
// asked for the next.
type Source struct {
	From         string    `json:"from"`
	ETag         string    `json:"etag,omitempty"`
	LastModified string    `json:"lastModified,omitempty"`
	At           time.Time `json:"at"`
}

func (c Cache) blob() string  { return filepath.Join(c.Folder, "blob.jwt") }
func (c Cache) index() string { return filepath.Join(c.Folder, "index.db") }

// Store puts a BLOB in place of the one that is there, unless its verdict is that it
// is bad, or older.
func (c Cache) Store(v *Verdict, from Source) (err error) {
	if err := v.Err(); err != nil {
		return err
	}
	if old, err := c.Open(); err == nil {
		known := old.Info().No
		old.Close()
		if v.Blob.No < known {
			return fmt.Errorf("the BLOB has serial number %d, and %d is stored", v.Blob.No, known)
		}
	}
	if err := os.MkdirAll(c.Folder, 0o700); err != nil {
		return err
	}
	c.sweep()
	blob, err := c.temporary("blob-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(blob) // it is gone if all went well
	if err := os.WriteFile(blob, v.data, 0o600); err != nil {
		return err
	}
	at, err := os.Stat(blob)
	if err != nil {
		return err
	}
	index, err := c.temporary("index-*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(index)
	if err := writeIndex(index, v.Blob, from, stampOf(at)); err != nil {
		return err
	}
	if err := os.Rename(blob, c.blob()); err != nil {
		return err
	}
	// Where that fails (on Windows, while another program reads the old one), or is
	// not reached, the index there has the stamp of another BLOB: Open makes it anew.
	_ = os.Rename(index, c.index())
	return nil
}

func (c Cache) temporary(pattern string) (string, error) {
	f, err := os.CreateTemp(c.Folder, pattern)
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}

// sweep removes what a program has left that was ended while it stored a BLOB.
func (c Cache) sweep() {
	old, _ := filepath.Glob(filepath.Join(c.Folder, "*.tmp"))
	for _, file := range old {
		if at, err := os.Stat(file); err == nil && time.Since(at.ModTime()) > time.Hour {
			os.Remove(file)
		}
	}
}

// stamp tells one BLOB file from another without reading it.
type stamp struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

func stampOf(f fs.FileInfo) stamp { return stamp{f.Size(), f.ModTime().UTC()} }

// Open opens the index. One that is missing, broken, or of another BLOB or version
// of this program is made anew, which takes longer, once.
func (c Cache) Open() (*Index, error) {
	at, err := os.Stat(c.blob())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoCache
	}
	if err != nil {
		return nil, err
	}
	x, err := openIndex(c.index(), stampOf(at))
	if err != nil {
		return c.rebuilt(stampOf(at))
	}
	x.rebuild = func() (*Index, error) { return c.rebuilt(stampOf(at)) }
	return x, nil
}

func (c Cache) rebuilt(at stamp) (*Index, error) {
	if err := c.rebuild(at); err != nil {
		return nil, fmt.Errorf("the index of the stored metadata: %w", err)
	}
	return openIndex(c.index(), at)
}

// rebuild makes the index from the stored BLOB. That was judged when it came, and
// may be too old to be judged again; it is asked only whether it is whole.
func (c Cache) rebuild(at stamp) error {
	index, err := c.temporary("index-*.tmp") // first, for it may not be permitted
	if err != nil {
		return err
	}
	defer os.Remove(index)
	data, err := os.ReadFile(c.blob())
	if err != nil {
		return err
	}
	blob, err := readWhole(data)
	if err != nil {
		return err
	}
	if err := writeIndex(index, blob, Source{At: at.Modified}, at); err != nil {
		return err
	}
	return os.Rename(index, c.index())
}

// readWhole reads a BLOB that nobody has changed since it was signed, by whomever.
func readWhole(data []byte) (*Blob, error) {
	s, err := parseSigned(data)
	if err == nil {
		err = s.parseCertificates(data)
	}
	if err != nil {
		return nil, err
	}
	payload, err := s.jws.Verify(s.certificates[0].PublicKey)
	if err != nil {
		return nil, errors.New("the stored BLOB is damaged")
	}
	return ParseBlob(payload)
}
