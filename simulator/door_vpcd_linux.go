package simulator

import (
	"net"

	"golang.org/x/sys/unix"
)

// acknowledgeAtOnce holds for the next segment only.
func acknowledgeAtOnce(conn net.Conn) {
	if raw, err := conn.(*net.TCPConn).SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) })
	}
}
