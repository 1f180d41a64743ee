package conformance

import (
	"bytes"
	"encoding/binary"
)

// Classes and instructions of the FIDO applet.
const (
	claISO   = 0x00
	claCTAP  = 0x80
	claChain = 0x10

	insSelect      = 0xa4
	insISOResponse = 0xc0
	insMessage     = 0x10
	insGetResponse = 0x11
	insControl     = 0x12
)

// Status words.
const (
	swOK         = 0x9000
	swUpdate     = 0x9100
	swLength     = 0x6700
	swConditions = 0x6985
	swNotAllowed = 0x6986
	swWrongData  = 0x6a80
	swNotFound   = 0x6a82
	swWrongP1P2  = 0x6a86
	swWrongP1P2x = 0x6b00
	swUnknownINS = 0x6d00
	swClass      = 0x6e00
)

var fidoAID = []byte{0xa0, 0x00, 0x00, 0x06, 0x47, 0x2f, 0x00, 0x01}

// shortAPDU has lengths of one byte. le of 0 is as much as there is, below 0
// none.
func shortAPDU(cla, ins, p1, p2 byte, data []byte, le int) []byte {
	b := []byte{cla, ins, p1, p2}
	if len(data) > 0 {
		b = append(append(b, byte(len(data))), data...)
	}
	if le >= 0 {
		b = append(b, byte(le))
	}
	return b
}

// extendedAPDU has lengths of two bytes and asks for as much as there is.
func extendedAPDU(cla, ins, p1, p2 byte, data []byte) []byte {
	b := []byte{cla, ins, p1, p2, 0}
	if len(data) > 0 {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
	}
	return append(b, 0, 0)
}

// transmit sends an APDU to the card.
func (p *probe) transmit(apdu []byte) (data []byte, sw int) {
	data, sw, err := p.tryTransmit(apdu)
	if err != nil {
		p.fail("APDU %s: %v", short(apdu), err)
	}
	return data, sw
}

// tryTransmit is for what a reader may refuse to send.
func (p *probe) tryTransmit(apdu []byte) (data []byte, sw int, err error) {
	p.useCard()
	p.log.add(Message{Door: DoorNFC, Data: bytes.Clone(apdu)})
	answer, err := p.runner.card.Transmit(p.ctx, apdu)
	if err != nil {
		p.cardFailed = true
		return nil, 0, err
	}
	p.log.add(Message{FromKey: true, Door: DoorNFC, Data: bytes.Clone(answer)})
	p.check(len(answer) >= 2, "answer %x", answer)
	n := len(answer) - 2
	return answer[:n], int(binary.BigEndian.Uint16(answer[n:])), nil
}

// useCard puts the key on the reader.
func (p *probe) useCard() {
	p.need(p.bench.Card != nil, "the bench has no card reader")
	if p.runner.card != nil {
		return
	}
	if err := p.openCard(); err != nil {
		p.runner.card = nil
		p.fail("card: %v", err)
	}
}

// dropCard takes the key off the reader.
func (r *runner) dropCard() {
	if r.card != nil {
		r.card.Close()
		r.card = nil
	}
}

// field switches the field off and on, which is a touch too.
func (p *probe) field() {
	p.dropCard()
	p.useCard()
}

// selectApplet selects the FIDO applet and returns its answer.
func (p *probe) selectApplet() []byte {
	data, sw := p.transmit(shortAPDU(claISO, insSelect, 4, 0, fidoAID, 0))
	p.check(sw == swOK, "SELECT: %04x", sw)
	p.applet = true
	return data
}

// onCard puts the key on the reader anew, with the applet selected, and has all
// commands go there.
func (p *probe) onCard() {
	p.viaCard = true
	p.field()
	p.selectApplet()
}

// overCard sends a CTAP message in an extended APDU, and polls where the key
// defers.
func (p *probe) overCard(msg []byte) reply {
	p.useCard()
	if !p.applet {
		p.selectApplet()
	}
	r := p.polled(msg, extendedAPDU(claCTAP, insMessage, 0x80, 0, msg))
	needsTap := r.status == eUPRequired || r.status == eTimeout || r.status == eDenied
	if needsTap && p.wire == nil && !p.watched {
		p.need(!dies(msg), "the key needs to be laid on the reader again, and then forgets what the request is authorized or encrypted by")
		p.field()
		p.selectApplet()
		r = p.polled(msg, extendedAPDU(claCTAP, insMessage, 0x80, 0, msg))
	}
	p.noticeRefusal(r)
	return r
}

// dies says whether a request means nothing after a power cycle: it is authorized by
// a token, or encrypted for a key agreement.
func dies(msg []byte) bool {
	param := map[byte]int64{cmdMakeCredential: 8, cmdGetAssertion: 6}
	var params map[any]any
	return len(msg) > 0 && decMode.Unmarshal(msg[1:], &params) == nil && (len(blob(params[param[msg[0]]])) > 0 || bytes.Contains(msg, []byte("hmac-secret")))
}

// polled sends an APDU and asks until the answer is there.
func (p *probe) polled(msg, apdu []byte) reply {
	r := reply{msg: msg}
	data, sw := p.transmit(apdu)
	for i := 0; sw == swUpdate && i < 1000; i++ {
		r.prompted = r.prompted || bytes.Equal(data, []byte{2})
		p.wait(pollTime)
		data, sw = p.transmit(extendedAPDU(claCTAP, insGetResponse, 0, 0, nil))
	}
	data = p.rest(data, &sw, 0)
	p.check(sw == swOK && len(data) > 0, "status word %04x", sw)
	p.decode(&r, data)
	return r
}

// rest fetches what is left of an answer.
func (p *probe) rest(data []byte, sw *int, cla byte) []byte {
	data = bytes.Clone(data)
	for *sw>>8 == 0x61 {
		var more []byte
		more, *sw = p.transmit([]byte{cla, insISOResponse, 0, 0, byte(*sw)})
		p.check(len(more) > 0, "GET RESPONSE gives nothing")
		data = append(data, more...)
	}
	return data
}
