package conformance_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

// A lie is a wrong answer that stands in for the key's. One of its functions is
// set; each takes what came from the key and returns what the host gets.
type lie struct {
	name   string
	notice string // cases that must fail
	// ctap takes the answer to a message of CTAP2, through either door: the
	// status and the body.
	ctap func(request, answer []byte) []byte
	// hid takes a message that goes over HID; none is silence.
	hid func(m packet) []packet
	// apdu takes a response with its status word.
	apdu func(command, response []byte) []byte
}

// A packet is a message of CTAPHID. Without the initialization bit in its
// command it is a continuation of nothing.
type packet struct {
	cid     uint32
	cmd     byte
	payload []byte
}

// The commands of CTAPHID, with the initialization bit.
const (
	hidPing  = 0x81
	hidMsg   = 0x83
	hidInit  = 0x86
	hidCBOR  = 0x90
	hidError = 0xbf
)

// A liar changes the answers of a key while told is set.
type liar struct {
	told *lie
}

// tell puts the liar between a bench and its key.
func (l *liar) tell(bench *conformance.Bench) {
	if port := bench.Port; port != nil {
		bench.Port = func() (hid.Port, error) {
			p, err := port()
			return &lyingPort{Port: p, liar: l, in: map[uint32]*part{}, out: map[uint32]*part{}}, err
		}
	}
	if card := bench.Card; card != nil {
		bench.Card = func() (nfc.Card, error) {
			c, err := card()
			return &lyingCard{Card: c, liar: l}, err
		}
	}
}

// A lyingPort takes the messages of both directions apart.
type lyingPort struct {
	hid.Port
	*liar
	in, out map[uint32]*part // by channel
	queue   [][]byte         // reports for the host
}

// A part is a message that is not complete, or the last one.
type part struct {
	packet
	size int
}

// take adds a report, and reports whether the message is complete.
func take(messages map[uint32]*part, report []byte) (m *part, complete bool) {
	cid := binary.BigEndian.Uint32(report)
	if report[4]&0x80 != 0 {
		m = &part{packet{cid, report[4], nil}, int(binary.BigEndian.Uint16(report[5:]))}
		messages[cid] = m
		report = report[7:]
	} else if m = messages[cid]; m == nil {
		return &part{packet: packet{cid, report[4], report[5:]}}, true
	} else {
		report = report[5:]
	}
	m.payload = append(m.payload, report[:min(len(report), m.size-len(m.payload))]...)
	return m, len(m.payload) == m.size
}

func (p *lyingPort) Write(report []byte) (int, error) {
	take(p.out, report)
	return p.Port.Write(report)
}

func (p *lyingPort) Read(report []byte) (int, error) {
	for len(p.queue) == 0 {
		b := make([]byte, len(report))
		n, err := p.Port.Read(b)
		if err != nil {
			return n, err
		}
		m, complete := take(p.in, b[:n])
		if !complete {
			continue
		}
		delete(p.in, m.cid)
		for _, told := range p.changed(m.packet) {
			p.queue = append(p.queue, told.reports(n)...)
		}
	}
	n := copy(report, p.queue[0])
	p.queue = p.queue[1:]
	return n, nil
}

// changed is what the host gets in place of a message.
func (p *lyingPort) changed(m packet) []packet {
	switch {
	case p.told == nil:
	case p.told.hid != nil:
		return p.told.hid(m)
	case p.told.ctap != nil && m.cmd == hidCBOR && p.out[m.cid] != nil && len(m.payload) > 0:
		m.payload = p.told.ctap(p.out[m.cid].payload, m.payload)
	case p.told.apdu != nil && m.cmd == hidMsg && len(m.payload) >= 2:
		m.payload = p.told.apdu(p.out[m.cid].payload, m.payload)
	}
	return []packet{m}
}

// reports are those that carry a message.
func (m packet) reports(size int) [][]byte {
	head := append(binary.BigEndian.AppendUint32(nil, m.cid), m.cmd)
	if m.cmd&0x80 != 0 {
		head = binary.BigEndian.AppendUint16(head, uint16(len(m.payload)))
	}
	var reports [][]byte
	rest := m.payload
	for seq := byte(0); len(reports) == 0 || len(rest) > 0; seq++ {
		report := make([]byte, size)
		n := copy(report[copy(report, head):], rest)
		rest = rest[n:]
		reports = append(reports, report)
		head = append(binary.BigEndian.AppendUint32(nil, m.cid), seq)
	}
	return reports
}

// A lyingCard lies on the reader.
type lyingCard struct {
	nfc.Card
	*liar
	asked []byte // the last message of CTAP2, for which the host may have to poll
}

func (c *lyingCard) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	if request := message(command); request != nil {
		c.asked = request
	}
	response, err := c.Card.Transmit(ctx, command)
	if err != nil || c.told == nil {
		return response, err
	}
	switch {
	case c.told.apdu != nil:
		return c.told.apdu(command, response), nil
	case c.told.ctap != nil && command[0] == 0x80 && bytes.HasSuffix(response, []byte{0x90, 0}) && len(response) > 2:
		return append(c.told.ctap(c.asked, response[:len(response)-2]), 0x90, 0), nil
	}
	return response, nil
}

// message is the message of CTAP2 in an APDU that is not chained, or nil.
func message(apdu []byte) []byte {
	switch {
	case len(apdu) < 7 || apdu[0] != 0x80 || apdu[1] != 0x10:
		return nil
	case apdu[4] == 0:
		return apdu[7:][:min(int(binary.BigEndian.Uint16(apdu[5:])), len(apdu)-7)]
	}
	return apdu[5:][:min(int(apdu[4]), len(apdu)-5)]
}

// of limits a lie to one command of CTAPHID.
func of(cmd byte, change func(m packet) []packet) func(m packet) []packet {
	return func(m packet) []packet {
		if m.cmd != cmd {
			return []packet{m}
		}
		m.payload = slices.Clone(m.payload)
		return change(m)
	}
}

// response limits a lie to one instruction.
func response(ins byte, change func(response []byte) []byte) func(command, response []byte) []byte {
	return func(command, response []byte) []byte {
		if len(command) < 2 || command[1] != ins || len(response) < 2 {
			return response
		}
		return change(response)
	}
}
