// Package yamlfile reads YAML that people write, strictly: what is not known is an
// error, and every error has its line and column.
package yamlfile

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// An Error is what is wrong with a file, at a line and a column.
type Error struct {
	Path         string
	Line, Column int // from 1; 0: not known
	Message      string
}

func (e *Error) Error() string {
	if e.Line == 0 {
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
		return nil, placed(path, err)
	}
	if document.Kind == yaml.DocumentNode {
		return document.Content[0], nil
	}
	return &document, nil
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
func placed(path string, err error) error {
	var all *yaml.LoadErrors
	if errors.As(err, &all) {
		var each []error
		for _, e := range all.Errors {
			each = append(each, placed(path, e))
		}
		return errors.Join(each...)
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		return &Error{path, one.Mark.Line, one.Mark.Column, plain(one.Message)}
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
	return strings.NewReplacer("cannot construct", "cannot read", "time.Duration", "a time as 1s or 100ms", "yaml: ", "").Replace(message)
}
