package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestManualPages: every command has a page of its own, which has its text and its
// example.
func TestManualPages(t *testing.T) {
	folder := t.TempDir()
	e := &env{stdout: io.Discard, stderr: io.Discard}
	root := newRootCmd(e)
	root.SetArgs([]string{"man", folder})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	pages := map[string]bool{}
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		if cmd.Hidden || cmd.IsAdditionalHelpTopicCommand() || cmd.Name() == "help" {
			return
		}
		name := strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1"
		if pages[name] {
			t.Errorf("two commands have the page %s", name)
		}
		pages[name] = true
		page, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			t.Error(err)
		} else if !strings.Contains(string(page), ".SH SYNOPSIS") || cmd.Example != "" && !strings.Contains(string(page), ".SH EXAMPLE") {
			t.Errorf("%s:\n%s", name, page)
		}
		for _, child := range cmd.Commands() {
			check(child)
		}
	}
	check(root)
	files, err := os.ReadDir(folder)
	if err != nil || len(files) != len(pages) {
		t.Errorf("%d pages for %d commands, %v", len(files), len(pages), err)
	}
}

// TestExamples: the examples in the help texts are understood as far as commands
// and flags go, and one of them is of the command itself.
func TestExamples(t *testing.T) {
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		own := cmd.Example == ""
		for line := range strings.Lines(cmd.Example) {
			line, _, _ := strings.Cut(line, " | ") // what follows is another program
			words := strings.Fields(strings.NewReplacer("(", " ", ")", " ").Replace(line))
			for i, word := range words {
				if word != "fidokey" {
					continue
				}
				found, rest, err := newRootCmd(&env{}).Find(words[i+1:])
				if err != nil {
					t.Errorf("%s: the example %q: %v", cmd.CommandPath(), line, err)
				}
				own = own || strings.HasPrefix(found.CommandPath(), cmd.CommandPath())
				if name := found.CommandPath(); name == "fidokey trace record" || name == "fidokey trace replay" {
					// FILE COMMAND...
					if found, rest, err = newRootCmd(&env{}).Find(rest[1:]); err != nil {
						t.Errorf("%s: the example %q: %v", cmd.CommandPath(), line, err)
					}
				}
				for _, word := range rest {
					name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
					if strings.HasPrefix(word, "--") && found.Flags().Lookup(name) == nil && found.InheritedFlags().Lookup(name) == nil {
						t.Errorf("%s: no flag --%s in %q", cmd.CommandPath(), name, line)
					}
				}
			}
		}
		if !own {
			t.Errorf("%s: no example of it in %q", cmd.CommandPath(), cmd.Example)
		}
		for _, child := range cmd.Commands() {
			check(child)
		}
	}
	check(newRootCmd(&env{}))
}
