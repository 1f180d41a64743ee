package hid_test

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/transport/hid"
)

// longest is the length of the longest message, which takes 129 reports.
const longest = 7609

// BenchmarkFraming is a message there and back through a port that costs nothing:
// reports made and read.
func BenchmarkFraming(b *testing.B) {
	for _, size := range []int{57, longest} {
		b.Run(strconv.Itoa(size)+" bytes", func(b *testing.B) {
			fake := newFake()
			port := &switchPort{fake}
			d, err := hid.Open(b.Context(), port)
			if err != nil {
				b.Fatal(err)
			}
			defer func() { port.Port = fake; d.Close() }()
			data := pattern(size)
			reports := frames(64, ours, ping, data)
			port.Port = &loopPort{fakePort: fakePort{in: 64, out: 64}, reports: reports}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Ping(b.Context(), data); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(2*len(reports)*b.N)/b.Elapsed().Seconds(), "reports/s")
		})
	}
}

// BenchmarkFramingPython is the same by Debian's python3-fido2.
func BenchmarkFramingPython(b *testing.B) {
	for _, size := range []int{57, longest} {
		b.Run(strconv.Itoa(size)+" bytes", func(b *testing.B) {
			out, err := exec.Command("/usr/bin/python3", "testdata/framing.py", strconv.Itoa(size)).Output()
			if err != nil {
				b.Skipf("python3-fido2: %v", err)
			}
			perSecond, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(perSecond, "reports/s")
		})
	}
}
