// Package virtualtime runs functions in a time of their own, in which waiting
// takes none: it ends as soon as everybody waits.
//
// The runtime has such a time, in the bubbles of testing/synctest, and lends it to
// tests only. So a test is made here, as programs that stand in for "go test" do.
package virtualtime

import (
	"flag"
	"testing"
	"testing/synctest"
)

// Run calls f in virtual time and returns when it and all that it has started have
// ended. What f shares with others, it shares as tests in a bubble do: it may send
// on their channels, and must not wait for them, which would take real time, in
// which its own stands still. A panic of f ends the program.
func Run(f func()) {
	if !flag.Parsed() { // the flags of tests, which nobody has set
		_ = flag.CommandLine.Parse(nil)
	}
	done := make(chan struct{})
	test := testing.InternalTest{Name: "virtualtime", F: func(t *testing.T) {
		synctest.Test(t, func(*testing.T) { f() })
		close(done)
		select {} // the end of the test would end the program
	}}
	every := func(string, string) (bool, error) { return true, nil }
	go testing.Main(every, []testing.InternalTest{test}, nil, nil)
	<-done
}
