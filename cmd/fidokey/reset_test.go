package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A steeredKey is a simulator behind a socket, which is unplugged by its control
// interface.
type steeredKey struct{ device, control string }

func startSteered(t *testing.T, args ...string) steeredKey {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	doors := startSimulator(t, 2, append([]string{"--tcp", "127.0.0.1:0", "--control", "127.0.0.1:0", "--control-token-file", token}, args...)...)
	return steeredKey{"tcp:" + doors["tcp"], "http://" + doors["control"]}
}

func (k steeredKey) steer(t *testing.T, method, path, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, k.control+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer secret")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		t.Errorf("%s: %s", path, resp.Status)
	}
}

// TestResetAtSocket: a key is unplugged and plugged in again, or another is, or
// none.
func TestResetAtSocket(t *testing.T) {
	for _, tt := range []struct {
		name    string
		instead string // profile that is plugged in
		absent  bool   // nobody does anything
		timeout string
		code    int
		says    string
	}{
		{name: "as asked", timeout: "20s", code: exitOK},
		{name: "another key", instead: "ctap-2.0", timeout: "20s", code: exitNoKey, says: "not the key that was unplugged"},
		{name: "nobody there", absent: true, timeout: "1s", code: exitNoTouch, says: "not unplugged and plugged in again within 1s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := startSteered(t, "--touch", "0")
			pinFile := filepath.Join(t.TempDir(), "pin")
			if err := os.WriteFile(pinFile, []byte("123456"), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command("fidokey", "pin", "set", "--pin-file", pinFile, "--device", key.device).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			reset := exec.Command("fidokey", "reset", "--yes", "--events", "jsonl", "--device", key.device, "--timeout", tt.timeout)
			stderr, err := reset.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := reset.Start(); err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			for lines := bufio.NewScanner(stderr); lines.Scan(); {
				said.WriteString(lines.Text() + "\n")
				var event struct{ Stage string }
				if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
					t.Errorf("%s: %v", lines.Text(), err)
				}
				switch {
				case tt.absent:
				case event.Stage == "remove":
					key.steer(t, "PUT", "/v1/power", `{"on": false}`)
				case event.Stage == "insert":
					if tt.instead != "" {
						key.steer(t, "PUT", "/v1/profile", `{"name": "`+tt.instead+`"}`)
					}
					key.steer(t, "PUT", "/v1/power", `{"on": true}`)
				}
			}
			reset.Wait()
			if code := reset.ProcessState.ExitCode(); code != tt.code || !strings.Contains(said.String(), tt.says) {
				t.Errorf("exit code %d\n%s", code, &said)
			}
			out, err := exec.Command("fidokey", "pin", "retries", "--device", key.device).Output()
			if gone := strings.TrimSpace(string(out)) == "not set"; err != nil || gone != (tt.code == exitOK) {
				t.Errorf("afterwards the PIN is %s, %v", out, err)
			}
		})
	}
}

// TestEnrolmentInterrupted presses Ctrl-C between two samples of a finger: nothing
// of it stays on the key.
func TestEnrolmentInterrupted(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no interrupt to send")
	}
	key := startSteered(t, "--profile", "fingerprint", "--touch", "0")
	pinFile := filepath.Join(t.TempDir(), "pin")
	if err := os.WriteFile(pinFile, []byte("123456"), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) *exec.Cmd {
		return exec.Command("fidokey", append(args, "--pin-file", pinFile, "--device", key.device)...)
	}
	if out, err := run("pin", "set").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	key.steer(t, "PUT", "/v1/finger", `{"finger": "", "quality": 0}`)
	key.steer(t, "POST", "/v1/finger/next", `{"samples": [{"finger": "thumb", "quality": 0}]}`)
	enrol := run("fingerprints", "add", "thumb")
	stderr, err := enrol.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := enrol.Start(); err != nil {
		t.Fatal(err)
	}
	defer enrol.Process.Kill()
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "Lift the finger and lay it on the sensor again") {
	}
	if err := enrol.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "fidokey: interrupted" {
		t.Errorf("then %q", lines.Text())
	}
	if enrol.Wait(); enrol.ProcessState.ExitCode() != exitInterrupt {
		t.Errorf("exit code %d", enrol.ProcessState.ExitCode())
	}
	out, err := run("fingerprints", "list").Output()
	if err != nil || strings.TrimSpace(string(out)) != "No fingerprint is enrolled." {
		t.Errorf("afterwards: %s, %v", out, err)
	}
	key.steer(t, "PUT", "/v1/finger", `{"finger": "thumb", "quality": 0}`)
	if out, err := run("fingerprints", "add", "thumb").CombinedOutput(); err != nil || !strings.Contains(string(out), "Enrolled:  thumb") {
		t.Errorf("and then: %s, %v", out, err)
	}
}
