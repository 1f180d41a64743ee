package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"
)

var updateSession = flag.Bool("update-session", false, "write docs/session.svg anew")

// pages are all pages of the project, and the examples that they refer to.
func pages(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, pattern := range []string{"*.md", "*/*.md", "*/*/*.md", ".github/*.md", ".github/*/*.md", "docs/examples/*.sh", "docs/examples/*.yml"} {
		files, err := filepath.Glob(filepath.Join("../..", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			found[filepath.ToSlash(file)] = string(text)
		}
	}
	if len(found) < 20 || found["../../README.md"] == "" {
		t.Fatalf("%d pages", len(found))
	}
	return found
}

// TestCallsInPages: every command line in the pages is one that the program takes, and what
// is named within a sentence is a command, with flags that it has.
func TestCallsInPages(t *testing.T) {
	lines := regexp.MustCompile(`(?m)^(?: *(?:- |\$ )?|ExecStart=/usr/local/bin/)((?:sudo )?fidokey .*)$`)
	spans := regexp.MustCompile("`((?:sudo )?fidokey\\s[^`]+)`")
	calls, named := 0, 0
	for page, text := range pages(t) {
		text = strings.ReplaceAll(text, "\\\n", " ")
		t.Run(strings.TrimPrefix(page, "../../"), func(t *testing.T) {
			for _, line := range lines.FindAllStringSubmatch(inBlocks(page, text), -1) {
				for _, call := range examples(&cobra.Command{Example: line[1]}) {
					calls++
					checkExample(t, call)
				}
			}
			for _, span := range spans.FindAllStringSubmatch(text, -1) {
				named++
				for _, alternative := range alternatives(strings.ReplaceAll(span[1], "\n", " ")) {
					checkNamed(t, examples(&cobra.Command{Example: alternative})[0])
				}
			}
		})
	}
	if calls < 100 || named < 40 {
		t.Errorf("%d calls are shown, %d are named", calls, named)
	}
}

// TestGitLabExample: to YAML each line of a script is text, for a colon before a space
// would make it something else, and to us a call.
func TestGitLabExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/examples/gitlab-ci.yml")
	if err != nil {
		t.Fatal(err)
	}
	var jobs map[string]yaml.Node
	if err := yaml.Unmarshal(text, &jobs); err != nil {
		t.Fatal(err)
	}
	calls := 0
	for name, node := range jobs {
		if node.Kind != yaml.MappingNode {
			continue // the stages
		}
		var job struct {
			Before []any `yaml:"before_script"`
			Script []any
			After  []any `yaml:"after_script"`
		}
		if err := node.Decode(&job); err != nil {
			t.Fatal(err)
		}
		for _, line := range slices.Concat(job.Before, job.Script, job.After) {
			call, ok := line.(string)
			if !ok {
				t.Errorf("%s: %v is no text", name, line)
			}
			for _, call := range examples(&cobra.Command{Example: call}) {
				calls++
				checkExample(t, call)
			}
		}
	}
	if calls < 5 {
		t.Errorf("%d calls", calls)
	}
}

// TestLabgridExample: labgrid takes a line that begins with one # for a statement.
func TestLabgridExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/examples/labgrid.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(strings.TrimSpace(line), "#") && !strings.HasPrefix(strings.TrimSpace(line), "##") {
			t.Errorf("a statement: %s", line)
		}
	}
	if !strings.HasPrefix(string(text), "## ") {
		t.Error("there is no comment")
	}
}

// inBlocks is what a page shows in blocks of code: a sentence may begin with "fidokey", too.
func inBlocks(page, text string) string {
	if filepath.Ext(page) != ".md" {
		return text
	}
	var blocks strings.Builder
	fence := false
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fence = !fence
		} else if fence || strings.HasPrefix(line, "    ") {
			blocks.WriteString(line)
		}
	}
	return blocks.String()
}

// alternatives are the calls that "config always-uv on|off" stands for.
func alternatives(call string) (calls []string) {
	word := regexp.MustCompile(`\S+\|\S+`).FindString(call)
	for choice := range strings.SplitSeq(word, "|") {
		calls = append(calls, strings.Replace(call, word, choice, 1))
	}
	return calls
}

// checkNamed checks a call that need not be whole.
func checkNamed(t *testing.T, call []string) {
	t.Helper()
	root := newRootCmd(&env{stdout: io.Discard, stderr: io.Discard})
	root.InitDefaultHelpCmd()
	found, rest, err := root.Find(call)
	if err == nil {
		found.InitDefaultVersionFlag()
		err = found.ParseFlags(rest)
	}
	if short := new(pflag.ValueRequiredError); err != nil && !errors.Is(err, pflag.ErrHelp) && !errors.As(err, &short) {
		t.Errorf("%q is named: %v", call, err)
	} else if args := found.Flags().Args(); found.HasSubCommands() && len(args) > 0 && found.ValidateArgs(args) != nil {
		t.Errorf("%q is named: %v", call, found.ValidateArgs(args))
	}
}

// TestLinksInPages: what a page refers to within the project is there, file and heading.
func TestLinksInPages(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)|(?:src|srcset|href)="([^"]+)"`)
	links, all := 0, pages(t)
	for page, text := range all {
		if filepath.Ext(page) != ".md" {
			continue
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target, err := url.Parse(m[1] + m[2])
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if target.IsAbs() {
				continue
			}
			links++
			file := page
			if target.Path != "" {
				file = filepath.ToSlash(filepath.Join(filepath.Dir(page), target.Path))
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: %v", page, err)
			} else if target.Fragment != "" && !headings(all[file])[target.Fragment] {
				t.Errorf("%s: %s has no heading #%s", page, file, target.Fragment)
			}
		}
	}
	if links < 70 {
		t.Errorf("only %d links", links)
	}
}

// headings are the anchors that code hosts make of a page's headings.
func headings(text string) map[string]bool {
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.+)$`).FindAllStringSubmatch(text, -1) {
		kept := regexp.MustCompile(`[^\p{L}\p{N}_ -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		anchors[strings.ReplaceAll(kept, " ", "-")] = true
	}
	return anchors
}

// TestSession: docs/session.svg is what the program says today.
func TestSession(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the script has bash, awk and fold as they are on Linux")
	}
	made, page := filepath.Join(t.TempDir(), "session.svg"), "../../docs/session.svg"
	if *updateSession {
		made = page
	}
	if out, err := exec.CommandContext(t.Context(), "../../scripts/session", "fidokey", made).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(got, []byte("Registered sam at login.microsoft.com.")) || !bytes.Equal(got, want) {
		t.Errorf("the session is another one now; if it should be, make docs/session.svg anew:\ngo test ./cmd/fidokey -run TestSession -update-session\n%s", got)
	}
}
