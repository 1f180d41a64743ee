// Package yamlfile reads YAML that people write, strictly: what is not known is an
// error, and every error has its line and column.
package yamlfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// An Error is what is wrong with a file, at a line and a column.
type Error struct {
	Path         string // empty: what was read is no file
	Line, Column int    // from 1; 0: not known
	Message      string
}

func (e *Error) Error() string {
	switch {
	case e.Path == "" && e.Line == 0:
		return e.Message
	case e.Path == "":
		return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Message)
	case e.Line == 0:
		return e.Path + ": " + e.Message
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Path, e.Line, e.Column, e.Message)
}

// Parse reads one document into v, and returns its root; path is for errors, each of
// which is an [Error]. Members that v does not have are errors.
func Parse(path string, text []byte, v any) (*yaml.Node, error) {
	var document yaml.Node
	err := yaml.Load(text, &document, yaml.WithUniqueKeys())
	if err == nil {
		err = document.Load(v, yaml.WithKnownFields(), yaml.WithUniqueKeys())
	}
	if err != nil {
		return nil, placed(path, text, err)
	}
	if document.Kind == yaml.DocumentNode {
		return document.Content[0], nil
	}
	return &document, nil
}

// Members reads one document as encoding/json would read an object: a number that is a
// name is a text. It returns the document's root, too.
func Members(path string, text []byte) (map[string]any, *yaml.Node, error) {
	var members map[string]any
	root, err := Parse(path, text, &members)
	if err != nil {
		return nil, nil, err
	}
	return named(members).(map[string]any), root, nil
}

// named makes the names in all maps texts.
func named(v any) any {
	switch v := v.(type) {
	case map[any]any:
		members := map[string]any{}
		for name, member := range v {
			members[fmt.Sprint(name)] = named(member)
		}
		return members
	case map[string]any:
		for name, member := range v {
			v[name] = named(member)
		}
	case []any:
		for i, item := range v {
			v[i] = named(item)
		}
	}
	return v
}

// Convert makes v of Members, by the rules of encoding/json, strictly. Errors have their
// place below root.
func Convert(path string, root *yaml.Node, members map[string]any, v any) error {
	text, err := json.Marshal(members)
	if err != nil {
		return At(path, root, "%v", err)
	}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	err = strict.Decode(v)
	var other *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &other):
		return At(path, Lookup(root, strings.Split(other.Field, ".")...), "%s: cannot read %s into %v", other.Field, other.Value, other.Type)
	}
	if name, unknown := strings.CutPrefix(err.Error(), "json: unknown field "); unknown {
		name = strings.Trim(name, `"`)
		return At(path, only(root, name), "field %s not found", name)
	}
	return At(path, root, "%v", err)
}

// only is the only name of a member that reads so, else a node without a place.
func only(root *yaml.Node, name string) *yaml.Node {
	var found []*yaml.Node
	var look func(n *yaml.Node)
	look = func(n *yaml.Node) {
		for i, content := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 && content.Value == name {
				found = append(found, content)
			}
			look(content)
		}
	}
	if look(root); len(found) == 1 {
		return found[0]
	}
	return &yaml.Node{}
}

// At is an error at the place of a node.
func At(path string, n *yaml.Node, format string, args ...any) error {
	return &Error{path, n.Line, n.Column, fmt.Sprintf(format, args...)}
}

// Lookup returns the node of a member, or of the last one on the way that is there.
func Lookup(n *yaml.Node, path ...string) *yaml.Node {
	for _, name := range path {
		found := false
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content) && !found; i += 2 {
			if found = n.Content[i].Value == name; found {
				n = n.Content[i+1]
			}
		}
		if !found {
			return n
		}
	}
	return n
}

// placed gives the errors of the parser their place.
func placed(path string, text []byte, err error) error {
	var all *yaml.LoadErrors
	if errors.As(err, &all) {
		var each []error
		for _, e := range all.Errors {
			each = append(each, placed(path, text, e))
		}
		return errors.Join(each...)
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		line, column := one.Mark.Line, one.Mark.Column
		if lines := bytes.Split(bytes.TrimRight(text, "\n"), []byte("\n")); line > len(lines) { // the parser is one line too far where something is missing at the end
			line, column = len(lines), len(lines[len(lines)-1])+1
		}
		return &Error{path, line, column, plain(one.Message)}
	}
	return &Error{Path: path, Message: plain(err.Error())}
}

// ofGo are words of Go in the parser's errors.
var ofGo = regexp.MustCompile(` in type \S+| into (bench|main)\.\w+`)

// plain is an error of the parser without words of Go.
func plain(message string) string {
	message = ofGo.ReplaceAllStringFunc(message, func(words string) string {
		if strings.HasPrefix(words, " into") {
			return " here"
		}
		return ""
	})
	return strings.NewReplacer("cannot construct", "cannot read", "time.Duration", "a time as 1s or 100ms", "yaml: ", "",
		"no documents in stream", "nothing is there", "expected single document, found multiple", "more than one document is there").Replace(message)
}
