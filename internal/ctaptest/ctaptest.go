// Package ctaptest has what the tests of several packages share: the known
// answers in vectors/.
package ctaptest

import (
	"embed"
	"encoding/hex"
	"encoding/json"
	"testing"
)

//go:embed vectors/*.json
var vectors embed.FS

// Hex is a byte string that JSON has in hexadecimal; null is nil.
type Hex []byte

// UnmarshalText decodes the digits.
func (h *Hex) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// Vectors decodes vectors/NAME.json into v. Members that v has no field for are
// skipped.
func Vectors(tb testing.TB, name string, v any) {
	tb.Helper()
	data, err := vectors.ReadFile("vectors/" + name + ".json")
	if err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		tb.Fatalf("vectors/%s.json: %v", name, err)
	}
}
