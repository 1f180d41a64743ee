package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/metadata"
)

// TestInitAllocates: what packages do before main costs little. It is counted in
// bytes, for time is another on each machine; a table that is decoded there shows.
func TestInitAllocates(t *testing.T) {
	const (
		ours = 8 << 10   // bytes, each package of the project
		all  = 512 << 10 // bytes, together
	)
	cmd := exec.Command("fidokey", "version")
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	total, seen := 0, 0
	for _, line := range regexp.MustCompile(`(?m)^init (\S+) .* (\d+) bytes, \d+ allocs$`).FindAllStringSubmatch(trace.String(), -1) {
		if strings.HasPrefix(line[1], "github.com/santhosh-tekuri/") {
			continue // of the tests
		}
		allocated, err := strconv.Atoi(line[2])
		if err != nil {
			t.Fatal(err)
		}
		total += allocated
		if !strings.HasPrefix(line[1], "github.com/fidokey/") {
			continue
		}
		seen++
		if allocated > ours {
			t.Errorf("%s allocates %d bytes before main, more than %d", line[1], allocated, ours)
		}
	}
	if seen == 0 || total > all {
		t.Errorf("%d packages of ours; all allocate %d bytes before main, at most %d:\n%s", seen, total, all, &trace)
	}
}

// TestTablesStayEncoded: the table of model names is decoded by the first who asks
// for a name, which neither --help nor version does, and the cases of conformance are
// read by nobody else than it. It runs in a process of its own, where nobody has asked
// before.
func TestTablesStayEncoded(t *testing.T) {
	if !fresh(t) {
		return
	}
	const commands = 800 << 10 // bytes
	before := allocated()
	newRootCmd(&env{stdout: io.Discard, stderr: io.Discard})
	if tree := allocated() - before; tree > commands {
		t.Errorf("all commands take %d bytes, more than %d", tree, commands)
	}
	for _, args := range [][]string{{"--help"}, {"info", "--help"}, {"version"}} {
		root := newRootCmd(&env{stdout: io.Discard, stderr: io.Discard})
		root.SetArgs(args)
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	before = allocated()
	models := metadata.Count()
	first := allocated() - before
	if least := uint64(models) * 32; first < least {
		t.Errorf("the first question for a name allocates %d bytes, less than %d: the table was decoded already", first, least)
	}
	before = allocated()
	metadata.Count()
	if again := allocated() - before; again > first/4 {
		t.Errorf("the second question allocates %d bytes, the first %d: the table is decoded each time", again, first)
	}
}

// fresh runs the test in a process of its own, and reports whether this is that one.
func fresh(t *testing.T) bool {
	t.Helper()
	if os.Getenv("FIDOKEY_FRESH") != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "FIDOKEY_FRESH=1")
	if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// allocated is how many bytes the process has allocated so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestInfoAllocates: the shortest command stays small, with the simulated key that it asks;
// the other commands are not even made.
func TestInfoAllocates(t *testing.T) {
	if !fresh(t) {
		return
	}
	const most = 400 << 10 // bytes
	args := []string{"info", "--device", simulatorName, "--simulator-state", inMemory}
	before := allocated()
	root := newRootCmdFor(&env{stdout: io.Discard, stderr: io.Discard}, args)
	root.SetArgs(args)
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := allocated() - before; n > most {
		t.Errorf("info allocates %d bytes, more than %d", n, most)
	}
}

// TestOnlyTheCalledIsMade: a command is found under its name alone, and without the others
// it is the same.
func TestOnlyTheCalledIsMade(t *testing.T) {
	quiet := &env{stdout: io.Discard, stderr: io.Discard}
	whole := newRootCmd(quiet)
	for _, group := range commandGroups() {
		for _, command := range group.commands {
			alone := newRootCmdFor(quiet, []string{command.name, "--help"}).Commands()
			if len(alone) != 1 {
				t.Errorf("%s: %d commands are made", command.name, len(alone))
				continue
			}
			among, _, err := whole.Find([]string{command.name})
			if err != nil || among.UsageString() != alone[0].UsageString() {
				t.Errorf("%s: %v; alone:\n%s\namong all:\n%s", command.name, err, alone[0].UsageString(), among.UsageString())
			}
		}
	}
}

// TestAnswerInOnePiece: an answer is written at once, for a person and as JSON, and not
// word by word, each of which wakes whoever reads it.
func TestAnswerInOnePiece(t *testing.T) {
	for _, args := range [][]string{nil, {"--json"}} {
		var writes counter
		root := newRootCmd(&env{stdout: &writes, stderr: io.Discard})
		root.SetArgs(append([]string{"info", "--device", simulatorName, "--simulator-state", inMemory}, args...))
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if writes != 1 {
			t.Errorf("info %q is written in %d pieces", args, writes)
		}
	}
}

// A counter counts what is written to it.
type counter int

func (c *counter) Write(b []byte) (int, error) {
	*c++
	return len(b), nil
}
