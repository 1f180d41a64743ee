package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestManualPages: every command has a page of its own, which has its text and its
// example.
func TestManualPages(t *testing.T) {
	root, folder := writeManual(t)
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

// TestManualPagesInGroff: groff, which formats the pages for man, has nothing to say against
// any, and shows a minus as one that can be copied.
func TestManualPagesInGroff(t *testing.T) {
	if _, err := exec.LookPath("groff"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	_, folder := writeManual(t)
	pages, err := filepath.Glob(filepath.Join(folder, "*.1"))
	if err != nil || len(pages) < 100 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	if complaints, err := exec.Command("groff", append([]string{"-man", "-Tutf8", "-ww", "-z"}, pages...)...).CombinedOutput(); err != nil || len(complaints) > 0 {
		t.Errorf("%v\n%s", err, complaints)
	}
	page, err := exec.Command("groff", "-man", "-Tutf8", "-P-cbou", filepath.Join(folder, "fidokey-pin-set.1")).Output()
	if err != nil || !strings.Contains(string(page), "--pin-env string\n") || !strings.Contains(string(page), "  fidokey pin set --pin-env NEW_PIN\n") {
		t.Errorf("%v\n%s", err, page)
	}
}

// writeManual has the program write its pages into a folder.
func writeManual(t *testing.T) (root *cobra.Command, folder string) {
	t.Helper()
	folder = t.TempDir()
	root = newRootCmd(&env{stdout: io.Discard, stderr: io.Discard})
	root.SetArgs([]string{"man", folder})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return root, folder
}
