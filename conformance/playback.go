package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/fidokey/fidokey/trace"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

const maxReport = 1024 // bytes, of USB

// ErrCutOff is a recording that ends before its run did.
var ErrCutOff = errors.New("conformance: the recording ends before the run was through")

// A Playback stands in for a bench with all that is on it: it answers as it did in a
// run that was recorded with Selection.Trace, and when it did. So that the time
// in between takes none, play it in virtual time.
type Playback struct {
	calls   []trace.Exchange // one report in each at most
	next    int
	started time.Time
	asked   string // the case at work
	err     error  // the first call that is not as recorded
}

// NewPlayback plays a trace of trace.RunVersion.
func NewPlayback(t *trace.Trace) (*Playback, error) {
	p := &Playback{}
	sizes := []int{1, 1}
	if len(t.Exchanges) == 0 || t.Exchanges[0].Kind != trace.KindRun {
		return nil, fmt.Errorf("%w of a conformance run", trace.ErrFormat)
	}
	for i := range t.Exchanges {
		e := &t.Exchanges[i]
		switch {
		case e.Kind == trace.KindRun && (e.Run == nil || e.Run.Seed == ""):
			return nil, fmt.Errorf("%w of a conformance run", trace.ErrFormat)
		case e.Kind == trace.KindOpen && e.Error == "":
			if sizes = e.Sizes; len(sizes) != 2 || min(sizes[0], sizes[1]) < 8 || max(sizes[0], sizes[1]) > maxReport {
				return nil, fmt.Errorf("%w: reports of %v bytes", trace.ErrFormat, sizes)
			}
		case e.Kind == trace.KindReport:
			p.turn(e, sizes)
			continue
		}
		p.calls = append(p.calls, *e)
	}
	return p, nil
}

// turn takes the reports of a line apart.
func (p *Playback) turn(e *trace.Exchange, sizes []int) {
	at := 0
	for sent := range slices.Chunk(e.Request, sizes[1]) {
		call := trace.Exchange{Kind: trace.KindReport, At: e.At, Request: sent}
		for _, span := range e.Redacted {
			if from, to := max(span[0]-at, 0), min(span[0]+span[1]-at, len(sent)); from < to {
				call.Redacted = append(call.Redacted, trace.Span{from, to - from})
			}
		}
		at += len(sent)
		p.calls = append(p.calls, call)
	}
	i := 0
	for came := range slices.Chunk(e.Response, sizes[0]) {
		call := trace.Exchange{Kind: trace.KindReport, At: e.At, Response: came}
		if i < len(e.Times) {
			call.At += e.Times[i]
		}
		i++
		p.calls = append(p.calls, call)
	}
	if e.Error != "" {
		p.calls = append(p.calls, trace.Exchange{Kind: trace.KindReport, At: e.At, Took: e.Took, Error: e.Error, Closed: e.Closed, Timeout: e.Timeout})
	}
}

// Cases are those that were recorded, in their order, as far as the recording goes.
func (p *Playback) Cases() (ids []string) {
	for _, e := range p.calls {
		if e.Kind == trace.KindCase && !slices.Contains(ids, e.Name) {
			ids = append(ids, e.Name)
		}
	}
	return ids
}

// Runs are those that were recorded: more than one where cases ran again.
func (p *Playback) Runs() (runs []*trace.Run) {
	for _, e := range p.calls {
		if e.Kind == trace.KindRun {
			runs = append(runs, e.Run)
		}
	}
	return runs
}

// Run plays all that was recorded. Of the selection it takes Match and Report: all
// cases run, as they did, and of those that match the last result is reported.
func (p *Playback) Run(ctx context.Context, sel Selection) ([]Result, error) {
	var results []Result
	runs := p.Runs()
	for i, run := range runs {
		report := func(r *Result) {
			again := slices.ContainsFunc(runs[i+1:], func(later *trace.Run) bool { return slices.Contains(later.Cases, r.Case.ID) })
			if p.err != nil || again || sel.Match != nil && !sel.Match(r.Case) {
				return
			}
			results = append(results, *r)
			if sel.Report != nil {
				sel.Report(r)
			}
		}
		if err := p.run(ctx, run, report); err != nil {
			return results, err
		}
	}
	return results, ctx.Err()
}

// run plays one run.
func (p *Playback) run(ctx context.Context, run *trace.Run, report func(r *Result)) error {
	if p.take(trace.KindRun, "", nil); p.err != nil {
		return p.err
	}
	p.started = time.Now()
	cut := false
	Run(ctx, p.bench(run), Selection{
		Match: func(c *Case) bool { return slices.Contains(run.Cases, c.ID) },
		Seed:  run.Seed, Strict: run.Strict, Report: report,
		begin: func(c *Case) bool {
			if cut = !p.more(); cut {
				return false
			}
			p.asked = c.ID
			p.take(trace.KindCase, c.ID, nil)
			return p.err == nil
		},
	})
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case p.err == nil && cut:
		return ErrCutOff
	case p.err == nil && p.next < len(p.calls) && p.calls[p.next].Kind != trace.KindRun:
		e := &p.calls[p.next]
		p.differs("nothing", diagnosis(e.Kind, e.Name, e.Request))
	}
	return p.err
}

// more says whether there is another case in the recording of this run.
func (p *Playback) more() bool {
	for _, e := range p.calls[p.next:] {
		if e.Kind == trace.KindCase || e.Kind == trace.KindRun {
			return e.Kind == trace.KindCase
		}
	}
	return false
}

// bench is the bench that the run had.
func (p *Playback) bench(run *trace.Run) *Bench {
	can := func(word string) bool { return slices.Contains(run.Can, word) }
	b := &Bench{Release: run.Released, Unattended: run.Unattended, Endurance: run.Endurance, EnterpriseRPID: run.EPRPID, AAGUID: run.AAGUID}
	if run.PIN {
		b.PIN = "0000" // as good as any: what it makes is not compared
	}
	if !run.Released && run.PIN {
		b.conclude = func(func() []byte) []byte { e, _ := p.take(trace.KindConcluded, "", nil); return e.Response }
	}
	b.Wait = func(context.Context, time.Duration) { p.take(trace.KindWait, "", nil) }
	if can("port") {
		b.Port = func() (hid.Port, error) {
			e, err := p.take(trace.KindOpen, "", nil)
			if err != nil {
				return nil, err
			}
			return &playedPort{p, e.Sizes}, nil
		}
	}
	if can("card") {
		b.Card = func() (nfc.Card, error) {
			_, err := p.take(trace.KindCard, "", nil)
			return &playedCard{p}, err
		}
	}
	if can("power") {
		b.PowerCycle = func(context.Context) error { _, err := p.take(trace.KindPower, "", nil); return err }
	}
	if can("become") {
		b.Become = func(variant string) error { _, err := p.take(trace.KindBecome, variant, nil); return err }
	}
	if can("touch") {
		b.Touch = func(Touch) {}
	}
	if can("finger") {
		b.Finger = func(Finger) {}
	}
	if can("cutPower") {
		b.CutPower = func(int, bool) {}
	}
	return b
}

// take makes the next call of the recording, which must be this one, and returns
// when it did, with the error that it had.
func (p *Playback) take(kind trace.Kind, name string, sent []byte) (trace.Exchange, error) {
	is := diagnosis(kind, name, sent)
	if kind == trace.KindClose && p.next == len(p.calls) && p.err == nil { // what was cut off closes nothing
		return trace.Exchange{}, nil
	}
	if p.err == nil && p.next == len(p.calls) {
		p.differs(is, "nothing")
	}
	if p.err != nil {
		return trace.Exchange{}, p.err
	}
	e := p.calls[p.next]
	if same := e.Kind == kind || e.Kind == trace.KindUnsent && kind == trace.KindReport && sent != nil; !same || e.Name != name || !equalBut(e.Redacted, e.Request, sent) {
		p.differs(is, diagnosis(e.Kind, e.Name, e.Request))
		return e, p.err
	}
	p.next++
	if kind != trace.KindRun {
		time.Sleep(time.Until(p.started.Add((e.At + e.Took).Duration())))
	}
	switch {
	case e.Closed:
		return e, fmt.Errorf("%s: %w", e.Error, transport.ErrClosed)
	case e.Timeout:
		return e, os.ErrDeadlineExceeded
	case e.Error != "":
		return e, errors.New(e.Error)
	}
	return e, nil
}

// differs ends the playback.
func (p *Playback) differs(is, want string) {
	p.err = fmt.Errorf("conformance: %w: %s, call %d\n is %s\nwant %s", trace.ErrDiffers, p.asked, p.next+1, is, want)
}

// equalBut compares all but the secrets that were taken out.
func equalBut(redacted []trace.Span, recorded, sent []byte) bool {
	if len(recorded) != len(sent) {
		return false
	}
	if len(redacted) > 0 {
		sent = slices.Clone(sent)
	}
	for _, span := range redacted {
		if from, to := max(span[0], 0), span[0]+span[1]; from < to && to <= len(sent) {
			clear(sent[from:to])
		}
	}
	return slices.Equal(recorded, sent)
}

// A playedPort is the HID door of a recording.
type playedPort struct {
	*Playback
	sizes []int
}

func (p *playedPort) Write(report []byte) (int, error) {
	if _, err := p.take(trace.KindReport, "", report); err != nil {
		return 0, err
	}
	return len(report), nil
}

func (p *playedPort) Read(report []byte) (int, error) {
	e, err := p.take(trace.KindReport, "", nil)
	if err != nil {
		return 0, err
	}
	return copy(report, e.Response), nil
}

func (p *playedPort) SetReadDeadline(time.Time) error { return nil }

func (p *playedPort) Drain() {}

func (p *playedPort) ReportSizes() (in, out int) { return p.sizes[0], p.sizes[1] }

func (p *playedPort) Close() error {
	_, err := p.take(trace.KindClose, "", nil)
	return err
}

// A playedCard is the reader of a recording.
type playedCard struct{ *Playback }

func (c *playedCard) Transmit(_ context.Context, apdu []byte) ([]byte, error) {
	e, err := c.take(trace.KindAPDU, "", apdu)
	return e.Response, err
}

func (c *playedCard) Close() error {
	_, err := c.take(trace.KindClose, "", nil)
	return err
}
