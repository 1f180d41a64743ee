package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// words is a command as it is called: {"pin", "set"}.
func words(cmd *cobra.Command) []string { return strings.Fields(cmd.CommandPath())[1:] }

// leaves calls do for every command that does something itself.
func leaves(t *testing.T, do func(t *testing.T, cmd *cobra.Command)) {
	t.Helper()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			walk(child)
		}
		if cmd.HasParent() && !cmd.HasSubCommands() {
			t.Run(strings.Join(words(cmd), " "), func(t *testing.T) { do(t, cmd) })
		}
	}
	walk(newRootCmd(&env{stdout: io.Discard, stderr: io.Discard}))
}

// generated are the commands whose answer is a file for other programs.
var generated = []string{"completion", "man"}

func TestHelp(t *testing.T) {
	leaves(t, func(t *testing.T, cmd *cobra.Command) {
		for c := cmd; c.HasParent(); c = c.Parent() {
			if c.Short == "" || strings.HasSuffix(c.Short, ".") {
				t.Errorf("%s: Short is %q", c.CommandPath(), c.Short)
			}
		}
		calls := examples(cmd)
		if len(calls) == 0 {
			t.Fatal("no example that calls it")
		}
		for _, call := range calls {
			checkExample(t, cmd, call)
		}
		if slices.Contains(generated, words(cmd)[0]) {
			return
		}
		if _, err := os.Stat(filepath.Join(schemaFolder, strings.Join(words(cmd), "-")+".json")); err != nil {
			t.Errorf("no schema: %v", err)
		}
	})
}

// examples are the calls in the help of a command, in words and without what a
// shell does with them.
func examples(cmd *cobra.Command) (calls [][]string) {
	for line := range strings.Lines(cmd.Example) {
		line, _, _ = strings.Cut(line, " #")
		line = strings.NewReplacer("'", "", `"`, "").Replace(quotedBlank.ReplaceAllStringFunc(line, func(s string) string {
			return strings.ReplaceAll(s, " ", "_")
		}))
		call := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "sudo "))
		if i := slices.IndexFunc(call, func(word string) bool { return word == ">" || word == "|" || word == "<" }); i >= 0 {
			call = call[:i]
		}
		if len(call) > 0 && call[0] == "fidokey" {
			calls = append(calls, call[1:])
		}
	}
	return calls
}

var quotedBlank = regexp.MustCompile(`'[^']*'|"[^"]*"`)

// checkExample: an example means its command, and its flags are there.
func checkExample(t *testing.T, cmd *cobra.Command, call []string) {
	t.Helper()
	root := newRootCmd(&env{stdout: io.Discard, stderr: io.Discard})
	found, rest, err := root.Find(call)
	if err == nil && found.CommandPath() != cmd.CommandPath() {
		err = errors.New("it calls " + found.CommandPath())
	}
	if err == nil {
		err = found.ParseFlags(rest)
	}
	if err == nil {
		err = errors.Join(found.ValidateRequiredFlags(), found.ValidateFlagGroups(), found.ValidateArgs(found.Flags().Args()))
	}
	if err != nil {
		t.Errorf("example %q: %v", call, err)
	}
}

// TestErrorsInJSON: where --json fails there is nothing on stdout, and the reason
// is on stderr.
func TestErrorsInJSON(t *testing.T) {
	leaves(t, func(t *testing.T, cmd *cobra.Command) {
		if slices.Contains(generated, words(cmd)[0]) {
			t.Skip("has no answer in JSON")
		}
		failing := [][]string{append(words(cmd), "--nonsense")}
		if usesKey(cmd) {
			failing = append(failing, append(examples(cmd)[0], "--device", "unix:nowhere"))
		}
		for _, call := range failing {
			var stdout, stderr bytes.Buffer
			c := exec.Command("fidokey", append(call, "--json")...)
			c.Dir, c.Stdout, c.Stderr = t.TempDir(), &stdout, &stderr
			c.Env = append(os.Environ(), "FIDOKEY_SIMULATOR_STATE=:memory:")
			stuck := time.AfterFunc(20*time.Second, func() { c.Process.Kill() })
			if err := c.Run(); err == nil {
				t.Errorf("%q does not fail", call)
			}
			stuck.Stop()
			if stdout.Len() > 0 || stderr.Len() == 0 {
				t.Errorf("%q: on stdout\n%s\non stderr\n%s", call, &stdout, &stderr)
			}
		}
	})
}

// usesKey reports whether a command opens a key, and fails without one.
func usesKey(cmd *cobra.Command) bool {
	keyless := []string{"simulator", "version", "verify", "list", "doctor", "trace"}
	return !slices.Contains(keyless, words(cmd)[0])
}

// TestNoPINOnTheCommandLine: what other users can read in the list of processes.
func TestNoPINOnTheCommandLine(t *testing.T) {
	pinValue := regexp.MustCompile(`(^|-)pin$`)
	leaves(t, func(t *testing.T, cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if pinValue.MatchString(f.Name) || f.Shorthand == "P" {
				t.Errorf("--%s takes a PIN", f.Name)
			}
		})
		if strings.Contains(cmd.Use, "PIN") {
			t.Errorf("%q takes a PIN", cmd.Use)
		}
		if words(cmd)[0] == "pin" && cmd.Args != nil && cmd.Args(cmd, []string{"123456"}) == nil && !strings.Contains(cmd.Use, " ") {
			t.Error("an argument is taken, as if it were a PIN")
		}
	})
}

// TestEveryFlagIsTried: each flag of the help is in a script or a test that calls
// its command.
func TestEveryFlagIsTried(t *testing.T) {
	calls := loadCalls(t)
	leaves(t, func(t *testing.T, cmd *cobra.Command) {
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" && !calls.has(cmd, f) {
				t.Errorf("no script and no test has --%s", f.Name)
			}
		})
	})
	newRootCmd(&env{stdout: io.Discard, stderr: io.Discard}).PersistentFlags().VisitAll(func(f *pflag.Flag) {
		if !calls.has(nil, f) {
			t.Errorf("no script and no test has --%s", f.Name)
		}
	})
}

// calls are the lines of the scripts that call the program, and the tests in Go.
type calls struct {
	lines [][]string
	tests []string
}

func loadCalls(t *testing.T) *calls {
	t.Helper()
	c := &calls{}
	for _, text := range readAll(t, "testdata/script/*.txtar") {
		for line := range strings.Lines(text) {
			if _, call, ok := strings.Cut(line, "fidokey "); ok && !strings.HasPrefix(line, "#") {
				c.lines = append(c.lines, strings.Fields(call))
			}
		}
	}
	c.tests = append(readAll(t, "*_test.go"), readAll(t, "../../test/e2e/guest/*_test.go")...)
	return c
}

func readAll(t *testing.T, pattern string) (texts []string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal(pattern, files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts
}

// has reports whether a flag is in a call of a command; nil is any.
func (c *calls) has(cmd *cobra.Command, f *pflag.Flag) bool {
	for _, line := range c.lines {
		given := slices.ContainsFunc(line, func(word string) bool {
			name, _, _ := strings.Cut(word, "=")
			return name == "--"+f.Name || f.Shorthand != "" && name == "-"+f.Shorthand
		})
		if given && (cmd == nil || isCalled(cmd, line)) {
			return true
		}
	}
	called := ""
	if cmd != nil {
		called = `"` + strings.Join(words(cmd), `", "`) + `"`
		if called == `"simulator", "run"` {
			called = `(` + called + `|startSimulator\()`
		}
	}
	inTest := regexp.MustCompile(`(?s)` + called + `.{0,300}"--` + regexp.QuoteMeta(f.Name) + `["=]`)
	return slices.ContainsFunc(c.tests, inTest.MatchString)
}

// isCalled reports whether the words of a line name the command, by its own names
// or by others.
func isCalled(cmd *cobra.Command, line []string) bool {
	found, _, err := cmd.Root().Find(line)
	return err == nil && found.CommandPath() == cmd.CommandPath()
}
