package usage

import (
	_ "embed"
	"fmt"
	"io"
	"slices"
	"time"

	g "maragu.dev/gomponents"
	h "maragu.dev/gomponents/html"
)

// Page is a report to look at.
type Page struct {
	Title    string
	Made     time.Time
	Progress *Progress
	SignIns  *SignIns // nil: not known, for a Reason
	Reason   string
	NoReport bool // the tenant has no registration report
	Unread   int  // users whose passkeys could not be read
	Without  bool // list who has none
}

//go:embed report.css
var style string

// Percent is a share for people. It says neither 0 nor 100 where that is not so.
func Percent(part, whole int) string {
	switch s := share(part, whole); {
	case part > 0 && s < 1:
		return "< 1 %"
	case part < whole && s > 99:
		return "> 99 %"
	default:
		return fmt.Sprintf("%.0f %%", s)
	}
}

// WriteHTML writes the page, which needs nothing but itself: no script, no network.
func (p *Page) WriteHTML(w io.Writer) error {
	most := newMost(p)
	sections := g.Group{p.tiles(), p.members(), p.history(), p.models(most), p.methods(most), p.signIns(most), p.without()}
	return h.Doctype(h.HTML(h.Lang("en"),
		h.Head(
			h.Meta(h.Charset("utf-8")),
			h.Meta(h.Name("viewport"), h.Content("width=device-width, initial-scale=1")),
			h.Meta(h.Name("color-scheme"), h.Content("light dark")),
			g.Raw(`<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">`),
			h.TitleEl(g.Text(p.Title)),
			h.StyleEl(g.Raw(style)),
		),
		h.Body(h.Main(
			h.H1(g.Text(p.Title)),
			soft("As of "+minute(p.Made)+" UTC. Members whose accounts are enabled, unless it says otherwise."),
			sections,
			h.Footer(g.Text("Made by fidokey from Microsoft Graph. The page loads nothing and sends nothing.")),
		)),
	)).Render(w)
}

// most are the greatest numbers, which the longest bars stand for.
type most struct{ Models, Methods, Signed, SignedWith int }

func newMost(p *Page) (m most) {
	for _, model := range p.Progress.Models {
		m.Models = max(m.Models, model.Passkeys)
	}
	m.Methods = p.Progress.Members.Users
	if p.SignIns != nil {
		for _, s := range p.SignIns.Models {
			m.Signed = max(m.Signed, s.SignIns)
		}
		for _, s := range p.SignIns.Methods {
			m.SignedWith = max(m.SignedWith, s.SignIns)
		}
	}
	return m
}

// series is how many models have a colour of their own; the others share one.
const series = 6

// chart is the periods with a bar for each, whose parts are models.
type chart struct {
	Names []string // by colour; the last may be the others
	Rows  []chartRow
	Most  int // passkeys of one period
}

type chartRow struct {
	Period
	Parts []chartPart
}

type chartPart struct {
	Colour   int
	Name     string
	Passkeys int
}

func newChart(p *Progress) (c chart) {
	colours := map[string]int{}
	for i, m := range p.Models[:min(series, len(p.Models))] {
		colours[m.AAGUID] = i
		c.Names = append(c.Names, m.Name)
	}
	if len(p.Models) > series {
		c.Names = append(c.Names, "others")
	}
	for _, period := range p.Periods {
		c.Most = max(c.Most, period.Passkeys)
		row := chartRow{Period: period}
		for colour, name := range c.Names {
			part := chartPart{colour, name, 0}
			for _, m := range period.Models {
				if its, own := colours[m.AAGUID]; own && its == colour || !own && colour == series {
					part.Passkeys += m.Passkeys
				}
			}
			if part.Passkeys > 0 {
				row.Parts = append(row.Parts, part)
			}
		}
		c.Rows = append(c.Rows, row)
	}
	slices.Reverse(c.Rows) // the latest first
	return c
}
