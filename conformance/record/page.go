package record

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
)

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

var labels = map[string]string{Pass: "pass", Warning: "warning", Fail: "fail", Known: "known", NotApplicable: "n/a"}

// pageData is what the page shows.
type pageData struct {
	*Report
	Groups []pageGroup
	Failed []pageCase // those that are not known
	Diff   *Diff      // nil: there is no run before
	// Packed are the exchanges of what neither fails nor warns, by ID: JSON that a script
	// of the page unpacks. As text they would be nine tenths of the page.
	Packed string
}

// shownOutcomes are those that can be shown and hidden, the worst first.
var shownOutcomes = []string{Fail, Warning, Known, Pass, NotApplicable}

type pageGroup struct {
	Group
	Rows   []pageCase
	Counts Summary
}

// A pageCase is a case with what it has changed since the run before.
type pageCase struct {
	Case
	Change string
	Anchor bool      // links lead here
	Shown  []*Result // with their messages: the case, and parts that do not pass
}

// WriteHTML writes one page that needs nothing else: failures first, then all
// groups. before is the run to compare with, or nil.
func (r *Report) WriteHTML(w io.Writer, before *Report) error {
	data := pageData{Report: r}
	changes := map[string]string{}
	if before != nil {
		data.Diff = Compare(before, r)
		changes = data.Diff.words()
	}
	for _, g := range r.groups() {
		group := pageGroup{Group: g}
		for _, c := range g.Cases {
			row := pageCase{Case: c, Change: changes[c.Case], Anchor: c.Outcome != Fail, Shown: c.shown()}
			group.Rows = append(group.Rows, row)
			group.Counts.Add(c.Result)
			if c.Outcome == Fail {
				row.Anchor = true
				data.Failed = append(data.Failed, row)
			}
		}
		data.Groups = append(data.Groups, group)
	}
	if err := data.pack(); err != nil {
		return err
	}
	slices.SortStableFunc(data.Groups, func(a, b pageGroup) int { return b.Counts.Fail - a.Counts.Fail })
	return data.page().Render(w)
}

// pack makes Packed.
func (d *pageData) pack() error {
	exchanges := map[string][][3]string{} // who sent it, its headline, its bytes
	for _, g := range d.Groups {
		for _, row := range g.Rows {
			for _, r := range row.Shown {
				if r.IsPacked() {
					exchanges[r.ID()] = r.exchange()
				}
			}
		}
	}
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := errors.Join(json.NewEncoder(z).Encode(exchanges), z.Close()); err != nil {
		return err
	}
	d.Packed = base64.RawURLEncoding.EncodeToString(packed.Bytes()) // which HTML needs not escape
	return nil
}

func (r *Result) exchange() (messages [][3]string) {
	for _, m := range r.Messages {
		messages = append(messages, [3]string{m.From, m.Headline(), m.BytesText()})
	}
	return messages
}

// IsPacked says where the page has the result's exchange: what is wrong can be read
// without its script.
func (r *Result) IsPacked() bool { return r.Outcome != Fail && r.Outcome != Warning }

// shown are the case and its parts that are worth a look.
func (c *Case) shown() []*Result {
	shown := []*Result{c.Result}
	for _, p := range c.Parts {
		if p.Outcome == Fail || p.Outcome == Known || p.Outcome == Warning {
			shown = append(shown, p)
		}
	}
	return shown
}

// words has a word for each case in which something changed.
func (d *Diff) words() map[string]string {
	words := map[string]string{}
	for word, list := range map[string][]Change{"changed": d.Changed, "fixed": d.Fixed, "new": d.NewFailures} {
		for _, c := range list {
			if words[c.Case] != "new" {
				words[c.Case] = word
			}
		}
	}
	return words
}
