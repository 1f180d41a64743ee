package main

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fidokey/fidokey/transport/hid"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"fidokey": main})
}

// TestScripts runs the program as people do; the scripts are in testdata/script.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("FIDOKEY_SIMULATOR_STATE", filepath.Join(e.WorkDir, "simulator.db"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits},
	})
}

// exits CODE PROGRAM ARGS... runs a program and compares its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var status *exec.ExitError
		if !errors.As(err, &status) {
			ts.Fatalf("%v", err)
		}
		got = status.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// TestInterrupt presses Ctrl-C while the key waits for a touch.
func TestInterrupt(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no interrupt to send")
	}
	if _, err := exec.LookPath("fidokey"); err != nil {
		t.Fatal("testscript.Main did not put fidokey on the path:", err)
	}
	state := filepath.Join(t.TempDir(), "simulator.db")
	run := func(args ...string) *exec.Cmd {
		return exec.Command("fidokey", append([]string{"--device", "simulator", "--simulator-state", state}, args...)...)
	}
	waiting := run("register", "--rp", "example.com", "--user", "alice", "--simulator-touch", "never")
	stderr, err := waiting.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := waiting.Start(); err != nil {
		t.Fatal(err)
	}
	defer waiting.Process.Kill()
	lines := bufio.NewScanner(stderr)
	if !lines.Scan() || lines.Text() != "Touch your security key..." {
		t.Fatalf("the first line is %q", lines.Text())
	}
	if err := waiting.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "fidokey: interrupted" {
		t.Errorf("then %q", lines.Text())
	}
	if err := waiting.Wait(); waiting.ProcessState.ExitCode() != exitInterrupt {
		t.Errorf("exit: %v", err)
	}
	out, err := run("info").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "100 more fit") {
		t.Errorf("afterwards: %v\n%s", err, out)
	}
}

func TestChoose(t *testing.T) {
	one := hid.Info{Path: "/dev/hidraw3", Manufacturer: "Yubico", Product: "Yubico YubiKey FIDO", Serial: "2"}
	two := hid.Info{Path: "/dev/hidraw11", Product: "Security Key"}
	for _, tt := range []struct {
		name    string
		devices []hid.Info
		device  string
		want    string // path
		code    int    // exit code of the error
	}{
		{"the only one", []hid.Info{one}, "", one.Path, 0},
		{"none", nil, "", "", exitNoKey},
		{"several and none chosen", []hid.Info{one, two}, "", "", exitNoKey},
		{"by path", []hid.Info{one, two}, "/dev/hidraw11", two.Path, 0},
		{"by index", []hid.Info{one, two}, "1", one.Path, 0},
		{"a serial number goes before an index", []hid.Info{two, one}, "2", one.Path, 0},
		{"index too high", []hid.Info{one, two}, "3", "", exitNoKey},
		{"index 0", []hid.Info{one, two}, "0", "", exitNoKey},
		{"unknown word", []hid.Info{one}, "nitrokey", "", exitNoKey},
		{"nothing plugged in", nil, "1", "", exitNoKey},
		{"a path that is not listed is tried", []hid.Info{one}, "/dev/hidraw7", "/dev/hidraw7", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := choose(tt.devices, tt.device)
			if tt.code == 0 {
				if err != nil || got.Path != tt.want {
					t.Fatalf("%q, %v", got.Path, err)
				}
				return
			}
			if err == nil {
				t.Fatalf("chose %q", got.Path)
			}
			if code, _ := classify(err); code != tt.code {
				t.Errorf("exit code %d for %v", code, err)
			}
			for _, d := range tt.devices {
				if !strings.Contains(err.Error(), d.Path) {
					t.Errorf("%s is not named in: %v", d.Path, err)
				}
			}
		})
	}
}
