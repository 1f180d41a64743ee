package record

import (
	"slices"
)

// A Diff is what is different in a second run.
type Diff struct {
	Before Run `json:"before"`
	After  Run `json:"after"`
	// NewFailures fail, and did not before. Fixed do not any more.
	NewFailures []Change `json:"newFailures"`
	Fixed       []Change `json:"fixed"`
	// Changed have another answer, or are right now and tolerated then, or the
	// other way round.
	Changed []Change `json:"changed"`
	// OnlyBefore and OnlyAfter were run, and applicable, in one of the runs only.
	OnlyBefore []string `json:"onlyBefore"`
	OnlyAfter  []string `json:"onlyAfter"`
	Same       int      `json:"same"`
}

// A Change is that of one case, or of one of its parts.
type Change struct {
	Case    string  `json:"case"`
	Part    string  `json:"part,omitempty"`
	Title   string  `json:"title"`
	Section Section `json:"section"`
	Before  Side    `json:"before"`
	After   Side    `json:"after"`
}

// ID is the identifier, with the part.
func (c *Change) ID() string { return (&Result{Case: c.Case, Part: c.Part}).ID() }

// A Side is one run's result of a case.
type Side struct {
	Outcome  string   `json:"outcome"`
	Observed []string `json:"observed,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Repeat   string   `json:"repeat,omitempty"`
}

func side(r *Result) Side { return Side{r.Outcome, r.Observed, r.Reason, r.Repeat} }

// Compare says what changed from one run to another, of the same key or of
// different ones. Cases that are divided into parts are compared by their parts.
func Compare(before, after *Report) *Diff {
	d := &Diff{Before: before.Run, After: after.Run, NewFailures: []Change{}, Fixed: []Change{}, Changed: []Change{}, OnlyBefore: []string{}, OnlyAfter: []string{}}
	was, is := before.leaves(), after.leaves()
	for _, id := range after.ids() {
		now := is[id]
		if now == nil {
			continue
		}
		then := was[id]
		if then == nil { // a case that had other parts: the case counts
			then = before.byID()[now.Case]
		}
		d.compare(then, now)
	}
	d.OnlyBefore, d.OnlyAfter = onlyIn(before, after), onlyIn(after, before)
	return d
}

// onlyIn are the cases that were applicable in one of two runs.
func onlyIn(one, other *Report) []string {
	ids := []string{}
	for _, id := range one.caseIDs() {
		in, out := one.byID()[id], other.byID()[id]
		if in != nil && ran(in) && (out == nil || !ran(out)) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (d *Diff) compare(then, now *Result) {
	change := Change{Case: now.Case, Part: now.Part, Title: now.Title, Section: now.Section, After: side(now)}
	if then != nil {
		change.Before = side(then)
	} else {
		change.Before.Outcome = NotApplicable
	}
	failed, fails := then != nil && failing(then), failing(now)
	switch {
	case fails && !failed:
		d.NewFailures = append(d.NewFailures, change)
	case then == nil || !ran(then) || !ran(now): // is in OnlyBefore or OnlyAfter
	case failed && !fails:
		d.Fixed = append(d.Fixed, change)
	case then.Outcome != now.Outcome && !(failed && fails), then.Part == now.Part && !sameAnswers(then, now):
		d.Changed = append(d.Changed, change)
	default:
		d.Same++
	}
}

func failing(r *Result) bool { return r.Outcome == Fail || r.Outcome == Known }

func ran(r *Result) bool { return r.Outcome != NotApplicable }

func sameAnswers(a, b *Result) bool {
	x, y := slices.Sorted(slices.Values(a.Observed)), slices.Sorted(slices.Values(b.Observed))
	return slices.Equal(x, y)
}

func (r *Report) byID() map[string]*Result {
	if r.index == nil {
		r.index = map[string]*Result{}
		for i := range r.Results {
			r.index[r.Results[i].ID()] = &r.Results[i]
		}
	}
	return r.index
}

func (r *Report) ids() (ids []string) {
	for i := range r.Results {
		ids = append(ids, r.Results[i].ID())
	}
	return ids
}

// leaves are the results but those of cases, and parts, that are divided further.
// One that fails though none of its parts does is kept.
func (r *Report) leaves() map[string]*Result {
	divided, failed := map[string]bool{}, map[string]bool{}
	for i := range r.Results {
		result := &r.Results[i]
		for _, whole := range result.wholes() {
			divided[whole] = true
			failed[whole] = failed[whole] || failing(result)
		}
	}
	leaves := map[string]*Result{}
	for i := range r.Results {
		result := &r.Results[i]
		if id := result.ID(); !divided[id] || failing(result) && !failed[id] {
			leaves[id] = result
		}
	}
	return leaves
}

// wholes are the IDs of what the part belongs to.
func (r *Result) wholes() (ids []string) {
	if r.Part == "" {
		return nil
	}
	for i, letter := range r.Part {
		if letter == '.' {
			ids = append(ids, r.Case+"/"+r.Part[:i])
		}
	}
	return append(ids, r.Case)
}
