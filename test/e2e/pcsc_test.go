//go:build linux

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fidokey/fidokey/internal/pcsctest"
)

// patience is how long one feature may take.
const patience = 90 * time.Second

// TestPCSCPython has Debian's python3-fido2 drive the simulator as a card, through
// a pcscd of the test's own, a feature at a time, each on a key of its own.
func TestPCSCPython(t *testing.T) {
	r := newReader(t)
	for _, tt := range []struct {
		feature, profile string
		more             []string
	}{
		{"atr", "nfc-card", nil},
		{"apdus", "ctap-2.3", nil},
		{"chains", "ctap-2.3", nil},
		{"polling", "ctap-2.3", []string{"--touch", "400"}},
		{"cancel", "ctap-2.3", []string{"--touch", "never"}},
		{"vanish", "ctap-2.3", []string{"--touch", "never"}},
		{"reset", "ctap-2.3", []string{"--touch", "never"}},
		{"in_contacts", "ctap-2.3", []string{"--contact"}},
		{"no_button", "nfc-card-no-button", nil},
		{"round_trip", "ctap-2.3", nil},
		{"pin", "default", nil}, {"pin", "ctap-2.3", []string{"--contact"}},
		{"webauthn", "default", nil}, {"webauthn", "ctap-2.0", nil}, {"webauthn", "nfc-card", nil},
		{"hmac_secret", "ctap-2.3", nil},
		{"credentials", "ctap-2.3", nil}, {"credentials", "default", []string{"--contact"}},
		{"cred_protect", "ctap-2.3", nil}, {"cred_blob", "ctap-2.3", nil}, {"large_blobs", "ctap-2.3", nil},
		{"config", "ctap-2.3", nil}, {"fingerprints", "ctap-2.3", nil},
		{"u2f", "ctap-2.3", nil}, {"u2f", "ctap-2.3", []string{"--contact"}},
	} {
		name := tt.profile + "/" + tt.feature
		if slices.Contains(tt.more, "--contact") {
			name += "/contact"
		}
		t.Run(name, func(t *testing.T) {
			r.drive(t, r.insert(t, append(tt.more, "--profile", tt.profile)...), tt.feature)
		})
	}
	t.Run("pcscd crashes", func(t *testing.T) {
		card := r.insert(t, "--profile", "ctap-2.3")
		r.drive(t, card, "pin")
		r.daemon.Kill()
		if err := r.daemon.Restart(); err != nil {
			t.Fatal(err)
		}
		r.drive(t, card, "atr")
	})
}

// TestPCSCScan has pcsc_scan show what is in the reader.
func TestPCSCScan(t *testing.T) {
	r := newReader(t)
	if _, err := exec.LookPath("pcsc_scan"); err != nil {
		absent(t, "pcsc-tools is not installed (run make deps)")
	}
	r.insert(t, "--profile", "nfc-card")
	r.wants(t, []string{"pcsc_scan", "-r"}, r.daemon.Readers[0].Name)
	r.wants(t, []string{"pcsc_scan", "-c"}, "3B 8D 80 01 80 73 80 21 C0 57 66 69 64 6F 6B 65 79 BA")
}

// A reader is a virtual one, and the program that has a card for it.
type reader struct {
	daemon  *pcsctest.Daemon
	fidokey string
	script  string
}

func newReader(t *testing.T) *reader {
	t.Helper()
	if missing := pcsctest.Missing(); missing != "" {
		absent(t, missing)
	}
	if exec.Command("/usr/bin/python3", "-c", "import fido2.pcsc").Run() != nil {
		absent(t, "python3-fido2 or python3-pyscard is not installed (run make deps)")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	watchSources(t, root)
	r := &reader{fidokey: filepath.Join(t.TempDir(), "fidokey"), script: filepath.Join(root, "test/e2e/pcsc_fido2.py")}
	build(t, root, nil, "build", "-o", r.fidokey, "./cmd/fidokey")
	if r.daemon, err = pcsctest.Start("fidokey test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(r.daemon.Log())
		}
		r.daemon.Close()
	})
	return r
}

// insert puts a key without a past into the reader. It is taken out, and must have
// nothing to complain of, when the test ends.
func (r *reader) insert(t *testing.T, args ...string) *os.Process {
	t.Helper()
	args = append([]string{"simulator", "run", "--state", ":memory:", fmt.Sprintf("--vpcd=127.0.0.1:%d", r.daemon.Readers[0].Port)}, args...)
	cmd := exec.Command(r.fidokey, args...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || complaints.Len() > 0 {
			t.Errorf("simulator: %v\n%s", err, &complaints)
		}
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "vpcd 127.0.0.1:") {
		t.Fatalf("the simulator said %q, %v", line, err)
	}
	return cmd.Process
}

// drive runs a feature of the script.
func (r *reader) drive(t *testing.T, card *os.Process, feature string) {
	t.Helper()
	start := time.Now()
	out := r.run(t, "/usr/bin/python3", r.script, r.daemon.Readers[0].Name, fmt.Sprint(card.Pid), feature)
	t.Logf("python3-fido2 %s: %v\n%s", feature, time.Since(start).Round(time.Millisecond), out)
}

// wants runs a program that has to say all of these.
func (r *reader) wants(t *testing.T, args []string, parts ...string) {
	t.Helper()
	out := r.run(t, args[0], args[1:]...)
	t.Logf("%s:\n%s", strings.Join(args, " "), out)
	for _, part := range parts {
		if !strings.Contains(out, part) {
			t.Errorf("%v: want %q in\n%s", args, part, out)
		}
	}
}

// run runs a program that finds this pcscd.
func (r *reader) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PCSCLITE_CSOCK_NAME="+r.daemon.Socket)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}
