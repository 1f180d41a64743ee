package guest

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

//go:embed info.py
var infoPython string

// BenchmarkInfo has each program say what the same key is, as a process of its own, in
// turn, so that what else the machine does meets all alike. Wall time and CPU are medians.
// The peak of memory is what GNU time says: a process that a Go program starts inherits
// the peak of that one.
func BenchmarkInfo(b *testing.B) {
	simulate(b, string(uhid), append(uhid.run(), "--state", ":memory:")...)
	waitFor(b, "a node", func() bool { return len(nodes()) == 1 })
	node := nodes()[0]
	type program struct {
		name string
		args []string
	}
	programs := []program{
		{"fidokey", []string{fidokey, "info", "--device", node}},
		{"fidokey with PC/SC", []string{withC, "info", "--device", node}},
		{"fido2-token", []string{"fido2-token", "-I", node}},
		{"python3-fido2", []string{"/usr/bin/python3", write(b, "info.py", infoPython), node}},
	}
	programs = slices.DeleteFunc(programs, func(p program) bool { return p.args[0] == "" })
	wall, cpu := map[string][]time.Duration{}, map[string][]time.Duration{}
	for b.Loop() {
		for _, p := range programs {
			cmd := exec.Command(p.args[0], p.args[1:]...)
			start := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("%v: %v\n%s", cmd, err, out)
			}
			wall[p.name] = append(wall[p.name], time.Since(start))
			cpu[p.name] = append(cpu[p.name], cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
		}
	}
	for _, p := range programs {
		b.Run(p.name, func(b *testing.B) {
			for b.Loop() {
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(milliseconds(wall[p.name]), "wall-ms")
			b.ReportMetric(milliseconds(cpu[p.name]), "cpu-ms")
			b.ReportMetric(peak(b, p.args...), "MiB")
		})
	}
}

// milliseconds is the median.
func milliseconds(samples []time.Duration) float64 {
	slices.Sort(samples)
	return float64(samples[len(samples)/2].Microseconds()) / 1000
}

// peak is the most memory that a program has at any moment, in MiB: the median of some runs.
func peak(b *testing.B, args ...string) float64 {
	b.Helper()
	var peaks []int
	for range 5 {
		said := filepath.Join(b.TempDir(), "peak")
		run(b, "", "time", append([]string{"-f", "%M", "-o", said}, args...)...)
		text, err := os.ReadFile(said)
		if err != nil {
			b.Fatal(err)
		}
		kibibytes, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			b.Fatal(err)
		}
		peaks = append(peaks, kibibytes)
	}
	slices.Sort(peaks)
	return float64(peaks[len(peaks)/2]) / 1024
}
