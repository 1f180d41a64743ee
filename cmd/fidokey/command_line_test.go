package main

import (
	"bytes"
	"cmp"
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
func leaves(t *testing.T, concerned func(cmd *cobra.Command) bool, do func(t *testing.T, cmd *cobra.Command)) {
	t.Helper()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, child := range cmd.Commands() {
			walk(child)
		}
		if cmd.HasParent() && !cmd.HasSubCommands() && concerned(cmd) {
			t.Run(strings.Join(words(cmd), " "), func(t *testing.T) { do(t, cmd) })
		}
	}
	walk(newRootCmd(&env{stdout: io.Discard, stderr: io.Discard}))
}

// all is for tests that concern every command.
func all(*cobra.Command) bool { return true }

// ofCobra is the command that cobra brings along, with its help.
const ofCobra = "completion"

// noJSON reports whether the answer of a command is for other programs.
func noJSON(cmd *cobra.Command) bool { return words(cmd)[0] == ofCobra || runsAnother(cmd) }

// runsAnother reports whether a command only runs the one that its arguments
// name, and gives the answer of that.
func runsAnother(cmd *cobra.Command) bool {
	return slices.Contains([]string{"trace record", "trace replay"}, strings.Join(words(cmd), " "))
}

// answeredAs is the command whose answer a command gives: its own, or that of the
// one that it is another name for.
func answeredAs(cmd *cobra.Command) string {
	return cmp.Or(cmd.Annotations[commandOf], strings.Join(words(cmd), " "))
}

func TestHelp(t *testing.T) {
	leaves(t, all, func(t *testing.T, cmd *cobra.Command) {
		for c := cmd; c.HasParent(); c = c.Parent() {
			if c.Short == "" || strings.HasSuffix(c.Short, ".") {
				t.Errorf("%s: Short is %q", c.CommandPath(), c.Short)
			}
		}
		if words(cmd)[0] == ofCobra {
			return
		}
		called := false
		for _, call := range examples(cmd) {
			called = checkExample(t, call) == cmd.CommandPath() || called
		}
		if !called {
			t.Error("no example that calls it")
		}
		if noJSON(cmd) {
			return
		}
		if _, err := os.Stat(filepath.Join(schemaFolder, strings.ReplaceAll(answeredAs(cmd), " ", "-")+".json")); err != nil {
			t.Errorf("no schema: %v", err)
		}
	})
}

// examples are the calls in the help of a command, in words and without what a
// shell does with them.
func examples(cmd *cobra.Command) (calls [][]string) {
	quoted := regexp.MustCompile(`'[^']*'|"[^"]*"`)
	for line := range strings.Lines(cmd.Example) {
		line, _, _ = strings.Cut(line, " #")
		line = strings.NewReplacer("'", "", `"`, "").Replace(quoted.ReplaceAllStringFunc(line, func(s string) string {
			return strings.ReplaceAll(s, " ", "_")
		}))
		call := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "sudo "))
		if i := slices.IndexFunc(call, func(word string) bool { return slices.Contains([]string{">", "|", "<", "&", "&&"}, word) }); i >= 0 {
			call = call[:i]
		}
		if len(call) > 0 && call[0] == "fidokey" {
			calls = append(calls, call[1:])
		}
	}
	return calls
}

// checkExample returns which command an example calls, with flags and arguments
// that this takes.
func checkExample(t *testing.T, call []string) (path string) {
	t.Helper()
	root := newRootCmd(&env{stdout: io.Discard, stderr: io.Discard})
	found, rest, err := root.Find(call)
	if err == nil {
		err = found.ParseFlags(rest)
	}
	if err == nil {
		err = errors.Join(found.ValidateRequiredFlags(), found.ValidateFlagGroups(), found.ValidateArgs(found.Flags().Args()))
	}
	if err != nil {
		t.Errorf("example %q: %v", call, err)
	}
	return found.CommandPath()
}

// TestErrorsInJSON: where --json fails there is nothing on stdout, and the reason
// is on stderr. With --all the keys that fail are in the answer.
func TestErrorsInJSON(t *testing.T) {
	leaves(t, func(cmd *cobra.Command) bool { return !noJSON(cmd) }, func(t *testing.T, cmd *cobra.Command) {
		failing := [][]string{append(words(cmd), "--nonsense")}
		if usesKey(cmd) {
			without := slices.DeleteFunc(examples(cmd)[0], func(word string) bool { return word == "--all" })
			failing = append(failing, append(without, "--device", "unix:nowhere"))
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
	policies := []string{"show", "export", "diff", "apply", "list"} // of "entra policy" and "entra strength"
	if w := words(cmd); len(w) == 3 && w[0] == "entra" && slices.Contains(policies, w[2]) {
		return false
	}
	keyless := []string{"simulator", "version", "verify", "rp", "list", "doctor", "metadata", "trace", "man", "hil"}
	keylessLeaves := []string{"fidokey conformance diff", "fidokey conformance list", "fidokey conformance merge", "fidokey conformance show", "fidokey credentials forget", "fidokey entra decode", "fidokey entra inventory", "fidokey entra ledger", "fidokey entra list", "fidokey entra report", "fidokey entra stand-in", "fidokey entra unregister"}
	return !slices.Contains(keyless, words(cmd)[0]) && !slices.Contains(keylessLeaves, cmd.CommandPath())
}

// TestNoPINOnTheCommandLine: what other users can read in the list of processes.
func TestNoPINOnTheCommandLine(t *testing.T) {
	pinValue := regexp.MustCompile(`(^|-)pin$`)
	leaves(t, all, func(t *testing.T, cmd *cobra.Command) {
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
	leaves(t, all, func(t *testing.T, cmd *cobra.Command) {
		if words(cmd)[0] == ofCobra {
			return
		}
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if !f.Hidden && f.Name != "help" && !isPINSource(f) && !isGraphFlag(cmd, f) && !calls.has(cmd, f) {
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

// isPINSource is for the flags that TestPINSources tries on every command.
func isPINSource(f *pflag.Flag) bool {
	return slices.Contains([]string{"pin-file", "pin-stdin", "pin-env"}, strings.TrimPrefix(f.Name, "new-"))
}

// TestPINSources: every command that takes a PIN takes it from a file, standard
// input or the environment, and from one of them only. Where the PIN goes is the
// matter of one type, which the scripts of "pin" and "register" try.
func TestPINSources(t *testing.T) {
	leaves(t, all, func(t *testing.T, cmd *cobra.Command) {
		for _, prefix := range []string{"pin", "new-pin"} {
			var sources []string
			for _, from := range []string{"-file", "-env", "-stdin"} {
				if cmd.Flags().Lookup(prefix+from) != nil {
					sources = append(sources, "--"+prefix+from)
				}
			}
			if len(sources) == 0 {
				continue
			}
			if len(sources) < 3 {
				t.Fatalf("there is only %v", sources)
			}
			for _, two := range [][]string{{sources[0], "x", sources[1], "x"}, {sources[0], "x", sources[2]}, {sources[1], "x", sources[2]}} {
				out, err := exec.Command("fidokey", slices.Concat(examples(cmd)[0], two)...).CombinedOutput()
				var status *exec.ExitError
				if !errors.As(err, &status) || status.ExitCode() != exitUsage || !strings.Contains(string(out), "none of the others can be") {
					t.Errorf("%v: %v\n%s", two, err, out)
				}
			}
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
	return err == nil && answeredAs(found) == answeredAs(cmd)
}
