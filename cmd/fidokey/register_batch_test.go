package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// batchStation is a key with a PIN and a call that makes a batch on it.
func batchStation(t *testing.T, args ...string) (*station, func() *exec.Cmd) {
	t.Helper()
	s := &station{}
	device, stop, err := s.start("ctap-2.3", "12345678")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	pin := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pin, []byte("12345678\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return s, func() *exec.Cmd {
		return exec.Command("fidokey", append([]string{"register", "--device", device, "--pin-file", pin, "--timeout", "2s"}, args...)...)
	}
}

// stored are the IDs of the credentials on the key, in hexadecimal.
func (s *station) stored(t *testing.T) (ids []string) {
	t.Helper()
	rps, err := s.client().Credentials(context.Background())
	if err != nil && !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Fatal(err)
	}
	for _, rp := range rps {
		for _, c := range rp.Credentials {
			ids = append(ids, hex.EncodeToString(c.ID))
		}
	}
	return ids
}

// keepOne puts a credential on the key that no batch may touch.
func (s *station) keepOne(t *testing.T) string {
	t.Helper()
	made, err := s.client().Register(context.Background(), client.Registration{
		ClientDataHash: make([]byte, 32), RP: ctap2.RP{ID: "a.example"}, User: ctap2.User{ID: []byte("mine"), Name: "mine"},
		Parameters: []ctap2.CredentialParameters{{Algorithm: -7, Type: ctap2.PublicKeyType}}, Discoverable: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(made.Data.Credential.ID)
}

// TestBatchInterrupted presses Ctrl-C while the second registration waits for its
// touch: the first is deleted, and nothing else.
func TestBatchInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no interrupt to send")
	}
	s, call := batchStation(t, "--rp", "a.example,b.example,c.example", "--user", "bob", "--timeout", "20s")
	mine := s.keepOne(t)
	s.touch.Next(simulator.Touch{Action: simulator.TouchKey}, simulator.Touch{Action: simulator.TouchNever})
	run := call()
	var stdout strings.Builder
	run.Stdout = &stdout
	stderr, err := run.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer run.Process.Kill()
	touches, last := 0, ""
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		if last = lines.Text(); strings.HasPrefix(last, "Touch") {
			if touches++; touches == 2 {
				run.Process.Signal(os.Interrupt)
			}
		}
	}
	run.Wait()
	if run.ProcessState.ExitCode() != exitInterrupt || last != "fidokey: interrupted" {
		t.Errorf("exit code %d, %q", run.ProcessState.ExitCode(), last)
	}
	if out := stdout.String(); !regexp.MustCompile(`1 +a.example .* deleted\n2 +b.example .* failed`).MatchString(out) || strings.Contains(out, "c.example") {
		t.Errorf("%s", out)
	}
	if left := s.stored(t); fmt.Sprint(left) != fmt.Sprint([]string{mine}) {
		t.Errorf("on the key: %v", left)
	}
}

// TestBatchFails: what the key says in the middle of a batch, and what then becomes
// of the credentials.
func TestBatchFails(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault simulator.Fault
		code  int
		out   string
		left  int
	}{
		{"declined", simulator.Fault{Kind: simulator.FaultCanned, Command: 0x01, Skip: 1, Answer: []byte{0x27}}, exitNoTouch, `(?s)1 .* deleted\n2 .* failed`, 0},
		{"full", simulator.Fault{Kind: simulator.FaultCanned, Command: 0x01, Skip: 1, Answer: []byte{0x28}}, exitRefused, `(?s)1 .* deleted\n2 .* refused .*3 .* deleted`, 0},
		{"malformed", simulator.Fault{Kind: simulator.FaultCanned, Command: 0x01, Skip: 1, Answer: []byte{0x00, 0x01}}, exitVerify, `(?s)1 .* deleted\n2 .* failed`, 0},
		{"not deleted", simulator.Fault{Kind: simulator.FaultCanned, Command: 0x0a, Skip: 1, Answer: []byte{0x7f}}, exitRefused, `(?s)1 .* deleted\n2 .* still on the key\n3 .* deleted`, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, call := batchStation(t, "--rp", "a.example", "--count", "3", "--user", "bob")
			mine := s.keepOne(t)
			if err := s.key.Faults().Add(tt.fault); err != nil {
				t.Fatal(err)
			}
			code, said := output(t, call())
			if code != tt.code || !regexp.MustCompile(tt.out).MatchString(said) {
				t.Errorf("exit code %d\n%s", code, said)
			}
			left := s.stored(t)
			if len(left) != tt.left+1 {
				t.Errorf("on the key: %v", left)
			}
			for _, id := range left {
				if told := strings.Contains(said, id); told != (id != mine) {
					t.Errorf("%s is told of: %v\n%s", id, told, said)
				}
			}
		})
	}
}

// TestBatchUnplugged: wherever the key goes, what was made and stays is told by ID.
func TestBatchUnplugged(t *testing.T) {
	s, call := batchStation(t, "--rp", "a.example,b.example", "--user", "bob")
	told := 0
	for skip := uint(20); ; skip += 7 {
		if err := s.key.Faults().Add(simulator.Fault{Kind: simulator.FaultUnplug, ToKey: true, Skip: skip}); err != nil {
			t.Fatal(err)
		}
		code, said := output(t, call())
		pending := len(s.key.Faults().Pending()) > 0
		s.key.Faults().Clear()
		s.key.PowerOn()
		if pending {
			if code != exitOK {
				t.Errorf("exit code %d\n%s", code, said)
			}
			break
		}
		if code != exitNoKey {
			t.Errorf("after %d reports exit code %d\n%s", skip, code, said)
		}
		list := s.client()
		for _, id := range s.stored(t) {
			if !strings.Contains(said, id) {
				t.Errorf("after %d reports %s stays and is not told of\n%s", skip, id, said)
			}
			told++
			if raw, err := hex.DecodeString(id); err != nil {
				t.Fatal(err)
			} else if _, err := list.DeleteCredential(context.Background(), raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	if told == 0 {
		t.Error("it was never unplugged while a credential was on it")
	}
}

// TestBatchAnswerLost: a credential of which no answer came is found by its user
// handle and deleted.
func TestBatchAnswerLost(t *testing.T) {
	s, call := batchStation(t, "--rp", "a.example", "--count", "1", "--user", "bob")
	mine := s.keepOne(t)
	found := false
	for skip := uint(0); ; skip++ {
		if err := s.key.Faults().Add(simulator.Fault{Kind: simulator.FaultWrongSequence, Skip: skip}); err != nil {
			t.Fatal(err)
		}
		_, said := output(t, call())
		pending := len(s.key.Faults().Pending()) > 0
		s.key.Faults().Clear()
		if left := s.stored(t); fmt.Sprint(left) != fmt.Sprint([]string{mine}) {
			t.Errorf("after %d packets, on the key: %v\n%s", skip, left, said)
		}
		found = found || regexp.MustCompile(`failed .* deleted\n`).MatchString(said)
		if pending {
			break
		}
	}
	if !found {
		t.Error("no answer was lost after the credential was made")
	}
}

// TestPresets: each has all that a relying party sends, and a source.
func TestPresets(t *testing.T) {
	for _, p := range presets {
		o := p.options
		if p.what == "" || p.source == "" || o.RP.ID == "" || len(o.PubKeyCredParams) == 0 || p.origin == "" || p.handleSize < 1 || p.handleSize > 64 || len(p.handle()) != p.handleSize {
			t.Errorf("%+v", p)
		}
		if !strings.Contains(presetsHelp(), p.name+" ") || !strings.Contains(p.what, "RP ID "+o.RP.ID) {
			t.Errorf("%s is not in the help, or without its RP ID", p.name)
		}
	}
	for line := range strings.Lines(presetsHelp()) {
		if len(line) > 90 {
			t.Errorf("a long line: %s", line)
		}
	}
}

// TestFlagsOfOptions: the flags that --options and --preset rule out are there.
func TestFlagsOfOptions(t *testing.T) {
	for _, tt := range []struct {
		command string
		flags   []string
	}{{"register", creationFlags}, {"authenticate", requestFlags}} {
		cmd, _, err := newRootCmd(&env{stdout: os.Stdout, stderr: os.Stderr}).Find([]string{tt.command})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range tt.flags {
			if cmd.Flags().Lookup(name) == nil {
				t.Errorf("%s has no --%s", tt.command, name)
			}
		}
	}
}
