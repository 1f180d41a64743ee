package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/conformance/record"
)

// diffReport is the answer of "conformance diff".
type diffReport struct{ *record.Diff }

func (d diffReport) print(w *printer) {
	for _, c := range d.NewFailures {
		w.printf("new failure  %s  %s: %s", c.ID(), c.Title, c.After.Reason)
		if c.After.Repeat != "" {
			w.printf("             %s", c.After.Repeat)
		}
	}
	for _, c := range d.Fixed {
		w.printf("fixed        %s  %s", c.ID(), c.Title)
	}
	for _, c := range d.Changed {
		w.printf("changed      %s  %s: %s, then %s", c.ID(), c.Title, sideInWords(c.Before), sideInWords(c.After))
	}
	for words, ids := range map[string][]string{"then only": d.OnlyBefore, "now only": d.OnlyAfter} {
		if len(ids) > 0 {
			w.printf("%d cases applied %s: %s%s", len(ids), words, strings.Join(ids[:min(len(ids), 2*mostIDs)], " "), map[bool]string{true: " ..."}[len(ids) > 2*mostIDs])
		}
	}
	w.printf("%d new failures, %d fixed, %d changed, %d the same", len(d.NewFailures), len(d.Fixed), len(d.Changed), d.Same)
}

func sideInWords(s record.Side) string {
	return strings.TrimSpace(s.Outcome + " " + strings.Join(s.Observed, ", "))
}

func newConformanceDiffCmd(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Compare two runs: hardware with simulator, firmware with firmware",
		Long: `Compare the reports of two runs, of one key or of two: what fails now and did not, what
fails no more, and what is answered otherwise.

Exit code 7 means that there are new failures.`,
		Example: "  fidokey conformance diff firmware5.jsonl firmware6.jsonl\n  fidokey conformance diff simulator.jsonl key.jsonl --json",
		Args:    cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			before, after, err := loadTwo(args[0], args[1])
			if err != nil {
				return err
			}
			d := record.Compare(before, after)
			if err := e.say(nil, diffReport{d}); err != nil {
				return err
			}
			if n := len(d.NewFailures); n > 0 {
				return verifyError{fmt.Errorf("%s not fail before", count(n, "case fails that did", "cases fail that did"))}
			}
			return nil
		},
	}
}

func loadTwo(a, b string) (before, after *record.Report, err error) {
	if before, err = record.Load(a); err == nil {
		after, err = record.Load(b)
	}
	return before, after, err
}

// mergeReport is the answer of "conformance merge".
type mergeReport struct {
	Run     record.Run     `json:"run"`
	Summary record.Summary `json:"summary"`

	whole suiteSummary
}

func (r mergeReport) print(w *printer) { r.whole.print(w) }

func newConformanceMergeCmd(e *env) *cobra.Command {
	var files reportFiles
	cmd := &cobra.Command{
		Use:   "merge REPORT...",
		Short: "Join the reports of a run that was divided",
		Long: `Join the reports of a run that was divided by --shard, of keys of one model with one
firmware. Of a case that is in several, the worst result counts. With one report it
makes the other forms of it.

Exit code 7 means that a case fails.`,
		Example: "  fidokey conformance merge part1.jsonl part2.jsonl --report all.jsonl --junit all.xml --html all.html",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return runConformanceMerge(e, &files, args) },
	}
	files.addFlags(cmd)
	return cmd
}

func runConformanceMerge(e *env, files *reportFiles, paths []string) error {
	if err := files.check(); err != nil {
		return err
	}
	var parts []*record.Report
	for _, path := range paths {
		part, err := record.Load(path)
		if err != nil {
			return err
		}
		parts = append(parts, part)
	}
	merged, err := record.Merge(parts...)
	if err != nil {
		return usageError{err}
	}
	baseline, err := files.baselineOf(e, merged.Run.Key)
	if err != nil {
		return err
	}
	baseline.Apply(merged)
	if files.lines != "" {
		if err := writeTo(files.lines, merged.Write); err != nil {
			return err
		}
	}
	if err := files.write(merged); err != nil {
		return err
	}
	if err := e.say(nil, mergeReport{merged.Run, merged.Summary, suiteSummary{merged}}); err != nil {
		return err
	}
	if n := merged.Summary.Fail; n > 0 {
		return verifyError{fmt.Errorf("%s not as the specification has it", count(n, "case is", "cases are"))}
	}
	return nil
}
