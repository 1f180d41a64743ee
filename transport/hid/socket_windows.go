package hid

import (
	"net"
	"unsafe"

	"golang.org/x/sys/windows"
)

// fionread is FIONREAD, which asks how many bytes wait.
const fionread = 0x4004667f

// readWaiting reads what has come already, and returns 0 if that is nothing. A deadline
// does not matter to it.
func readWaiting(conn net.Conn, b []byte) (n int) {
	control(conn, func(fd uintptr) {
		var waiting, size uint32
		socket := windows.Handle(fd)
		err := windows.WSAIoctl(socket, fionread, nil, 0, (*byte)(unsafe.Pointer(&waiting)), uint32(unsafe.Sizeof(waiting)), &size, nil, 0)
		if err != nil || waiting == 0 {
			return
		}
		var flags, got uint32
		buffer := windows.WSABuf{Len: uint32(len(b)), Buf: &b[0]}
		if err := windows.WSARecv(socket, &buffer, 1, &got, &flags, nil, nil); err == nil {
			n = int(got)
		}
	})
	return n
}
