package ctaptest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Sample is for a test of very many trials that are alike. Under the race detector, which
// takes five to ten times as long and finds in some of them what it finds in all, it
// returns n: one of so many is enough. Else it returns 1. "make test" plays such tests in
// both ways, and Sample fails if the Makefile does not have the test among them.
func Sample(tb testing.TB, n int) int {
	tb.Helper()
	if !race {
		return 1
	}
	folder, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	root := folder
	for !exists(filepath.Join(root, "go.mod")) && root != filepath.Dir(root) {
		root = filepath.Dir(root)
	}
	text, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		tb.Fatal(err)
	}
	name, _, _ := strings.Cut(tb.Name(), "/")
	named, whole := false, false
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		tests, isList := strings.CutPrefix(line, "SAMPLED = ")
		named = named || isList && slices.Contains(strings.Split(tests, "|"), name)
		whole = whole || strings.Contains(line, "-run '$(SAMPLED)'") && slices.Contains(strings.Fields(line), "."+filepath.ToSlash(folder[len(root):]))
	}
	if !named || !whole {
		tb.Fatalf("the Makefile does not run %s without the race detector, under which it is sampled", name)
	}
	return n
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
