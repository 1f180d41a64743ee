//go:build !unix

package bench

import (
	"os"
	"time"
)

// alive reports whether a process runs.
func alive(pid int, _ time.Time) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	p.Release()
	return true
}
