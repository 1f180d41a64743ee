package conformance

import (
	"fmt"
	"time"

	"github.com/fidokey/fidokey/ctap2"
)

// Command bytes.
const (
	cmdMakeCredential       = 0x01
	cmdGetAssertion         = 0x02
	cmdGetInfo              = 0x04
	cmdClientPIN            = 0x06
	cmdReset                = 0x07
	cmdGetNextAssertion     = 0x08
	cmdBioEnrollment        = 0x09
	cmdCredentialManagement = 0x0a
	cmdSelection            = 0x0b
	cmdLargeBlobs           = 0x0c
	cmdConfig               = 0x0d
)

type status = ctap2.Status

// request is a command byte with its parameters, which are a map, or bytes that
// go out as they are, or nil.
func request(command byte, params any) []byte {
	switch params := params.(type) {
	case nil:
		return []byte{command}
	case []byte:
		return append([]byte{command}, params...)
	}
	return append([]byte{command}, encode(params)...)
}

// A reply is what came back for one message.
type reply struct {
	msg       []byte
	status    status
	body      map[int]any
	raw       []byte // of the body
	fault     byte   // of CTAPHID; 0: none
	lost      bool   // no answer at all
	prompted  bool   // a KEEPALIVE asked for a touch
	keepalive []*message
}

// String says how the key answered.
func (r reply) String() string {
	switch {
	case r.lost:
		return "no answer"
	case r.fault != 0:
		return fmt.Sprintf("CTAPHID error %s (%02x)", faultNames[r.fault], r.fault)
	}
	return r.status.Error()
}

// short is hex, cut when it is very long.
func short(b []byte) string {
	if len(b) > 1200 {
		return fmt.Sprintf("%x... (%d bytes)", b[:1200], len(b))
	}
	return fmt.Sprintf("%x", b)
}

// exchange sends a message and waits for its answer.
func (p *probe) exchange(msg []byte) reply {
	p.need(!p.pinRefused || !hasPIN(msg), "the PIN that the bench has was refused, and is not tried again")
	if p.wire == nil || p.viaCard {
		return p.overCard(msg)
	}
	p.wire.send(p.cid, hidCBOR, msg)
	r := p.answer(p.cid, msg)
	p.noticeRefusal(r)
	return r
}

// hasPIN says whether a message is a try of the PIN.
func hasPIN(msg []byte) bool {
	var params map[any]any
	return len(msg) > 0 && msg[0] == cmdClientPIN && decMode.Unmarshal(msg[1:], &params) == nil && params[int64(6)] != nil
}

// noticeRefusal keeps the tries of a key in use: no case enters a wrong PIN there,
// so that the one of the bench must be wrong.
func (p *probe) noticeRefusal(r reply) {
	wrong := r.status == ePINInvalid || r.status == ePINAuthBlocked || r.status == ePINBlocked
	if !p.bench.Release && wrong && hasPIN(r.msg) {
		p.pinRefused = true
	}
}

// answer waits for the answer to a CBOR message on a channel.
func (p *probe) answer(cid uint32, msg []byte) reply {
	r := reply{msg: msg}
	end := time.Now().Add(patience)
	for limit := answerTime * 3; ; limit = personTime {
		in := p.wire.message(limit)
		switch {
		case in == nil:
			r.lost = true
		case time.Now().After(end): // nothing but KEEPALIVEs
			p.wire.send(cid, hidCancel, nil)
			p.wire.drain()
			r.lost = true
		case in.cid != cid:
			continue
		case in.cmd == hidKeepalive:
			r.keepalive = append(r.keepalive, in)
			if len(in.payload) == 1 && in.payload[0] == 2 && !r.prompted {
				r.prompted = true
				p.blinks()
			}
			continue
		case in.cmd == hidCBOR && len(in.payload) > 0:
			p.decode(&r, in.payload)
		case in.cmd == hidError && len(in.payload) == 1:
			r.fault = in.payload[0]
		default:
			p.fail("answer to %s is %v", short(msg), in)
		}
		if r.lost && !p.cutting {
			p.fail("no answer")
		}
		return r
	}
}

// blinks is when the key waits for a touch that somebody is to give.
func (p *probe) blinks() {
	switch {
	case p.watched:
	case p.bench.Unattended:
		p.cancelTouch()
	case p.bench.Blink != nil:
		p.bench.Blink(p.Case)
	}
}

// cancelTouch ends the case, and what the key waits with.
func (p *probe) cancelTouch() {
	if p.wire != nil {
		p.wire.send(p.cid, hidCancel, nil)
		p.wire.drain()
	}
	p.need(false, "the key asks for a touch, and nobody is there")
}

// decode takes a status byte and a body apart.
func (p *probe) decode(r *reply, answer []byte) {
	r.status, r.raw = status(answer[0]), answer[1:]
	if len(r.raw) == 0 {
		return
	}
	if err := decMode.Unmarshal(r.raw, &r.body); err != nil {
		p.fail("body is not a CBOR map with integer keys: %v", err)
	}
}

// call sends a command.
func (p *probe) call(command byte, params any) reply {
	return p.exchange(request(command, params))
}

// ok sends a command that must succeed.
func (p *probe) ok(command byte, params any) map[int]any {
	r := p.call(command, params)
	p.want(r, success)
	return r.body
}
