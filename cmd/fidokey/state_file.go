package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// stateFile is where a file is that the program keeps between runs: in the user's
// state folder.
func stateFile(name string) (string, error) {
	folder := os.Getenv("XDG_STATE_HOME")
	if folder == "" {
		var err error
		if runtime.GOOS == "windows" || runtime.GOOS == "darwin" {
			folder, err = os.UserConfigDir()
		} else {
			folder, err = os.UserHomeDir()
			folder = filepath.Join(folder, ".local", "state")
		}
		if err != nil {
			return "", fmt.Errorf("no folder for %s: %w", name, err)
		}
	}
	return filepath.Join(folder, "fidokey", name), nil
}
