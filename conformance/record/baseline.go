package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/fidokey/fidokey/internal/yamlfile"
)

// A Baseline says what a model is known to do otherwise.
type Baseline struct {
	// AAGUID and Firmware say which keys it is for; without Firmware all that
	// have the AAGUID, and without both all.
	AAGUID     string      `yaml:"aaguid,omitempty"`
	Firmware   *uint64     `yaml:"firmwareVersion,omitempty"`
	Deviations []Deviation `yaml:"deviations"`
}

// A Deviation is a case that fails, or one of its parts.
type Deviation struct {
	Case string `yaml:"case"` // with the part: CBR-021/mc.rp.text
	// Observed are the answers that are known. Others are a new failure; without
	// any, every way of failing is known.
	Observed []string `yaml:"observed,omitempty"`
	Reason   string   `yaml:"reason,omitempty"` // for people
}

// LoadBaseline reads a file, or finds the one for a key in a folder: for its AAGUID
// and firmware, else for its AAGUID, else for all keys. It is nil if a folder has
// none.
func LoadBaseline(path string, key Key) (*Baseline, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		b, err := readBaseline(path)
		if err == nil && b.fits(key) == 0 {
			err = fmt.Errorf("%s is the baseline of another key: %s", path, Key{AAGUID: b.AAGUID, Firmware: b.Firmware, Path: "one with"})
		}
		return b, err
	}
	files, err := filepath.Glob(filepath.Join(path, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var best *Baseline
	for _, f := range files {
		b, err := readBaseline(f)
		if err != nil {
			return nil, err
		}
		if n := b.fits(key); n > 0 && (best == nil || n > best.fits(key)) {
			best = b
		}
	}
	return best, nil
}

func readBaseline(path string) (*Baseline, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	b := &Baseline{}
	if _, err := yamlfile.Parse(path, text, b); err != nil {
		return nil, err
	}
	for _, d := range b.Deviations {
		id, _ := splitID(d.Case)
		if _, ok := places()[id]; !ok {
			return nil, fmt.Errorf("%s: there is no case %q", path, d.Case)
		}
	}
	return b, nil
}

// fits says how well the baseline fits a key; 0 is not at all.
func (b *Baseline) fits(key Key) int {
	switch {
	case b.AAGUID == "" && b.Firmware == nil:
		return 1
	case b.AAGUID != key.AAGUID:
		return 0
	case b.Firmware == nil:
		return 2
	case key.Firmware != nil && *key.Firmware == *b.Firmware:
		return 3
	}
	return 0
}

// Apply makes failures that the baseline knows Known, and notes which of its
// entries fail no more. A case that is divided into parts is known when all parts
// that fail are.
func (b *Baseline) Apply(r *Report) {
	parts := map[string][]*Result{}
	for i := range r.Results {
		result := &r.Results[i]
		if result.Part != "" {
			parts[result.Case] = append(parts[result.Case], result)
		}
		b.Judge(result, parts[result.Case])
	}
	r.Summary.Baseline = b.fixed(r)
	r.Count()
}

// Judge is Apply for a result with the parts of its case that came before it. It
// says whether the failure is known.
func (b *Baseline) Judge(result *Result, parts []*Result) {
	if result.Outcome != Fail {
		return
	}
	failed := slices.DeleteFunc(slices.Clone(parts), func(p *Result) bool { return !failing(p) })
	partsKnown := len(failed) > 0 && !slices.ContainsFunc(failed, func(p *Result) bool { return p.Outcome != Known })
	if b.knows(result) || result.Part == "" && partsKnown {
		result.Outcome = Known
	}
}

func (b *Baseline) knows(r *Result) bool {
	return slices.ContainsFunc(b.Deviations, func(d Deviation) bool {
		if d.Case != r.ID() && d.Case != r.Case {
			return false
		}
		return len(d.Observed) == 0 || sameAnswers(&Result{Observed: d.Observed}, r)
	})
}

// fixed are the entries that were tried and did not fail.
func (b *Baseline) fixed(r *Report) (ids []string) {
	for _, d := range b.Deviations {
		if result := r.result(d.Case); result != nil && ran(result) && !failing(result) {
			ids = append(ids, d.Case)
		}
	}
	return ids
}

// NewBaseline has what fails in a report, known or not.
func NewBaseline(r *Report) *Baseline {
	b := &Baseline{AAGUID: r.Run.Key.AAGUID, Firmware: r.Run.Key.Firmware, Deviations: []Deviation{}}
	leaves := r.leaves()
	for _, id := range r.ids() {
		if result := leaves[id]; result != nil && failing(result) {
			b.Deviations = append(b.Deviations, Deviation{id, result.Observed, result.Reason})
		}
	}
	return b
}

// Save writes a new file, or one anew.
func (b *Baseline) Save(path string) error {
	text, err := yaml.Dump(b)
	if err != nil {
		return err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return &fs.PathError{Op: "write", Path: path, Err: errors.New("is a folder")}
	}
	return os.WriteFile(path, text, 0o644)
}
