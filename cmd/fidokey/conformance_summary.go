package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/fidokey/fidokey/conformance/record"
)

// suiteSummary is a report for people: failures with their messages, warnings, why
// cases did not apply, and the counts.
type suiteSummary struct{ *record.Report }

const (
	mostDetails = 20 // failures that are shown with their messages
	mostReasons = 12
	mostIDs     = 4
)

func (s suiteSummary) print(w *printer) {
	for i, failed := range s.Failures() {
		if i < mostDetails {
			fmt.Fprintf(w, "FAIL %s\n", printableLines(failed.Details()))
			continue
		}
		w.printf("FAIL %s: %s", failed.ID(), failed.Reason)
	}
	for i := range s.Results {
		if r := &s.Results[i]; r.Part == "" && r.Outcome == record.Warning {
			w.printf("warning %s: %s", r.ID(), r.Reason)
		}
	}
	s.printReasons(w)
	for _, id := range s.Summary.Baseline {
		w.printf("%s is in the baseline, and fails no more: take it out.", id)
	}
	w.printf("%s", s.Run.Key)
	if !s.Summary.Complete {
		w.printf("The run was ended before it was through.")
	}
	w.printf("%d of %d cases: %v, in %.1f s", s.Summary.Ran()+s.Summary.NotApplicable, s.Run.Cases, s.Summary, s.Summary.TookMS/1000)
}

// printReasons says why cases did not apply, the most frequent reasons first.
func (s suiteSummary) printReasons(w *printer) {
	reasons := map[string][]string{}
	for i := range s.Results {
		if r := &s.Results[i]; r.Part == "" && r.Outcome == record.NotApplicable {
			reasons[r.Reason] = append(reasons[r.Reason], r.Case)
		}
	}
	sorted := slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		return cmp.Or(len(reasons[b])-len(reasons[a]), cmp.Compare(a, b))
	})
	for i, reason := range sorted {
		if i == mostReasons {
			w.printf("and %d more reasons why cases do not apply: see the report", len(sorted)-i)
			break
		}
		ids := reasons[reason]
		more := ""
		if len(ids) > mostIDs {
			more = " ..."
		}
		w.printf("not applicable: %s: %s (%s%s)", count(len(ids), "case", "cases"), reason, strings.Join(ids[:min(len(ids), mostIDs)], " "), more)
	}
}

// printableLines is printable for text of several lines.
func printableLines(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n") + "\n"
}
