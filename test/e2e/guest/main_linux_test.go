package guest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// fidokey is the program under test. It is set in the VM only.
var fidokey = os.Getenv("FIDOKEY_GUEST")

// withC is the program with what is C in it: karalabe/hid, which reaches USB devices
// without the kernel's HID driver, and PC/SC.
var withC = os.Getenv("FIDOKEY_GUEST_C")

func TestMain(m *testing.M) {
	if fidokey == "" {
		fmt.Println("these tests run in a VM: go test ./test/e2e")
		return
	}
	os.Exit(m.Run())
}

// patience is how long anything may take: the guest's CPU is emulated, and the
// host may be busy.
const patience = time.Minute

// A door is how a key is plugged into the kernel. Its name is the option of
// "fidokey simulator run", and begins the line that says that it is open.
type door string

const (
	uhid  door = "uhid"  // a HID device without a bus
	vhci  door = "vhci"  // a USB key, from the simulator straight to the kernel
	usbip door = "usbip" // a USB key, which "usbip attach" fetches over TCP
)

// doors are those of tests that ask for each. With USB long messages go through;
// the node is there half a second later than with /dev/uhid.
var doors = []door{uhid, vhci}

// forEachDoor runs a test on each of the doors.
func forEachDoor(t *testing.T, test func(*testing.T, door)) {
	for _, d := range doors {
		t.Run(string(d), func(t *testing.T) { test(t, d) })
	}
}

// A key is a running simulator that the kernel shows as a HID device.
type key struct {
	*testing.T
	process *os.Process
	node    string // /dev/hidrawN
	unplug  func() // ends it, and waits until the kernel has noticed
}

// plug plugs in a key that has no past. touch is what happens when it asks for a
// touch: "auto", "never", ... It is unplugged when the test ends.
func plug(t *testing.T, touch string) *key {
	t.Helper()
	return plugState(t, touch, filepath.Join(t.TempDir(), "state"))
}

// plugProfile is plug for another key than the default, which touches itself.
func plugProfile(t *testing.T, profile string) *key {
	t.Helper()
	return plugState(t, "auto", filepath.Join(t.TempDir(), "state"), "--profile", profile)
}

// plugState is plug for a key whose state is in a file.
func plugState(t *testing.T, touch, state string, more ...string) *key {
	t.Helper()
	return uhid.plug(t, append([]string{"--state", state, "--touch", touch}, more...)...)
}

// run is the command that opens the door.
func (d door) run() []string {
	return []string{"simulator", "run", map[door]string{uhid: "--uhid", vhci: "--vhci", usbip: "--usbip"}[d]}
}

// plug starts "fidokey simulator run" and waits for the device node. The key is
// unplugged when the test ends, if it was not before.
func (d door) plug(t *testing.T, args ...string) *key {
	t.Helper()
	process, end := simulate(t, string(d), append(d.run(), args...)...)
	unplug := sync.OnceFunc(func() {
		end()
		waitFor(t, "the node to vanish", func() bool { return len(nodes()) == 0 })
	})
	t.Cleanup(unplug)
	if d == usbip {
		run(t, "", "usbip", "attach", "-r", "127.0.0.1", "-b", "1-1")
	}
	waitFor(t, "a node", func() bool { return len(nodes()) == 1 })
	run(t, "", "udevadm", "settle")
	return &key{t, process, nodes()[0], unplug}
}

// simulate starts "fidokey simulator run", with these arguments, and waits until it
// says that a door is open. It ends with the test, if it did not before.
func simulate(t testing.TB, door string, args ...string) (process *os.Process, end func()) {
	t.Helper()
	errors, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(fidokey, args...)
	cmd.Stderr = errors
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make(chan string, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s := bufio.NewScanner(stdout)
		for s.Scan() && !strings.Contains(s.Text(), door) {
		}
		line <- s.Text()
		io.Copy(io.Discard, stdout)
		cmd.Wait()
	}()
	end = sync.OnceFunc(func() {
		signal := syscall.SIGTERM
		if t.Failed() {
			signal = syscall.SIGQUIT // which shows what every goroutine does
		}
		cmd.Process.Signal(signal)
		select {
		case <-ended:
		case <-time.After(patience):
			cmd.Process.Kill()
			t.Error("the simulator did not end")
			<-ended
		}
		errors.Close()
		if log, _ := os.ReadFile(errors.Name()); !cmd.ProcessState.Success() || len(log) > 0 {
			t.Errorf("simulator: %v\n%s", cmd.ProcessState, log)
		}
	})
	t.Cleanup(end)

	select {
	case s := <-line:
		if !strings.Contains(s, door) || !strings.Contains(s, "ready") {
			t.Fatalf("the simulator said %q", s)
		}
	case <-time.After(patience):
		t.Fatal("the simulator is not ready")
	}
	return cmd.Process, end
}

// nodes lists the device nodes of the HID devices; there are none but keys.
func nodes() []string {
	nodes, _ := filepath.Glob("/dev/hidraw*")
	return nodes
}

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// ran counts the programs that try and onTerminal started.
var ran atomic.Int64

// drives has the test print at its end how many programs it ran, and how long it
// took.
func drives(t *testing.T, what string) {
	begin, before := time.Now(), ran.Load()
	t.Cleanup(func() {
		t.Logf("%s: %d commands in %.1f s", what, ran.Load()-before, time.Since(begin).Seconds())
	})
}

// try runs a program, which gets stdin and no terminal. The error has what it
// wrote to stderr.
func try(t testing.TB, stdin, name string, args ...string) (stdout string, err error) {
	t.Helper()
	ran.Add(1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, &out, &errs)
	}
	return out.String(), nil
}

// run is try for what has to succeed.
func run(t testing.TB, stdin, name string, args ...string) (stdout string) {
	t.Helper()
	stdout, err := try(t, stdin, name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return stdout
}

// write makes a file for the length of the test and returns its path.
func write(t testing.TB, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// lines splits the output of a program.
func lines(s string) []string { return strings.Split(strings.TrimRight(s, "\n"), "\n") }

// wantLines makes sure that s has each of these.
func wantLines(t *testing.T, s string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(s, part) {
			t.Errorf("want %q in\n%s", part, s)
		}
	}
}

// writeIn makes a file in a folder.
func writeIn(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
