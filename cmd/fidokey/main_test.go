package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fidokey/fidokey/client"
)

// programs are those that tests start.
var programs = map[string]func(){"fidokey": main}

func TestMain(m *testing.M) {
	if name := filepath.Base(os.Args[0]); strings.TrimSuffix(name, ".exe") != "fidokey" { // else a test runs the program
		if folder, err := os.UserCacheDir(); err == nil && os.Getenv("GOCACHE") == "" {
			os.Setenv("GOCACHE", filepath.Join(folder, "go-build")) // stays where it is
		}
		os.Setenv("XDG_CACHE_HOME", filepath.Join(os.TempDir(), "fidokey-tests-store-none")) // metadata changes names
		os.Setenv("GORACE", raceOptions)
	}
	testscript.Main(m, programs)
}

// raceOptions has a program that tests start end when it ends. With the race detector
// it would sleep for a second then, and the scripts alone start 1330. A race is reported
// when it happens, and makes the exit code 66.
const raceOptions = "atexit_sleep_ms=0"

// TestScripts runs the program as people do; the scripts are in testdata/script.
func TestScripts(t *testing.T) {
	schemas := loadSchemas(t)
	commands := stationCmds()
	commands["exits"], commands["awaits"] = exits, awaits
	commands["schema"], commands["events"], commands["yamlfile"] = schemas.cmd, schemas.events, schemas.yamlFile
	commands["ledger"] = schemas.ledger
	commands["sameexchange"] = sameExchange
	commands["blob"], commands["serve"] = blobCmd, serveCmd
	commands["tenant"], commands["vouch"], commands["page"] = tenantCmd, vouchCmd, pageCmd
	t.Cleanup(func() {
		for file, used := range schemas.used {
			// Windows leaves out scripts that need a terminal or Unix sockets.
			if !used && !t.Failed() && runtime.GOOS != "windows" && flag.Lookup("test.run").Value.String() == "" {
				t.Errorf("no script has an answer for %s", file)
			}
		}
	})
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("FIDOKEY_SIMULATOR_STATE", filepath.Join(e.WorkDir, "simulator.db"))
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, "state"))
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, "cache"))
			e.Setenv("GORACE", raceOptions)
			e.Values[stationKey{}] = &station{}
			return nil
		},
		Cmds: commands,
		Condition: func(name string) (bool, error) {
			if name != "vhci" {
				return false, fmt.Errorf("unknown condition %s", name)
			}
			_, err := os.Stat("/sys/devices/platform/vhci_hcd.0")
			return err == nil, nil
		},
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

// awaits FILE waits until a program in the background has made a file.
func awaits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: awaits FILE")
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s is still not there", args[0])
		}
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

// reached says which place was opened.
type reached struct{ path string }

func (r reached) Error() string { return "opened " + r.path }

func TestOpenNamed(t *testing.T) {
	at := func(d deviceInfo) place {
		return place{d, func(context.Context, client.Prompt) (*openedKey, error) { return nil, reached{d.Path} }}
	}
	one := at(deviceInfo{Path: "/dev/hidraw3", Manufacturer: "Yubico", Product: "Yubico YubiKey FIDO", Serial: "2"})
	two := at(deviceInfo{Path: "/dev/hidraw11", Product: "Security Key"})
	for _, tt := range []struct {
		name   string
		places []place
		device string
		want   string // path; empty: exit code 3
	}{
		{"the only one", []place{one}, "", "/dev/hidraw3"},
		{"none", nil, "", ""},
		{"several and none chosen", []place{one, two}, "", ""},
		{"by path", []place{one, two}, "/dev/hidraw11", "/dev/hidraw11"},
		{"by index", []place{one, two}, "1", "/dev/hidraw3"},
		{"a serial number goes before an index", []place{two, one}, "2", "/dev/hidraw3"},
		{"index too high", []place{one, two}, "3", ""},
		{"index 0", []place{one, two}, "0", ""},
		{"unknown word", []place{one}, "nitrokey", ""},
		{"nothing plugged in", nil, "1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := &env{stderr: io.Discard}
			_, err := e.openNamed(t.Context(), tt.places, tt.device, client.Prompt{})
			var at reached
			if errors.As(err, &at) {
				if at.path != tt.want {
					t.Errorf("opened %q", at.path)
				}
				return
			}
			if code, _ := classify(err); code != exitNoKey || tt.want != "" {
				t.Errorf("exit code %d for %v", code, err)
			}
			for _, p := range tt.places {
				if !strings.Contains(err.Error(), p.device.Path) {
					t.Errorf("%s is not named in: %v", p.device.Path, err)
				}
			}
		})
	}
	e := &env{stderr: io.Discard}
	if _, err := e.openNamed(t.Context(), []place{one}, "/dev/hidraw77", client.Prompt{}); err == nil || !strings.Contains(err.Error(), "/dev/hidraw77") {
		t.Errorf("a path that is not listed is tried: %v", err)
	}
}
