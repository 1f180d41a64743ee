package mutation

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// root is the folder of the module.
const root = "../.."

// helpers goes into each package that is broken. The name of the switch that is
// on is in the environment.
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

// An edit puts text in the place of bytes of a source.
type edit struct {
	start, end int
	text       string
}

// build breaks the sources, all switches at once, and compiles the tests of
// package conformance with them.
func build(t *testing.T) (binary string) {
	t.Helper()
	dir := t.TempDir()
	replace := map[string]string{}
	add := func(file string, content []byte) {
		path, err := filepath.Abs(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		replace[path] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(replace[path], content, 0o600); err != nil {
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
		dir := filepath.Dir(file)
		add(dir+"/mutation.go", fmt.Appendf(nil, helpers, filepath.Base(dir)))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "conformance.test")
	if out, err := exec.Command("go", "test", "-c", "-overlay", list, "-o", binary, root+"/conformance").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return binary
}

// breakAll puts all mutations into a source.
func breakAll(source []byte, list []mutation) ([]byte, error) {
	var edits []edit
	var wrong []error
	for _, m := range list {
		if n := bytes.Count(source, []byte(m.right)); n != 1 {
			wrong = append(wrong, fmt.Errorf("mutation %s: its snippet occurs %d times, not once:\n%s", m.name, n, m.right))
			continue
		}
		start := bytes.Index(source, []byte(m.right))
		edits = append(edits, edit{start, start + len(m.right), strings.ReplaceAll(m.wrong, "BROKEN", fmt.Sprintf("broken(%q)", m.name))})
	}
	slices.SortFunc(edits, func(a, b edit) int { return a.start - b.start })
	var out []byte
	at := 0
	for _, e := range edits {
		if e.start < at {
			wrong = append(wrong, fmt.Errorf("two mutations overlap at %q", source[e.start:e.end]))
			continue
		}
		out = append(append(out, source[at:e.start]...), e.text...)
		at = e.end
	}
	return append(out, source[at:]...), errors.Join(wrong...)
}

// run runs the cases under a switch.
func run(ctx context.Context, binary, name string) (outcomes map[string]string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "-test.run", "^TestMutant$")
	cmd.Dir = filepath.Join(root, "conformance")
	cmd.Env = append(os.Environ(), "FIDOKEY_MUTANT="+name, "GOMAXPROCS=1")
	out, err := cmd.CombinedOutput()
	outcomes = map[string]string{}
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "mutant: "); ok {
			id, outcome, _ := strings.Cut(rest, " ")
			outcomes[id] = outcome
		}
	}
	if err != nil {
		return outcomes, fmt.Errorf("%w\n%s", err, tail(out, 4000))
	}
	return outcomes, nil
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

func TestExplore(t *testing.T) {
	binary := build(t)
	var g errgroup.Group
	g.SetLimit(2)
	only := os.Getenv("ONLY")
	start := time.Now()
	honest, err := run(t.Context(), binary, "none")
	if err != nil {
		t.Fatal(err)
	}
	t.Log("honest run", time.Since(start))
	for _, list := range mutations {
		for _, m := range list {
			if only != "" && !slices.Contains(strings.Fields(only), m.name) {
				continue
			}
			g.Go(func() error {
				start := time.Now()
				got, err := run(t.Context(), binary, m.name)
				if err != nil {
					t.Errorf("%s: %v", m.name, err)
				}
				var noticed, warned []string
				for id, o := range got {
					if o == "FAIL" && honest[id] != "FAIL" {
						noticed = append(noticed, id)
					}
					if o == "warning" && honest[id] == "pass" {
						warned = append(warned, id)
					}
				}
				slices.Sort(noticed)
				slices.Sort(warned)
				for _, id := range strings.Fields(m.notice) {
					if !slices.Contains(noticed, id) {
						t.Errorf("MISS %s does not fail %s (%s)", m.name, id, got[id])
					}
				}
				fmt.Printf("TABLE %s %d %v warned %v %v\n", m.name, len(noticed), noticed, warned, time.Since(start).Round(10*time.Millisecond))
				return nil
			})
		}
	}
	g.Wait()
	t.Log("all", time.Since(start))
}
