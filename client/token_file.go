package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/fidokey/fidokey/ctap2"
)

// FileTokens is a TokenStore in one file that only its owner may read. The file is
// replaced as a whole, so that a reader never sees half of it; of two programs
// that write at once, the later one wins.
type FileTokens struct {
	path string
	mu   sync.Mutex
}

// NewFileTokens returns a store in a file. The file and its folder are made when
// the first token is kept.
func NewFileTokens(path string) *FileTokens { return &FileTokens{path: path} }

// Load returns the tokens for a model of key; there are none without a file.
func (f *FileTokens) Load(_ context.Context, aaguid ctap2.AAGUID) ([]PersistentToken, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, err := f.read()
	defer wipe(all)
	return all.of(aaguid), err
}

// Save keeps a token.
func (f *FileTokens) Save(_ context.Context, t PersistentToken) error {
	return f.change(func(all persistentTokens) persistentTokens { return all.saved(t) })
}

// Delete drops a token.
func (f *FileTokens) Delete(_ context.Context, t PersistentToken) error {
	return f.change(func(all persistentTokens) persistentTokens { return all.deleted(t) })
}

func (f *FileTokens) change(changed func(persistentTokens) persistentTokens) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	all, err := f.read()
	if err != nil {
		return err
	}
	all = changed(all)
	defer wipe(all)
	return f.write(all)
}

func (f *FileTokens) read() (all persistentTokens, err error) {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer clear(data)
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%s: not a list of persistent tokens", f.path) // the reason may quote one
	}
	return all, nil
}

func (f *FileTokens) write(all persistentTokens) error {
	data, err := json.Marshal(all)
	if err != nil {
		return err
	}
	defer clear(data)
	folder := filepath.Dir(f.path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	next, err := os.CreateTemp(folder, filepath.Base(f.path)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) // unless it was renamed
	_, err = next.Write(data)
	if err = errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), f.path)
}

func wipe(tokens []PersistentToken) {
	for _, t := range tokens {
		clear(t.Token)
	}
}
