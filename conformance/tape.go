package conformance

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"slices"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/trace"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

// A tape writes down all calls that a run makes to its bench.
type tape struct {
	w       *trace.Writer
	start   time.Time
	veil    *veil             // nil: the key has no owner
	waiting []*trace.Exchange // for messages to be complete
	turn    *trace.Exchange   // to which more reports may come
	sizes   []int
	names   []byte // the key for conclude, which is kept nowhere
}

// maxTurn is how many bytes of reports are on a line, more or less.
const maxTurn = 64 << 10

// recorded returns the bench with all calls written down, and what is to be called
// in the end.
func recorded(bench *Bench, sel *Selection, cases []*Case) (*Bench, func()) {
	t := &tape{w: sel.Trace, start: time.Now(), names: []byte(rand.Text())}
	if !bench.Release {
		t.veil = newVeil()
	}
	run := &trace.Run{Seed: sel.Seed, Released: bench.Release, PIN: bench.PIN != "", Unattended: bench.Unattended, Strict: sel.Strict,
		Endurance: bench.Endurance, EPRPID: bench.EnterpriseRPID, AAGUID: bench.AAGUID}
	for _, c := range cases {
		run.Cases = append(run.Cases, c.ID)
	}
	run.Can = bench.abilities()
	t.add(&trace.Exchange{Kind: trace.KindRun, Run: run})
	sel.begin = func(c *Case) bool {
		t.add(&trace.Exchange{Kind: trace.KindCase, At: t.now(), Name: c.ID})
		return true
	}
	taped := t.wrap(*bench)
	if !bench.Release && bench.PIN != "" {
		taped.conclude = t.conclude
	}
	return taped, t.flush
}

// abilities are what the bench can do, by the words of a trace.
func (b *Bench) abilities() (words []string) {
	for word, can := range inOrder(map[string]bool{"port": b.Port != nil, "card": b.Card != nil, "power": b.PowerCycle != nil,
		"touch": b.Touch != nil, "finger": b.Finger != nil, "become": b.Become != nil, "cutPower": b.CutPower != nil}) {
		if can {
			words = append(words, word)
		}
	}
	return words
}

// wrap puts the tape before a bench.
func (t *tape) wrap(b Bench) *Bench {
	wrapped := b
	if b.Port != nil {
		wrapped.Port = func() (port hid.Port, err error) {
			e := t.call(trace.KindOpen, func() error { port, err = b.Port(); return err })
			if err != nil {
				t.add(e)
				return nil, err
			}
			in, out := port.ReportSizes()
			t.sizes, e.Sizes = []int{in, out}, []int{in, out}
			t.add(e)
			return &tapedPort{port, t}, nil
		}
	}
	if b.Card != nil {
		wrapped.Card = func() (card nfc.Card, err error) {
			t.add(t.call(trace.KindCard, func() error { card, err = b.Card(); return err }))
			if err != nil {
				return nil, err
			}
			return &tapedCard{card, t}, nil
		}
	}
	if b.PowerCycle != nil {
		wrapped.PowerCycle = func(ctx context.Context) (err error) {
			t.add(t.call(trace.KindPower, func() error { err = b.PowerCycle(ctx); return err }))
			return err
		}
	}
	if b.Become != nil {
		wrapped.Become = func(variant string) (err error) {
			e := t.call(trace.KindBecome, func() error { err = b.Become(variant); return err })
			e.Name = variant
			t.add(e)
			return err
		}
	}
	wrapped.Wait = func(ctx context.Context, d time.Duration) {
		t.add(t.call(trace.KindWait, func() error { b.wait(ctx, d); return nil }))
	}
	return &wrapped
}

// conclude has the case work with a name for what it concludes.
func (t *tape) conclude(f func() []byte) []byte {
	h := hmac.New(sha256.New, t.names)
	h.Write(f())
	name := h.Sum(nil)
	t.add(&trace.Exchange{Kind: trace.KindConcluded, At: t.now(), Response: name})
	return name
}

func (t *tape) now() trace.Micros { return micros(time.Since(t.start)) }

func micros(d time.Duration) trace.Micros { return trace.Micros(d.Microseconds()) }

// call makes a call and returns what is to be written of it.
func (t *tape) call(kind trace.Kind, f func() error) *trace.Exchange {
	e := &trace.Exchange{Kind: kind, At: t.now()}
	err := f()
	e.Took = t.now() - e.At
	if err != nil {
		e.Error, e.Closed, e.Timeout = err.Error(), errors.Is(err, transport.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded)
	}
	return e
}

// add takes a call. It waits while it is a part of a message with secrets.
func (t *tape) add(e *trace.Exchange) {
	t.waiting = append(t.waiting, e)
	if t.veil != nil {
		t.veil.cover(e)
	}
	if t.veil == nil || !t.veil.open() {
		t.pass()
	}
}

// pass joins the reports of a turn, and writes what is complete.
func (t *tape) pass() {
	for _, e := range t.waiting {
		if t.turn != nil && t.joins(e) {
			continue
		}
		if t.turn != nil {
			t.w.Add(*t.turn)
		}
		t.turn = e
		if e.Kind == trace.KindReport && len(e.Response) > 0 {
			e.Times, e.At, e.Took = []trace.Micros{0}, e.At+e.Took, 0
		}
	}
	t.waiting = nil
}

// joins adds a report to the turn if it belongs there.
func (t *tape) joins(e *trace.Exchange) bool {
	turn := t.turn
	switch {
	case e.Kind != trace.KindReport || turn.Kind != trace.KindReport || turn.Error != "":
		return false
	case len(turn.Request)+len(turn.Response) > maxTurn: // of a key that never stops
		return false
	case len(e.Request) > 0 && (len(turn.Response) > 0 || len(turn.Request)%t.sizes[1] != 0):
		return false
	case len(turn.Response)%t.sizes[0] != 0:
		return false
	}
	for _, span := range e.Redacted {
		turn.Redacted = append(turn.Redacted, trace.Span{span[0] + len(turn.Request), span[1]})
	}
	turn.Request, turn.Response = append(turn.Request, e.Request...), append(turn.Response, e.Response...)
	if turn.Took = e.At + e.Took - turn.At; len(e.Response) > 0 {
		turn.Times = append(turn.Times, turn.Took)
	}
	turn.Error, turn.Closed, turn.Timeout = e.Error, e.Closed, e.Timeout
	return true
}

// flush writes what is left.
func (t *tape) flush() {
	if t.veil != nil {
		t.veil.end()
	}
	if t.pass(); t.turn != nil {
		t.w.Add(*t.turn)
	}
}

// A tapedPort is a port whose reports are written down.
type tapedPort struct {
	hid.Port
	*tape
}

func (p *tapedPort) Write(report []byte) (n int, err error) {
	e := p.call(trace.KindReport, func() error { n, err = p.Port.Write(report); return err })
	if e.Request = slices.Clone(report); err != nil {
		e.Kind = trace.KindUnsent
	}
	p.add(e)
	return n, err
}

func (p *tapedPort) Read(report []byte) (n int, err error) {
	e := p.call(trace.KindReport, func() error { n, err = p.Port.Read(report); return err })
	if err == nil {
		e.Response = slices.Clone(report[:n])
	}
	p.add(e)
	return n, err
}

func (p *tapedPort) Close() (err error) {
	p.add(p.call(trace.KindClose, func() error { err = p.Port.Close(); return err }))
	return err
}

// A tapedCard is a card whose APDUs are written down.
type tapedCard struct {
	nfc.Card
	*tape
}

func (c *tapedCard) Transmit(ctx context.Context, apdu []byte) (answer []byte, err error) {
	e := c.call(trace.KindAPDU, func() error { answer, err = c.Card.Transmit(ctx, apdu); return err })
	e.Request, e.Response = slices.Clone(apdu), slices.Clone(answer)
	c.add(e)
	return answer, err
}

func (c *tapedCard) Close() (err error) {
	c.add(c.call(trace.KindClose, func() error { err = c.Card.Close(); return err }))
	return err
}

// diagnosis names a call for an error.
func diagnosis(kind trace.Kind, name string, data ctap2.Bytes) string {
	text := string(kind)
	if name != "" {
		text += " " + name
	}
	if len(data) > 0 {
		text += " " + hex.EncodeToString(data)
	}
	return text
}
