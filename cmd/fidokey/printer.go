package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"
)

// A printer writes a report for people, in one piece.
type printer struct {
	out    *bufio.Writer
	lines  *tabwriter.Writer // names and values, under each other
	width  int               // columns of the terminal; 0: no terminal, no limit
	colour bool
	err    error // why a report could not be put into words
}

func newPrinter(out io.Writer) *printer {
	p := &printer{out: bufio.NewWriter(out)}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			p.width = width
		}
		p.colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	return p
}

// Write writes text as it is, below what came before.
func (p *printer) Write(b []byte) (int, error) {
	p.flushLines()
	return p.out.Write(b)
}

// printf writes a line of text in which nothing can steer the terminal.
func (p *printer) printf(format string, args ...any) {
	fmt.Fprintln(p, printable(fmt.Sprintf(format, args...)))
}

// line writes a name with its value; the values of neighbouring lines stand under
// each other.
func (p *printer) line(name, format string, args ...any) {
	if p.lines == nil {
		p.lines = tabwriter.NewWriter(p.out, 0, 0, 2, ' ', 0)
	}
	fmt.Fprintf(p.lines, "%s:\t%s\n", name, printable(fmt.Sprintf(format, args...)))
}

// item writes one of several values that share a name, which stands at the first.
func (p *printer) item(name, value string, first bool) {
	if first {
		p.line(name, "%s", value)
		return
	}
	fmt.Fprintf(p.lines, "\t%s\n", printable(value))
}

func (p *printer) flushLines() {
	if p.lines != nil {
		_ = p.lines.Flush() // an error stays in out
		p.lines = nil
	}
}

func (p *printer) flush() error {
	p.flushLines()
	return cmp.Or(p.out.Flush(), p.err)
}

// table writes rows under a header. On a terminal it is no wider than that; the
// widest columns are wrapped.
func (p *printer) table(header []string, rows [][]string) {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	style.Format.Header = text.FormatUpper
	if p.colour {
		style.Color.Header = text.Colors{text.Bold}
	}
	t.SetStyle(style)
	t.AppendHeader(row(header))
	for _, r := range rows {
		t.AppendRow(row(r))
	}
	if p.width > 0 {
		t.SetColumnConfigs(p.columns(header, rows))
	}
	t.SuppressTrailingSpaces()
	fmt.Fprintln(p, t.Render())
}

func row(cells []string) table.Row {
	var r table.Row
	for _, c := range cells {
		r = append(r, printable(c))
	}
	return r
}

// columns takes from the widest columns what the terminal has no room for: first
// where lines can be broken between words, so that identifiers stay whole.
func (p *printer) columns(header []string, rows [][]string) []table.ColumnConfig {
	const gap, least = 2, 8
	widths, words := make([]int, len(header)), make([]int, len(header))
	total := -gap
	for i := range header {
		for _, r := range append(rows, header) {
			widths[i] = max(widths[i], text.StringWidth(r[i]))
			for _, word := range strings.Fields(r[i]) {
				words[i] = max(words[i], text.StringWidth(word))
			}
		}
		total += widths[i] + gap
	}
	for _, floor := range []func(column int) int{
		func(i int) int { return words[i] },
		func(int) int { return least },
	} {
		for total > p.width && shrinkWidest(widths, floor) {
			total--
		}
	}
	var configs []table.ColumnConfig
	for i, w := range widths {
		configs = append(configs, table.ColumnConfig{Number: i + 1, WidthMax: w, WidthMaxEnforcer: text.WrapSoft})
	}
	return configs
}

// shrinkWidest takes a column from the widest that is above its floor, if there
// is one.
func shrinkWidest(widths []int, floor func(column int) int) bool {
	widest := -1
	for i, w := range widths {
		if w > floor(i) && (widest < 0 || w > widths[widest]) {
			widest = i
		}
	}
	if widest >= 0 {
		widths[widest]--
	}
	return widest >= 0
}
