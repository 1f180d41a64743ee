package main

import (
	"encoding/xml"
	"fmt"
	"os"
)

// The form of JUnit's XML that CI systems read.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitFailure `xml:"failure,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes the expectations as tests of a suite that is called like the key.
func (r *ciReport) writeJUnit(path, key string) error {
	s := junitSuite{Name: "fidokey ci", Tests: len(r.Checks)}
	total := 0.0
	for _, c := range r.Checks {
		one := junitCase{Class: "fidokey." + key, Name: c.Check, Time: fmt.Sprintf("%.3f", c.elapsed.Seconds())}
		total += c.elapsed.Seconds()
		if !c.Passed {
			s.Failures++
			one.Failure = &junitFailure{Message: c.Check, Text: fmt.Sprintf("wanted %s, found %s", c.Wanted, c.Found)}
		}
		s.Cases = append(s.Cases, one)
	}
	s.Time = fmt.Sprintf("%.3f", total)
	text, err := xml.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append([]byte(xml.Header), append(text, '\n')...), 0o644)
}
