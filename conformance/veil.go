package conformance

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/fidokey/fidokey/trace"
)

// A veil overwrites the secrets of a key's owner in reports and APDUs. It puts the
// messages together for that, and waits for their ends.
type veil struct {
	out, in map[uint32]*veiled // by channel; of a reader, 0
	command map[uint32]byte    // of CTAP2, that was sent last
	own     map[string]bool    // largeBlobKeys of credentials of the run
}

// A veiled message is one that is not complete.
type veiled struct {
	size  int // that it will have; of a reader, which does not say, 0
	data  []byte
	parts []veiledPart
}

// A veiledPart is where some bytes of a message are.
type veiledPart struct {
	e     *trace.Exchange
	bytes []byte // a part of its Request or Response
	at    int    // in that
	sent  bool   // it is the Request
}

func newVeil() *veil {
	return &veil{out: map[uint32]*veiled{}, in: map[uint32]*veiled{}, command: map[uint32]byte{}, own: map[string]bool{}}
}

// open says whether there are messages that are not complete.
func (v *veil) open() bool { return len(v.out)+len(v.in) > 0 }

// cover takes a call.
func (v *veil) cover(e *trace.Exchange) {
	switch e.Kind {
	case trace.KindReport, trace.KindUnsent:
		v.report(e, v.out, e.Request, true)
		v.report(e, v.in, e.Response, false)
	case trace.KindAPDU:
		v.apdu(e)
	case trace.KindClose:
		v.end()
	}
}

// end hides what of messages without an end there is.
func (v *veil) end() {
	for cid, m := range v.out {
		v.hide(v.out, cid, m)
	}
	for cid, m := range v.in {
		v.hide(v.in, cid, m)
	}
}

// report takes one report, of CTAPHID_CBOR.
func (v *veil) report(e *trace.Exchange, messages map[uint32]*veiled, report []byte, sent bool) {
	if len(report) < 7 {
		return
	}
	cid, at := binary.BigEndian.Uint32(report), 5
	m := messages[cid]
	switch {
	case report[4]&0x80 == 0 && m == nil, report[4]&0x80 != 0 && report[4] != hidCBOR:
		return
	case report[4] == hidCBOR:
		if m != nil {
			v.hide(messages, cid, m)
		}
		m, at = &veiled{size: int(binary.BigEndian.Uint16(report[5:]))}, 7
		messages[cid] = m
	}
	n := min(len(report)-at, m.size-len(m.data))
	m.add(e, report, at, n, sent)
	if len(m.data) == m.size {
		v.hide(messages, cid, m)
	}
}

func (m *veiled) add(e *trace.Exchange, whole []byte, at, n int, sent bool) {
	m.data = append(m.data, whole[at:at+n]...)
	m.parts = append(m.parts, veiledPart{e, whole[at : at+n], at, sent})
}

// hide overwrites the secrets of a message, in all its parts.
func (v *veil) hide(messages map[uint32]*veiled, cid uint32, m *veiled) {
	delete(messages, cid)
	if len(m.data) == 0 {
		return
	}
	var spans []trace.Span
	if sent := m.parts[0].sent; sent {
		v.command[cid] = m.data[0]
		spans = trace.HideRequest(m.data)
	} else {
		spans = v.hideResponse(v.command[cid], m.data)
	}
	for _, span := range spans {
		begin := 0
		for _, part := range m.parts {
			from, to := max(span[0]-begin, 0), min(span[0]+span[1]-begin, len(part.bytes))
			if begin += len(part.bytes); from >= to {
				continue
			}
			clear(part.bytes[from:to])
			if part.sent {
				part.e.Redacted = append(part.e.Redacted, trace.Span{part.at + from, to - from})
			}
		}
	}
}

// hideResponse leaves the largeBlobKeys of credentials that the run has made.
func (v *veil) hideResponse(command byte, message []byte) []trace.Span {
	before := bytes.Clone(message)
	spans := trace.HideResponse(command, message)
	var body m
	member, has := map[byte]int64{cmdMakeCredential: 5, cmdGetAssertion: 7, cmdGetNextAssertion: 7}[command]
	if has && decMode.Unmarshal(before[1:], &body) == nil && blob(body[member]) != nil {
		v.own[string(blob(body[member]))] = true
	}
	return slices.DeleteFunc(spans, func(s trace.Span) bool { return v.own[string(before[s[0]:s[0]+s[1]])] })
}

// alone hides what could be anything.
func (v *veil) alone(e *trace.Exchange) {
	at, n := apduData(e.Request)
	if n <= 0 {
		return
	}
	clear(e.Request[at : at+n])
	e.Redacted = append(e.Redacted, trace.Span{at, n})
}

// apdu takes a command and its response, which may be parts of a chain.
func (v *veil) apdu(e *trace.Exchange) {
	if command := e.Request; len(command) > 4 && command[0]&^claChain == claCTAP && command[1] == insMessage {
		m := v.out[0]
		if m == nil {
			m = &veiled{}
			v.out[0] = m
		}
		at, n := apduData(command)
		m.add(e, command, at, n, true)
		if command[0]&claChain == 0 {
			v.hide(v.out, 0, m)
		}
	} else {
		if m := v.out[0]; m != nil { // the chain has no end
			v.hide(v.out, 0, m)
		}
		if len(command) > 4 && command[0]&^claChain == claCTAP && command[1] != insGetResponse {
			v.alone(e)
		}
	}
	n := len(e.Response) - 2
	if n < 1 || e.Request[0]&^claChain != claCTAP && e.Request[1] != insISOResponse {
		return
	}
	sw := int(binary.BigEndian.Uint16(e.Response[n:]))
	if sw != swOK && sw>>8 != 0x61 {
		return
	}
	m := v.in[0]
	if m == nil {
		m = &veiled{}
		v.in[0] = m
	}
	if m.add(e, e.Response, 0, n, false); sw == swOK {
		v.hide(v.in, 0, m)
	}
}

// apduData is where the data of a command is, as far as it is there.
func apduData(apdu []byte) (at, n int) {
	if at, n = 5, int(apdu[4]); n == 0 && len(apdu) > 7 {
		at, n = 7, int(binary.BigEndian.Uint16(apdu[5:]))
	}
	return at, min(n, len(apdu)-at)
}
