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

// TestSecurityPage: every test that docs/security.md refers to is there.
func TestSecurityPage(t *testing.T) {
	const root = "../.."
	page, err := os.ReadFile(filepath.Join(root, "docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests, named := testNames(t, root), regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(string(page), -1)
	if len(named) < 10 {
		t.Errorf("only %q are named", named)
	}
	for _, name := range named {
		if !tests[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

// TestDependencies: each module that go.mod requires directly has its reason in
// ARCHITECTURE.md, and none that is not required has one.
func TestDependencies(t *testing.T) {
	const root = "../.."
	required, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Dependencies\n")
	reasons := map[string]bool{} // by the first cell
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], " ---") || cells[1] == " module " {
			continue
		}
		if strings.TrimSpace(cells[2]) == "" {
			t.Errorf("%s: it is not said what for", cells[1])
		}
		// "github.com/a/b/c, d" are github.com/a/b/c and its neighbour.
		first := ""
		for module := range strings.SplitSeq(strings.TrimSpace(cells[1]), ", ") {
			if first == "" {
				first = module
			} else {
				module = neighbour(first, module)
			}
			reasons[module] = true
		}
	}
	direct := 0
	for _, found := range regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(string(required), -1) {
		direct++
		if !reasons[found[1]] {
			t.Errorf("ARCHITECTURE.md has no reason for %s", found[1])
		}
		delete(reasons, found[1])
	}
	if direct < 30 {
		t.Errorf("only %d modules are required", direct)
	}
	for module := range reasons {
		t.Errorf("ARCHITECTURE.md has a reason for %s, which go.mod does not require", module)
	}
}

// neighbour returns the module that is called as it is beside another: "x/term" beside
// "golang.org/x/sys", "azcore" beside ".../sdk/azidentity".
func neighbour(first, name string) string {
	parts := strings.Split(first, "/")
	return strings.Join(append(parts[:len(parts)-1-strings.Count(name, "/")], name), "/")
}
