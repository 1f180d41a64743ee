package entra_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/metadata"
)

// TestRealMetadata compares the rule with Microsoft's list, for the models of a BLOB
// of the FIDO Alliance, if FIDOKEY_METADATA_BLOB names one: a model that fulfils the
// rule is listed, unless it has left the market.
func TestRealMetadata(t *testing.T) {
	file := os.Getenv("FIDOKEY_METADATA_BLOB")
	if file == "" {
		t.Skip("FIDOKEY_METADATA_BLOB names no BLOB")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blob := metadata.Verifier{}.Verify(data).Blob
	if blob == nil {
		t.Fatal("no BLOB")
	}
	fulfil, both, unlisted := 0, 0, []string{}
	for _, e := range blob.Entries {
		if e.AAGUID == "" || e.Statement.ProtocolFamily != "fido2" {
			continue
		}
		a, err := ctap2.ParseAAGUID(e.AAGUID)
		if err != nil {
			t.Fatal(err)
		}
		r := entra.Judge(entra.Case{
			Key: entra.Key{AAGUID: a}, Policy: enabled(t, `"isAttestationEnforced":true`),
			Metadata: models{e.AAGUID: e}, Now: now,
		})
		softened := slices.ContainsFunc(r.Reasons, func(r entra.Reason) bool { return strings.Contains(r.Detail, "; but Microsoft") })
		if r.Verdict != entra.VerdictAccepted || softened {
			continue
		}
		fulfil++
		if m, _ := metadata.Lookup(e.AAGUID); m.EntraAttestable {
			both++
		} else {
			unlisted = append(unlisted, e.AAGUID+" "+e.Statement.Description)
		}
	}
	t.Logf("%d models fulfil the rule, %d of them are listed; not listed: %q", fulfil, both, unlisted)
	if both*10 < fulfil*9 || fulfil == 0 {
		t.Errorf("the rule and the list do not agree")
	}
}
