package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/conformance"
	"github.com/fidokey/fidokey/conformance/record"
)

func newConformanceCmd(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "conformance",
		Short: "Hold a key against the specification, case by case",
		Long: `Hold a key against the specification, in 709 cases: each says what is sent and what
must come back, and which section of CTAP says so.

docs/conformance.md tells which cases run on which key, and what to do with reports.`,
		Example: "  fidokey conformance run --device simulator\n  fidokey conformance show MC-048",
	}
	cmd.AddCommand(newConformanceListCmd(e), newConformanceShowCmd(e), newConformanceRunCmd(e), newConformanceDiffCmd(e), newConformanceMergeCmd(e))
	return cmd
}

// caseFilter are the flags that choose cases.
type caseFilter struct{ conformance.Filter }

func (f *caseFilter) addFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.Groups, "group", nil, "only these groups: what cases begin with, as MC or PIN")
	// Asked only now, for it reads all cases.
	cmd.RegisterFlagCompletionFunc("group", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return conformance.Groups(), cobra.ShellCompDirectiveNoFileComp
	})
	flags.StringSliceVar(&f.Profiles, "profile", nil, "only these protocol levels: all, 2.1, 2.3")
	flags.StringVar(&f.Needs, "need", "", "only cases that need one of these: U touch, N no touch, P PIN, R reset, C power cycle, B finger, D delay, - nothing")
	flags.StringVar(&f.Without, "without", "", "no cases that need one of these")
}

// match is the choice that flags and arguments make.
func (f *caseFilter) match(ids []string) (func(c *conformance.Case) bool, error) {
	f.IDs = ids
	match, err := f.Match()
	if err != nil {
		return nil, usageError{err}
	}
	return match, nil
}

// caseReport is a case in JSON.
type caseReport struct {
	Case        string         `json:"case"`
	Group       string         `json:"group"`
	Title       string         `json:"title"`
	Profile     string         `json:"profile"`
	Needs       string         `json:"needs"`
	Words       []string       `json:"words,omitempty"`
	Expected    string         `json:"expected"`
	Accepted    []string       `json:"accepted,omitempty"`
	Tolerated   []string       `json:"tolerated,omitempty"`
	AnyError    bool           `json:"anyError,omitempty"`
	Record      bool           `json:"record,omitempty"`
	Section     record.Section `json:"section"`
	Destructive bool           `json:"destructive"`
}

func newCaseReport(c *conformance.Case) caseReport {
	answers, section := c.Answers(), c.Section()
	return caseReport{
		Case: c.ID, Group: c.Group(), Title: c.Title, Profile: c.Profile, Needs: c.Needs, Words: c.Words, Expected: c.Expected,
		Accepted: answers.Accepted, Tolerated: answers.Tolerated, AnyError: answers.AnyError, Record: answers.Record,
		Section: record.Section{Document: section.Document, Number: section.Number, Title: section.Title}, Destructive: c.Destructive(),
	}
}

// casesReport is the answer of "conformance list".
type casesReport struct {
	Cases []caseReport `json:"cases"`
}

func (r casesReport) print(w *printer) {
	var rows [][]string
	for _, c := range r.Cases {
		rows = append(rows, []string{c.Case, c.Profile, c.Needs, strings.Join(c.Words, " "), c.Section.Number, c.Title + " -> " + c.Expected})
	}
	w.table([]string{"case", "profile", "needs", "state", "section", "what is sent -> what must come back"}, rows)
	w.printf("%d cases", len(r.Cases))
}

func newConformanceListCmd(e *env) *cobra.Command {
	var filter caseFilter
	cmd := &cobra.Command{
		Use:   "list [CASE...]",
		Short: "List the cases of the suite",
		Long: `List the cases of the suite, all or some: by identifier or pattern, group, protocol
level, and what they need.`,
		Example: "  fidokey conformance list --group PIN\n  fidokey conformance list 'MC-0*' --need P --json",
		RunE: func(_ *cobra.Command, args []string) error {
			match, err := filter.match(args)
			if err != nil {
				return err
			}
			r := casesReport{Cases: []caseReport{}}
			for _, c := range conformance.Cases() {
				if match(&c) {
					r.Cases = append(r.Cases, newCaseReport(&c))
				}
			}
			return e.say(nil, r)
		},
	}
	cmd.ValidArgsFunction = completeCases
	filter.addFlags(cmd)
	return cmd
}

func completeCases(_ *cobra.Command, _ []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	var ids []string
	for _, c := range conformance.Cases() {
		if strings.HasPrefix(c.ID, strings.ToUpper(toComplete)) {
			ids = append(ids, c.ID+"\t"+c.Title)
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// caseShown is the answer of "conformance show".
type caseShown struct {
	caseReport
	// Simulator is what the simulator made of it, with the messages.
	Simulator *record.Result `json:"simulator,omitempty"`
}

func (r caseShown) print(w *printer) {
	w.line("Case", "%s", r.Case)
	w.line("Sent", "%s", r.Title)
	w.line("Must be", "%s", r.Expected)
	if len(r.Accepted) > 0 || r.AnyError {
		accepted := r.Accepted
		if r.AnyError {
			accepted = append(accepted, "any error")
		}
		w.line("Accepted", "%s", strings.Join(accepted, ", "))
	}
	if len(r.Tolerated) > 0 {
		w.line("Tolerated", "%s", strings.Join(r.Tolerated, ", "))
	}
	w.line("Says so", "%s", r.Section)
	w.line("Protocol level", "%s", map[string]string{"all": "every CTAP2 key", "2.1": "2.1, or a key that lists the feature", "2.3": "2.3, or a key that lists the feature"}[r.Profile])
	w.line("Needs", "%s", needsInWords(r.Needs))
	if len(r.Words) > 0 {
		w.line("State of the key", "%s", strings.Join(r.Words, ", "))
	}
	w.line("Destructive", "%s", map[bool]string{true: "yes: it resets the key, or locks its PIN", false: "no"}[r.Destructive])
	if r.Simulator == nil {
		return
	}
	w.line("On the simulator", "%s", r.Simulator.Outcome)
	for _, m := range r.Simulator.Messages {
		w.Write([]byte("\n" + m.String() + "\n"))
	}
	if r.Simulator.LeftOut > 0 {
		w.printf("%d more messages are left out.", r.Simulator.LeftOut)
	}
}

var needWords = map[rune]string{
	'U': "touches", 'N': "a touch that does not come", 'P': "a PIN that is set", 'R': "a key that was reset", 'C': "a power cycle",
	'B': "a fingerprint sensor", 'D': "time to pass",
}

func needsInWords(needs string) string {
	var words []string
	for _, letter := range needs {
		if word := needWords[letter]; word != "" {
			words = append(words, word)
		}
	}
	return cmp.Or(strings.Join(words, ", "), "nothing")
}

func newConformanceShowCmd(e *env) *cobra.Command {
	var exchange bool
	cmd := &cobra.Command{
		Use:   "show CASE",
		Short: "Show what a case sends, what must come back, and where that is written",
		Long: `Show what a case sends, what must come back, and which section of a specification
says so. --exchange runs it on a simulated key and shows every message, in
hexadecimal and in the diagnostic notation of CBOR.`,
		Example: "  fidokey conformance show MC-048\n  fidokey conformance show MC-048 --exchange",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runConformanceShow(cmd.Context(), e, strings.ToUpper(args[0]), exchange)
		},
	}
	cmd.ValidArgsFunction = completeCases
	cmd.Flags().BoolVar(&exchange, "exchange", false, "run it on a simulated key and show the messages")
	return cmd
}

func runConformanceShow(ctx context.Context, e *env, id string, exchange bool) error {
	id, _, _ = strings.Cut(id, "/")
	for _, c := range conformance.Cases() {
		if c.ID != id {
			continue
		}
		shown := caseShown{caseReport: newCaseReport(&c)}
		if exchange {
			result, err := onSimulator(ctx, id)
			if err != nil {
				return err
			}
			shown.Simulator = result
		}
		return e.say(nil, shown)
	}
	return usageError{fmt.Errorf("there is no case %s; 'fidokey conformance list' has them all", id)}
}

// onSimulator runs one case on the simulator with everything.
func onSimulator(ctx context.Context, id string) (last *record.Result, err error) {
	key, err := simulatedSuiteKey(suiteProfile, bothDoors, 0)
	if err != nil {
		return nil, err
	}
	err = key.run(ctx, conformance.Selection{
		Match:  func(c *conformance.Case) bool { return c.ID == id },
		Report: func(r *conformance.Result) { last = new(record.From(r)) },
	})
	if last == nil && err == nil {
		err = errors.New("interrupted")
	}
	return last, err
}
