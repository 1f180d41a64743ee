package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"os"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"
)

// writeJUnit writes the expectations as tests of a suite, whose class is the key, and
// why the run ended early, if it did.
func (r *ciReport) writeJUnit(path, key string, ended error) error {
	suite := junit.Testsuite{Name: "fidokey ci"}
	class := "fidokey." + printable(key)
	var took time.Duration
	for _, c := range r.Checks {
		one := junit.Testcase{Classname: class, Name: printable(c.Check), Time: seconds(c.elapsed)}
		if !c.Passed {
			one.Failure = &junit.Result{Message: printable(fmt.Sprintf("wanted %s, found %s", c.Wanted, c.Found)), Type: "expectation"}
		}
		suite.AddTestcase(one)
		took += c.elapsed
	}
	if ended != nil {
		suite.AddTestcase(junit.Testcase{Classname: class, Name: "to the end", Error: &junit.Result{Message: printable(ended.Error()), Type: "ended"}})
	}
	suite.Time = seconds(took)
	suites := junit.Testsuites{Name: "fidokey ci", Time: suite.Time}
	suites.AddSuite(suite)
	text := bytes.NewBufferString(xml.Header)
	if err := suites.WriteXML(text); err != nil {
		return err
	}
	return os.WriteFile(path, text.Bytes(), 0o644)
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
