package entra

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Change is one difference between two policies. A path is made of the names of
// members; items of a list stand in brackets by their name or ID. nil: it is not there.
type Change struct {
	Path string `json:"path"`
	Old  any    `json:"old"`
	New  any    `json:"new"`
}

func (c Change) String() string {
	switch {
	case c.Old == nil:
		return fmt.Sprintf("+ %s: %s", c.Path, inWords(c.New))
	case c.New == nil:
		return fmt.Sprintf("- %s: %s", c.Path, inWords(c.Old))
	}
	return fmt.Sprintf("~ %s: %s -> %s", c.Path, inWords(c.Old), inWords(c.New))
}

func inWords(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	text, _ := json.Marshal(v) // it came from JSON
	return string(text)
}

// Differences lists what would have to change to make another policy of this one. What
// is absent, false or empty is the same, as upper and lower case and the order of lists
// are. What Graph says of an answer (@odata) is not compared, but for types.
func (p *Policy) Differences(to *Policy) []Change {
	var d differ
	d.walk("", "", tree(p), tree(to))
	return d.changes
}

// tree is a value as JSON has it.
func tree(v any) (t any) {
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	if err != nil {
		panic(err) // what was read from JSON can be written
	}
	return t
}

type differ struct{ changes []Change }

func (d *differ) add(path string, old, new any) {
	d.changes = append(d.changes, Change{path, old, new})
}

// walk compares two values of a member.
func (d *differ) walk(path, name string, old, new any) {
	oldMap, isMap := old.(map[string]any)
	newMap, isMapToo := new.(map[string]any)
	_, isList := old.([]any)
	_, isListToo := new.([]any)
	switch {
	case isMap && isMapToo:
		d.members(path, oldMap, newMap)
	case (isList || old == nil) && (isListToo || new == nil):
		d.items(path, old, new)
	case !equal(name, old, new):
		d.add(path, old, new)
	}
}

func (d *differ) members(path string, old, new map[string]any) {
	names := slices.AppendSeq(slices.Collect(maps.Keys(old)), maps.Keys(new))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if strings.Contains(name, "@odata.") || name == "id" {
			continue // an ID is what objects are found by
		}
		d.walk(strings.TrimPrefix(path+"."+name, "."), name, old[name], new[name])
	}
}

// items compares lists whose order means nothing.
func (d *differ) items(path string, old, new any) {
	before, _ := old.([]any)
	after, _ := new.([]any)
	rest, added := slices.Clone(before), []any(nil)
	for _, item := range after {
		i := slices.IndexFunc(rest, func(other any) bool { return isSame(other, item) })
		if i < 0 {
			added = append(added, item)
			continue
		}
		if _, isObject := item.(map[string]any); isObject {
			d.walk(path+label(rest[i]), "", rest[i], item)
		}
		rest = slices.Delete(rest, i, i+1)
	}
	for _, item := range rest {
		d.add(path+label(item), item, nil)
	}
	for _, item := range added {
		d.add(path+label(item), nil, item)
	}
}

// isSame reports whether two items of a list are about the same: objects of the same
// ID, or of the same name where one has no ID yet.
func isSame(a, b any) bool {
	x, isObject := a.(map[string]any)
	y, isObjectToo := b.(map[string]any)
	if !isObject || !isObjectToo {
		return equal("", a, b)
	}
	if x["id"] != nil && y["id"] != nil {
		return equal("", x["id"], y["id"])
	}
	return x["name"] != nil && equal("", x["name"], y["name"])
}

// label names an object in a list.
func label(item any) string {
	object, _ := item.(map[string]any)
	for _, name := range []string{"name", "id"} {
		if s, ok := object[name].(string); ok && s != "" {
			return "[" + s + "]"
		}
	}
	return ""
}

// equal compares what is neither object nor list.
func equal(name string, a, b any) bool {
	x, isText := a.(string)
	y, isTextToo := b.(string)
	switch {
	case !isText || !isTextToo:
		return isNothing(a) && isNothing(b) || inWords(a) == inWords(b)
	case name == "name":
		return x == y
	case name == "passkeyTypes":
		return sameWords(x, y)
	}
	return same(x, y)
}

func isNothing(v any) bool { return v == nil || v == false || v == "" }

func sameWords(a, b string) bool {
	split := func(s string) []string {
		words := strings.Split(strings.ToLower(strings.ReplaceAll(s, " ", "")), ",")
		slices.Sort(words)
		return words
	}
	return slices.Equal(split(a), split(b))
}
