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

// TestExamples: the examples of the help texts are understood by the program that
// has them, as far as the command and its flags go.
func TestExamples(t *testing.T) {
	var check func(cmd *cobra.Command)
	check = func(cmd *cobra.Command) {
		for line := range strings.Lines(cmd.Example) {
			words := strings.Fields(line)
			for i, word := range words {
				if word != "fidokey" {
					continue
				}
				found, rest, err := newRootCmd(&env{}).Find(words[i+1:])
				if err != nil || !strings.HasPrefix(found.CommandPath(), cmd.CommandPath()) {
					t.Errorf("%s: the example %q is of %v, %v", cmd.CommandPath(), line, found.CommandPath(), err)
				}
				for _, word := range rest {
					name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
					if strings.HasPrefix(word, "--") && found.Flags().Lookup(name) == nil && found.InheritedFlags().Lookup(name) == nil {
						t.Errorf("%s: no flag --%s in %q", cmd.CommandPath(), name, line)
					}
				}
			}
		}
		for _, child := range cmd.Commands() {
			check(child)
		}
	}
	check(newRootCmd(&env{}))
}
