package entra_test

import (
	"encoding/json"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
)

// FuzzParseInventory: each AAGUID comes once, and a list of what was found is read as
// the same.
func FuzzParseInventory(f *testing.F) {
	for _, text := range []string{
		`[{"aaguid":"2fc0579f-8113-47ea-b116-bb5a8db9202a"},{"keys":[{"aaGuid":"f1d0f1d0-0000-4000-8000-000000000001"}]}]`,
		"serial;AAGUID\n7;2fc0579f-8113-47ea-b116-bb5a8db9202a\n", "# a comment\n2fc0579f811347eab116bb5a8db9202a, mine\n",
		"\xff\xfea\x00a\x00g\x00u\x00i\x00d\x00\n\x00", `"aaguid` + "\n", `{"fidokey":1,"result":{"aaguid":""}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		found, err := entra.ParseInventory(text)
		if (err == nil) != (len(found) > 0) {
			t.Fatalf("%v, %v", found, err)
		}
		var list []map[string]string
		seen := map[ctap2.AAGUID]bool{}
		for _, a := range found {
			if seen[a] {
				t.Errorf("%v comes twice", a)
			}
			seen[a] = true
			list = append(list, map[string]string{"aaguid": a.String()})
		}
		if again, _ := json.Marshal(list); len(found) > 0 {
			if read, err := entra.ParseInventory(again); err != nil || len(read) != len(found) {
				t.Errorf("%s is read as %v, %v", again, read, err)
			}
		}
	})
}

// FuzzParseStrength: what is read is read again from what is written.
func FuzzParseStrength(f *testing.F) {
	for _, text := range []string{
		`{"id":"s1","displayName":"Keys","allowedCombinations":["fido2"],"combinationConfigurations":[{"@odata.type":"#microsoft.graph.fido2CombinationConfiguration","id":"c1","allowedAAGUIDs":["2fc0579f-8113-47ea-b116-bb5a8db9202a"],"appliesToCombinations":["fido2"]}]}`,
		`{"value":[{"id":"s1","policyType":"builtIn","combinationConfigurations":[]}]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := entra.ParseStrength(text)
		if (err == nil) != (s != nil) {
			t.Fatalf("%+v, %v", s, err)
		}
		if err == nil {
			if again, err := json.Marshal(s); err != nil {
				t.Error(err)
			} else if _, err := entra.ParseStrength(again); err != nil {
				t.Errorf("%s: %v", again, err)
			}
		}
	})
}
