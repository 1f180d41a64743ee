package conformance

import (
	_ "embed"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// A Section is where a specification says what a case asks for.
type Section struct {
	Document string // "CTAP 2.3"
	Number   string // "6.1.2"
	Title    string
}

func (s Section) String() string {
	return fmt.Sprintf("%s, section %s, %s", s.Document, s.Number, s.Title)
}

//go:embed sections.txt
var sectionsText string

var documents = map[string]string{"CTAP": "CTAP 2.3", "WebAuthn": "WebAuthn Level 2", "U2F": "FIDO U2F Raw Message Formats 1.2"}

// sections are by the identifiers of the cases.
var sections = sync.OnceValue(parseSections)

func parseSections() map[string]Section {
	sectionLine := regexp.MustCompile(`^(\w+) ([\d.]+) (.+): ([A-Z0-9]+-\d{3}.*)$`)
	sectionCases := regexp.MustCompile(`([A-Z0-9]+)-(\d{3})(?:\.\.(\d{3}))?`)
	found := map[string]Section{}
	for line := range strings.Lines(sectionsText) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		m := sectionLine.FindStringSubmatch(line)
		if m == nil {
			panic(fmt.Sprintf("conformance: sections.txt: %q", line))
		}
		for _, cases := range sectionCases.FindAllStringSubmatch(m[4], -1) {
			first, _ := strconv.Atoi(cases[2])
			last := first
			if cases[3] != "" {
				last, _ = strconv.Atoi(cases[3])
			}
			for n := first; n <= last; n++ {
				id := fmt.Sprintf("%s-%03d", cases[1], n)
				if _, twice := found[id]; twice {
					panic("conformance: sections.txt: two sections for " + id)
				}
				found[id] = Section{documents[m[1]], m[2], m[3]}
			}
		}
	}
	return found
}

// Section is where a specification says what the case asks for.
func (c *Case) Section() Section { return sections()[c.ID] }
