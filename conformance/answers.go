package conformance

import (
	"slices"
	"strings"

	"github.com/fidokey/fidokey/ctap2"
)

// Answers are those that the words of a case name: statuses of CTAP, errors of
// CTAPHID, status words. What else must be so, only the words say.
type Answers struct {
	Accepted  []string // the first is preferred
	Tolerated []string // that some keys give: a warning
	AnyError  bool     // any error is accepted, too
	Record    bool     // several are right, and a report says which it was
}

var (
	hidErrors   = lazily(`HID (?:error )?((?:[A-Z]+_[A-Z]+)(?:, (?:[A-Z]+_[A-Z]+))*)`)
	statusWords = lazily(`\b(?:SW )?([69][0-9A-F]{3}|61xx)\b`)
)

// Answers reads the words of the case.
func (c *Case) Answers() Answers {
	var a Answers
	e := expect(c.Expected, false)
	a.AnyError, a.Record = e.anyError, e.record
	outside := parenthesis().ReplaceAllString(c.Expected, "")
	for _, m := range hidErrors().FindAllStringSubmatch(c.Expected, -1) {
		for name := range strings.SplitSeq(m[1], ", ") {
			a.Accepted = append(a.Accepted, "CTAPHID "+name)
		}
	}
	if len(statusesIn(c.Expected)) > 0 {
		a.Accepted = append(a.Accepted, statusNames(e.right)...)
		a.Tolerated = statusNames(e.seen)
	}
	if strings.Contains(c.Expected, "SW ") {
		for _, m := range statusWords().FindAllStringSubmatch(c.Expected, -1) {
			word := "SW " + m[1]
			switch inside := !strings.Contains(outside, m[1]); {
			case slices.Contains(a.Accepted, word), slices.Contains(a.Tolerated, word):
			case inside && strings.Contains(c.Expected, "seen"):
				a.Tolerated = append(a.Tolerated, word)
			default:
				a.Accepted = append(a.Accepted, word)
			}
		}
	}
	return a
}

func statusNames(list []ctap2.Status) (names []string) {
	for _, s := range list {
		names = append(names, s.String())
	}
	return names
}
