package record

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// The page in parts. The library escapes every text and attribute.

func (d *pageData) page() g.Node {
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			g.Raw(`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">`),
			h.Meta(h.Name("color-scheme"), h.Content("light dark")),
			h.TitleEl(g.Text("Conformance: "+d.Run.Key.String())),
			h.StyleEl(g.Raw(pageStyle)),
		),
		h.Body(d.header(), d.fixedLines(), d.comparison(), tools(), d.failures(), d.allCases(),
			h.NoScript(h.P(h.Class("warning"), g.Text("This browser runs no scripts: there is no search, and of the cases that pass there are no messages."))),
			h.Div(h.ID("packed"), g.Attr("hidden"), g.Text(d.Packed)),
			h.Script(g.Raw(pageScript)),
		),
	))
}

func (d *pageData) header() g.Node {
	key := []string{d.Run.Key.String()}
	if len(d.Run.Key.Versions) > 0 {
		key = append(key, words(d.Run.Key.Versions))
	}
	run := []string{at(d.Run.Started), seconds(d.Summary.TookMS) + " s"}
	if d.Run.Shard != "" {
		run = append(run, "part "+d.Run.Shard)
	}
	if !d.Run.Released {
		run = append(run, "the key was not released: only what leaves it as it was")
	}
	if d.Run.Tool != "" {
		run = append(run, "fidokey "+d.Run.Tool)
	}
	return h.Header(
		h.H1(g.Text("Conformance of a security key")),
		h.Div(h.Class("soft"), g.Text(strings.Join(key, " \u00b7 "))),
		h.Div(h.Class("soft"), g.Text(strings.Join(run, " \u00b7 "))),
		g.If(!d.Summary.Complete, h.P(h.Class("fail"), h.B(g.Text("The run was ended before it was through.")))),
		h.Div(h.Class("tiles"),
			tile(d.Summary.Fail, Fail, "fail"), tile(d.Summary.Warning, Warning, "warning"), tile(d.Summary.Known, Known, "known"),
			tile(d.Summary.Pass, Pass, "pass"), tile(d.Summary.NotApplicable, NotApplicable, "not applicable")),
	)
}

func tile(n int, outcome, name string) g.Node {
	return h.Div(h.Class("tile"), h.B(h.Class(outcome), g.Text(strconv.Itoa(n))), g.Text(name))
}

func (d *pageData) fixedLines() g.Node {
	return g.If(len(d.Summary.Baseline) > 0, h.P(g.Text("The baseline has what fails no more: "+words(d.Summary.Baseline)+".")))
}

func (d *pageData) comparison() g.Node {
	diff := d.Diff
	if diff == nil {
		return nil
	}
	var changes g.Group
	for _, c := range diff.NewFailures {
		changes = append(changes, c.item(Fail, "new failure", c.After.Reason))
	}
	for _, c := range diff.Fixed {
		changes = append(changes, c.item(Pass, "fixed", ""))
	}
	for _, c := range diff.Changed {
		changes = append(changes, c.item(Warning, "changed", fmt.Sprintf("%s %s \u2192 %s %s",
			labels[c.Before.Outcome], words(c.Before.Observed), labels[c.After.Outcome], words(c.After.Observed))))
	}
	list := h.P(g.Text("Nothing changed."))
	if len(changes) > 0 {
		list = h.Ul(changes)
	}
	return h.Section(h.ID("comparison"),
		h.H2(g.Text("Since the run before")),
		h.Div(h.Class("soft"), g.Text(diff.Before.Key.String()+", "+at(diff.Before.Started))),
		list,
		h.P(h.Class("soft"), g.Textf("%d the same; %d ran then only, %d now only.", diff.Same, len(diff.OnlyBefore), len(diff.OnlyAfter))),
	)
}

// item is a change as a line of the list.
func (c *Change) item(outcome, word, about string) g.Node {
	return h.Li(h.B(h.Class(outcome), g.Text(word)), g.Text(" "), h.A(h.Href("#"+c.Case), g.Text(c.ID())), g.Text(" "+c.Title), below(about))
}

func tools() g.Node {
	return h.Div(h.Class("tools"), h.Role("search"),
		h.Input(h.Type("search"), h.ID("search"), h.Placeholder("Search: MC-048, excludeList, PIN_INVALID, 6.1.2"), h.Aria("label", "Search cases")),
		g.Map(shownOutcomes, func(o string) g.Node {
			return h.Label(h.Class(o), h.Input(h.Type("checkbox"), h.Class("outcome"), h.Value(o), h.Checked()), g.Text(" "+labels[o]))
		}),
		h.Span(h.ID("count"), h.Class("soft"), h.Aria("live", "polite")),
	)
}

func (d *pageData) failures() g.Node {
	return g.If(len(d.Failed) > 0, h.Section(h.ID("failures"), h.H2(h.Class("fail"), g.Text("Failures")), g.Map(d.Failed, pageCase.node)))
}

func (d *pageData) allCases() g.Node {
	return h.Section(h.ID("groups"), h.H2(g.Text("All cases")), g.Map(d.Groups, func(group pageGroup) g.Node {
		return h.Details(h.Class("group"), g.If(group.Counts.Fail > 0, g.Attr("open")),
			h.Summary(g.Text(group.Name+" "), h.Span(h.Class("soft"), g.Text(fmt.Sprint(group.Title(), ": ", group.Counts)))),
			h.Div(g.Map(group.Rows, pageCase.node)))
	}))
}

func (c pageCase) node() g.Node {
	return h.Details(h.Class("case"), h.Data("outcome", c.Outcome), h.Data("case", c.Result.Case),
		g.If(c.Anchor, g.Group{h.ID(c.Result.Case), g.If(c.Outcome == Fail, g.Attr("open"))}),
		h.Summary(h.B(h.Class(c.Outcome), g.Text(labels[c.Outcome])), g.Text(" "), h.Code(g.Text(c.Result.Case)), g.Text(" "+c.Title), c.mark(), below(c.Reason)),
		h.Div(c.facts(), g.Map(c.Shown, c.exchange)),
	)
}

// mark says what has changed since the run before.
func (c *pageCase) mark() g.Node {
	if c.Change == "" {
		return nil
	}
	class := map[string]string{"new": Fail, "fixed": Pass}[c.Change]
	if class == "" {
		class = Warning
	}
	return g.Group{g.Text(" "), h.Span(h.Class("mark "+class), g.Text(c.Change))}
}

func (c *pageCase) facts() g.Node {
	accepted, profile := words(c.Accepted), c.Profile
	if c.AnyError {
		accepted += ", any error"
	}
	if c.Needs != "-" {
		profile += ", needs " + c.Needs
	}
	if len(c.Words) > 0 {
		profile += ", " + words(c.Words)
	}
	if c.Variant != "" {
		profile += ", played " + c.Variant
	}
	return h.Dl(
		fact("must be", c.Expected),
		g.If(len(c.Accepted) > 0, fact("accepted", accepted)),
		g.If(len(c.Tolerated) > 0, fact("tolerated", words(c.Tolerated))),
		g.If(len(c.Observed) > 0, fact("observed", words(c.Observed))),
		fact("says so", c.Section.String()),
		fact("profile", profile),
		g.If(len(c.Parts) > 0, fact("parts", strconv.Itoa(len(c.Parts)))),
		g.Map(c.Notes, func(note string) g.Node { return fact("note", note) }),
		g.If(c.Repeat != "", g.Group{h.Dt(g.Text("again")), h.Dd(h.Code(g.Text(c.Repeat)))}),
	)
}

func fact(name, text string) g.Node { return g.Group{h.Dt(g.Text(name)), h.Dd(g.Text(text))} }

// exchange is the messages of the case, or of one of its parts.
func (c *pageCase) exchange(r *Result) g.Node {
	var part g.Group
	if r.Part != "" {
		part = g.Group{h.H3(g.Text(r.ID() + ": " + labels[r.Outcome])), g.If(r.Reason != "", h.Div(h.Class("soft"), g.Text(r.Reason)))}
	}
	many := fmt.Sprintf("%d messages", len(r.Messages))
	switch {
	case len(r.Messages) == 0:
		return part
	case !c.Anchor:
		return append(part, h.P(h.A(h.Href("#"+r.Case), g.Text(many+": above"))))
	case r.LeftOut > 0:
		many += fmt.Sprintf(", %d more left out", r.LeftOut)
	}
	var lines g.Group
	if !r.IsPacked() {
		lines = g.Map(r.Messages, func(m Message) g.Node {
			return g.Group{h.Div(h.Class("message "+m.From), g.Text(m.Headline())), h.Pre(g.Text(m.BytesText()))}
		})
	}
	return append(part, h.Details(h.Class("exchange"), g.If(r.IsPacked(), h.Data("packed", r.ID())), h.Summary(g.Text(many)), h.Div(lines)))
}

// below is soft text on a line of its own.
func below(text string) g.Node {
	return g.If(text != "", g.Group{h.Br(), h.Span(h.Class("soft"), g.Text(text))})
}

func words(list []string) string { return strings.Join(list, ", ") }

func at(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
