//go:build linux && !(cgo && pcsc)

package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestNoReaders: a build without smart-card readers says what to do.
func TestNoReaders(t *testing.T) {
	code, said := output(t, exec.Command("fidokey", "info", "--device", "pcsc:reader"))
	if code != exitUsage || !strings.Contains(said, "install libpcsclite-dev") {
		t.Errorf("exit code %d\n%s", code, said)
	}
}
