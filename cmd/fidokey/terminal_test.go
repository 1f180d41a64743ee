package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/jedib0t/go-pretty/v6/text"
)

const columns = 60 // of the tests' terminal

// A screen is what a terminal shows, as far as the program's escape codes go.
type screen struct {
	lines [][]rune
	row   int
	col   int
	most  map[string]int // how often a text was on it at the same time
	watch []string
}

// show plays what was written.
func (s *screen) show(written string) {
	escapeCode := regexp.MustCompile(`^\x1b\[[0-9;?]*([A-Za-z])`)
	for len(written) > 0 {
		if code := escapeCode.FindStringSubmatch(written); code != nil {
			s.escape(code[1])
			written = written[len(code[0]):]
			continue
		}
		r := []rune(written)[0]
		written = written[len(string(r)):]
		switch r {
		case '\r':
			s.col = 0
		case '\n':
			s.row, s.col = s.row+1, 0
		default:
			if s.col == columns {
				s.row, s.col = s.row+1, 0
			}
			s.line()[s.col] = r
			s.col++
		}
		s.count()
	}
}

func (s *screen) escape(code string) {
	switch code {
	case "K": // erase to the end of the line
		for i := s.col; i < columns; i++ {
			s.line()[i] = ' '
		}
	case "F": // up
		s.row, s.col = max(s.row-1, 0), 0
	}
}

func (s *screen) line() []rune {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, []rune(strings.Repeat(" ", columns)))
	}
	return s.lines[s.row]
}

func (s *screen) String() string {
	var all []string
	for _, l := range s.lines {
		all = append(all, strings.TrimRight(string(l), " "))
	}
	return strings.Join(all, "\n")
}

func (s *screen) count() {
	for _, words := range s.watch {
		s.most[words] = max(s.most[words], strings.Count(s.String(), words))
	}
}

// onTerminal runs the program on a terminal of 60 columns and returns what it
// wrote.
func onTerminal(t *testing.T, environment []string, args ...string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there are no pseudo-terminals here")
	}
	cmd := exec.Command("fidokey", args...)
	cmd.Env = append(os.Environ(), "TERM=xterm", "NO_COLOR=", "FIDOKEY_SIMULATOR_STATE=:memory:")
	cmd.Env = append(cmd.Env, environment...)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: columns, Rows: 24})
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	stuck := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
	defer stuck.Stop()
	written, _ := io.ReadAll(terminal) // ends with EIO when the program does
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, written)
	}
	return string(written)
}

// TestTables: a table fits the terminal; colours are for terminals without NO_COLOR.
func TestTables(t *testing.T) {
	coloured := onTerminal(t, nil, "simulator", "profiles")
	plain := onTerminal(t, []string{"NO_COLOR=1"}, "simulator", "profiles")
	dumb := onTerminal(t, []string{"TERM=dumb"}, "simulator", "profiles")
	if !strings.Contains(coloured, "\x1b[") {
		t.Error("no colour on a terminal")
	}
	if strings.Contains(plain, "\x1b") || strings.Contains(dumb, "\x1b") {
		t.Error("colour in spite of NO_COLOR or TERM=dumb")
	}
	for line := range strings.Lines(plain) {
		if width := text.StringWidth(strings.TrimRight(line, "\r\n")); width > columns {
			t.Errorf("%d columns: %s", width, line)
		}
	}
	// Long words stay whole where shorter ones can go to the next line.
	if settings := onTerminal(t, nil, "config", "show", "--device", "simulator"); !strings.Contains(settings, "enterprise-attestation ") || !strings.Contains(settings, " relying") {
		t.Errorf("words are broken:\n%s", settings)
	}
	piped, err := exec.Command("fidokey", "simulator", "profiles").Output()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(piped, []byte("\x1b")) {
		t.Error("colour in a pipe")
	}
	longest := 0
	for line := range strings.Lines(string(piped)) {
		longest = max(longest, len(line))
	}
	if longest <= columns {
		t.Errorf("a pipe's lines are cut to %d columns", longest)
	}
}

// TestLiveLine: what a command waits for is on the terminal, once, and gone when
// the answer comes.
func TestLiveLine(t *testing.T) {
	const words = "Touch your security key..."
	for _, environment := range [][]string{nil, {"NO_COLOR=1"}} {
		written := onTerminal(t, environment, "register", "--device", "simulator", "--simulator-touch", "700",
			"--rp", "example.com", "--user", "alice")
		s := &screen{watch: []string{words}, most: map[string]int{}}
		s.show(written)
		if s.most[words] != 1 {
			t.Errorf("%v: on the screen %d times at once:\n%q", environment, s.most[words], written)
		}
		if strings.Count(written, words) < 3 {
			t.Errorf("%v: the line does not move:\n%q", environment, written)
		}
		if strings.Contains(written, "\x1b[3") {
			t.Errorf("%v: the line has a colour:\n%q", environment, written)
		}
		if strings.Contains(s.String(), words) || !strings.Contains(s.String(), "Registered alice at example.com.") {
			t.Errorf("%v: at the end\n%s", environment, s)
		}
	}
}

// waitTwice has words waited for twice, with something else between, and returns
// what was written to a terminal.
func waitTwice(t *testing.T, words string) string {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there are no pseudo-terminals here")
	}
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	if err := pty.Setsize(terminal, &pty.Winsize{Cols: columns, Rows: 24}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TERM", "xterm")
	e := &env{stdout: tty, stderr: tty}
	for range 2 {
		for range 2 {
			e.wait(words, eventTouch, nil)
		}
		time.Sleep(300 * time.Millisecond) // the spinner draws in a goroutine of its own
		e.note("then")
	}
	tty.Close()
	written, _ := io.ReadAll(terminal)
	return string(written)
}

// TestWaitTwice: a line that was taken away is shown again.
func TestWaitTwice(t *testing.T) {
	const words = "Touch your security key..."
	written := waitTwice(t, words)
	first, second, _ := strings.Cut(written, "then")
	if !strings.Contains(first, words) || !strings.Contains(second, words) {
		t.Errorf("not shown both times: %q", written)
	}
	s := &screen{watch: []string{words}, most: map[string]int{}}
	s.show(written)
	if s.most[words] != 1 || strings.Contains(s.String(), words) {
		t.Errorf("on the screen %d times at once:\n%q", s.most[words], written)
	}
}

// TestLongWait: what does not fit on a line is written once, and does not move.
func TestLongWait(t *testing.T) {
	const words = "Put your finger on the sensor, and take it away when the light goes out..."
	if written := waitTwice(t, words); strings.Count(written, words) != 1 || strings.Contains(written, "\x1b") {
		t.Errorf("%q", written)
	}
}

// TestUnplugged ends the key while the program waits for a touch.
func TestUnplugged(t *testing.T) {
	for _, args := range [][]string{{}, {"--json"}, {"--json", "--events", "jsonl"}} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			dir, err := os.MkdirTemp("", "fidokey") // a socket's path must be short
			if err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			ctx, unplug := context.WithCancel(t.Context())
			defer unplug()
			socket := filepath.Join(dir, "key")
			key := exec.CommandContext(ctx, "fidokey", "simulator", "run", "--unix", socket, "--state", ":memory:", "--touch", "never")
			ready, err := key.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := key.Start(); err != nil {
				t.Fatal(err)
			}
			defer key.Wait()
			if _, err := bufio.NewReader(ready).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			var stdout bytes.Buffer
			c := exec.Command("fidokey", append([]string{"register", "--device", "unix:" + socket, "--rp", "example.com", "--user", "alice"}, args...)...)
			c.Stdout = &stdout
			stderr, err := c.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			said := bufio.NewReader(stderr)
			if line, err := said.ReadString('\n'); err != nil || !strings.Contains(strings.ToLower(line), "touch") {
				t.Errorf("first %q, %v", line, err)
			}
			unplug()
			rest, _ := io.ReadAll(said)
			if c.Wait(); c.ProcessState.ExitCode() != exitNoKey {
				t.Errorf("exit code %d", c.ProcessState.ExitCode())
			}
			if !strings.Contains(string(rest), "it was unplugged") || stdout.Len() > 0 {
				t.Errorf("on stderr\n%s\non stdout\n%s", rest, &stdout)
			}
		})
	}
}
