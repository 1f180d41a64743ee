package conformance

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

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
