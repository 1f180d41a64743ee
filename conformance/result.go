package conformance

import (
	"fmt"
	"strings"
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
	// Notes are observations, warnings, and the reason for the outcome.
	Notes []string
}

// ID is the identifier, with the part.
func (r *Result) ID() string {
	if r.Part == "" {
		return r.Case.ID
	}
	return r.Case.ID + "/" + r.Part
}

func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %v: %s -> %s", r.ID(), r.Outcome, r.Case.Title, r.Case.Expected)
	for _, n := range r.Notes {
		b.WriteString("\n\t" + strings.ReplaceAll(n, "\n", "\n\t"))
	}
	return b.String()
}
