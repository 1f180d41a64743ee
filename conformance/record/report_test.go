package record

import (
	"bytes"
	"encoding/xml"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/conformance/simulated"
	"github.com/fidokey/fidokey/simulator"
)

// runOf runs some cases on a simulated key, in virtual time.
func runOf(t *testing.T, profile string, filter conformance.Filter) *Report {
	t.Helper()
	own, err := simulator.LoadProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	match, err := filter.Match()
	if err != nil {
		t.Fatal(err)
	}
	r := &Report{Run: Run{Type: "run", Report: Version, Started: time.Now(), Key: Key{Name: profile, AAGUID: "f1d0ce1f-5e1f-4b1d-8a2c-6b0d1e9a7c35"}, Released: true}}
	synctest.Test(t, func(t *testing.T) {
		bench, key, err := simulated.New(own)
		if err != nil {
			t.Fatal(err)
		}
		defer key.Close()
		bench.Endurance = 5
		conformance.Run(t.Context(), bench, conformance.Selection{Match: match, Report: func(c *conformance.Result) {
			result := From(c)
			result.Repeat = "fidokey conformance run " + result.Case
			r.Results = append(r.Results, result)
		}})
	})
	r.Summary.Complete = true
	r.Count()
	return r
}

// some are cases of several groups that are quickly done; unsorted-maps is a key
// that fails some of them.
var some = conformance.Filter{IDs: []string{"INF-00*", "MC-00*", "MC-101", "HID-00[3-9]", "CBR-021", "NFC-00[5-7]", "PIN-025", "CM-001"}}

const wrong = "quirk-unsorted-maps"

func TestLines(t *testing.T) {
	r := runOf(t, wrong, some)
	var lines bytes.Buffer
	if err := r.Write(&lines); err != nil {
		t.Fatal(err)
	}
	again, err := Read(bytes.NewReader(lines.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	var second bytes.Buffer
	if again.Write(&second); second.String() != lines.String() || again.Summary.Fail == 0 {
		t.Errorf("read and written again, %v is %v", r.Summary, again.Summary)
	}
	for _, damaged := range []string{"", "{}\n", "{", strings.Replace(lines.String(), `"report":1`, `"report":2`, 1),
		strings.Replace(lines.String(), `"outcome":"fail"`, `"outcome":"bad"`, 1), `{"type":"result","case":"x","outcome":"pass"}`} {
		if _, err := Read(strings.NewReader(damaged)); err == nil {
			t.Errorf("%.60q is taken for a report", damaged)
		}
	}
}

func TestMerge(t *testing.T) {
	whole := runOf(t, "ctap-2.3", some)
	var parts []*Report
	for shard := 1; shard <= 3; shard++ {
		f := some
		f.Shard, f.Shards = shard, 3
		parts = append(parts, runOf(t, "ctap-2.3", f))
	}
	slices.Reverse(parts)
	merged, err := Merge(parts...)
	if err != nil {
		t.Fatal(err)
	}
	merged.Summary.TookMS, whole.Summary.TookMS = 0, 0
	if merged.Summary.String() != whole.Summary.String() || !merged.Summary.Complete {
		t.Errorf("merged %v, at once %v", merged.Summary, whole.Summary)
	}
	if d := Compare(whole, merged); len(d.NewFailures)+len(d.Fixed)+len(d.Changed)+len(d.OnlyBefore)+len(d.OnlyAfter) != 0 || d.Same < 20 {
		t.Errorf("%+v", d)
	}
	bad := runOf(t, wrong, some)
	twice, err := Merge(whole, bad)
	if err != nil || twice.Summary.Fail != bad.Summary.Fail || len(twice.caseIDs()) != len(whole.caseIDs()) {
		t.Errorf("with a second run: %v, %v", twice.Summary, err)
	}
	bad.Run.Key.AAGUID = "00000000-0000-0000-0000-000000000000"
	if _, err := Merge(whole, bad); err == nil {
		t.Error("reports of two models are merged")
	}
}

func TestCompare(t *testing.T) {
	good, bad := runOf(t, "ctap-2.3", some), runOf(t, wrong, some)
	worse, better := Compare(good, bad), Compare(bad, good)
	if len(worse.NewFailures) == 0 || len(worse.NewFailures) != len(better.Fixed) || len(better.NewFailures) != 0 {
		t.Errorf("%d new failures, and the other way %d fixed", len(worse.NewFailures), len(better.Fixed))
	}
	if c := worse.NewFailures[0]; c.After.Reason == "" || c.Before.Outcome != Pass {
		t.Errorf("%+v", c)
	}
	other := runOf(t, "ctap-2.3", some)
	other.result("MC-002").Observed = []string{"CTAP2_ERR_INVALID_CBOR (12)"}
	if d := Compare(good, other); len(d.Changed) != 1 || d.Changed[0].Case != "MC-002" {
		t.Errorf("another answer: %+v", d.Changed)
	}
	f := some
	f.IDs = f.IDs[1:]
	if d := Compare(good, runOf(t, "ctap-2.3", f)); len(d.OnlyBefore) != 9 || len(d.NewFailures) != 0 {
		t.Errorf("only before: %v", d.OnlyBefore)
	}
}

func TestBaseline(t *testing.T) {
	bad := runOf(t, wrong, some)
	dir := t.TempDir()
	path := filepath.Join(dir, "key.yaml")
	failed := bad.Summary.Fail
	if err := NewBaseline(bad).Save(path); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{path, dir} {
		b, err := LoadBaseline(place, bad.Run.Key)
		if err != nil || b == nil {
			t.Fatal(b, err)
		}
		again := runOf(t, wrong, some)
		if b.Apply(again); again.Summary.Fail != 0 || again.Summary.Known != failed || len(again.Summary.Baseline) != 0 {
			t.Errorf("%s: %v", place, again.Summary)
		}
		fixed := runOf(t, "ctap-2.3", some)
		if b.Apply(fixed); fixed.Summary.Known != 0 || len(fixed.Summary.Baseline) != len(b.Deviations) {
			t.Errorf("%s: %d deviations, and fixed are %v", place, len(b.Deviations), fixed.Summary.Baseline)
		}
	}
	other := bad.Run.Key
	other.AAGUID = "00000000-0000-0000-0000-000000000000"
	if b, err := LoadBaseline(dir, other); b != nil || err != nil {
		t.Errorf("another key: %v, %v", b, err)
	}
	if _, err := LoadBaseline(path, other); err == nil {
		t.Error("the baseline of another key is taken")
	}
}

// TestBaselineAnswers: another answer than the one that is known is a new failure.
func TestBaselineAnswers(t *testing.T) {
	b := &Baseline{Deviations: []Deviation{{Case: "MC-061", Observed: []string{"a"}}, {Case: "CBR-021/x"}, {Case: "MC-062"}}}
	for _, test := range []struct {
		results []Result
		known   string
	}{
		{[]Result{{Case: "MC-061", Observed: []string{"a"}}}, Known},
		{[]Result{{Case: "MC-061", Observed: []string{"b"}}}, Fail},
		{[]Result{{Case: "MC-062", Observed: []string{"b"}}}, Known},
		{[]Result{{Case: "CBR-021", Part: "x"}, {Case: "CBR-021"}}, Known},
		{[]Result{{Case: "CBR-021", Part: "x"}, {Case: "CBR-021", Part: "y"}, {Case: "CBR-021"}}, Fail},
	} {
		for i := range test.results {
			test.results[i].Outcome = Fail
		}
		r := &Report{Results: test.results}
		if b.Apply(r); r.Results[len(r.Results)-1].Outcome != test.known {
			t.Errorf("%+v is not %s", r.Results, test.known)
		}
	}
	for _, text := range []string{"deviations: [{case: MC-999}]", "nonsense: 1", "deviations: [{case: MC-001, because: x}]"} {
		path := filepath.Join(t.TempDir(), "x.yaml")
		os.WriteFile(path, []byte(text), 0o600)
		if _, err := LoadBaseline(path, Key{}); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestJUnit(t *testing.T) {
	r := runOf(t, wrong, some)
	r.result("MC-002").Outcome, r.result("MC-002").Reason = Warning, "\x1b[0m ]]>"
	r.Count()
	var b bytes.Buffer
	if err := r.WriteJUnit(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Skipped  int `xml:"skipped,attr"`
		Suites   []struct {
			Name  string `xml:"name,attr"`
			Cases []struct {
				Name    string  `xml:"name,attr"`
				Failure *string `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	s := r.Summary
	if got.Tests != s.Ran()+s.NotApplicable || got.Failures != s.Fail || got.Skipped != s.NotApplicable || s.Fail == 0 {
		t.Errorf("%+v for %v", got, s)
	}
	for _, suite := range got.Suites {
		for _, c := range suite.Cases {
			if strings.HasPrefix(c.Name, "INF-001") && (c.Failure == nil || !strings.Contains(*c.Failure, "fidokey conformance run INF-001") || !strings.Contains(*c.Failure, "authenticatorGetInfo")) {
				t.Errorf("%+v", c)
			}
		}
	}
}
