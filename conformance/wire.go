package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fidokey/fidokey/transport/hid"
)

// The commands of CTAPHID, with the bit of an initialization packet.
const (
	hidPing      = 0x81
	hidMsg       = 0x83
	hidLock      = 0x84
	hidInit      = 0x86
	hidWink      = 0x88
	hidCBOR      = 0x90
	hidCancel    = 0x91
	hidKeepalive = 0xbb
	hidError     = 0xbf
)

// The codes of an ERROR message.
const (
	faultCommand = 0x01
	faultPar     = 0x02
	faultLen     = 0x03
	faultSeq     = 0x04
	faultTimeout = 0x05
	faultBusy    = 0x06
	faultChannel = 0x0b
)

const (
	broadcast = 0xffffffff

	answerTime  = time.Second      // for what is answered at once
	personTime  = 45 * time.Second // for what waits for a person
	patience    = 2 * time.Minute  // however often the key says that it works on it
	silenceTime = 300 * time.Millisecond
)

// A wire sends and reads reports by hand.
type wire struct {
	port    hid.Port
	in, out int
	partial map[uint32]*message
	dead    error
	log     func(m Message)
	random  func(n int) []byte
}

// A message came from the key.
type message struct {
	cid     uint32
	cmd     byte
	payload []byte
	packets int
	size    int
	at      time.Time // when its last report came
	fill    []byte    // what stood in the last report after the payload
}

func (m *message) String() string {
	if m == nil {
		return "silence"
	}
	return fmt.Sprintf("channel %08x command %02x payload %x", m.cid, m.cmd, m.payload)
}

func newWire(port hid.Port, random func(n int) []byte) *wire {
	in, out := port.ReportSizes()
	return &wire{port: port, in: in, out: out, partial: map[uint32]*message{}, log: func(Message) {}, random: random}
}

// first is an initialization packet; the rest of data is left out.
func (w *wire) first(cid uint32, cmd byte, size int, data []byte) []byte {
	r := binary.BigEndian.AppendUint32(nil, cid)
	r = append(r, cmd, byte(size>>8), byte(size))
	return w.pad(append(r, data[:min(len(data), w.out-7)]...))
}

// next is a continuation packet.
func (w *wire) next(cid uint32, seq byte, data []byte) []byte {
	r := binary.BigEndian.AppendUint32(nil, cid)
	return w.pad(append(append(r, seq), data...))
}

func (w *wire) pad(r []byte) []byte { return append(r, make([]byte, w.out-len(r))...) }

// packets are all reports of a message.
func (w *wire) packets(cid uint32, cmd byte, payload []byte) [][]byte {
	reports := [][]byte{w.first(cid, cmd, len(payload), payload)}
	rest := payload[min(len(payload), w.out-7):]
	for seq := byte(0); len(rest) > 0; seq++ {
		n := min(len(rest), w.out-5)
		reports = append(reports, w.next(cid, seq, rest[:n]))
		rest = rest[n:]
	}
	return reports
}

// write sends reports that are no whole message.
func (w *wire) write(reports ...[]byte) {
	for _, r := range reports {
		w.log(Message{Door: DoorReport, Data: bytes.Clone(r)})
	}
	w.put(reports)
}

func (w *wire) put(reports [][]byte) {
	for _, r := range reports {
		if _, err := w.port.Write(r); err != nil && w.dead == nil {
			w.dead = err
		}
	}
}

func (w *wire) send(cid uint32, cmd byte, payload []byte) {
	w.log(Message{Door: DoorHID, Channel: cid, Command: cmd, Data: bytes.Clone(payload)})
	w.put(w.packets(cid, cmd, payload))
}

// report waits for one report; nil is silence.
func (w *wire) report(deadline time.Time) []byte {
	w.port.SetReadDeadline(deadline)
	b := make([]byte, w.in)
	n, err := w.port.Read(b)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	case err != nil:
		w.dead = err
		return nil
	}
	return b[:n]
}

// message waits for the next whole message on any channel; nil is silence.
func (w *wire) message(limit time.Duration) *message {
	deadline := time.Now().Add(limit)
	for {
		r := w.report(deadline)
		if len(r) < 7 {
			return nil
		}
		cid, kind, data := binary.BigEndian.Uint32(r), r[4], r[5:]
		m := w.partial[cid]
		if kind&0x80 != 0 {
			m = &message{cid: cid, cmd: kind, size: int(binary.BigEndian.Uint16(r[5:]))}
			data = r[7:]
		} else if m == nil || int(kind) != m.packets-1 {
			w.log(Message{FromKey: true, Door: DoorReport, Data: r})
			return &message{cid: cid, cmd: kind, payload: data, packets: -1, at: time.Now()}
		}
		n := min(len(data), m.size-len(m.payload))
		m.payload = append(m.payload, data[:n]...)
		m.fill = data[n:]
		m.packets++
		m.at = time.Now()
		if len(m.payload) < m.size {
			w.partial[cid] = m
			continue
		}
		delete(w.partial, cid)
		w.log(Message{FromKey: true, Door: DoorHID, Channel: cid, Command: m.cmd, Data: m.payload})
		return m
	}
}

// drain forgets what the key still has to say.
func (w *wire) drain() {
	for range 1000 {
		if w.message(silenceTime) == nil {
			return
		}
	}
}

// open asks for a channel. What other programs hear is skipped.
func (w *wire) open() (cid uint32, err error) {
	nonce := w.random(8)
	w.send(broadcast, hidInit, nonce)
	for range 20 {
		in := w.message(answerTime)
		if in == nil {
			break
		}
		if in.cid == broadcast && in.cmd == hidInit && len(in.payload) >= 12 && bytes.Equal(in.payload[:8], nonce) {
			return binary.BigEndian.Uint32(in.payload[8:]), nil
		}
	}
	return 0, errors.New("conformance: no answer to INIT")
}
