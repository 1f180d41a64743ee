package metadata_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/internal/mdstest"
	"github.com/fidokey/fidokey/metadata"
)

func TestParseBlob(t *testing.T) {
	b, err := metadata.ParseBlob(payload())
	if err != nil || len(b.Entries) != models || b.No != 7 || b.LegalHeader != "Made for a test." || b.Skipped != nil {
		t.Fatalf("%v, %d entries, no %d, %q, %v", err, len(b.Entries), b.No, b.LegalHeader, b.Skipped)
	}
	e := b.Entries[0]
	var version uint64
	if s := e.Statement; e.AAGUID != mdstest.AAGUID(0) || s.Description != "Example Key 0" || s.ProtocolFamily != "fido2" ||
		s.UserVerificationDetails[0][1].Method != "passcode_external" || !s.Info("firmwareVersion", &version) || version != 328706 {
		t.Errorf("%+v", e)
	}
	if roots, err := e.Statement.Roots(); err != nil || len(roots) != 1 || roots[0].Subject.CommonName != "Example Attestation Root" {
		t.Errorf("roots: %v, %v", roots, err)
	}
	var raw, statement struct {
		Statement struct{ Icon string } `json:"metadataStatement"`
		Icon      string
	}
	if err := json.Unmarshal(e.Raw, &raw); err != nil || raw.Statement.Icon == "" {
		t.Errorf("raw entry: %v, %.60s", err, e.Raw)
	}
	if err := json.Unmarshal(e.StatementJSON(), &statement); err != nil || statement.Icon != raw.Statement.Icon {
		t.Errorf("raw statement: %v, %.60s", err, e.StatementJSON())
	}
	if ids := b.Entries[2].IDs(); !slices.Equal(ids, []string{strings.Repeat("0", 39) + "2"}) {
		t.Errorf("U2F: %v", ids)
	}
	if ids := b.Entries[5].IDs(); !slices.Equal(ids, []string{"f1d0#0005"}) {
		t.Errorf("UAF: %v", ids)
	}
}

// TestBrokenEntry: an entry that cannot be read is told of, and the others stay.
func TestBrokenEntry(t *testing.T) {
	edited := func(edit func(entry, statement map[string]any)) any {
		e := mdstest.Entry(1, "")
		edit(e, e["metadataStatement"].(map[string]any))
		return e
	}
	for _, tt := range []struct {
		name  string
		entry any
		words string // empty: it is taken
	}{
		{"members that are not known", edited(func(e, s map[string]any) { e["new"], s["new"] = 1, []any{map[string]any{"x": nil}} }), ""},
		{"values that are not known", edited(func(e, s map[string]any) {
			s["keyProtection"], s["protocolFamily"] = []string{"telepathy"}, "fido3"
			mdstest.Status(e, "FIDO_CERTIFIED_L9", "2030-01-01")
		}), ""},
		{"root that is no certificate", edited(func(_, s map[string]any) { s["attestationRootCertificates"] = []string{"AAAA"} }), ""},
		{"upper case", edited(func(e, _ map[string]any) { e["aaguid"] = strings.ToUpper(mdstest.AAGUID(1)) }), ""},
		{"no status reports", edited(func(e, _ map[string]any) { delete(e, "statusReports") }), ""},
		{"no date of a status", edited(func(e, _ map[string]any) { e["statusReports"] = []any{map[string]any{"status": "REVOKED"}} }), ""},
		{"null", nil, "no identifier"},
		{"a number", 7, "number"},
		{"no identifier", edited(func(e, _ map[string]any) { delete(e, "aaguid") }), "no identifier"},
		{"identifier that is none", edited(func(e, _ map[string]any) { e["aaguid"] = "yubikey" }), `"yubikey"`},
		{"identifier of another type", edited(func(e, _ map[string]any) { e["aaguid"] = 7 }), "aaguid"},
		{"key identifier that is none", edited(func(e, _ map[string]any) { e["attestationCertificateKeyIdentifiers"] = []string{"00"} }), `"00"`},
		{"no statement", edited(func(e, _ map[string]any) { delete(e, "metadataStatement") }), "description"},
		{"statement of another type", edited(func(e, _ map[string]any) { e["metadataStatement"] = "x" }), "metadataStatement"},
		{"description of another type", edited(func(_, s map[string]any) { s["description"] = []int{1} }), "description"},
		{"date that is none", edited(func(e, _ map[string]any) { mdstest.Status(e, "REVOKED", "soon") }), `"soon"`},
		{"the same model again", mdstest.Entry(0, ""), "second entry for " + mdstest.AAGUID(0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := mdstest.Blob{No: 7, Entries: []any{mdstest.Entry(0, ""), tt.entry, mdstest.Entry(3, "")}}.JSON()
			b, err := metadata.ParseBlob(text)
			if err != nil {
				t.Fatal(err)
			}
			if tt.words == "" {
				if len(b.Entries) != 3 || b.Skipped != nil || b.Entries[1].AAGUID != mdstest.AAGUID(1) {
					t.Errorf("%d entries; skipped: %+v", len(b.Entries), b.Skipped)
				}
				return
			}
			if len(b.Entries) != 2 || b.Entries[1].AAGUID != mdstest.AAGUID(3) {
				t.Errorf("%d entries", len(b.Entries))
			}
			if len(b.Skipped) != 1 || b.Skipped[0].Entry != 1 || !strings.Contains(b.Skipped[0].Reason, tt.words) {
				t.Errorf("skipped: %+v", b.Skipped)
			}
		})
	}
}

func TestParseBlobMembers(t *testing.T) {
	for name, text := range map[string]string{
		"any order":               `{"entries":[],"nextUpdate":"2026-12-01","no":1}`,
		"members not known":       `{"no":1,"x":{"entries":[1]},"nextUpdate":"2026-12-01","entries":[]}`,
		"!no next update":         `{"no":1,"entries":[]}`,
		"!no entries":             `{"no":1,"nextUpdate":"2026-12-01"}`,
		"!entries of other type":  `{"no":1,"nextUpdate":"2026-12-01","entries":{}}`,
		"!entries twice":          `{"no":1,"nextUpdate":"2026-12-01","entries":[],"entries":[]}`,
		"!serial number is text":  `{"no":"1","nextUpdate":"2026-12-01","entries":[]}`,
		"!serial number negative": `{"no":-1,"nextUpdate":"2026-12-01","entries":[]}`,
		"!broken in an entry":     `{"no":1,"nextUpdate":"2026-12-01","entries":[{"aaguid":}]}`,
		"!more behind":            `{"no":1,"nextUpdate":"2026-12-01","entries":[]} {}`,
		"!null":                   `null`,
	} {
		if b, err := metadata.ParseBlob([]byte(text)); (err != nil) != (name[0] == '!') {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
}

func TestNormalID(t *testing.T) {
	for s, want := range map[string]string{
		"F1D0F1D0-0000-4000-8000-000000000001":     "f1d0f1d0-0000-4000-8000-000000000001",
		"f1d0f1d0000040008000000000000001":         "f1d0f1d0-0000-4000-8000-000000000001",
		"4E4E#4005":                                "4e4e#4005",
		"7c0903708b87115b0b422def3138c3c864e44573": "7c0903708b87115b0b422def3138c3c864e44573",
		"f1d0f1d000-00-4000-8000-000000000001":     "",
		"f1d0f1d0-0000-4000-8000-00000000000":      "",
		"4e4e#40055":                               "",
		"#":                                        "",
		"":                                         "",
		"YubiKey":                                  "",
	} {
		if got := metadata.NormalID(s); got != want {
			t.Errorf("%q: %q, want %q", s, got, want)
		}
	}
}

// FuzzParseBlob: whatever the payload is, each entry is read or told of.
func FuzzParseBlob(f *testing.F) {
	f.Add([]byte(`{"no":1,"nextUpdate":"2026-12-01","entries":[]}`))
	f.Add(mdstest.Blob{No: 7, Entries: []any{mdstest.Entry(0, ""), mdstest.Entry(2, ""), mdstest.Entry(5, ""), nil}}.JSON())
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := metadata.ParseBlob(text)
		if err != nil {
			return
		}
		var plain struct{ Entries []json.RawMessage }
		if err := json.Unmarshal(text, &plain); err != nil {
			t.Fatalf("it is no JSON: %v", err)
		}
		if len(plain.Entries) != len(b.Entries)+len(b.Skipped) {
			t.Errorf("%d entries, %d of them read, %d skipped", len(plain.Entries), len(b.Entries), len(b.Skipped))
		}
		for _, e := range b.Entries {
			if len(e.IDs()) == 0 || !json.Valid(e.Raw) {
				t.Errorf("%v: %s", e.IDs(), e.Raw)
			}
			e.Statement.Roots()
		}
	})
}

// FuzzVerify: nothing that was not signed is believed.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("e30.e30."))
	f.Add(mustSign(authority(), []byte(`{"no":1,"nextUpdate":"2999-01-01","entries":[]}`)))
	globalSign := metadata.Verifier{Roots: metadata.Roots()}
	f.Fuzz(func(t *testing.T, data []byte) {
		v := globalSign.Verify(data)
		if v.Err() == nil {
			t.Errorf("it passes: %q", data)
		}
	})
}
