package main

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// TestNotation: what is read is the CBOR of which the library writes the same
// notation, but for other ways to write the same.
func TestNotation(t *testing.T) {
	for _, tt := range []struct{ text, want, written string }{
		{`{1: 2, 2: 1}`, "a201020201", ""},
		{`{1: h'00ff', 2: ["text", -7, true, null, {}]}`, "a2014200ff02856474657874" + "26f5f6a0", ""},
		{`{2: 1, 1: 0x10, 0: b64'AP8', "a": 'b'}`, "a4004200ff0110020161616162", `{0: h'00ff', 1: 16, 2: 1, "a": "b"}`},
		{`{1: 18446744073709551615}`, "a1011bffffffffffffffff", ""},
		{`{-1: h''}`, "a12040", ""},
		{`{"id": "example.com"}`, "a16269646b6578616d706c652e636f6d", ""},
		{"{1: \"a\\nb\",\n 2: 3}", "a20163610a620203", `{1: "a\nb", 2: 3}`},
	} {
		got, err := parseNotation(tt.text)
		want, _ := hex.DecodeString(tt.want)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %x, %v, want %s", tt.text, got, err, tt.want)
			continue
		}
		written, err := cbor.Diagnose(got)
		if tt.written == "" {
			tt.written = tt.text
		}
		if err != nil || written != tt.written {
			t.Errorf("%s is written %s, %v", tt.text, written, err)
		}
	}
}

func TestNotationRefuses(t *testing.T) {
	for text, why := range map[string]string{
		``:                 "nothing",
		`{1: `:             "line 1",
		`{1:2}`:            "a space behind the colon",
		`{1: text}`:        "text stands in quotes",
		`{1: h'0'}`:        "h'0'",
		`{1: h'zz'}`:       "h'zz'",
		`{1: 1.5}`:         "1.5",
		`{1: 1, 0x1: 2}`:   "twice",
		`{[1]: 2}`:         "neither a number nor a text",
		`{1: !!str a}`:     "tags",
		`{1: &x 2, 2: *x}`: "anchors",
		`{h'00': 1}`:       "neither a number nor a text",
	} {
		if got, err := parseNotation(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %x, %v; want %q", text, got, err, why)
		}
	}
}
