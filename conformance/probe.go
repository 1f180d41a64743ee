package conformance

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"

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

// m is a CBOR map as a case writes it and reads it.
type m = map[any]any

type status = ctap2.Status

var (
	encMode, _ = cbor.CTAP2EncOptions().EncMode()
	decMode, _ = cbor.DecOptions{IntDec: cbor.IntDecConvertSignedOrFail}.DecMode()
)

func encode(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

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

// A probe is one case at work: its view of the key.
type probe struct {
	*runner
	*Case
	ctx      context.Context
	part     string // of the case, in a part
	protocol int    // PIN/UV auth protocol of this run
	outcome  Outcome
	reason   string // for an outcome that is not Pass
	notes    []string
	parts    []Result
	names    int  // RP IDs handed out
	viaCard  bool // commands go over the reader
	watched  bool // touches are as the case wants them
}

// ended is what a panic carries that ends a case.
type ended struct{ outcome Outcome }

func (p *probe) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// warn goes on: the answer is not right, and keys that are sold give it.
func (p *probe) warn(format string, args ...any) {
	p.note("warning: "+format, args...)
	if p.outcome < Warning {
		p.outcome, p.reason = Warning, fmt.Sprintf(format, args...)
	}
}

// observe notes how the key answered what the case is about, to be compared with
// other keys and with the next run.
func (p *probe) observe(answer string) {
	if l := p.log; l != nil && !slices.Contains(l.observed, answer) {
		l.observed = append(l.observed, answer)
	}
}

// result is what the probe has found, under the name of a part.
func (p *probe) result(part string) Result {
	log := p.log
	if p.outcome == Pass {
		p.reason = ""
	}
	return Result{
		Case: p.Case, Part: part, Outcome: p.outcome, Reason: p.reason, Notes: p.notes, Observed: log.observed,
		Began: log.start, Took: time.Since(log.start), Messages: log.messages(), LeftOut: log.leftOut,
	}
}

// fail ends the case.
func (p *probe) fail(format string, args ...any) {
	p.reason = fmt.Sprintf(format, args...)
	panic(ended{Fail})
}

func (p *probe) check(ok bool, format string, args ...any) {
	if !ok {
		p.fail(format, args...)
	}
}

// need ends the case as not applicable.
func (p *probe) need(ok bool, format string, args ...any) {
	if !ok {
		p.reason = fmt.Sprintf(format, args...)
		panic(ended{NotApplicable})
	}
}

// each runs a check that is reported under its own name.
func (p *probe) each(name string, f func(p *probe)) {
	if p.part != "" {
		name = p.part + "." + name
	}
	part := &probe{runner: p.runner, Case: p.Case, ctx: p.ctx, part: name, protocol: p.protocol, names: p.names, viaCard: p.viaCard}
	whole := p.log
	p.log = newLog()
	part.run(f)
	p.names = part.names
	if p.outcome < part.outcome || p.reason == "" && part.outcome == NotApplicable {
		p.outcome, p.reason = max(p.outcome, part.outcome), part.reason
		if part.outcome != NotApplicable {
			p.reason = name + ": " + part.reason
		}
	}
	p.parts = append(append(p.parts, part.parts...), part.result(name))
	whole.join(p.log)
	p.log = whole
}

// run calls f and catches its end.
func (p *probe) run(f func(p *probe)) {
	defer func() {
		switch e := recover().(type) {
		case nil:
			if len(p.parts) == 0 {
				p.outcome = max(p.outcome, Pass)
			}
		case ended:
			p.outcome = max(p.outcome, e.outcome)
		case runtime.Error: // an answer of a form that the case does not look for
			p.reason = e.Error()
			p.outcome = Fail
		default:
			panic(e)
		}
	}()
	f(p)
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

// want checks the status against those that are right.
func (p *probe) want(r reply, right ...status) {
	if r.fault != 0 || r.lost || !slices.Contains(right, r.status) {
		p.fail("expected %s, got %v", names(right), r)
	}
}

func names(list []status) string {
	var words []string
	for _, s := range list {
		words = append(words, s.Error())
	}
	return strings.Join(words, " or ")
}

// judge checks the status against the words of the case.
func (p *probe) judge(r reply) {
	e := expect(p.Expected, !p.level(21))
	if p.option("noMcGaPermissionsWithClientPin") == true && slices.Contains(e.right, ePUATRequired) {
		e.right = append(e.right, eDenied) // the PIN would not help
	}
	right, warn := e.accepts(r.status)
	if r.fault == 0 && !r.lost {
		p.observe(r.status.String())
	} else {
		p.observe(r.String())
	}
	switch {
	case r.fault != 0 || r.lost || !right:
		more := ""
		if e.anyError {
			more = " or another error"
		}
		p.fail("expected %s%s, got %v", names(append(slices.Clone(e.right), e.seen...)), more, r)
	case warn:
		p.warn("%v where %s is right", r.status, names(e.right))
	case p.sel.Strict && len(e.right) > 0 && r.status != e.right[0]:
		p.warn("%v where %v is named first", r.status, e.right[0])
	case e.record:
		p.note("observed: %v", r.status)
	}
}

// judged sends a command, judges it by the words of the case, and checks that
// an error changed nothing.
func (p *probe) judged(command byte, params any) reply {
	before := p.snapshot()
	r := p.call(command, params)
	p.judge(r)
	if r.status != success {
		p.unchanged(before)
	}
	return r
}

// refused is judged, with the statuses given here.
func (p *probe) refused(command byte, params any, right ...status) reply {
	before := p.snapshot()
	r := p.call(command, params)
	p.want(r, right...)
	p.unchanged(before)
	return r
}

// snapshot is what an error must not change.
func (p *probe) snapshot() map[int]any {
	s := maps.Clone(p.getInfo())
	delete(s, infoEncIdentifier)
	delete(s, infoEncCredStoreState)
	if p.option("clientPin") != nil {
		s[-1] = p.ok(cmdClientPIN, m{2: 1})[3]
	}
	return s
}

func (p *probe) unchanged(before map[int]any) {
	after := p.snapshot()
	for key, was := range before {
		if !reflect.DeepEqual(was, after[key]) {
			p.fail("an error changed getInfo member %d from %v to %v (-1: PIN retries)", key, was, after[key])
		}
	}
}

// prompted checks that a touch was asked for: its absence is a warning.
func (p *probe) prompted(r reply) {
	if !r.prompted && p.wire != nil {
		p.warn("no KEEPALIVE asked for a touch")
	}
}

// quiet checks that no touch was asked for.
func (p *probe) quiet(r reply) {
	p.check(!r.prompted, "a KEEPALIVE asked for a touch")
}

// withhold has nobody touch the key, until restored.
func (p *probe) withhold() { p.touch(TouchNever) }

// touch changes the person until the end of the case.
func (p *probe) touch(t Touch) {
	p.need(p.bench.Touch != nil || t == TouchAlways, "the bench cannot control touches")
	if p.watched = t != TouchAlways && t != TouchLong; p.watched && p.wire == nil {
		p.call(cmdMakeCredential, p.mc()) // uses up the touch that the field is
		if t == TouchOnce || t == TouchDecline {
			p.needButton()
		}
	}
	if p.bench.Touch != nil {
		p.bench.Touch(t)
	}
}

// needButton ends the case on a card that knows no other touch than being laid on
// the reader.
func (p *probe) needButton() {
	msg := request(cmdMakeCredential, p.mc())
	if p.bench.Touch != nil {
		p.bench.Touch(TouchAlways)
	}
	r := p.polled(msg, extendedAPDU(claCTAP, insMessage, 0x80, 0, msg))
	p.need(r.status == success, "the key has no button")
}

func (p *probe) finger(f Finger) {
	p.need(p.bench.Finger != nil, "the bench has no fingers")
	p.bench.Finger(f)
}

func (p *probe) wait(d time.Duration) {
	p.bench.wait(p.ctx, d)
	p.check(p.ctx.Err() == nil, "the run was ended")
}

// powerCycle cuts the power and gives it back.
func (p *probe) powerCycle() {
	p.need(p.bench.PowerCycle != nil, "the bench cannot switch the power")
	if err := p.runner.cycle(p.ctx); err != nil {
		p.fail("power cycle: %v", err)
	}
}

// dirty has the stage set up anew before the next case.
func (p *probe) dirty() { p.runner.stage = 0 }

func sum(b []byte) []byte {
	h := sha256.Sum256(b)
	return h[:]
}

// gone is what set takes for "leave it out".
type gone struct{}

// An edit changes one member of a request.
type edit struct {
	value any
	path  []any
}

func set(value any, path ...any) edit { return edit{value, path} }

func drop(path ...any) edit { return edit{gone{}, path} }

// edited returns a copy of v with changes.
func edited(v m, edits ...edit) m {
	for _, e := range edits {
		v = change(v, e.value, e.path).(m)
	}
	return v
}

func change(v, element any, path []any) any {
	if len(path) == 0 {
		return element
	}
	switch v := v.(type) {
	case m:
		c := maps.Clone(v)
		c[path[0]] = change(v[path[0]], element, path[1:])
		if c[path[0]] == (gone{}) {
			delete(c, path[0])
		}
		return c
	case []any:
		c := slices.Clone(v)
		i := path[0].(int)
		c[i] = change(v[i], element, path[1:])
		return c
	case nil:
		return change(m{}, element, path)
	}
	panic("conformance: no such path")
}

// num is an integer of a reply, or -1.
func num(v any) int64 {
	if n, ok := v.(int64); ok {
		return n
	}
	return -1
}

func blob(v any) []byte {
	b, _ := v.([]byte)
	return b
}

func asMap(v any) m {
	b, _ := v.(m)
	return b
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// flip returns b with one bit changed.
func flip(b []byte) []byte {
	c := bytes.Clone(b)
	c[len(c)/2] ^= 1
	return c
}

func be32(b []byte) uint32 { return binary.BigEndian.Uint32(b) }
