//go:build cgo && pcsc

package main

import (
	"path/filepath"
	"testing"

	"github.com/fidokey/fidokey/conformance/record"
)

// TestConformanceInReader runs cases on a key in a smart-card reader, which stays as
// it was.
func TestConformanceInReader(t *testing.T) {
	d := readers(t, "reader")
	keyInReader(t, d, 0, "ctap-2.3", "12345678")
	call := atReaders(t, d, "conformance", "run", "NFC-00*", "NFC-01*", "INF-00*", "GA-00*", "MC-001", "--device", "pcsc:reader", "--report", filepath.Join(t.TempDir(), "report.jsonl"), "--pin-env", "FIDOKEY_TEST_PIN")
	call.Env = append(call.Env, "FIDOKEY_TEST_PIN=12345678")
	code, said := output(t, call)
	r, err := record.Load(call.Args[len(call.Args)-3])
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if code != exitOK || r.Summary.Pass < 25 {
		t.Errorf("exit code %d, %v\n%s", code, r.Summary, said)
	}
}
