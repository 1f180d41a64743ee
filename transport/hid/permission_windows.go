//go:build cgo

package hid

import (
	"fmt"
	"io/fs"

	"golang.org/x/sys/windows"
)

// notPermitted makes the error of opening a key, for which the library has no
// codes, an fs.ErrPermission for whoever is no administrator.
func notPermitted(err error) error {
	if windows.GetCurrentProcessToken().IsElevated() {
		return err
	}
	return fmt.Errorf("%w: %w", fs.ErrPermission, err)
}
