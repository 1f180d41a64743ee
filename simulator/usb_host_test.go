package simulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net"
	"strings"
	"testing"
)

// A usbHost is a host's side of USB/IP, written by hand.
type usbHost struct {
	*testing.T
	conn net.Conn
	seq  uint32
	in   map[uint32]bool // by seq: data comes with the answer
}

// A usbReply is what the host gets for an URB.
type usbReply struct {
	command, seq uint32
	status       int32
	actual       uint32
	data         []byte
}

// header makes the 48 bytes that begin a transfer or end it.
func (h *usbHost) header(command uint32, in bool, endpoint uint32, rest ...uint32) []byte {
	h.seq++
	direction := uint32(0)
	if in {
		direction = 1
	}
	b := make([]byte, 0, 48)
	for _, field := range append([]uint32{command, h.seq, 0x00010002, direction, endpoint}, rest...) {
		b = binary.BigEndian.AppendUint32(b, field)
	}
	return append(b, make([]byte, 48-len(b))...)
}

func (h *usbHost) write(b []byte) {
	h.Helper()
	if _, err := h.conn.Write(b); err != nil {
		h.Fatal(err)
	}
}

// fetch submits an URB for an input report and returns its seq.
func (h *usbHost) fetch(length uint32) uint32 {
	h.Helper()
	b := h.header(1, true, 1, 0, length)
	h.in[h.seq] = true
	h.write(b)
	return h.seq
}

// put submits an output report, filled up to 64 bytes.
func (h *usbHost) put(start ...byte) uint32 {
	h.Helper()
	report := append(start, make([]byte, 64-len(start))...)
	h.write(append(h.header(1, false, 1, 0, 64), report...))
	return h.seq
}

// unlink takes an URB back and returns the seq of the request to do so.
func (h *usbHost) unlink(victim uint32) uint32 {
	h.Helper()
	h.write(h.header(2, false, 0, victim))
	return h.seq
}

func (h *usbHost) read() usbReply {
	h.Helper()
	var b [48]byte
	if _, err := io.ReadFull(h.conn, b[:]); err != nil {
		h.Fatal(err)
	}
	field := func(offset int) uint32 { return binary.BigEndian.Uint32(b[offset:]) }
	r := usbReply{field(0), field(4), int32(field(20)), field(24), nil}
	if h.in[r.seq] && r.command == 3 {
		r.data = make([]byte, r.actual)
		if _, err := io.ReadFull(h.conn, r.data); err != nil {
			h.Fatal(err)
		}
	}
	if zeros := append(b[8:20:20], b[28:]...); !bytes.Equal(zeros, make([]byte, 32)) {
		h.Errorf("answer %x: want zeros", b)
	}
	return r
}

// want reads an answer, which must be this one, and returns its data.
func (h *usbHost) want(command, seq uint32, status int32) []byte {
	h.Helper()
	r := h.read()
	if r.command != command || r.seq != seq || r.status != status {
		h.Fatalf("answer %d to %d, status %d; want %d to %d, %d", r.command, r.seq, r.status, command, seq, status)
	}
	return r.data
}

// control makes a control transfer with a setup packet of 8 bytes in hexadecimal,
// and returns the answer, or false for a stall.
func (h *usbHost) control(setup string) (data []byte, ok bool) {
	h.Helper()
	packet := unhex(h.T, setup)
	length := uint32(binary.LittleEndian.Uint16(packet[6:]))
	in := packet[0]&0x80 != 0
	b := h.header(1, in, 0, 0, length)
	copy(b[40:], packet)
	if !in {
		b = append(b, make([]byte, length)...)
	}
	h.in[h.seq] = in
	h.write(b)
	switch r := h.read(); {
	case r.seq != h.seq || r.command != 3:
		h.Fatalf("%s: answer %d to %d", setup, r.command, r.seq)
	case r.status == 0:
		return r.data, true
	case r.status != -32 || r.actual != 0:
		h.Fatalf("%s: status %d, %d bytes", setup, r.status, r.actual)
	}
	return nil, false
}

// A usbBench is a host with a key plugged in.
type usbBench struct {
	*usbHost
	key    *hidKey
	link   *usbLink
	unplug context.CancelFunc
	ended  chan error
}

func newUSBBench(t *testing.T, id USBIdentity) *usbBench {
	t.Helper()
	key := &hidKey{touch: make(chan struct{})}
	d, err := newUSBDescriptors(id, 64)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	h := newHID(key)
	ctx, unplug := context.WithCancel(context.Background())
	b := &usbBench{
		usbHost: &usbHost{T: t, conn: ours, in: map[uint32]bool{}},
		key:     key, link: newUSBLink(theirs, h, d), unplug: unplug, ended: make(chan error, 1),
	}
	go func() { b.ended <- b.link.run(ctx) }()
	t.Cleanup(func() {
		unplug()
		ours.Close()
		h.Close()
	})
	return b
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
