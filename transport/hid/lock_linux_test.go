package hid

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fidokey/fidokey/transport"
)

// lockEnv makes this test binary another program: it locks the node of that path
// as libfido2 does, says so, and ends with its standard input.
const lockEnv = "FIDOKEY_TEST_LOCK"

func TestMain(m *testing.M) {
	path := os.Getenv(lockEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	fd, err := unix.Open(path, unix.O_RDWR, 0)
	if err == nil {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		return
	}
	os.Stdout.WriteString("locked\n")
	os.Stdin.Read(make([]byte, 1))
}

// otherProgram tries to lock a node. It returns what it said, and its end.
func otherProgram(t *testing.T, path string) (said string, end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), lockEnv+"="+path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, _ = bufio.NewReader(stdout).ReadString('\n')
	return strings.TrimSpace(said), func() {
		stdin.Close()
		cmd.Wait()
	}
}

// softNode returns a node that answers nothing: what is written comes back.
func softNode(t *testing.T) (s sysfs, path string) {
	s = newSysfs(t)
	s.add("hidraw0", "virtual/misc/uhid/0003:1209:F1D0.0001", "HID_NAME=soft key\n", keyDescriptor)
	return s, s.addNode("hidraw0")
}

func openNode(t *testing.T, s sysfs, path string) *hidrawPort {
	t.Helper()
	port, err := s.open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { port.Close() })
	return port.(*hidrawPort)
}

func TestLockOfAnotherProgram(t *testing.T) {
	s, path := softNode(t)
	said, end := otherProgram(t, path)
	defer func() { end() }()
	if said != "locked" {
		t.Fatalf("the other program said %q", said)
	}

	ctx, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	port := openNode(t, s, path)
	_, err := Open(ctx, port)
	if !errors.Is(err, transport.ErrBusy) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another program has locked "+path) {
		t.Errorf("open error %v, want %v", err, transport.ErrBusy)
	}
	look := openNode(t, s, path)
	if err := look.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := look.Read(make([]byte, 65)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes were written to a node that another program has locked, %v", n, err)
	}

	// It takes its turn as soon as the other one is done.
	locked := make(chan error)
	d := &Device{port: look}
	if err := look.tryLock(); !errors.Is(err, transport.ErrBusy) {
		t.Errorf("lock: %v", err)
	}
	go func() { locked <- d.lock(t.Context()) }()
	end()
	if err := <-locked; err != nil {
		t.Error(err)
	}
	if said, end = otherProgram(t, path); said == "locked" {
		t.Error("the other program has the lock too")
	}
	end()
	look.Close()
	if said, end = otherProgram(t, path); said != "locked" {
		t.Errorf("after close the other program said %q", said)
	}
	end()
}

// TestLockDropsWhatCameBefore: the reports of the program before are no answers,
// and would fill the kernel's queue.
func TestLockDropsWhatCameBefore(t *testing.T) {
	s, path := softNode(t)
	first, second := openNode(t, s, path), openNode(t, s, path)
	if err := first.tryLock(); err != nil {
		t.Fatal(err)
	}
	if err := second.tryLock(); !errors.Is(err, transport.ErrBusy) {
		t.Fatalf("error %v, want %v", err, transport.ErrBusy)
	}
	for range 64 {
		if _, err := first.Write(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
	}
	first.Close()
	if err := second.tryLock(); err != nil {
		t.Fatal(err)
	}
	if err := second.SetReadDeadline(time.Now().Add(10 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := second.Read(make([]byte, 64)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read %d bytes, error %v", n, err)
	}
	if err := second.tryLock(); err != nil {
		t.Errorf("locked twice: %v", err)
	}
}

// A brokenLock cannot be locked, for whatever reason.
type brokenLock struct{ *hidrawPort }

func (brokenLock) tryLock() error { return unix.ENOLCK }

func TestSystemWithoutLocks(t *testing.T) {
	s, path := softNode(t)
	var findings []transport.Finding
	ctx := transport.WithFindings(t.Context(), func(f transport.Finding) { findings = append(findings, f) })
	d := &Device{port: brokenLock{openNode(t, s, path)}}
	if err := d.lock(ctx); err != nil {
		t.Error(err)
	}
	if len(findings) != 1 || !strings.Contains(findings[0].What, "no lock") {
		t.Errorf("findings %v", findings)
	}
}
