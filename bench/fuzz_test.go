package bench

import (
	"os"
	"strings"
	"testing"
)

// FuzzParse reads bench files: each error is of the file, and a file that is taken has
// keys.
func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("../docs/bench.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	for _, good := range goodFiles {
		f.Add([]byte(good))
	}
	f.Add([]byte("keys: &a {a: *a}"))
	f.Add([]byte("a: &a [x,x,x,x]\nb: &b [*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b]\nkeys: {k: {match: *c}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := Parse("bench.yaml", text)
		switch {
		case err == nil && len(file.Keys) == 0:
			t.Error("a bench without keys")
		case err != nil && !strings.HasPrefix(err.Error(), "bench.yaml"):
			t.Errorf("error %q", err)
		}
	})
}
