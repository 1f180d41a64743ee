package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// refuseOldFile refuses a file that is there already, or whose folder is not: better
// before the key is asked than afterwards. A flag that is not given is all right.
func refuseOldFile(flag, path string) error {
	if path == "" {
		return nil
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return usageError{fmt.Errorf("%s %s: the file is there already: choose another", flag, path)}
	}
	if folder, err := os.Stat(filepath.Dir(path)); err != nil || !folder.IsDir() {
		return usageError{fmt.Errorf("%s %s: its folder is not there", flag, path)}
	}
	return nil
}

// writeNewJSON is writeNewFile for a value.
func writeNewJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeNewFile(path, append(text, '\n'))
}

// writeNewFile writes a file for its owner only, and never over an old one.
func writeNewFile(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
