package conformance

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Outcome is how a case ended.
type Outcome int

// The worse, the higher.
const (
	NotApplicable Outcome = iota
	Pass
	Warning // an answer that is not right, and that shipped keys give
	Fail
)

var outcomeNames = [...]string{"not applicable", "pass", "warning", "FAIL"}

func (o Outcome) String() string { return outcomeNames[o] }

// A Result is what a case found out, or one of its parts when the case says
// "each in turn".
type Result struct {
	Case *Case
	// Part is empty, or names one of several checks under one identifier: a
	// member of a request, an algorithm, a PIN/UV auth protocol.
	Part    string
	Outcome Outcome
	// Variant is the word of the variant that the key played.
	Variant string
	// Reason says why the outcome is not Pass: what was expected and what came,
	// or what the key or the bench has not.
	Reason string
	// Notes are observations and warnings.
	Notes []string
	// Observed are the answers of the key to what the case is about.
	Observed []string

	Began time.Time
	Took  time.Duration
	// Messages are what was sent and what came back, without what it took to
	// prepare the key. Of very many there are the first and the last; LeftOut is
	// how many are missing between these.
	Messages []Message
	LeftOut  int
}

// ID is the identifier, with the part.
func (r *Result) ID() string {
	if r.Part == "" {
		return r.Case.ID
	}
	return r.Case.ID + "/" + r.Part
}

// lastShown is how many messages String has of a case that failed.
const lastShown = 6

// String is for people and logs.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v: %s -> %s", r.ID(), r.Outcome, r.Case.Title, r.Case.Expected)
	line := func(text string) { b.WriteString("\n\t" + strings.ReplaceAll(text, "\n", "\n\t")) }
	if r.Reason != "" {
		line(r.Reason)
	}
	for _, n := range r.Notes {
		line(n)
	}
	if r.Outcome == Fail {
		for _, m := range r.Messages[max(0, len(r.Messages)-lastShown):] {
			line(m.String())
		}
	}
	return b.String()
}

// join makes one result of those of one case with several protocols: the worst
// outcome with its reason, and what all of them have said.
func (r Result) join(next Result) Result {
	if r.Case == nil {
		return next
	}
	if next.Outcome > r.Outcome {
		r.Outcome, r.Reason = next.Outcome, next.Reason
	}
	for i := range next.Messages {
		m := next.Messages[i]
		m.At += next.Began.Sub(r.Began)
		r.Messages = append(r.Messages, m)
	}
	for _, answer := range next.Observed {
		if !slices.Contains(r.Observed, answer) {
			r.Observed = append(r.Observed, answer)
		}
	}
	r.Notes = append(r.Notes, next.Notes...)
	r.LeftOut += next.LeftOut
	r.Took += next.Took
	return r
}
