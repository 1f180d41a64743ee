//go:build unix

package hid

import (
	"net"
	"syscall"
)

// readWaiting reads what has come already, and returns 0 if that is nothing. A deadline
// does not matter to it.
func readWaiting(conn net.Conn, b []byte) (n int) {
	control(conn, func(fd uintptr) {
		n, _ = syscall.Read(int(fd), b) // Go's sockets do not block; an error comes again with the next Read
	})
	return max(n, 0)
}
