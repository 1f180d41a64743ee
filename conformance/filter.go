package conformance

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// A Filter chooses cases. Each member narrows the choice; an empty one does not.
type Filter struct {
	// IDs are identifiers or patterns, as path.Match has them: MC-0*. What
	// follows a slash is the name of a part, which runs with its case.
	IDs      []string
	Groups   []string
	Profiles []string // "all", "2.1", "2.3"
	// Needs takes cases that need one of these letters, Without those that need
	// none of them. "-" stands for nothing.
	Needs, Without string
	// Shard is one of Shards parts that take about as long, from 1. All parts
	// together have every case once.
	Shard, Shards int
}

// letters are the needs that there are.
const letters = "UNPRCBD-"

// Match returns the function for a [Selection].
func (f Filter) Match() (func(c *Case) bool, error) {
	ids, err := f.patterns()
	if err != nil {
		return nil, err
	}
	for _, group := range f.Groups {
		if !slices.ContainsFunc(allCases(), func(c Case) bool { return c.Group() == strings.ToUpper(group) }) {
			return nil, fmt.Errorf("there is no group %s; the groups are %s", group, strings.Join(Groups(), " "))
		}
	}
	for _, profile := range f.Profiles {
		if !slices.Contains(profiles, profile) {
			return nil, fmt.Errorf("there is no profile %s: they are %s", profile, strings.Join(profiles, ", "))
		}
	}
	if i := strings.IndexFunc(f.Needs+f.Without, func(r rune) bool { return !strings.ContainsRune(letters, r) }); i >= 0 {
		return nil, fmt.Errorf("needs are letters of %s", letters)
	}
	match := func(c *Case) bool {
		return matches(ids, c.ID) &&
			(len(f.Groups) == 0 || slices.ContainsFunc(f.Groups, func(g string) bool { return strings.EqualFold(g, c.Group()) })) &&
			(len(f.Profiles) == 0 || slices.Contains(f.Profiles, c.Profile)) &&
			(f.Needs == "" || strings.ContainsAny(c.Needs, f.Needs)) && !strings.ContainsAny(c.Needs, f.Without)
	}
	return f.shard(match)
}

var profiles = []string{"all", "2.1", "2.3"}

// patterns are the IDs, each of which must fit a case.
func (f Filter) patterns() (patterns []string, err error) {
	for _, id := range f.IDs {
		pattern, _, _ := strings.Cut(strings.ToUpper(id), "/")
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("%s is no pattern of identifiers", id)
		}
		if !slices.ContainsFunc(allCases(), func(c Case) bool { return matches([]string{pattern}, c.ID) }) {
			return nil, fmt.Errorf("there is no case %s", id)
		}
		patterns = append(patterns, pattern)
	}
	return patterns, nil
}

func matches(patterns []string, id string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, _ := path.Match(pattern, id)
		return ok
	})
}

// Groups are the groups in the order of their cases.
func Groups() (groups []string) {
	for i := range allCases() {
		if g := allCases()[i].Group(); !slices.Contains(groups, g) {
			groups = append(groups, g)
		}
	}
	return groups
}

// shard leaves one of several parts of what matches. Each is a run of cases that
// follow each other, so that most stages are set up in one part only.
func (f Filter) shard(match func(c *Case) bool) (func(c *Case) bool, error) {
	if f.Shards == 0 && f.Shard == 0 {
		return match, nil
	}
	if f.Shard < 1 || f.Shard > f.Shards {
		return nil, fmt.Errorf("there is no part %d of %d", f.Shard, f.Shards)
	}
	var mine []string
	whole := 0
	for _, c := range order(match, (*Case).variant) {
		whole += c.weight()
	}
	sum := 0
	for _, c := range order(match, (*Case).variant) {
		if part := sum * f.Shards / whole; part == f.Shard-1 {
			mine = append(mine, c.ID)
		}
		sum += c.weight()
	}
	return func(c *Case) bool { return slices.Contains(mine, c.ID) }, nil
}

// weight is about how long a case takes on a real key, in seconds.
func (c *Case) weight() int {
	switch {
	case c.ID == "STA-009":
		return 600
	case c.ID == "STA-004", c.ID == "PIN-069":
		return 300
	case c.needs("D"), c.ID == "STA-011":
		return 60
	case c.needs("N"):
		return 30
	case c.stage() == stageReset, c.stage() == stageLockOut, c.needs("C"), c.variant() != "":
		return 10
	case c.needs("U"), c.needs("P"):
		return 3
	}
	return 1
}

// order has the cases that match in the order in which they run: stage after
// stage, and then those of each variant, as variant says.
func order(match func(c *Case) bool, variant func(c *Case) string) (cases []*Case) {
	take := func(belongs func(c *Case) bool) {
		for i := range allCases() {
			if c := &allCases()[i]; belongs(c) && (match == nil || match(c)) {
				cases = append(cases, c)
			}
		}
	}
	for stage := stageFramed; stage <= stageReset; stage++ {
		take(func(c *Case) bool { return variant(c) == "" && c.stage() == stage })
	}
	for _, word := range variants {
		take(func(c *Case) bool { return variant(c) == word })
	}
	return cases
}
