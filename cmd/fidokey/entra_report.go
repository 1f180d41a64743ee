package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/entra/usage"
)

type entraReportOptions struct {
	graph          graphOptions
	by             string
	since          string
	recent         int
	without        bool
	csv, html      string
	sinceTime, now time.Time // the first is zero without sign-ins
}

func newEntraReportCmd(e *env) *cobra.Command {
	o := entraReportOptions{by: string(usage.Month)}
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Report how far passkeys have come in the tenant",
		Long: `Report how far passkeys have come in the tenant: how many members have one, of which
models and since when, who has none, and what the sign-in log says of sign-ins with
passkeys. Guests and disabled accounts are counted apart.

What is counted by time are the passkeys that there are now: of those that were deleted
nothing is known. Of a sign-in the log has the passkey's name and often the AAGUID; it
keeps some weeks at most, and asking for many days of a large tenant takes its time.
--since 0 leaves it out.

--html makes a page with bars that needs nothing but itself. --csv has a line for each
model in each period; with --without one for each member who has no passkey.

The sign-in log, and who has registered what, need a licence for Microsoft Entra ID P1
or P2. Without it every user is asked for, and the sign-ins are left out. If the passkeys
of single users cannot be read the others are reported, and the exit code is 1.

It takes the permissions AuditLog.Read.All, User.Read.All and
UserAuthMethod-Passkey.Read.All (some tenants want Directory.Read.All for the log, too);
a person who signs in needs the role Global Reader, or Authentication Administrator with
Reports Reader.

` + signInHelp,
		Example: `  fidokey entra report
  fidokey entra report --html passkeys.html --by quarter --since 30d
  fidokey entra report --without --csv missing.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runEntraReport(cmd.Context(), e, &o) },
	}
	flags := cmd.Flags()
	flags.Var(oneOf{&o.by, []string{string(usage.Month), string(usage.Quarter), string(usage.Year)}}, "by", "count by month, quarter or year")
	flags.StringVar(&o.since, "since", "7d", "sign-ins since a date (2026-01-31), or for so many days (30d) or hours (12h); 0 for none")
	flags.IntVar(&o.recent, "recent", 10, "how many of the latest sign-ins with passkeys to list")
	flags.BoolVar(&o.without, "without", false, "list the members who have no passkey")
	flags.StringVar(&o.csv, "csv", "", "write comma-separated values to this new file; '-' prints them and nothing else")
	flags.StringVar(&o.html, "html", "", "write a page to this new file")
	o.graph.addFlags(cmd)
	return cmd
}

// entraReport is the answer of "entra report".
type entraReport struct {
	Made time.Time `json:"made"`
	*usage.Progress
	NoReport bool           `json:"noReport"` // every user was asked for; methods are those of passkeys
	SignIns  *usage.SignIns `json:"signIns,omitempty"`
	NoLog    string         `json:"noLog,omitempty"` // why there are no sign-ins
	Unread   []entraUnread  `json:"unread,omitempty"`

	list bool // those without
}

func runEntraReport(ctx context.Context, e *env, o *entraReportOptions) error {
	if err := o.check(e); err != nil {
		return err
	}
	g, err := o.graph.clientOf(e)
	if err != nil {
		return err
	}
	people, noReport, err := usage.People(ctx, g, e.noteRead)
	if err != nil {
		return err
	}
	r := &entraReport{Made: o.now, NoReport: noReport, list: o.without}
	for i := range people {
		p := &people[i]
		p.UserMethods = tidy(p.UserMethods)
		if p.Err != nil {
			r.Unread = append(r.Unread, entraUnread{p.UPN, p.Err.Error()})
		}
	}
	name := namer()
	r.Progress = usage.NewProgress(people, usage.Unit(o.by), o.now, name)
	failed := o.readLog(ctx, g, people, r.namer(name), r)
	shown, err := csvOutput(o.csv).write(r.csv(), r)
	if o.html != "" {
		err = errors.Join(err, r.writePage(o.html))
	}
	if shown != nil {
		err = errors.Join(e.say(nil, shown), err)
	}
	return errors.Join(err, failed, unread(r.Unread))
}

// namer knows besides what Microsoft calls the models that are in use.
func (r *entraReport) namer(name usage.Namer) usage.Namer {
	inUse := map[string]string{}
	for _, m := range r.Models {
		inUse[m.AAGUID] = m.Name
	}
	return func(aaguid string) string { return cmp.Or(inUse[aaguid], name(aaguid)) }
}

// check reads the flags.
func (o *entraReportOptions) check(e *env) (err error) {
	o.now = time.Now().UTC().Truncate(time.Second)
	if o.sinceTime, err = parseSince(o.since, o.now); err != nil {
		return usageError{fmt.Errorf("--since %s: %w", o.since, err)}
	}
	if o.recent < 0 {
		return usageError{errors.New("--recent is less than 0")}
	}
	if o.html != "" && o.html == o.csv {
		return usageError{errors.New("--html and --csv name the same file")}
	}
	return errors.Join(csvOutput(o.csv).check(e), refuseOldFile("--html", o.html))
}

// parseSince reads a date, or how long ago; 0 is the zero time.
func parseSince(s string, now time.Time) (t time.Time, err error) {
	if s == "0" {
		return t, nil
	}
	if date, err := time.Parse(time.DateOnly, s); err == nil {
		return date, future(date, now)
	}
	var ago time.Duration
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, wrong := strconv.ParseUint(days, 10, 16)
		ago, err = time.Duration(n)*24*time.Hour, wrong
	} else {
		ago, err = time.ParseDuration(s)
	}
	if err != nil || ago <= 0 {
		return t, errors.New("it is neither a date as 2026-01-31 nor a time as 30d or 12h")
	}
	return now.Add(-ago), nil
}

func future(t, now time.Time) error {
	if t.After(now) {
		return errors.New("it is in the future")
	}
	return nil
}

// readLog reads the sign-in log, if it is wanted. That the licence does not give it is no
// error.
func (o *entraReportOptions) readLog(ctx context.Context, g *graph.Client, people []usage.Person, name usage.Namer, r *entraReport) error {
	if o.sinceTime.IsZero() {
		r.NoLog = "The sign-in log was not asked for."
		return nil
	}
	log := usage.NewLog(o.sinceTime, o.recent, people, name)
	for s, err := range g.SignIns(ctx, o.sinceTime) {
		switch {
		case errors.Is(err, graph.ErrNonPremium):
			r.NoLog = "The tenant's licence does not give the sign-in log: that takes Microsoft Entra ID P1 or P2."
			return nil
		case err != nil:
			r.NoLog = "The sign-in log could not be read: " + err.Error()
			return err
		}
		log.Add(tidySignIn(s))
	}
	r.SignIns = log.Result()
	return nil
}

// tidySignIn is tidy for a sign-in.
func tidySignIn(s graph.LoggedSignIn) graph.LoggedSignIn {
	s.UPN, s.App = printable(s.UPN), printable(s.App)
	for i := range s.Details {
		d := &s.Details[i]
		d.Method, d.Detail = printable(d.Method), printable(d.Detail)
	}
	return s
}

// csv has a line for each model in each period, or for each member without a passkey.
func (r *entraReport) csv() (rows [][]string) {
	if r.list {
		rows = append(rows, []string{"user", "display_name"})
		for _, n := range r.Without {
			rows = append(rows, []string{n.User, n.DisplayName})
		}
		return rows
	}
	rows = append(rows, []string{"aaguid", "name", "period", "passkeys", "users"})
	for _, p := range r.Periods {
		for _, m := range p.Models {
			rows = append(rows, []string{m.AAGUID, m.Name, p.Name, strconv.Itoa(m.Passkeys), strconv.Itoa(m.Users)})
		}
	}
	return rows
}

func (r *entraReport) writePage(path string) error {
	page := usage.Page{
		Title: "Passkeys in the tenant", Made: r.Made, Progress: r.Progress, SignIns: r.SignIns, Reason: r.NoLog,
		NoReport: r.NoReport, Unread: len(r.Unread), Without: r.list,
	}
	var text bytes.Buffer
	if err := page.WriteHTML(&text); err != nil {
		return err
	}
	return writeNewFile(path, text.Bytes())
}

func (r *entraReport) print(w *printer) {
	w.printf("%d of %d members have a passkey (%s), %d have none.", r.Members.WithPasskey, r.Members.Users, usage.Percent(r.Members.WithPasskey, r.Members.Users), len(r.Without))
	w.printf("Apart from these %d of %d guests and %d of %d disabled accounts.", r.Guests.WithPasskey, r.Guests.Users, r.Disabled.WithPasskey, r.Disabled.Users)
	if r.NoReport {
		w.printf("The tenant's licence has no registration report, so every user was asked for.")
	}
	if len(r.Periods) > 0 {
		w.printf("")
		r.printPeriods(w)
		w.printf("")
		r.printModelPeriods(w)
	}
	if len(r.Models) > 0 {
		w.printf("")
		printModels(w, r.Models)
	}
	if len(r.Methods) > 0 {
		w.printf("")
		r.printMethods(w)
	}
	w.printf("")
	r.printSignIns(w)
	if r.list && len(r.Without) > 0 {
		w.printf("")
		var rows [][]string
		for _, n := range r.Without {
			rows = append(rows, []string{n.User, dashIfEmpty(n.DisplayName)})
		}
		w.table([]string{"without a passkey", "display name"}, rows)
	}
}

// bar is a printed one.
func bar(n, most int) string {
	const longest = 20
	if n == 0 || most == 0 {
		return ""
	}
	return strings.Repeat("█", max(1, n*longest/most))
}

func (r *entraReport) printPeriods(w *printer) {
	most := 0
	for _, p := range r.Periods {
		most = max(most, p.Passkeys)
	}
	var rows [][]string
	for _, p := range r.Periods {
		rows = append(rows, []string{p.Name, strconv.Itoa(p.Passkeys), strconv.Itoa(p.Synced), bar(p.Passkeys, most), strconv.Itoa(p.Users), usage.Percent(p.Users, r.Members.Users)})
	}
	w.table([]string{string(r.By), "made", "synced", "", "members", "share"}, rows)
	if r.Undated > 0 {
		w.printf("Of %s it is not known when they were made.", plural(r.Undated, "passkey"))
	}
}

// printModelPeriods has the models by period, of which the last have room on a line.
func (r *entraReport) printModelPeriods(w *printer) {
	const shown = 6
	last := r.Periods[max(0, len(r.Periods)-shown):]
	header := []string{"model"}
	made := map[string][]int{} // by AAGUID
	for i, p := range last {
		header = append(header, p.Name)
		for _, m := range p.Models {
			if made[m.AAGUID] == nil {
				made[m.AAGUID] = make([]int, len(last))
			}
			made[m.AAGUID][i] = m.Passkeys
		}
	}
	var rows [][]string
	for _, m := range r.Models {
		if counts := made[m.AAGUID]; counts != nil {
			rows = append(rows, slices.Concat([]string{m.Name}, numbers(counts...)))
		}
	}
	w.table(header, rows)
}

func (r *entraReport) printMethods(w *printer) {
	var rows [][]string
	for _, m := range r.Methods {
		rows = append(rows, []string{m.Name, strconv.Itoa(m.Users), usage.Percent(m.Users, r.Members.Users), bar(m.Users, r.Members.Users)})
	}
	w.table([]string{"method", "members", "share", ""}, rows)
}

func (r *entraReport) printSignIns(w *printer) {
	s := r.SignIns
	if s == nil {
		w.printf("%s", r.NoLog)
		return
	}
	w.printf("Sign-ins since %s: %d of %d with a passkey (%s), by %d of %d users; %d with a passkey failed.", s.Since.Format(time.DateOnly),
		s.Passkey.SignIns, s.All.SignIns, usage.Percent(s.Passkey.SignIns, s.All.SignIns), s.Passkey.Users, s.All.Users, s.Failed)
	var rows [][]string
	for _, m := range s.Models {
		rows = append(rows, slices.Concat([]string{m.Name}, numbers(m.SignIns, m.Users), []string{bar(m.SignIns, s.Passkey.SignIns)}))
	}
	if s.Unnamed > 0 {
		rows = append(rows, []string{"(the log does not tell)", strconv.Itoa(s.Unnamed), "", bar(s.Unnamed, s.Passkey.SignIns)})
	}
	if len(rows) > 0 {
		w.printf("")
		w.table([]string{"model", "sign-ins", "users", ""}, rows)
	}
	rows = nil
	for _, m := range s.Methods {
		rows = append(rows, slices.Concat([]string{m.Method}, numbers(m.SignIns, m.Users), []string{bar(m.SignIns, s.Passkey.SignIns)}))
	}
	if len(rows) > 0 {
		w.printf("")
		w.table([]string{"in the log", "sign-ins", "users", ""}, rows)
	}
	rows = nil
	for _, one := range s.Recent {
		outcome := "ok"
		if !one.Succeeded {
			outcome = "FAILED"
		}
		rows = append(rows, []string{one.Time.Format("2006-01-02 15:04"), outcome, one.User, one.App, one.Method, dashIfEmpty(shortDetail(one)), dashIfEmpty(one.Name)})
	}
	if len(rows) > 0 {
		w.printf("")
		w.table([]string{"time (UTC)", "", "user", "application", "method", "detail", "model"}, rows)
	}
}

// shortDetail leaves out the AAGUID, for which the model stands.
func shortDetail(one usage.SignedIn) string {
	if at := len(one.Detail) - aaguidLength; at >= 0 && one.AAGUID != "" && strings.EqualFold(one.Detail[at:], one.AAGUID) {
		return strings.TrimRight(one.Detail[:at], " -")
	}
	return one.Detail
}
