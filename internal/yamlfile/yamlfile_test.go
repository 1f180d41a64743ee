package yamlfile_test

import (
	"fmt"
	"testing"

	"github.com/fidokey/fidokey/internal/yamlfile"
)

// TestErrors: what is wrong has its place, and says it without words of Go.
func TestErrors(t *testing.T) {
	type inner struct {
		Size uint            `json:"size" yaml:"size"`
		Has  map[string]bool `json:"has" yaml:"has"`
	}
	type outer struct {
		Name  string `json:"name" yaml:"name"`
		Inner inner  `json:"inner" yaml:"inner"`
	}
	for _, test := range []struct{ text, parsed, converted string }{
		{"name: a\ninner: {size: 7, has: {b: true}}", "", ""},
		{`{"name": "a", "inner": {"has": {"b": true, "1": false}}}`, "", ""},
		{"name: a\ninner: {has: {1: true}}", "", ""},
		{"", "nothing is there", "nothing is there"},
		{"# nothing\n", "nothing is there", "nothing is there"},
		{"name: a\n---\nname: b", "more than one document is there", "more than one document is there"},
		{"name: [a, b", "line 1, column 12: did not find expected ',' or ']'", "line 1, column 12: did not find expected ',' or ']'"},
		{"name: a\nname: b", `line 2, column 1: mapping key "name" already defined at line 1`, `line 2, column 1: mapping key "name" already defined at line 1`},
		{"name: a\ninner:\n  sice: 7", "line 3, column 3: field sice not found", "line 3, column 3: field sice not found"},
		// encoding/json does not say which one it means.
		{"has: {}\ninner: {has: {}}", "line 1, column 1: field has not found", "field has not found"},
		{"inner: {size: much}", "line 1, column 15: cannot read !!str `much` into uint", "line 1, column 15: inner.size: cannot read string into uint"},
		{"inner: {size: .nan}", "line 1, column 15: cannot read !!float `.nan` into uint", "line 1, column 1: json: unsupported value: NaN"},
	} {
		_, err := yamlfile.Parse("", []byte(test.text), &outer{})
		if got := text(err); got != test.parsed {
			t.Errorf("parsed, %q: %s, want %s", test.text, got, test.parsed)
		}
		members, root, err := yamlfile.Members("", []byte(test.text))
		if err == nil {
			err = yamlfile.Convert("", root, members, &outer{})
		}
		if got := text(err); got != test.converted {
			t.Errorf("converted, %q: %s, want %s", test.text, got, test.converted)
		}
	}
	_, err := yamlfile.Parse("a.yaml", []byte("nam: a"), &outer{})
	if want := "a.yaml:1:1: field nam not found"; text(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
	_, err = yamlfile.Parse("a.yaml", nil, &outer{})
	if want := "a.yaml: nothing is there"; text(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return fmt.Sprint(err)
}
