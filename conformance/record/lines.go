package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// ErrIncomplete is a report of a run that was ended before it was through.
var ErrIncomplete = errors.New("the run was ended before it was through")

// WriteLine writes a Run, a Result or a Summary as a line of JSON.
func WriteLine(w io.Writer, v any) error {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(line.Bytes())
	return err
}

// Write writes a whole report in lines.
func (r *Report) Write(w io.Writer) error {
	if err := WriteLine(w, r.Run); err != nil {
		return err
	}
	for i := range r.Results {
		if err := WriteLine(w, &r.Results[i]); err != nil {
			return err
		}
	}
	return WriteLine(w, r.Summary)
}

// Read reads the lines of a report, or what "fidokey conformance run --json"
// prints. The summary is counted anew.
func Read(in io.Reader) (*Report, error) {
	r := &Report{}
	lines := bufio.NewReader(in)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			if err := r.readLine(line); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if r.Run.Report == 0 {
		return nil, errors.New("that is no report of a conformance run")
	}
	r.Count()
	return r, nil
}

func (r *Report) readLine(line []byte) error {
	var kind struct {
		Type   string
		Result json.RawMessage
	}
	if err := json.Unmarshal(line, &kind); err != nil {
		return err
	}
	if kind.Result != nil { // of --json
		return r.readLine(kind.Result)
	}
	switch kind.Type {
	case "run":
		if err := json.Unmarshal(line, &r.Run); err != nil {
			return err
		}
		if r.Run.Report > Version {
			return fmt.Errorf("a report of version %d is too new", r.Run.Report)
		}
	case "result":
		var result Result
		if err := json.Unmarshal(line, &result); err != nil {
			return err
		}
		return r.take(result)
	case "summary":
		return json.Unmarshal(line, &r.Summary)
	}
	return nil // of a later version
}

func (r *Report) take(result Result) error {
	group, number, ok := strings.Cut(result.Case, "-")
	known := []string{Pass, Warning, Fail, Known, NotApplicable}
	if !ok || group == "" || len(number) != 3 || !slices.Contains(known, result.Outcome) {
		return fmt.Errorf("%q with outcome %q is no result", result.Case, result.Outcome)
	}
	r.Results = append(r.Results, result)
	return nil
}

// Load reads the report in a file.
func Load(path string) (*Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r, err := Read(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

// Merge joins the parts of a run that was divided. They must be about keys of one
// model; of a case that is in several of them, the worst result counts.
func Merge(parts ...*Report) (*Report, error) {
	merged := &Report{Run: parts[0].Run}
	merged.Run.Shard, merged.Run.Cases, merged.Summary.Complete = "", 0, true
	for _, part := range parts {
		if !part.Run.Key.sameModel(merged.Run.Key) {
			return nil, fmt.Errorf("the reports are about different keys: %v and %v", merged.Run.Key, part.Run.Key)
		}
		if part.Run.Started.Before(merged.Run.Started) {
			merged.Run.Started = part.Run.Started
		}
		merged.Run.Cases += part.Run.Cases
		if part.Run.Seed != merged.Run.Seed {
			merged.Run.Seed = ""
		}
		merged.Run.Released = merged.Run.Released && part.Run.Released
		merged.Summary.Complete = merged.Summary.Complete && part.Summary.Complete
		merged.Summary.TookMS += part.Summary.TookMS
		merged.takeFrom(part)
	}
	merged.sort()
	merged.Count()
	return merged, nil
}

// takeFrom adds the results of a part, case by case.
func (r *Report) takeFrom(part *Report) {
	for _, id := range part.caseIDs() {
		mine, theirs := r.result(id), part.result(id)
		switch {
		case mine == nil:
		case theirs == nil || severity[theirs.Outcome] <= severity[mine.Outcome]:
			continue
		default:
			r.Results = slices.DeleteFunc(r.Results, func(old Result) bool { return old.Case == id })
		}
		for _, result := range part.Results {
			if result.Case == id {
				r.Results = append(r.Results, result)
			}
		}
	}
}

var severity = map[string]int{NotApplicable: 0, Pass: 1, Warning: 2, Known: 3, Fail: 4}

// caseIDs are those of the cases in the report, in its order.
func (r *Report) caseIDs() (ids []string) {
	seen := map[string]bool{}
	for i := range r.Results {
		if id := r.Results[i].Case; !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}
