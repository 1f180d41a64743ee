package entra

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/fidokey/fidokey/ctap2"
)

// ParseInventory returns the AAGUIDs of a list of keys, each once: of any JSON with
// members "aaguid", of CSV with such a column, or of lines that begin with one. Upper
// and lower case are the same.
func ParseInventory(text []byte) (aaguids []ctap2.AAGUID, err error) {
	if text, err = fromShell(text); err != nil {
		return nil, err
	}
	var found []string
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && (trimmed[0] == '{' || trimmed[0] == '[') {
		found, err = fromJSON(trimmed)
	} else {
		found, err = fromCSV(text)
	}
	if err != nil {
		return nil, err
	}
	for _, s := range found {
		a, err := ctap2.ParseAAGUID(strings.ToLower(s))
		if err != nil {
			return nil, fmt.Errorf("%q is no AAGUID", s)
		}
		if !slices.Contains(aaguids, a) {
			aaguids = append(aaguids, a)
		}
	}
	if len(aaguids) == 0 {
		return nil, errors.New("there is no AAGUID in it")
	}
	return aaguids, nil
}

const columnAAGUID = "aaguid"

// fromJSON looks into all objects.
func fromJSON(text []byte) (found []string, err error) {
	var all any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("not JSON: %w", err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			for name, value := range v {
				if s, ok := value.(string); ok && s != "" && strings.EqualFold(name, columnAAGUID) {
					found = append(found, s)
				}
				walk(value)
			}
		}
	}
	walk(all)
	slices.Sort(found) // a map has no order
	return found, nil
}

// fromCSV reads a column, by default the first; a line that begins with # is a
// comment.
func fromCSV(text []byte) (found []string, err error) {
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.TrimLeadingSpace, r.Comment, r.LazyQuotes = -1, true, '#', true
	if first, _, _ := bytes.Cut(text, []byte("\n")); bytes.ContainsRune(first, ';') {
		r.Comma = ';' // as spreadsheets write it where the comma is for decimals
	}
	column := 0
	for n := 0; ; n++ {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(record, func(s string) bool { return same(s, columnAAGUID) }); n == 0 && i >= 0 {
			column = i
			continue
		}
		if column < len(record) && strings.TrimSpace(record[column]) != "" {
			found = append(found, strings.TrimSpace(record[column]))
		}
	}
}
