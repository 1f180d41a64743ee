package conformance

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A Case is one line of cases.txt.
type Case struct {
	ID string
	// Profile is the lowest protocol level where the case counts: "all" is
	// every CTAP2 key, "2.1" and "2.3" are keys that list that version or a
	// later one, or the feature.
	Profile string
	// Needs are letters: U one or more touches, N the touch must be withheld, P
	// a PIN is set first, R starts from a reset key, C a power cycle, B
	// fingerprint sensor, D waits for time to pass.
	Needs string
	// Words name the state or the variant of the key on which the result hangs.
	Words    []string
	Title    string // what to send or to look at
	Expected string // what must come back
}

//go:embed cases.txt
var casesText string

const caseLine = `^([A-Z0-9]+-\d{3}) \[([^]]+)\] \{([^}]+)\} (?:<([^>]+)> )?(.+) -> (.+)$`

// allCases are the cases in the order of cases.txt. They are read by the first who
// asks for them, as is all that a program does not need that has no key tested.
var allCases = sync.OnceValue(parseCases)

// Cases returns all cases in the order of their identifiers within each group.
func Cases() []Case { return slices.Clone(allCases()) }

// groupTitles are the headings of cases.txt.
var groupTitles = map[string]string{}

// GroupTitle says what a group is about.
func GroupTitle(group string) string {
	allCases()
	return groupTitles[group]
}

func parseCases() []Case {
	var cases []Case
	pattern, heading := regexp.MustCompile(caseLine), ""
	for line := range strings.Lines(casesText) {
		line = strings.TrimSpace(line)
		if text, ok := strings.CutPrefix(line, "# "); ok {
			heading = text
		}
		if line == "" || line[0] == '#' {
			continue
		}
		m := pattern.FindStringSubmatch(line)
		if m == nil {
			panic(fmt.Sprintf("conformance: cases.txt: %q", line))
		}
		cases = append(cases, Case{m[1], m[2], strings.ReplaceAll(m[3], " ", ""), strings.Fields(m[4]), m[5], m[6]})
		groupTitles[cases[len(cases)-1].Group()] = heading
	}
	return cases
}

// Group is the part of the identifier before the number.
func (c *Case) Group() string {
	group, _, _ := strings.Cut(c.ID, "-")
	return group
}

func (c *Case) needs(letter string) bool { return strings.Contains(c.Needs, letter) }

func (c *Case) word(word string) bool { return slices.Contains(c.Words, word) }

// Destructive reports whether the case wipes the key or locks its PIN.
func (c *Case) Destructive() bool {
	return c.needs("R") || c.Group() == "RST" || c.stage() == stageLockOut
}

// merge joins the groups of implementations.
func merge(groups ...cases) cases {
	joined := cases{}
	for _, g := range groups {
		for id, f := range g {
			if joined[id] != nil {
				panic("conformance: two implementations of " + id)
			}
			joined[id] = f
		}
	}
	return joined
}

// cases are implementations by identifier.
type cases map[string]func(p *probe)
