package e2e

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limit is how long the VM may run. On two cores of a busy host 11 minutes were
// measured, and up to 15 beside the tests of the other packages.
const limit = 40 * time.Minute

// largest is how many bytes the program may have. What makes it grow at once is a
// dependency that finds methods by name: then the linker keeps all.
const largest = 25 << 20

// guestRun picks some of the guest's tests, as -run does.
var guestRun = flag.String("guest.run", "", "the guest's tests to run: a pattern as of -run")

// guestBench picks benchmarks of the guest; there are none without it.
var guestBench = flag.String("guest.bench", "", "the guest's benchmarks to run: a pattern as of -bench")

// TestVM boots the VM once, runs the guest's tests in it, and has a subtest for
// each of them. It is skipped where the VM cannot be; with CI=true, only where
// it could not be installed.
func TestVM(t *testing.T) {
	if reason := foreign(); reason != "" {
		t.Skip("the VM needs Debian on amd64: ", reason)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	watchSources(t, root)
	if out, err := command(t, root, "scripts/deps", "-n").CombinedOutput(); err != nil {
		absent(t, fmt.Sprintf("%s(run make deps)", out))
	}
	if out, err := command(t, root, "test/vm/build-vm.sh").CombinedOutput(); err != nil {
		absent(t, string(out))
	}

	// World-readable, for the guest's tests act as a plain user, too.
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, tests := filepath.Join(dir, "fidokey"), filepath.Join(dir, "guest.test")
	build(t, root, nil, "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./cmd/fidokey") // as it is shipped
	if info, err := os.Stat(program); err != nil || info.Size() > largest {
		t.Errorf("the program has more than %d bytes: %+v, %v", largest, info, err)
	}
	build(t, root, nil, "test", "-c", "-o", tests, "./test/e2e/guest")
	withC := "" // the program with karalabe/hid and PC/SC
	if exec.Command("pkg-config", "--exists", "libpcsclite").Run() == nil {
		withC = filepath.Join(dir, "fidokey-c")
		tags := "libusb pcsc"
		if *guestBench != "" {
			tags = "pcsc" // as it is shipped
		}
		build(t, root, []string{"CGO_ENABLED=1"}, "build", "-tags", tags, "-trimpath", "-ldflags=-s -w", "-o", withC, "./cmd/fidokey")
	}

	vm := command(t, root, "test/vm/run-vm.sh", "-m", "2048", "-t", fmt.Sprint(limit.Seconds()), "--",
		fmt.Sprintf("cd /tmp && FIDOKEY_GUEST=%s FIDOKEY_GUEST_C=%s %s -test.v -test.timeout %v -test.run %s -test.bench %s -test.benchtime 10x",
			program, withC, tests, limit-time.Minute, quote(*guestRun), quote(*guestBench)))
	vm.Cancel = func() error { return vm.Process.Signal(syscall.SIGTERM) } // which ends qemu too
	vm.WaitDelay = 10 * time.Second
	results, err := stream(t, vm)
	for _, r := range results {
		t.Run(r.name, func(t *testing.T) {
			switch r.outcome {
			case "FAIL":
				t.Error("failed in the VM; its output is above")
			case "SKIP":
				absent(t, "skipped in the VM; its output is above")
			}
		})
	}
	if err != nil && !t.Failed() {
		t.Fatalf("run-vm.sh: %v", err)
	}
	if err == nil && len(results) == 0 && *guestBench == "" {
		t.Error("no test ran in the VM")
	}
}

// quote is s as one word of the shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// watchSources reads the folders of the module, so that go test does not take an
// earlier result for the present one: it cannot know what the VM runs.
func watchSources(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if d.IsDir() && (d.Name() == ".git" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// foreign says why this is no system for the VM.
func foreign() string {
	if runtime.GOARCH != "amd64" {
		return "this is " + runtime.GOARCH
	}
	release, err := os.ReadFile("/etc/os-release")
	if err != nil {
		return err.Error()
	}
	if !regexp.MustCompile(`(?m)^ID="?debian"?$`).Match(release) {
		return "/etc/os-release names another system"
	}
	return ""
}

// absent skips the test because something is not installed, which is a failure in
// CI.
func absent(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

func command(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, name), args...)
	cmd.Dir = dir
	return cmd
}

// build runs the go command for a binary; it is one without C, unless env says so.
func build(t *testing.T, dir string, env []string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd, err, out)
	}
}

// A result is what became of one of the guest's tests.
type result struct{ name, outcome string }

// outcome finds the results in the output of go test -v.
var outcome = regexp.MustCompile(`^\s*--- (PASS|FAIL|SKIP): (\S+)`)

// stream runs cmd and logs its output line by line.
func stream(t *testing.T, cmd *exec.Cmd) (results []result, err error) {
	t.Helper()
	output, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait(); w.Close() }()
	for scanner := bufio.NewScanner(output); scanner.Scan(); {
		line := strings.TrimRight(scanner.Text(), "\r")
		t.Log(line)
		if m := outcome.FindStringSubmatch(line); m != nil {
			results = append(results, result{m[2], m[1]})
		}
	}
	io.Copy(io.Discard, output) // a line too long for the scanner
	err = <-ended
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // tail may outlive run-vm.sh for a moment
	}
	return results, err
}
