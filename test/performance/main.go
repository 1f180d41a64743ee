// Command performance runs all benchmarks of the module, those in the VM too, and writes
// what they measured, as tables with ratios, into docs/performance.md: "make bench".
package main

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

const page = "docs/performance.md"

func main() {
	log.SetFlags(0)
	tags := flag.String("tags", "", "build tags")
	from := flag.String("from", "", "take the output of an earlier run from this file, and measure nothing")
	keep := flag.String("keep", "", "write the output of the benchmarks to this file")
	flag.Parse()
	if err := run(*tags, *from, *keep); err != nil {
		log.Fatal(err)
	}
}

func run(tags, from, keep string) error {
	var output []byte
	var err error
	if from != "" {
		output, err = os.ReadFile(from)
	} else {
		output, err = measure(tags)
	}
	if len(output) == 0 {
		return err
	}
	if keep != "" {
		err = errors.Join(err, os.WriteFile(keep, output, 0o644))
	}
	return errors.Join(err, write(parse(bytes.NewReader(output))))
}

func write(found results) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	if text, err = fill(text, found); err != nil {
		return err
	}
	return os.WriteFile(page, text, 0o644)
}

// measure runs the benchmarks one after the other, shows what they print, and returns it,
// of those that work even if one fails.
func measure(tags string) ([]byte, error) {
	packages, failed := benchmarked(".")
	if failed != nil {
		return nil, failed
	}
	var output bytes.Buffer
	fmt.Fprintf(&output, "machine: %s\n", machine())
	inVM := []string{"test", "-count=1", "-v", "-timeout=25m", "./test/e2e", "-run=^TestVM$", "-guest.run=^$", "-guest.bench=."}
	for _, args := range [][]string{
		slices.Concat([]string{"test", "-tags=" + tags, "-p=1", "-run=^$", "-bench=.", "-benchmem", "-timeout=60m"}, packages),
		inVM,
	} {
		cmd := exec.Command("go", args...)
		cmd.Stdout, cmd.Stderr = io.MultiWriter(os.Stdout, &output), os.Stderr
		if err := cmd.Run(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("%v: %w", cmd, err))
		}
	}
	failed = errors.Join(failed, sizes(&output, tags))
	return output.Bytes(), failed
}

// benchmarked lists the packages that have benchmarks, but for the guest's.
func benchmarked(root string) (packages []string, err error) {
	benchmark := regexp.MustCompile(`(?m)^func Benchmark`)
	err = filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if dir := "./" + filepath.ToSlash(filepath.Dir(path)); benchmark.Match(text) && !slices.Contains(packages, dir) && dir != "./test/e2e/guest" {
			packages = append(packages, dir)
		}
		return err
	})
	return packages, err
}

// sizes links the programs as they are shipped.
func sizes(w io.Writer, tags string) error {
	dir, err := os.MkdirTemp("", "performance")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for name, settings := range map[string][2]string{"static": {"CGO_ENABLED=0", ""}, "pcsc": {"CGO_ENABLED=1", tags}} {
		program := filepath.Join(dir, name)
		cmd := exec.Command("go", "build", "-tags="+settings[1], "-trimpath", "-ldflags=-s -w", "-o", program, "./cmd/fidokey")
		cmd.Env = append(os.Environ(), settings[0])
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", cmd, err, out)
		}
		info, err := os.Stat(program)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "BenchmarkSize/%s 1 %d bytes\n", name, info.Size())
	}
	return nil
}

// machine says what all of it is measured on.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if m := regexp.MustCompile(`model name\s*: (.*)`).FindSubmatch(text); m != nil {
			model = string(m[1])
		}
	}
	load, _ := os.ReadFile("/proc/loadavg")
	busy, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%s, %d cores, %s, %s, %s; %s processes were waiting for the cores when it began",
		model, runtime.NumCPU(), runtime.GOOS, runtime.Version(), time.Now().UTC().Format(time.DateOnly), busy)
}

// Results are what benchmarks measured, by name and unit.
type results struct {
	machine string
	of      map[string]map[string]float64
}

// parse reads the output of go test -bench, also as go test -v shows that of the VM.
func parse(r io.Reader) results {
	found := results{of: map[string]map[string]float64{}}
	line := regexp.MustCompile(`(?:^|\s)Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(\S.*)$`)
	for s := bufio.NewScanner(r); s.Scan(); {
		if m, ok := strings.CutPrefix(s.Text(), "machine: "); ok {
			found.machine = m
		}
		m := line.FindStringSubmatch(s.Text())
		if m == nil {
			continue
		}
		units := map[string]float64{}
		for pair := range slices.Chunk(strings.Fields(m[2]), 2) {
			if value, err := strconv.ParseFloat(pair[0], 64); err == nil && len(pair) == 2 {
				units[pair[1]] = value
			}
		}
		found.of[m[1]] = units
	}
	return found
}

// fill replaces what is between the markers of each table.
func fill(text []byte, found results) ([]byte, error) {
	for name, table := range tables {
		begin, end := "<!-- measured: "+name+" -->\n", "<!-- end -->"
		before, rest, ok := bytes.Cut(text, []byte(begin))
		_, after, closed := bytes.Cut(rest, []byte(end))
		if !ok || !closed {
			return nil, fmt.Errorf("%s has no table %q", page, name)
		}
		text = slices.Concat(before, []byte(begin), []byte(table(found)), []byte(end), after)
	}
	return text, nil
}
