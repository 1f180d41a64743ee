package record

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"

	"github.com/fidokey/fidokey/conformance"
)

// WriteJUnit writes JUnit XML: a suite for each group, a test case for each case.
// A warning passes and says what it is in its output; what is known or not
// applicable is skipped, with the reason.
func (r *Report) WriteJUnit(w io.Writer) error {
	suites := junit.Testsuites{Name: "fidokey conformance", Time: seconds(r.Summary.TookMS)}
	for _, group := range r.groups() {
		suite := junit.Testsuite{Name: "conformance." + group.Name, ID: len(suites.Suites)}
		suite.SetTimestamp(r.Run.Started.UTC().Truncate(time.Second))
		suite.AddProperty("key", r.Run.Key.String())
		var took float64
		for _, c := range group.Cases {
			suite.AddTestcase(c.junit())
			took += c.TookMS
		}
		suite.Time = seconds(took)
		suites.AddSuite(suite)
	}
	if _, err := io.WriteString(w, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"); err != nil {
		return err
	}
	return suites.WriteXML(w)
}

func seconds(milliseconds float64) string { return fmt.Sprintf("%.3f", milliseconds/1000) }

// A Group is a group of cases with their results.
type Group struct {
	Name  string
	Cases []Case
}

// Title says what the group is about.
func (g Group) Title() string { return conformance.GroupTitle(g.Name) }

// A Case is the result of a case with those of its parts.
type Case struct {
	*Result
	Parts []*Result
}

func (r *Report) groups() (groups []Group) {
	parts := map[string][]*Result{}
	for i := range r.Results {
		result := &r.Results[i]
		if result.Part != "" {
			parts[result.Case] = append(parts[result.Case], result)
			continue
		}
		n := -1
		for i, g := range groups {
			if g.Name == result.Group() {
				n = i
			}
		}
		if n < 0 {
			n, groups = len(groups), append(groups, Group{Name: result.Group()})
		}
		groups[n].Cases = append(groups[n].Cases, Case{Result: result})
	}
	for _, g := range groups {
		for i := range g.Cases {
			g.Cases[i].Parts = parts[g.Cases[i].Case]
		}
	}
	return groups
}

func (c *Case) junit() junit.Testcase {
	test := junit.Testcase{Name: c.Case + " " + c.Title, Classname: "conformance." + c.Group(), Time: seconds(c.TookMS)}
	switch c.Outcome {
	case Fail:
		var all strings.Builder
		for _, failed := range c.failures() {
			all.WriteString(failed.Details() + "\n")
		}
		test.Failure = &junit.Result{Message: c.Reason, Type: "conformance", Data: xmlText(all.String())}
	case Known:
		test.Skipped = &junit.Result{Message: "known: " + c.Reason}
	case NotApplicable:
		test.Skipped = &junit.Result{Message: "not applicable: " + c.Reason}
	case Warning:
		test.SystemOut = &junit.Output{Data: xmlText("warning: " + c.Reason + "\n" + c.Details())}
	}
	return test
}

// xmlText leaves out what XML cannot hold and would end the text.
func xmlText(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0xfffe || r == 0xffff {
			return '?'
		}
		return r
	}, strings.ReplaceAll(text, "]]>", "]] >"))
}

// failures are the parts that fail, or the case itself.
func (c *Case) failures() []*Result { return (&Report{Results: c.all()}).Failures() }

func (c *Case) all() (results []Result) {
	for _, p := range c.Parts {
		results = append(results, *p)
	}
	return append(results, *c.Result)
}
