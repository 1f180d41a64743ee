package record

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzRead reads reports: what is read is written as it is read again, and all other
// reports can be made of it.
func FuzzRead(f *testing.F) {
	for _, lines := range []string{
		`{"type":"run","report":1,"suite":"x","seed":"s","key":{"path":"p","aaguid":"2fc0579f-8113-47ea-b116-bb5a8db9202a"}}
{"type":"result","case":"INF-001","outcome":"pass","took":1}
{"type":"result","case":"CBR-021","part":"mc.rp.text","outcome":"fail","reason":"\u001b[2J","observed":["00"],"exchanges":[{"request":"04","answer":"00a0"}]}
{"type":"summary"}
`, `{"fidokey":1,"result":{"type":"run","report":1}}
{"fidokey":1,"result":{"type":"result","case":"INF-001","outcome":"fail"}}`,
	} {
		if _, err := Read(strings.NewReader(lines)); err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(lines))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Read(bytes.NewReader(text))
		if (err == nil) != (r != nil) {
			t.Fatalf("%+v, %v", r, err)
		}
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		if err := r.Write(&first); err != nil {
			t.Fatal(err)
		}
		again, err := Read(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatalf("%s is not read again: %v", first.Bytes(), err)
		}
		if again.Write(&second); first.String() != second.String() {
			t.Errorf("%s\nbecame\n%s", first.String(), second.String())
		}
		NewBaseline(r).Apply(again)
		if failed := again.Summary.Fail; failed != 0 {
			t.Errorf("%d failures that the baseline does not know: %s", failed, first.String())
		}
	})
}

// FuzzBaseline reads baselines.
func FuzzBaseline(f *testing.F) {
	f.Add([]byte("aaguid: 2fc0579f-8113-47ea-b116-bb5a8db9202a\ndeviations:\n- {case: MC-061, observed: [a]}\n- case: CBR-021/x\n"))
	f.Add([]byte("deviations: &a [*a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "baseline.yaml")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		b, err := readBaseline(path)
		if (err == nil) != (b != nil) || err != nil && !strings.HasPrefix(err.Error(), path) {
			t.Fatalf("%+v, %v", b, err)
		}
		if err == nil {
			b.Apply(&Report{Results: []Result{{Case: "MC-061", Outcome: Fail}}})
		}
	})
}
