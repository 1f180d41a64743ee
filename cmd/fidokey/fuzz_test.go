package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// FuzzNotation: what is read as diagnostic notation is canonical, and read again from
// what is printed of it.
func FuzzNotation(f *testing.F) {
	for _, text := range []string{`{1: h'00ff', 2: ["text", -7, true, null, {}]}`, `{2: 1, 1: 0x10, 0: b64'AP8', "a": 'b'}`, `[&a [*a]]`, `{1: !!binary aa}`, strings.Repeat("[", 100)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		data, err := parseNotation(text)
		if err != nil {
			return
		}
		if err := ctapcbor.CheckCanonical(data, 64); err != nil {
			t.Errorf("%q became %x: %v", text, data, err)
		}
		if written, err := cbor.Diagnose(data); err == nil {
			if again, err := parseNotation(written); err != nil || !bytes.Equal(again, data) {
				t.Errorf("%q is written %s, and read as %x, %v", text, written, again, err)
			}
		}
	})
}

// FuzzExpectations: each error is of the file.
func FuzzExpectations(f *testing.F) {
	text, err := os.ReadFile("../../docs/ci.md")
	if err != nil {
		f.Fatal(err)
	}
	for _, part := range strings.Split(string(text), "```") {
		if _, sample, ok := strings.Cut(part, "yaml\n"); ok {
			f.Add([]byte(sample))
		}
	}
	f.Add([]byte("register: [{rp: example.com, userVerification: discouraged}]"))
	f.Add([]byte("latency: {getInfo: 1s}\nfirmware: {atLeast: 5.7.1}\ncertification: {level: L1}\nalgorithms: [ES256]\naaguid: [2fc0579f-8113-47ea-b116-bb5a8db9202a]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := parseExpectations("ci.yaml", text); err != nil && !strings.HasPrefix(err.Error(), "ci.yaml") {
			t.Errorf("error %q", err)
		}
	})
}

// FuzzSaved reads the files that commands read back: a saved response of either kind.
// What is taken has what a check needs.
func FuzzSaved(f *testing.F) {
	registration, err := os.ReadFile("../../client/testdata/passkey-registration.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(registration)
	f.Add([]byte(`{"fidokey":1,"result":` + string(registration) + `}`))
	f.Add([]byte(`{"publicKeyCredential":` + string(registration) + `}`))
	f.Add([]byte(`{"id":"AA","type":"public-key","response":{"clientDataJSON":"e30","authenticatorData":"AA","signature":"AA"}}`))
	f.Add([]byte(`{"request":{},"assertions":[null,{}]}`))
	f.Add([]byte(strings.Repeat(`{"publicKeyCredential":`, 50)))
	f.Fuzz(func(t *testing.T, text []byte) {
		saved, err := parseSaved(resultOf(text))
		if err == nil && saved.registration == nil && len(saved.assertions) == 0 {
			t.Error("neither a registration nor an assertion")
		}
		path := filepath.Join(t.TempDir(), "saved")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := loadRegistration(path)
		if (err == nil) != (r != nil) {
			t.Errorf("%+v, %v", r, err)
		}
		if err == nil {
			if _, _, err := r.Credential(); err != nil {
				t.Error(err)
			}
		}
	})
}

// FuzzPrintable: nothing but what can be printed comes out, and JSON stays JSON.
func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[2J\u202e\x9b\xff")
	f.Fuzz(func(t *testing.T, text string) {
		out := printable(text)
		for _, r := range out {
			if !unicode.IsPrint(r) {
				t.Errorf("%q has %q", out, r)
			}
		}
		if printable(out) != out {
			t.Errorf("%q is not the last word", out)
		}
		if _, err := json.Marshal(out); err != nil {
			t.Error(err)
		}
	})
}
