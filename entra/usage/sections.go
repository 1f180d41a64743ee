package usage

import (
	"fmt"
	"strconv"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// The sections of the page, each nil where there is nothing to show. The library escapes
// every text and attribute; what stands in a style is made of numbers.

func (p *Page) tiles() g.Node {
	progress := p.Progress
	return h.Div(h.Class("tiles"),
		tile(Percent(progress.Members.WithPasskey, progress.Members.Users),
			g.Textf("%d of %d members have a passkey", progress.Members.WithPasskey, progress.Members.Users)),
		tile(strconv.Itoa(progress.Passkeys),
			g.Textf("%s of %d %s", plural(progress.Passkeys, "passkey"), len(progress.Models), plural(len(progress.Models), "model"))),
		tile(strconv.Itoa(len(progress.Without)), g.Text("members have none yet")),
		g.Iff(p.SignIns != nil, func() g.Node {
			return tile(Percent(p.SignIns.Passkey.SignIns, p.SignIns.All.SignIns),
				g.Text("of sign-ins with a passkey since\u00a0"), h.Span(h.Class("date"), g.Text(date(p.SignIns.Since))))
		}),
	)
}

func (p *Page) members() g.Node {
	progress := p.Progress
	return h.Section(h.H2(g.Text("Members with a passkey")),
		h.Div(h.Class("track big"), bar("c0", progress.Members.WithPasskey, progress.Members.Users)),
		h.P(h.Class("soft"), h.Style("margin: 10px 0 0"),
			g.Textf("Apart from these: %d of %d guests and %d of %d disabled accounts have one.",
				progress.Guests.WithPasskey, progress.Guests.Users, progress.Disabled.WithPasskey, progress.Disabled.Users)),
		g.If(p.Unread > 0, h.P(h.Class("bad"), h.Style("margin: 6px 0 0"), g.Textf("The passkeys of %d users could not be read.", p.Unread))),
	)
}

func (p *Page) history() g.Node {
	chart, progress := newChart(p.Progress), p.Progress
	if len(chart.Rows) == 0 {
		return nil
	}
	about := fmt.Sprintf("Passkeys that there are now, by %s of creation and model", progress.By)
	if progress.Undated > 0 {
		about += fmt.Sprintf("; of %d the date is not known", progress.Undated)
	}
	var key, rows g.Group
	for colour, name := range chart.Names {
		key = append(key, h.Li(h.I(h.Class(colourClass(colour))), g.Text(name)))
	}
	for _, row := range chart.Rows {
		parts := g.Map(row.Parts, func(part chartPart) g.Node {
			return bar(colourClass(part.Colour), part.Passkeys, chart.Most, h.Title(fmt.Sprintf("%s: %d", part.Name, part.Passkeys)))
		})
		rows = append(rows, h.Tr(h.Td(h.Class("date"), g.Text(row.Name)), h.Td(h.Class("bar"), h.Div(h.Class("track"), parts)),
			numbers(row.Passkeys, row.Synced, row.NewUsers, row.Users), number(Percent(row.Users, progress.Members.Users))))
	}
	return h.Section(h.H2(g.Text("When they were made")), soft(about+"."), h.Ul(h.Class("key"), key),
		table(headings(string(progress.By), "passkeys", "synced", "first ones", "members with one", "share"), rows))
}

func (p *Page) models(most most) g.Node {
	if len(p.Progress.Models) == 0 {
		return nil
	}
	return h.Section(h.H2(g.Text("Models in use")),
		table(headings("model", "passkeys", "users", "synced", "attested"), g.Map(p.Progress.Models, func(m Model) g.Node {
			return h.Tr(h.Td(g.Text(m.Name), h.Br(), h.Code(g.Text(m.AAGUID))), track("c0", m.Passkeys, most.Models),
				numbers(m.Passkeys, m.Users, m.Synced, m.Attested))
		})))
}

func (p *Page) methods(most most) g.Node {
	if len(p.Progress.Methods) == 0 {
		return nil
	}
	return h.Section(h.H2(g.Text("Methods that members have registered")),
		g.If(p.NoReport, soft("Passkeys only: the tenant's licence has no registration report.")),
		table(headings("method", "members", "share"), g.Map(p.Progress.Methods, func(m Count) g.Node {
			colour := "c6"
			if m.Passkey() {
				colour = "c0"
			}
			return h.Tr(h.Td(g.Text(m.Name)), track(colour, m.Users, most.Methods), numbers(m.Users), number(Percent(m.Users, most.Methods)))
		})))
}

func (p *Page) signIns(most most) g.Node {
	heading := h.H2(g.Text("Sign-ins with a passkey"))
	s := p.SignIns
	if s == nil {
		return h.Section(heading, h.P(h.Class("soft"), h.Style("margin: 0"), g.Text(p.Reason)))
	}
	return h.Section(heading,
		soft(fmt.Sprintf("Since %s: %d of %d successful sign-ins, by %d of %d users. %d attempts with a passkey failed.",
			date(s.Since), s.Passkey.SignIns, s.All.SignIns, s.Passkey.Users, s.All.Users, s.Failed)),
		g.If(len(s.Models) > 0, table(headings("model", "sign-ins", "users"), g.Map(s.Models, func(m SignedModel) g.Node {
			return h.Tr(h.Td(g.Text(m.Name)), track("c2", m.SignIns, most.Signed), numbers(m.SignIns, m.Users))
		}))),
		g.If(s.Unnamed > 0, h.P(h.Class("soft"), h.Style("margin-top: 10px"), g.Textf("Of %d the log does not tell the model.", s.Unnamed))),
		g.If(len(s.Methods) > 0, table(headings("in the log", "sign-ins", "users"), g.Map(s.Methods, func(m SignedWith) g.Node {
			return h.Tr(h.Td(g.Text(m.Method)), track("c2", m.SignIns, most.SignedWith), numbers(m.SignIns, m.Users))
		}), h.Style("margin-top: 14px"))),
		g.Iff(len(s.Recent) > 0, func() g.Node {
			head := h.Tr(h.Th(g.Text("time (UTC)")), h.Th(g.Text("user")), h.Th(g.Text("application")), h.Th(g.Text("passkey")), h.Th())
			return g.Group{h.H2(h.Style("margin-top: 20px"), g.Text("The latest")), table(head, g.Map(s.Recent, recent))}
		}),
	)
}

// recent is the row of one sign-in.
func recent(s SignedIn) g.Node {
	passkey := s.Name
	if passkey == "" {
		passkey = s.Method
	}
	return h.Tr(h.Td(h.Class("date"), g.Text(minute(s.Time))), h.Td(g.Text(s.User)), h.Td(g.Text(s.App)),
		h.Td(g.Text(passkey), g.If(s.Detail != "", g.Group{h.Br(), h.Code(g.Text(s.Detail))})),
		h.Td(h.Class("n"), g.If(!s.Succeeded, h.Span(h.Class("bad"), g.Text("failed")))))
}

func (p *Page) without() g.Node {
	names := p.Progress.Without
	if !p.Without || len(names) == 0 {
		return nil
	}
	return h.Section(h.Details(g.Attr("open"),
		h.Summary(h.B(g.Text("Members without a passkey")), g.Text(" "), h.Span(h.Class("soft"), g.Text(strconv.Itoa(len(names))))),
		h.Ul(h.Class("names"), g.Map(names, func(n Name) g.Node {
			return h.Li(g.If(n.DisplayName != "", g.Group{g.Text(n.DisplayName), h.Br()}), h.Code(g.Text(n.User)))
		}))))
}

// What sections are made of.

func tile(figure string, about ...g.Node) g.Node {
	return h.Div(h.Class("tile"), h.B(g.Text(figure)), h.Span(about...))
}

func soft(text string) g.Node { return h.P(h.Class("soft"), g.Text(text)) }

func table(head g.Node, rows g.Group, attributes ...g.Node) g.Node {
	return h.Div(h.Class("wide"), g.Group(attributes), h.Table(head, rows))
}

// headings is the first row: a name, one without words over the bars, numbers.
func headings(name string, columns ...string) g.Node {
	return h.Tr(h.Th(g.Text(name)), h.Th(h.Class("bar")), g.Map(columns, func(c string) g.Node { return h.Th(h.Class("n"), g.Text(c)) }))
}

func numbers(all ...int) g.Node {
	return g.Map(all, func(n int) g.Node { return number(strconv.Itoa(n)) })
}

func number(text string) g.Node { return h.Td(h.Class("n"), g.Text(text)) }

// track is a cell with one bar.
func track(colour string, part, whole int) g.Node {
	return h.Td(h.Class("bar"), h.Div(h.Class("track"), bar(colour, part, whole)))
}

func bar(colour string, part, whole int, attributes ...g.Node) g.Node {
	return h.I(h.Class(colour), h.Style(fmt.Sprintf("width: %.2f%%", share(part, whole))), g.Group(attributes))
}

func colourClass(colour int) string { return "c" + strconv.Itoa(colour) }

func plural(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func date(t time.Time) string   { return t.UTC().Format(time.DateOnly) }
func minute(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
