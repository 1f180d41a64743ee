package mutation

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fidokey/fidokey/conformance"
)

var everything = flag.Bool("everything", false, "run all cases under each switch, which takes long, and say all that notice")

// root is the folder of the module.
const root = "../.."

// mutations are all, by the source file that they break.
var mutations = merged(coreMutations, pinMutations, featureMutations)

func merged(parts ...map[string][]mutation) map[string][]mutation {
	all := map[string][]mutation{}
	for _, part := range parts {
		for file, list := range part {
			all[file] = append(all[file], list...)
		}
	}
	return all
}

// leastSwitches is how many there must be.
const leastSwitches = 150

// neverFails is a case whose line knows no failure: credMgmt may be absent, which
// is a warning.
const neverFails = "INF-011"

// A table has what each case falls by: a switch or a wrong answer.
type table struct {
	mu sync.Mutex
	by map[string][]string
}

func (t *table) add(by string, cases ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range cases {
		t.by[id] = append(t.by[id], by)
	}
}

// TestTeeth proves that no switch goes unnoticed, and that each case is failed by
// at least one of them or by one of the wrong answers of package conformance. With
// -v it prints which.
func TestTeeth(t *testing.T) {
	binary := build(t)
	fell := &table{by: map[string][]string{}}
	switches := 0
	t.Run("none", func(t *testing.T) { honest(t, binary) })
	t.Run("switch", func(t *testing.T) {
		for _, file := range slices.Sorted(maps.Keys(mutations)) {
			for _, m := range mutations[file] {
				switches++
				t.Run(m.name, func(t *testing.T) {
					t.Parallel()
					fell.add(m.name, noticed(t, binary, m)...)
				})
			}
		}
	})
	if switches < leastSwitches {
		t.Errorf("%d switches, fewer than %d", switches, leastSwitches)
	}
	if t.Failed() || strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		return // the rest is about all of them
	}
	bySwitch := len(fell.by)
	for _, line := range run(t, binary, "TestLies", "lie: ") {
		part := strings.SplitN(line, " ", 3)
		if id := part[0]; part[1] == "FAIL" || id == neverFails {
			fell.add(part[2], id)
		}
	}
	t.Logf("%d switches fail %d cases, and wrong answers %d more", switches, bySwitch, len(fell.by)-bySwitch)
	for _, c := range conformance.Cases() {
		if fell.by[c.ID] == nil {
			t.Errorf("%s has no teeth: nothing fails it", c.ID)
		}
		t.Logf("%s falls by %s", c.ID, strings.Join(fell.by[c.ID], "; "))
	}
}

// honest checks that every case passes while no switch is on.
func honest(t *testing.T, binary string) {
	lines := run(t, binary, "TestMutant", "mutant: ", "FIDOKEY_MUTANT=none", "FIDOKEY_DOOR=usb")
	if len(lines) != len(conformance.Cases()) {
		t.Errorf("%d cases ran, not %d", len(lines), len(conformance.Cases()))
	}
	for _, line := range lines {
		if !strings.HasSuffix(line, " pass") {
			t.Error(line)
		}
	}
}

// noticed runs the cases that must notice a mutation, through each door, and
// returns those that failed.
func noticed(t *testing.T, binary string, m mutation) []string {
	if m.notice == "" {
		t.Error("no case is named that must notice")
	}
	var fell, warned []string
	for _, door := range []string{"usb", "nfc"} {
		must := m.cases(door)
		if len(must) == 0 {
			continue
		}
		selection := strings.Join(must, " ")
		if *everything {
			selection = ""
		}
		for _, line := range run(t, binary, "TestMutant", "mutant: ", "FIDOKEY_MUTANT="+m.name, "FIDOKEY_DOOR="+door, "FIDOKEY_CASES="+selection) {
			id, outcome, _ := strings.Cut(line, " ")
			switch outcome {
			case "FAIL":
				fell = append(fell, id)
			case "warning":
				warned = append(warned, id)
			case "pass":
				if slices.Contains(must, id) {
					t.Errorf("%s does not notice by %s", id, door)
				}
			}
		}
	}
	for _, id := range strings.Fields(m.notice) {
		if id, _, _ = strings.Cut(id, "/"); !slices.Contains(fell, id) && !slices.Contains(warned, id) {
			t.Errorf("%s does not notice", id)
		}
	}
	slices.Sort(fell)
	slices.Sort(warned)
	fell, warned = slices.Compact(fell), slices.Compact(warned)
	t.Logf("%d fail: %s; %d warn: %s", len(fell), strings.Join(fell, " "), len(warned), strings.Join(warned, " "))
	return fell
}

// cases are those that must notice through a door.
func (m mutation) cases(door string) (ids []string) {
	for _, id := range strings.Fields(m.notice) {
		if id, only, _ := strings.Cut(id, "/"); only == "" || only == door {
			ids = append(ids, id)
		}
	}
	return ids
}

// run runs a test of the broken package conformance and returns what it printed
// behind a prefix. Each run is a process of its own, for a broken key may take it
// along.
func run(t *testing.T, binary, test, prefix string, env ...string) (lines []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "-test.run", "^"+test+"$", "-test.v", "-test.timeout", "5m")
	cmd.Dir = filepath.Join(root, "conformance")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		if line, ok := strings.CutPrefix(s.Text(), prefix); ok {
			lines = append(lines, line)
		}
	}
	return lines
}

// helpers goes into each package that is broken. The name of the switch that is
// on is in the environment, where it can change while a test runs.
const helpers = `package %s

import "os"

func broken(name string) bool { return os.Getenv("FIDOKEY_MUTATION") == name }

func bent[T any](on bool, wrong, right T) T {
	if on {
		return wrong
	}
	return right
}
`

// build breaks the sources, with all switches at once, and compiles the tests of
// package conformance with them. The sources in the module stay as they are.
func build(t *testing.T) (binary string) {
	t.Helper()
	remember(t)
	dir := t.TempDir()
	overlay := map[string]string{}
	add := func(file string, content []byte) {
		path, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		overlay[path] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(overlay[path], content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, list := range mutations {
		source, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		broken, err := breakAll(source, list)
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		add(file, broken)
		folder := filepath.Dir(file)
		add(folder+"/mutation.go", fmt.Appendf(nil, helpers, filepath.Base(folder)))
	}
	names := map[string]bool{}
	for _, list := range mutations {
		for _, m := range list {
			if names[m.name] {
				t.Errorf("two mutations are called %s", m.name)
			}
			names[m.name] = true
		}
	}
	if t.Failed() {
		t.FailNow()
	}
	list, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), list, 0o600); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "conformance.test")
	compile := exec.Command("go", "test", "-c", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, root+"/conformance")
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// remember looks at the files that the result hangs on, so that go test does not
// take an old result for it.
func remember(t *testing.T) {
	t.Helper()
	for _, pattern := range []string{"simulator/*", "conformance/*", "internal/ctapcbor/*"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if _, err := os.Stat(f); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// An edit puts text in the place of bytes of a source.
type edit struct {
	start, end int
	text       string
}

// breakAll puts all mutations into a source. They must fit: a snippet that is no
// longer there, or twice, belongs to a mutation that has to be looked at.
func breakAll(source []byte, list []mutation) ([]byte, error) {
	var edits []edit
	var misfits []error
	for _, m := range list {
		if n := bytes.Count(source, []byte(m.right)); n != 1 {
			misfits = append(misfits, fmt.Errorf("mutation %s: its snippet occurs %d times, not once:\n%s", m.name, n, m.right))
			continue
		}
		start := bytes.Index(source, []byte(m.right))
		text := strings.ReplaceAll(m.wrong, "BROKEN", fmt.Sprintf("broken(%q)", m.name))
		if text == m.wrong {
			misfits = append(misfits, fmt.Errorf("mutation %s has no switch", m.name))
		}
		edits = append(edits, edit{start, start + len(m.right), text})
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })
	var out []byte
	at := 0
	for _, e := range edits {
		if e.start < at {
			misfits = append(misfits, fmt.Errorf("two mutations overlap at %q", source[e.start:e.end]))
			continue
		}
		out = append(append(out, source[at:e.start]...), e.text...)
		at = e.end
	}
	return append(out, source[at:]...), errors.Join(misfits...)
}

// TestBreakAll shows that a mutation which does not fit its source is told of.
func TestBreakAll(t *testing.T) {
	const source = "a := 1\nb := 2\nb := 2\n"
	for name, c := range map[string]struct {
		list []mutation
		want string // in the result, or in the error
	}{
		"fits":     {[]mutation{{name: "one", right: "a := 1", wrong: "a := bent(BROKEN, 2, 1)"}}, `a := bent(broken("one"), 2, 1)` + "\nb"},
		"gone":     {[]mutation{{name: "gone", right: "c := 3", wrong: "BROKEN"}}, "mutation gone: its snippet occurs 0 times"},
		"twice":    {[]mutation{{name: "twice", right: "b := 2", wrong: "BROKEN"}}, "mutation twice: its snippet occurs 2 times"},
		"always":   {[]mutation{{name: "always", right: "a := 1", wrong: "a := 2"}}, "mutation always has no switch"},
		"overlaps": {[]mutation{{name: "x", right: "a := 1", wrong: "BROKEN"}, {name: "y", right: ":= 1", wrong: "BROKEN"}}, "overlap"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := breakAll([]byte(source), c.list)
			if text := fmt.Sprintf("%s%v", got, err); !strings.Contains(text, c.want) || (err == nil) != (name == "fits") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
