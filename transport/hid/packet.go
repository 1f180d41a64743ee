package hid

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// A command is the command of a message (CTAP 2.1, section 11.2.9), without the
// bit that marks an initialization packet.
type command byte

const (
	cmdPing      command = 0x01
	cmdMsg       command = 0x03
	cmdLock      command = 0x04
	cmdInit      command = 0x06
	cmdWink      command = 0x08
	cmdCBOR      command = 0x10
	cmdCancel    command = 0x11
	cmdKeepalive command = 0x3b
	cmdError     command = 0x3f
)

func (c command) String() string {
	switch c {
	case cmdPing:
		return "CTAPHID_PING"
	case cmdMsg:
		return "CTAPHID_MSG"
	case cmdLock:
		return "CTAPHID_LOCK"
	case cmdInit:
		return "CTAPHID_INIT"
	case cmdWink:
		return "CTAPHID_WINK"
	case cmdCBOR:
		return "CTAPHID_CBOR"
	case cmdCancel:
		return "CTAPHID_CANCEL"
	case cmdKeepalive:
		return "CTAPHID_KEEPALIVE"
	case cmdError:
		return "CTAPHID_ERROR"
	}
	return fmt.Sprintf("CTAPHID command %#02x", byte(c))
}

const (
	startHeader    = 7    // channel, command, length
	continueHeader = 5    // channel, sequence number
	startBit       = 0x80 // in the fifth byte: the packet starts a message

	// minReport is the shortest report with room for data in both packets.
	minReport = startHeader + 1
)

// A channel is a channel identifier as it stands in each packet.
type channel [4]byte

var broadcast = channel{0xff, 0xff, 0xff, 0xff}

// maxPayload returns how many bytes fit into one message of packets of the
// given length: one initialization packet, and continuation packets 0 to 127.
// The length field has 16 bits.
func maxPayload(report int) int {
	return min(report-startHeader+128*(report-continueHeader), 0xffff)
}

// writePackets cuts a message into packets and hands each to write. All are
// built in report, whose length is the report size.
func writePackets(report []byte, id channel, cmd command, data []byte, write func([]byte) error) error {
	copy(report, id[:])
	report[4] = startBit | byte(cmd)
	binary.BigEndian.PutUint16(report[5:], uint16(len(data)))
	n := copy(report[startHeader:], data)
	clear(report[startHeader+n:])
	if err := write(report); err != nil {
		return err
	}
	data = data[n:]
	for seq := byte(0); len(data) > 0; seq++ {
		report[4] = seq
		n := copy(report[continueHeader:], data)
		clear(report[continueHeader+n:])
		if err := write(report); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// An assembler puts the packets of one message together. Its zero value waits
// for the first.
type assembler struct {
	command command
	message []byte
	size    int  // of the complete message
	next    byte // the sequence number that is due
	started bool // some packets are still to come
}

// isStart reports whether a packet starts a message.
func isStart(report []byte) bool { return report[4]&startBit != 0 }

// add takes the next packet of the channel, in a report that should have full
// bytes, and says whether the message is complete. An error leaves the assembler
// as it was.
func (a *assembler) add(report []byte, full int) (done bool, err error) {
	var data []byte
	if isStart(report) {
		cmd := command(report[4] &^ startBit)
		if len(report) < startHeader {
			return false, cutShort(report, full)
		}
		size := int(binary.BigEndian.Uint16(report[5:]))
		if a.started {
			return false, fmt.Errorf("%w: %s packet in the middle of %s", ErrFraming, cmd, a.command)
		}
		if most := maxPayload(full); size > most {
			return false, fmt.Errorf("%w: %s announces %d bytes, and %d fit", ErrFraming, cmd, size, most)
		}
		if len(report) < min(full, startHeader+size) {
			return false, cutShort(report, full)
		}
		*a = assembler{command: cmd, size: size, message: slices.Grow(a.message[:0], size)}
		data = report[startHeader:]
	} else {
		seq := report[4]
		if !a.started {
			return false, fmt.Errorf("%w: continuation packet %d where a message should start", ErrFraming, seq)
		}
		if seq != a.next {
			return false, fmt.Errorf("%w: continuation packet %d of %s where %d was due", ErrFraming, seq, a.command, a.next)
		}
		if len(report) < min(full, continueHeader+a.size-len(a.message)) {
			return false, cutShort(report, full)
		}
		a.next++
		data = report[continueHeader:]
	}
	a.message = append(a.message, data[:min(len(data), a.size-len(a.message))]...)
	a.started = len(a.message) < a.size
	return !a.started, nil
}

// cutShort is the error for a report that lacks more than padding.
func cutShort(report []byte, full int) error {
	return fmt.Errorf("%w: report of %d bytes, not %d", ErrFraming, len(report), full)
}
