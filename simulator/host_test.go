package simulator_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/fidokey/fidokey/simulator"
)

const wireKeepalive = 0xbb

// A host is the other end of a HID port, with a framing of its own.
type host struct {
	*testing.T
	port         *simulator.Port
	channel      []byte
	capabilities byte
	transcript   bytes.Buffer // of input reports, without keepalives
}

// newHost opens a channel.
func newHost(t *testing.T, port *simulator.Port) *host {
	h := &host{T: t, port: port}
	t.Cleanup(func() { port.Close() })
	h.open()
	return h
}

func (h *host) open() {
	h.Helper()
	h.channel = []byte{0xff, 0xff, 0xff, 0xff}
	h.send(0x86, []byte("8 bytes."))
	for {
		answer, _ := h.answer()
		if bytes.HasPrefix(answer, []byte("8 bytes.")) {
			h.channel, h.capabilities = answer[8:12], answer[16]
			return
		}
	}
}

// send writes a message.
func (h *host) send(command byte, msg []byte) {
	h.Helper()
	_, size := h.port.ReportSizes()
	head := append(bytes.Clone(h.channel), command, byte(len(msg)>>8), byte(len(msg)))
	for seq := byte(0); ; seq++ {
		report := make([]byte, size)
		n := copy(report[copy(report, head):], msg)
		if _, err := h.port.Write(report); err != nil {
			h.Fatal(err)
		}
		if msg = msg[n:]; len(msg) == 0 {
			return
		}
		head = append(bytes.Clone(h.channel), seq)
	}
}

// message reads one message on the host's channel.
func (h *host) message() (command byte, msg []byte) {
	h.Helper()
	in, _ := h.port.ReportSizes()
	report := make([]byte, in)
	size := -1
	for size < 0 || len(msg) < size {
		if _, err := h.port.Read(report); err != nil {
			h.Fatal(err)
		}
		if report[4] != wireKeepalive {
			h.transcript.Write(report)
		}
		if !bytes.HasPrefix(report, h.channel) {
			continue
		}
		if size < 0 {
			command, size = report[4], int(binary.BigEndian.Uint16(report[5:]))
			msg = append(msg, report[7:]...)
		} else {
			msg = append(msg, report[5:]...)
		}
	}
	return command, msg[:size]
}

// answer reads up to what is no keepalive.
func (h *host) answer() (msg []byte, keepalives int) {
	h.Helper()
	for {
		command, msg := h.message()
		if command != wireKeepalive {
			return msg, keepalives
		}
		keepalives++
	}
}

// exchange is a CTAP2 message and its answer.
func (h *host) exchange(msg []byte) []byte {
	h.Helper()
	h.send(0x90, msg)
	answer, _ := h.answer()
	return answer
}
