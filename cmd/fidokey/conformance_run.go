package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/conformance/record"
)

type conformanceRunOptions struct {
	caseFilter
	shard        string
	seed         string
	trace        string // the file of --trace
	door         string
	untouched    bool
	endurance    int
	pin          pinSource
	files        reportFiles
	profileGiven bool
}

// reportFiles are where reports go, and what they are held against.
type reportFiles struct {
	lines, junit, html             string
	compare, baseline, newBaseline string

	before *record.Report // of compare
}

func (f *reportFiles) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.lines, "report", "", "write lines of JSON to this file: what 'diff' and 'merge' read")
	flags.StringVar(&f.junit, "junit", "", "write JUnit XML to this file")
	flags.StringVar(&f.html, "html", "", "write one page in HTML to this file")
	flags.StringVar(&f.compare, "compare", "", "the report of an earlier run: the page shows what has changed")
	flags.StringVar(&f.baseline, "baseline", "", "failures that are known of the key: a file, or a folder with one for each AAGUID and firmware")
	flags.StringVar(&f.newBaseline, "write-baseline", "", "write what fails to this file, as a baseline")
}

// check looks before anything is done whether the files can be read and written.
func (f *reportFiles) check() (err error) {
	for flag, path := range map[string]string{"--report": f.lines, "--junit": f.junit, "--html": f.html, "--write-baseline": f.newBaseline} {
		if folder, err := os.Stat(filepath.Dir(path)); path != "" && (err != nil || !folder.IsDir()) {
			return usageError{fmt.Errorf("%s %s: its folder is not there", flag, path)}
		}
	}
	if f.compare != "" {
		if f.before, err = record.Load(f.compare); err != nil {
			return usageError{fmt.Errorf("--compare: %w", err)}
		}
	}
	return nil
}

// baselineOf is the baseline for a key, or one that knows nothing.
func (f *reportFiles) baselineOf(e *env, key record.Key) (*record.Baseline, error) {
	if f.baseline == "" {
		return &record.Baseline{}, nil
	}
	b, err := record.LoadBaseline(f.baseline, key)
	if err != nil {
		return nil, usageError{fmt.Errorf("--baseline: %w", err)}
	}
	if b == nil {
		e.note("%s has no baseline for this key.", f.baseline)
		b = &record.Baseline{}
	}
	return b, nil
}

// write writes all but the lines.
func (f *reportFiles) write(r *record.Report) error {
	var errs []error
	for path, write := range map[string]func(w io.Writer) error{
		f.junit: r.WriteJUnit, f.html: func(w io.Writer) error { return r.WriteHTML(w, f.before) },
	} {
		if path != "" {
			errs = append(errs, writeTo(path, write))
		}
	}
	if f.newBaseline != "" {
		errs = append(errs, record.NewBaseline(r).Save(f.newBaseline))
	}
	return errors.Join(errs...)
}

// writeTo writes a file, in the place of an old one.
func writeTo(path string, write func(w io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func newConformanceRunCmd(e *env) *cobra.Command {
	o := conformanceRunOptions{door: bothDoors}
	cmd := &cobra.Command{
		Use:   "run [CASE...]",
		Short: "Run cases on a key and report what it does otherwise than it should",
		Long: `Run cases on a key and report what it does otherwise than it should: all that apply
to it, or some, by identifier or pattern, group, protocol level and need.

On the simulator every case runs, on a new key in memory, in a time in which waiting
takes none; it plays ` + suiteProfile + ` unless --simulator-profile names another. On a real key
only what leaves it as it was: no case resets it, enters a wrong PIN or changes a
setting. If its PIN is set and not given by a flag, cases that need it are left out.
Asking for a destructive case is exit code 8.

--trace records the run, and --device trace:FILE plays the recording in place of the
key: every case ends as it did, in no time, and CASEs choose which are reported.

Exit code 7 means that a case fails. One that does not apply to the key is no
failure; the report says why.`,
		Example: `  fidokey conformance run --device simulator
  fidokey conformance run MC-048 'HID-0*' --device simulator --simulator-profile default
  fidokey conformance run --pin-file pin.txt --junit report.xml --html report.html
  fidokey conformance run --shard 1/3 --report part1.jsonl --baseline baselines/`,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.profileGiven = cmd.Flags().Changed("simulator-profile")
			o.trace, e.global.trace = e.global.trace, "" // for the run, and not for what comes before it
			if cmd.Flags().Changed("simulator-state") {
				return usageError{errors.New("--simulator-state: the suite makes a key of its own, and no file is touched")}
			}
			return runConformance(cmd.Context(), e, &o, args)
		},
	}
	cmd.ValidArgsFunction = completeCases
	o.caseFilter.addFlags(cmd)
	o.files.addFlags(cmd)
	o.pin.addFlags(cmd, "pin", "the PIN of the key")
	flags := cmd.Flags()
	flags.StringVar(&o.shard, "shard", "", "I/N: run the I-th of N parts, which take about as long; 'merge' joins their reports")
	flags.StringVar(&o.seed, "seed", "", "what the random bytes of the run come from: with that of a report, cases send the same again (default: chance)")
	flags.Var(oneOf{&o.door, []string{bothDoors, hidDoor, nfcDoor}}, "door", "of the simulator: "+bothDoors+", "+hidDoor+" or "+nfcDoor)
	flags.BoolVar(&o.untouched, "no-touch", false, "nobody touches the key: cases for which it asks for a touch are left out")
	flags.IntVar(&o.endurance, "endurance", 0, "the rounds of cases that go on for long (default: as many as they say, up to 1000)")
	return cmd
}

func runConformance(ctx context.Context, e *env, o *conformanceRunOptions, ids []string) (err error) {
	if err := o.parseShard(); err != nil {
		return err
	}
	match, err := o.match(ids)
	if err != nil {
		return err
	}
	chosen, destructive := chosenCases(match, ids)
	switch {
	case chosen == 0:
		return errNoCase
	case destructive != "" && e.mayBeInUse():
		return safetyError{fmt.Errorf("%s %w", destructive, errDestructive)}
	}
	if err := errors.Join(o.files.check(), o.checkTrace(e)); err != nil {
		return err
	}
	key, err := e.suiteKeyOf(ctx, o)
	if err != nil {
		return err
	}
	if key.close != nil {
		defer func() { err = errors.Join(err, key.close()) }()
	}
	if key.recorded != nil {
		asked := match
		match = func(c *conformance.Case) bool { return asked(c) && key.recorded(c) }
		if chosen, _ = chosenCases(match, ids); chosen == 0 {
			return errNoCase
		}
	} else if destructive != "" && !key.released { // a bench may refuse to release it
		return safetyError{fmt.Errorf("%s %w", destructive, errDestructive)}
	}
	if o.seed != "" {
		key.again += " --seed " + shellWord(o.seed)
	}
	sink, err := newSuiteSink(e, o, key, chosen)
	if err != nil {
		return err
	}
	return sink.run(ctx, match)
}

// mayBeInUse is false for keys that have nothing to lose, and for those of which a
// bench file says so.
func (e *env) mayBeInUse() bool {
	d := e.global.device
	return d != simulatorName && !strings.HasPrefix(d, benchPrefix) && !strings.HasPrefix(d, tracePrefix)
}

// parseShard reads I/N.
func (o *conformanceRunOptions) parseShard() error {
	if o.shard == "" {
		return nil
	}
	if n, err := fmt.Sscanf(o.shard, "%d/%d", &o.Shard, &o.Shards); n != 2 || err != nil || fmt.Sprintf("%d/%d", o.Shard, o.Shards) != o.shard {
		return usageError{fmt.Errorf("--shard %s: it is I/N, as in 1/3", o.shard)}
	}
	return nil
}

// errNoCase means that the filters leave nothing.
var errNoCase = usageError{errors.New("no case is chosen")}

var errDestructive = errors.New("would destroy what is on the key, or lock its PIN; only a bench file releases a key for that")

// chosenCases counts the cases, and returns one that is destructive if that was asked
// for by name, or if all are.
func chosenCases(match func(c *conformance.Case) bool, ids []string) (n int, destructive string) {
	harmless, any := 0, ""
	for _, c := range conformance.Cases() {
		switch {
		case !match(&c):
			continue
		case !c.Destructive():
			harmless++
		case namesCase(ids, c.ID):
			destructive = c.ID
		default:
			any = c.ID
		}
		n++
	}
	if harmless == 0 && destructive == "" {
		destructive = any
	}
	return n, destructive
}

func namesCase(ids []string, id string) bool {
	return slices.ContainsFunc(ids, func(one string) bool {
		named, _, _ := strings.Cut(one, "/")
		return strings.EqualFold(named, id)
	})
}

// A suiteSink takes what a run finds and passes it on.
type suiteSink struct {
	e        *env
	o        *conformanceRunOptions
	key      *suiteKey
	baseline *record.Baseline
	lines    io.WriteCloser // nil: no file
	report   record.Report
	parts    []*record.Result // of the case at work
	began    time.Time        // when the first case did, in the time of the key
	err      error            // the first of writing
}

func newSuiteSink(e *env, o *conformanceRunOptions, key *suiteKey, chosen int) (s *suiteSink, err error) {
	s = &suiteSink{e: e, o: o, key: key}
	if s.baseline, err = o.files.baselineOf(e, key.key); err != nil {
		return nil, err
	}
	if o.files.lines != "" {
		if s.lines, err = os.Create(o.files.lines); err != nil {
			return nil, err
		}
	}
	s.report.Run = record.Run{
		Type: "run", Report: record.Version, Started: time.Now().UTC().Truncate(time.Millisecond), Key: key.key,
		Released: key.released, Cases: chosen, Shard: o.shard, Tool: version(), Seed: cmp.Or(key.seed, o.seed, conformance.NewSeed()),
	}
	return s, nil
}

// run runs the cases and reports, whatever ended the run.
func (s *suiteSink) run(ctx context.Context, match func(c *conformance.Case) bool) error {
	s.e.jsonLines = true // programs read them while the command runs
	tape, finish, err := s.o.record(s.e, s.key)
	if err != nil {
		return err
	}
	s.line(s.report.Run)
	results := make(chan record.Result)
	var gone error
	var atWork atomic.Value
	go func() {
		defer close(results)
		gone = s.key.run(ctx, conformance.Selection{
			Match: match, Seed: s.report.Run.Seed, Trace: tape,
			Begin:  func(c *conformance.Case) { atWork.Store(c.ID) },
			Report: func(r *conformance.Result) { results <- record.From(r) },
		})
	}()
	still := time.NewTicker(time.Minute) // some cases wait for ten
	defer still.Stop()
	for running := true; running; {
		select {
		case r, more := <-results:
			if running = more; more {
				s.take(r)
			}
		case <-still.C:
			if id, ok := atWork.Load().(string); ok {
				s.progress(id, " is at work")
			}
		}
	}
	s.finish(ctx.Err() == nil && gone == nil)
	if s.lines != nil {
		s.err = errors.Join(s.err, s.lines.Close())
	}
	err = errors.Join(gone, ctx.Err(), s.err, finish(), s.o.files.write(&s.report))
	if n := s.report.Summary.Fail; err == nil && n > 0 {
		err = verifyError{fmt.Errorf("%s not as the specification has it", count(n, "case is", "cases are"))}
	}
	return err
}

// take is for one result.
func (s *suiteSink) take(r record.Result) {
	if s.key.ownTime {
		if s.began.IsZero() {
			s.began = r.Began
		}
		r.Began = s.report.Run.Started.Add(r.Began.Sub(s.began))
	}
	r.Repeat = "fidokey conformance run " + r.Case + s.key.again
	s.baseline.Judge(&r, s.parts)
	s.report.Results = append(s.report.Results, r)
	s.line(&r)
	if r.Part != "" {
		s.parts = append(s.parts, &r)
		return
	}
	s.parts = nil
	s.report.Summary.Add(&r)
	if done := s.report.Summary.Ran() + s.report.Summary.NotApplicable; s.e.events() || s.e.liveTerminal() || done%plainStep == 0 {
		s.progress(r.Case, "")
	}
}

// line writes a line of JSON to where they are wanted.
func (s *suiteSink) line(v any) {
	var err error
	if s.lines != nil {
		err = record.WriteLine(s.lines, v)
	}
	if s.e.global.json {
		err = errors.Join(err, s.e.say(&s.key.device, reportLine{v}))
	}
	if s.err == nil {
		s.err = err
	}
}

// A reportLine is a line of a report as the answer of a command.
type reportLine struct{ v any }

func (l reportLine) MarshalJSON() ([]byte, error) { return json.Marshal(l.v) }

func (reportLine) print(*printer) {}

// plainStep is after how many cases a line tells how far the run is, where no line
// can move.
const plainStep = 100

func (s *suiteSink) progress(id, does string) {
	summary, total := s.report.Summary, s.report.Run.Cases
	done := summary.Ran() + summary.NotApplicable
	s.e.wait(fmt.Sprintf("%d of %d cases, %d failed, %s%s...", done, total, summary.Fail, id, does), eventProgress,
		map[string]any{"case": id, "done": done, "total": total, "failed": summary.Fail})
}

// finish ends the report, and prints it for people.
func (s *suiteSink) finish(complete bool) {
	summary := &s.report.Summary
	summary.TookMS = float64(time.Since(s.report.Run.Started).Milliseconds())
	summary.Complete = complete
	s.baseline.Apply(&s.report)
	s.line(s.report.Summary)
	s.e.live.stop()
	if !s.e.global.json {
		err := s.e.print(suiteSummary{&s.report})
		if s.err == nil {
			s.err = err
		}
	}
}
