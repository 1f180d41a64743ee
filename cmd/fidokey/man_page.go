package main

import (
	"bytes"
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// withPages yields a command and those below it, as far as they have a manual page.
func withPages(cmd *cobra.Command) iter.Seq[*cobra.Command] {
	return func(yield func(*cobra.Command) bool) {
		if !yield(cmd) {
			return
		}
		for _, child := range cmd.Commands() {
			if !child.IsAvailableCommand() || child.IsAdditionalHelpTopicCommand() {
				continue
			}
			for below := range withPages(child) {
				if !yield(below) {
					return
				}
			}
		}
	}
}

// pageName is "fidokey-pin-set" for "fidokey pin set".
func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manPage returns a command's page in the macros of man(7). The pages of cobra's own
// generator go by way of Markdown, in which lines run together, and the parser of that
// would be a twentieth of the time that every command takes to start.
func manPage(cmd *cobra.Command, date time.Time) []byte {
	var p roffText
	p.macro("TH", strings.ToUpper(pageName(cmd)), "1", date.Format(time.DateOnly), "fidokey "+version(), "fidokey")
	p.macro("SH", "NAME")
	p.line(escaped(pageName(cmd)) + ` \- ` + escaped(cmd.Short))
	p.macro("SH", "SYNOPSIS")
	p.line(`\fB` + escaped(cmd.UseLine()) + `\fP`)
	p.macro("SH", "DESCRIPTION")
	p.text(cmp.Or(cmd.Long, cmd.Short))
	p.flags("OPTIONS", cmd.NonInheritedFlags())
	p.flags("GLOBAL OPTIONS", cmd.InheritedFlags())
	if cmd.Example != "" {
		p.macro("SH", "EXAMPLES")
		p.text(cmd.Example)
	}
	p.seeAlso(cmd)
	return p.Bytes()
}

// roffText is text for troff in the making.
type roffText struct{ bytes.Buffer }

// macro writes a request with its arguments.
func (p *roffText) macro(name string, args ...string) {
	p.WriteString("." + name)
	for _, arg := range args {
		arg = strings.ReplaceAll(escaped(arg), `"`, `\(dq`)
		if strings.Contains(arg, " ") {
			arg = `"` + arg + `"`
		}
		p.WriteString(" " + arg)
	}
	p.WriteString("\n")
}

// line writes a line of text whose signs are escaped already.
func (p *roffText) line(text string) {
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text // or it would be a request
	}
	p.WriteString(text + "\n")
}

// text writes paragraphs. Lines that are indented in it stay lines.
func (p *roffText) text(text string) {
	text += "\n" // the last line is empty
	before := "" // or "text", "lines": what the line before was
	for line := range strings.SplitSeq(text, "\n") {
		now := "text"
		switch {
		case strings.TrimSpace(line) == "":
			now = ""
		case strings.HasPrefix(line, "  "), strings.HasPrefix(line, "\t"):
			now = "lines"
		}
		if before == "lines" && now != "lines" {
			p.macro("EE")
			p.macro("RE")
		}
		if now == "lines" && before != "lines" {
			p.macro("RS", "4")
			p.macro("EX")
		}
		if now == "text" && before != "text" {
			p.macro("PP")
		}
		if now != "" {
			p.line(escaped(strings.TrimPrefix(line, "  ")))
		}
		before = now
	}
}

func (p *roffText) flags(title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	p.macro("SH", title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Deprecated != "" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := `\fB` + escaped("--"+f.Name) + `\fP`
		if f.Shorthand != "" {
			name = `\fB` + escaped("-"+f.Shorthand) + `\fP, ` + name
		}
		if value != "" {
			name += ` \fI` + escaped(value) + `\fP`
		}
		if !slices.Contains([]string{"", "false", "0", "0s", "[]"}, f.DefValue) {
			usage += fmt.Sprintf(" (default: %s)", f.DefValue)
		}
		p.macro("TP")
		p.line(name)
		p.line(escaped(usage))
	})
}

// seeAlso names the pages of the command above and of those below.
func (p *roffText) seeAlso(cmd *cobra.Command) {
	var names []string
	if cmd.HasParent() {
		names = append(names, pageName(cmd.Parent()))
	}
	for below := range withPages(cmd) {
		if below.Parent() == cmd {
			names = append(names, pageName(below))
		}
	}
	p.macro("SH", "SEE ALSO")
	for i, name := range names {
		separator := ","
		if i == len(names)-1 {
			separator = ""
		}
		p.line(`\fB` + escaped(name) + `\fP(1)` + separator)
	}
}

// escaped is text with the signs that are not themselves in roff: a bare minus would
// come out as a hyphen, which no shell takes for one.
func escaped(text string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(text)
}
