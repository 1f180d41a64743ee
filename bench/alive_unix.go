//go:build unix

package bench

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alive reports whether a process runs that ran at a certain time. Where there is
// /proc, one that began later has only got the number.
func alive(pid int, since time.Time) bool {
	if err := unix.Kill(pid, 0); err != nil && !errors.Is(err, unix.EPERM) {
		return false
	}
	const slack = 2 * time.Second // the kernel's clock is another
	began, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	return err != nil || !began.ModTime().After(since.Add(slack))
}
