package ctaptest_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestQuirksPage makes sure that docs/quirks.md names tests and profiles that
// there are, and every quirk profile.
func TestQuirksPage(t *testing.T) {
	const root = "../.."
	page, err := os.ReadFile(filepath.Join(root, "docs/quirks.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests := testNames(t, root)
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(string(page), -1) {
		if !tests[name] {
			t.Errorf("there is no %s", name)
		}
	}
	named := map[string]bool{}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) == 6 {
			for name := range strings.SplitSeq(cells[3], ",") {
				named[strings.TrimSpace(name)] = true
			}
		}
	}
	profiles, err := filepath.Glob(filepath.Join(root, "simulator/profiles/quirk-*.yaml"))
	if err != nil || len(profiles) == 0 {
		t.Fatal(profiles, err)
	}
	for _, p := range profiles {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(p), "quirk-"), ".yaml")
		if !named[name] {
			t.Errorf("nothing about the profile quirk-%s", name)
		}
	}
}

// testNames returns the names of all tests of the module.
func testNames(t *testing.T, root string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, m := range declared.FindAllSubmatch(source, -1) {
			names[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
