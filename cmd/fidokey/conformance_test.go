package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fidokey/fidokey/conformance/record"
)

// TestConformanceWhole runs all cases on both doors, each alone and together: what
// the program says, for all that a key with everything can be asked.
func TestConformanceWhole(t *testing.T) {
	for door, least := range map[string]int{bothDoors: 709, hidDoor: 670, nfcDoor: 640} {
		path := filepath.Join(t.TempDir(), "report.jsonl")
		out, err := exec.Command("fidokey", "conformance", "run", "--device", "simulator", "--door", door, "--report", path).CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", door, err, out)
		}
		r, err := record.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if s := r.Summary; s.Pass < least || s.Fail+s.Warning > 0 || s.Ran()+s.NotApplicable != 709 || !s.Complete {
			t.Errorf("%s: %v", door, s)
		}
		for _, result := range r.Results {
			if result.Outcome == record.NotApplicable && result.Reason == "" {
				t.Errorf("%s: %s does not say why it does not apply", door, result.ID())
			}
			if result.Began.Before(r.Run.Started) || result.Began.After(r.Run.Started.Add(100*24*time.Hour)) {
				t.Errorf("%s: %s began at %v", door, result.ID(), result.Began)
			}
		}
	}
}

// TestConformanceOnTerminal: how far the run is stands on one line that moves.
func TestConformanceOnTerminal(t *testing.T) {
	written := onTerminal(t, nil, "conformance", "run", "--group", "MC", "--device", "simulator")
	s := &screen{watch: []string{" of 101 cases, "}, most: map[string]int{}}
	s.show(written)
	if s.most[" of 101 cases, "] != 1 || strings.Count(written, " of 101 cases, ") < 2 {
		t.Errorf("%d lines at once:\n%q", s.most[" of 101 cases, "], written)
	}
	if !strings.Contains(s.String(), "101 of 101 cases: 101 pass") || strings.Contains(s.String(), "failed, ") {
		t.Errorf("at the end\n%s", s)
	}
}

// TestConformanceInterrupted: a run that is ended leaves a report that says so.
func TestConformanceInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no interrupt to send")
	}
	path := filepath.Join(t.TempDir(), "report.jsonl")
	cmd := exec.Command("fidokey", "conformance", "run", "--device", "simulator", "--report", path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if text, _ := os.ReadFile(path); strings.Count(string(text), "\n") > 20 {
			break
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if cmd.Wait(); cmd.ProcessState.ExitCode() != exitInterrupt {
		t.Errorf("exit code %d", cmd.ProcessState.ExitCode())
	}
	r, err := record.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(r.Results); r.Summary.Complete || n < 20 || n > 1500 {
		t.Errorf("%d results, %v, complete: %v", n, r.Summary, r.Summary.Complete)
	}
}

// sameExchange A B is for two reports: all that was sent and came back is the same.
func sameExchange(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: sameexchange A B")
	}
	var said [2]string
	for i, path := range args {
		r, err := record.Load(ts.MkAbs(path))
		ts.Check(err)
		for _, result := range r.Results {
			said[i] += result.ID() + " " + result.Reason + "\n"
			for _, m := range result.Messages {
				said[i] += m.From + " " + m.Name + " " + m.Channel + " " + m.Hex + "\n"
			}
		}
	}
	if n := strings.Count(said[0], "\n"); said[0] != said[1] || n < 50 {
		ts.Fatalf("%d lines, which are not the same:\n%s\nand\n%s", n, said[0], said[1])
	}
}
