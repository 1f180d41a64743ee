package main

import (
	"os"
	"strings"
	"testing"
)

// TestFill: lines of go test, and those that come through the VM's log, become a table
// between its markers, and nothing else is changed.
func TestFill(t *testing.T) {
	found := parse(strings.NewReader(`machine: a machine
BenchmarkFraming/57_bytes-2         	  143662	      9452 ns/op	    200000 reports/s	    1016 B/op	      14 allocs/op
BenchmarkFramingPython/57_bytes     	       1	    100000 reports/s
    vm_test.go:70: BenchmarkInfo/fidokey_with_PC/SC-2         	      20	        19.25 MiB	       464.5 cpu-ms	       150 wall-ms
    vm_test.go:70: BenchmarkInfo/fido2-token-2         	      20	         3.5 MiB	       272.8 cpu-ms	       300 wall-ms
BenchmarkFraming
ok  	a/package	6.747s
`))
	text, err := os.ReadFile("../../" + page)
	if err != nil {
		t.Fatal(err)
	}
	filled, err := fill(text, found)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"a machine.\n",
		"| 57 bytes | 200000 | 14 | 100000 | 2.00 |\n",
		"| fidokey with PC/SC | 150 ms | 464 ms | 19.2 MiB | 0.50 | 1.70 |\n",
		"| python3-fido2 | - | - | - | - | - |\n",
	} {
		if !strings.Contains(string(filled), want) {
			t.Errorf("want %q in\n%s", want, filled)
		}
	}
	if again, err := fill(filled, found); err != nil || string(again) != string(filled) {
		t.Errorf("filled again it is another: %v", err)
	}
	if _, err := fill([]byte("a page without markers"), found); err == nil {
		t.Error("a page without markers is filled")
	}
}

// TestBenchmarked: packages with benchmarks are found by themselves.
func TestBenchmarked(t *testing.T) {
	packages, err := benchmarked("../..")
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(packages, " ")
	for _, want := range []string{"simulator", "client", "transport/hid", "metadata", "cmd/fidokey"} {
		if !strings.Contains(all+" ", "/"+want+" ") {
			t.Errorf("%s is not in %s", want, all)
		}
	}
}
