package guest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A terminal is a pseudo-terminal with a program on it, and the person in front
// of it.
type terminal struct {
	*testing.T
	master *os.File
	cmd    *exec.Cmd
	output chan []byte
	seen   bytes.Buffer // all output
	read   int          // how much of it expect has passed
}

// onTerminal starts a program whose stdin, stdout and stderr are a terminal of
// its own.
func onTerminal(t *testing.T, name string, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	slave, err := openSlave(master)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	ran.Add(1)
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty := &terminal{T: t, master: master, cmd: cmd, output: make(chan []byte)}
	done := make(chan struct{})
	go func() {
		defer close(tty.output)
		for {
			buf := make([]byte, 1024)
			n, err := master.Read(buf)
			if err != nil { // EIO: the program has ended
				return
			}
			select {
			case tty.output <- buf[:n]:
			case <-done:
				return
			}
		}
	}()
	t.Cleanup(func() { close(done); master.Close() })
	return tty
}

func openSlave(master *os.File) (*os.File, error) {
	conn, err := master.SyscallConn()
	if err != nil {
		return nil, err
	}
	number := 0
	control := func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}
	if e := conn.Control(control); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, err
	}
	return os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
}

// expect waits for text in the output, after what was expected before.
func (tty *terminal) expect(text string) {
	tty.Helper()
	end := time.After(patience)
	for {
		if i := strings.Index(tty.seen.String()[tty.read:], text); i >= 0 {
			tty.read += i + len(text)
			return
		}
		select {
		case b, ok := <-tty.output:
			if !ok {
				tty.Fatalf("%s ended without %q:\n%s", tty.cmd, text, &tty.seen)
			}
			tty.seen.Write(b)
		case <-end:
			tty.Fatalf("%s: waited %v for %q:\n%s", tty.cmd, patience, text, &tty.seen)
		}
	}
}

// enter types text and the enter key.
func (tty *terminal) enter(text string) { tty.press(text + "\n") }

func (tty *terminal) press(keys string) {
	tty.Helper()
	if _, err := tty.master.WriteString(keys); err != nil {
		tty.Fatal(err)
	}
}

// wait returns the exit status of the program once it has ended.
func (tty *terminal) wait() int {
	tty.Helper()
	return tty.waitPressing("")
}

// interrupt presses Ctrl-C until the program has ended, and returns its exit status.
// systemd's prompt is shown a moment before it listens.
func (tty *terminal) interrupt() int {
	tty.Helper()
	tty.press("\x03")
	return tty.waitPressing("\x03")
}

func (tty *terminal) waitPressing(keys string) int {
	tty.Helper()
	end := time.After(patience)
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		select {
		case b, ok := <-tty.output:
			if !ok {
				tty.cmd.Wait()
				return tty.cmd.ProcessState.ExitCode()
			}
			tty.seen.Write(b)
		case <-again.C:
			tty.master.WriteString(keys) // the program may be gone
		case <-end:
			tty.Fatalf("%s has not ended after %v:\n%s", tty.cmd, patience, &tty.seen)
		}
	}
}

// succeed waits for the program, which has to end with status 0.
func (tty *terminal) succeed() {
	tty.Helper()
	if status := tty.wait(); status != 0 {
		tty.Fatalf("%s: status %d\n%s", tty.cmd, status, &tty.seen)
	}
}
