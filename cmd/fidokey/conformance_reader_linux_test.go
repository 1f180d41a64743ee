//go:build cgo && pcsc

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/conformance/record"
	"github.com/fidokey/fidokey/internal/pcsctest"
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

// TestConformanceCardTaken takes the key off its reader during a run, which ends then: no
// case after that says anything about it.
func TestConformanceCardTaken(t *testing.T) {
	d := readers(t, "reader")
	s := &station{}
	if err := s.make("ctap-2.3", ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.key.Close() })
	take := s.lay(t, d.Readers[0])
	path := filepath.Join(t.TempDir(), "report.jsonl")
	call := atReaders(t, d, "conformance", "run", "STA-011", "GA-0*", "--device", "pcsc:reader", "--report", path)
	go func() {
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			if text, _ := os.ReadFile(path); strings.Count(string(text), "\n") > 5 {
				break
			}
		}
		take()
	}()
	code, said := output(t, call)
	r, err := record.Load(path)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if sum := r.Summary; code != exitNoKey || sum.Complete || sum.Fail > 1 || sum.Pass+sum.NotApplicable < 1 {
		t.Errorf("exit code %d, %v, complete: %v\n%s", code, sum, sum.Complete, said)
	}
}

// TestConformanceOnBenchInReader runs cases on a key in a smart-card reader that a bench
// may wipe: reset by cutting the card's power, locked, touched and not touched. The key
// has no other door, and counts a new field as a touch.
func TestConformanceOnBenchInReader(t *testing.T) {
	d := readers(t, "reader")
	folder := t.TempDir()
	path := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := path("token", "secret")
	key := exec.Command("fidokey", "simulator", "run", fmt.Sprintf("--vpcd=127.0.0.1:%d", d.Readers[0].Port), "--state", ":memory:",
		"--profile", suiteProfile, "--touch", "never", "--control", "127.0.0.1:0", "--control-token-file", token)
	said, err := key.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := key.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { key.Process.Signal(os.Interrupt); key.Wait() })
	var control string
	for lines := bufio.NewScanner(said); control == "" && lines.Scan(); {
		if words := strings.Fields(lines.Text()); words[0] == "control" {
			control = strings.TrimSuffix(words[1], ":")
		}
	}
	go io.Copy(io.Discard, said)
	waitForCard(t, d)
	file := path("bench.yaml", fmt.Sprintf(`
state: state
keys:
  card:
    match: {device: reader, aaguid: f1d0ce1f-5e1f-4b1d-8a2c-6b0d1e9a7c23}
    reader: {name: reader}
    touch: {driver: simulator, control: %q, tokenFile: token}
    release: true
`, control))
	if code, said := output(t, atReaders(t, d, "hil", "adopt", "card", "--yes", "--bench", file)); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, said)
	}
	report := filepath.Join(folder, "report.jsonl")
	call := atReaders(t, d, "conformance", "run", "INF-00*", "NFC-0*", "U2F-00*", "MC-001", "MC-002", "GA-001",
		"RST-001", "RST-006", "RST-007", "RST-008", "PIN-048", "PIN-049", "HID-003", "--device", "bench:card", "--report", report)
	call.Env = append(call.Env, "FIDOKEY_BENCH="+file)
	code, text := output(t, call)
	r, err := record.Load(report)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	// HID-003 needs another door, NFC-002 and NFC-029 a key that is built otherwise.
	if s := r.Summary; code != exitOK || s.Fail != 0 || s.Warning != 0 || s.NotApplicable != 3 || s.Pass != r.Run.Cases-3 || s.Pass < 45 {
		t.Errorf("exit code %d, %v of %d\n%s", code, s, r.Run.Cases, text)
	}
	if strings.Contains(text, "ran again") {
		t.Errorf("the transport failed:\n%s", text)
	}
}

// waitForCard waits until the program sees a key in the reader.
func waitForCard(t *testing.T, d *pcsctest.Daemon) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, said := output(t, atReaders(t, d, "list")); strings.Contains(said, "pcsc:") || strings.Contains(said, d.Readers[0].Name) {
			return
		} else if time.Now().After(end) {
			t.Fatalf("no key in the reader:\n%s", said)
		}
	}
}
