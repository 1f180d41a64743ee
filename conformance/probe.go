package conformance

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"
)

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
