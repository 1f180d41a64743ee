package hid

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/fidokey/fidokey/transport"
)

// FuzzSocket is a software key behind a socket that sends anything: the reports that are
// read are those behind their lengths, and the end is an error.
func FuzzSocket(f *testing.F) {
	report := append([]byte{0, 64}, bytes.Repeat([]byte{7}, 64)...)
	f.Add(report)
	f.Add(append(report, report[:30]...))
	f.Add([]byte{0, 0, 1})
	f.Add([]byte{0, 65, 1})
	f.Add([]byte{0, 1, 9, 0, 2, 9})
	f.Fuzz(func(t *testing.T, sent []byte) {
		ours, theirs := net.Pipe()
		defer ours.Close()
		go func() {
			theirs.Write(sent)
			theirs.Close()
		}()
		p := &streamPort{socket: socket{conn: ours}}
		for rest := sent; ; {
			var b [socketReport]byte
			n, err := p.Read(b[:])
			if err != nil {
				framing := len(rest) >= 2 && (binary.BigEndian.Uint16(rest) == 0 || binary.BigEndian.Uint16(rest) > socketReport)
				if framing != errors.Is(err, ErrFraming) || !framing && !errors.Is(err, transport.ErrClosed) || !framing && !errors.Is(err, io.EOF) {
					t.Errorf("%x before %v", rest, err)
				}
				return
			}
			if len(rest) < 2+n || int(binary.BigEndian.Uint16(rest)) != n || !bytes.Equal(rest[2:2+n], b[:n]) {
				t.Fatalf("%x is read as %x", rest, b[:n])
			}
			rest = rest[2+n:]
		}
	})
}
