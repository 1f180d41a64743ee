package entra_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/internal/mdstest"
	"github.com/fidokey/fidokey/metadata"
)

// onKey tries a rule on keys; the policy enforces no attestation.
func onKey(t *testing.T, rule string, tests map[string]struct {
	change func(info *ctap2.GetInfoResponse)
	want   entra.Outcome
}) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			key := key1(t)
			test.change(key.Info)
			r := entra.Judge(entra.Case{Key: key, Policy: enabled(t, `"isAttestationEnforced":false`), Now: now})
			if got := outcome(t, r, rule); got != test.want {
				t.Errorf("%s: %+v", got, r.Reasons)
			}
			if refusedAtAll := r.Verdict == entra.VerdictRefused; refusedAtAll != (test.want == entra.Refused) {
				t.Errorf("%s: %s", r.Verdict, r.Summary)
			}
		})
	}
}

type keys = map[string]struct {
	change func(info *ctap2.GetInfoResponse)
	want   entra.Outcome
}

func versions(v ...string) func(*ctap2.GetInfoResponse) {
	return func(i *ctap2.GetInfoResponse) { i.Versions = v }
}

func options(o map[string]bool) func(*ctap2.GetInfoResponse) {
	return func(i *ctap2.GetInfoResponse) {
		i.Options = map[string]bool{"rk": true}
		for name, value := range o {
			i.Options[name] = value
		}
	}
}

func TestRequirementVersion(t *testing.T) {
	onKey(t, entra.RuleVersion, keys{
		"2.0":                  {versions("U2F_V2", "FIDO_2_0"), entra.Passed},
		"2.1":                  {versions("FIDO_2_1"), entra.Passed},
		"later":                {versions("FIDO_2_3"), entra.Passed},
		"preview of 2.1 alone": {versions("U2F_V2", "FIDO_2_1_PRE"), entra.Refused},
		"U2F alone":            {versions("U2F_V2"), entra.Refused},
	})
}

func TestRequirementDiscoverable(t *testing.T) {
	onKey(t, entra.RuleDiscoverable, keys{
		"rk":     {func(*ctap2.GetInfoResponse) {}, entra.Passed},
		"rk off": {func(i *ctap2.GetInfoResponse) { i.Options["rk"] = false }, entra.Refused},
		"no rk":  {func(i *ctap2.GetInfoResponse) { delete(i.Options, "rk") }, entra.Refused},
	})
}

func TestRequirementUserVerification(t *testing.T) {
	onKey(t, entra.RuleUserVerification, keys{
		"a PIN is set":           {options(map[string]bool{"clientPin": true}), entra.Passed},
		"a finger is enrolled":   {options(map[string]bool{"uv": true, "clientPin": false}), entra.Passed},
		"no PIN yet":             {options(map[string]bool{"clientPin": false}), entra.Warning},
		"no finger yet":          {options(map[string]bool{"uv": false}), entra.Warning},
		"neither":                {options(nil), entra.Refused},
		"the PIN is to be new":   {func(i *ctap2.GetInfoResponse) { i.ForcePINChange = new(true) }, entra.Warning},
		"no new PIN is demanded": {func(i *ctap2.GetInfoResponse) { i.ForcePINChange = new(false) }, entra.Passed},
	})
}

func TestRequirementHMACSecret(t *testing.T) {
	onKey(t, entra.RuleHMACSecret, keys{
		"has it":                   {func(*ctap2.GetInfoResponse) {}, entra.Passed},
		"has it not, not enforced": {func(i *ctap2.GetInfoResponse) { i.Extensions = nil }, entra.Warning},
	})
}

func TestRequirementAlgorithm(t *testing.T) {
	algorithms := func(all ...cose.Algorithm) func(*ctap2.GetInfoResponse) {
		return func(i *ctap2.GetInfoResponse) {
			i.Algorithms = nil
			for _, a := range all {
				i.Algorithms = append(i.Algorithms, ctap2.CredentialParameters{Algorithm: a, Type: ctap2.PublicKeyType})
			}
		}
	}
	onKey(t, entra.RuleAlgorithm, keys{
		"ES256":      {algorithms(cose.EdDSA, cose.ES256), entra.Passed},
		"RS256":      {algorithms(cose.RS256), entra.Passed},
		"not told":   {algorithms(), entra.Passed},
		"EdDSA only": {algorithms(cose.EdDSA), entra.Refused},
	})
}

func TestRequirementCredProtect(t *testing.T) {
	onKey(t, entra.RuleCredProtect, keys{
		"has it":     {func(*ctap2.GetInfoResponse) {}, entra.Passed},
		"has it not": {func(i *ctap2.GetInfoResponse) { i.Extensions = []string{"hmac-secret"} }, entra.Noted},
	})
}

func TestRequirementAccounts(t *testing.T) {
	room := func(n *uint) func(*ctap2.GetInfoResponse) {
		return func(i *ctap2.GetInfoResponse) { i.RemainingDiscoverableCredentials = n }
	}
	onKey(t, entra.RuleAccounts, keys{
		"room":     {room(new(uint(2))), entra.Passed},
		"last one": {room(new(uint(1))), entra.Warning},
		"full":     {room(new(uint(0))), entra.Refused},
		"not told": {room(nil), entra.Noted},
	})
}

func TestRequirementPINLength(t *testing.T) {
	key := key1(t)
	for want, length := range map[string]*uint{"at least 4 ": nil, "at least 8 ": new(uint(8))} {
		key.Info.MinPINLength = length
		r := entra.Judge(entra.Case{Key: key, Now: now})
		if detail(r, entra.RulePINLength, ""); !strings.HasPrefix(detail(r, entra.RulePINLength, ""), want) {
			t.Errorf("%+v", r.Reasons)
		}
	}
}

// TestNotRequired: what Entra does without is told.
func TestNotRequired(t *testing.T) {
	key := key1(t)
	r := entra.Judge(entra.Case{Key: key, Now: now})
	if got := detail(r, entra.RuleManagement, ""); !strings.HasSuffix(got, "has credMgmt") {
		t.Error(got)
	}
	if got := detail(r, entra.RuleProvisioning, ""); !strings.Contains(got, "none of authnrCfg") {
		t.Error(got)
	}
}

func detail(r *entra.Result, rule, profile string) string {
	for _, reason := range r.Reasons {
		if reason.Rule == rule && reason.Profile == profile {
			return string(reason.Detail)
		}
	}
	return ""
}

func TestRequirementFormatNotEnforced(t *testing.T) {
	for format, want := range map[string]entra.Outcome{
		"none": entra.Passed, "packed": entra.Passed, "tpm": entra.Warning, "custom": entra.Warning,
		strings.Repeat("x", 32): entra.Warning, strings.Repeat("x", 33): entra.Refused,
	} {
		key := key1(t)
		key.Attestation = &entra.Attestation{Format: format}
		r := entra.Judge(entra.Case{Key: key, Policy: enabled(t, `"isAttestationEnforced":false`), Now: now})
		if got := outcome(t, r, entra.RuleAttestation); got != want {
			t.Errorf("%s: %s", format, got)
		}
	}
}

// TestMetadataRule: where attestation is enforced the model must be certified, not
// revoked, and have in the metadata what Entra needs; one that Microsoft lists is
// taken all the same, unless it is not to be trusted.
func TestMetadataRule(t *testing.T) {
	tests := []struct {
		name    string
		change  func(e, s map[string]any)
		refused string // empty: accepted
		trusted bool   // refused although Microsoft lists it
	}{
		{"good", nil, "", false},
		{"revoked", func(e, _ map[string]any) { mdstest.Status(e, "REVOKED", "2026-01-01") }, entra.RuleCertification, true},
		{"compromised", func(e, _ map[string]any) { mdstest.Status(e, "ATTESTATION_KEY_COMPROMISE", "2026-01-01") }, entra.RuleCertification, true},
		{"revoked in the future", func(e, _ map[string]any) { mdstest.Status(e, "REVOKED", "2027-01-01") }, "", false},
		{"not certified", func(e, _ map[string]any) { e["statusReports"] = []any{map[string]any{"status": "NOT_FIDO_CERTIFIED"}} }, entra.RuleCertification, false},
		{"no status", func(e, _ map[string]any) { e["statusReports"] = []any{} }, entra.RuleCertification, false},
		{"no FIDO 2.0", func(e, s map[string]any) { getInfo(e, s)["versions"] = []string{"FIDO_2_1_PRE"} }, entra.RuleVersion, false},
		{"no rk", func(e, s map[string]any) { getInfo(e, s)["options"] = map[string]bool{"clientPin": true} }, entra.RuleDiscoverable, false},
		{"no user verification", func(e, s map[string]any) { getInfo(e, s)["options"] = map[string]bool{"rk": true} }, entra.RuleUserVerification, false},
		{"no hmac-secret", func(e, s map[string]any) { getInfo(e, s)["extensions"] = []string{"credProtect"} }, entra.RuleHMACSecret, false},
		{"no getInfo", func(_, s map[string]any) { delete(s, "authenticatorGetInfo") }, entra.RuleGetInfo, false},
		{"self attestation", func(_, s map[string]any) { s["attestationTypes"] = []string{"basic_surrogate"} }, entra.RuleAttestation, false},
		{"a member of getInfo is broken", func(e, s map[string]any) { getInfo(e, s)["maxMsgSize"] = "many" }, "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for id, name := range map[string]string{mdstest.AAGUID(1): "made up", listed: "listed by Microsoft"} {
				key := entra.Key{AAGUID: aaguid(t, id), Info: goodInfo()}
				r := entra.Judge(entra.Case{Key: key, Policy: enabled(t, `"isAttestationEnforced":true`), Metadata: models{id: entry(t, test.change)}, Now: now})
				want := ""
				if test.refused != "" && (id != listed || test.trusted) {
					want = "legacy settings " + test.refused
				}
				if refused(r) != want {
					t.Errorf("%s: %q: %+v", name, refused(r), r.Reasons)
				}
			}
		})
	}
}

// broken is metadata that cannot be read.
type broken struct{}

func (broken) Entry(string) (*metadata.Entry, error) { return nil, fmt.Errorf("torn") }

func TestBrokenMetadata(t *testing.T) {
	r := entra.Judge(entra.Case{Key: key1(t), Policy: enabled(t, `"isAttestationEnforced":true`), Metadata: broken{}, Now: now})
	if r.Verdict != entra.VerdictUnknown || !strings.Contains(detail(r, entra.RuleMetadata, "legacy settings"), "torn") {
		t.Errorf("%s: %+v", r.Verdict, r.Reasons)
	}
}

// TestModelWithoutKey: of a model the metadata says what the key can do; without that
// nothing depends on it.
func TestModelWithoutKey(t *testing.T) {
	model := entra.Key{AAGUID: aaguid(t, mdstest.AAGUID(1))}
	policy := enabled(t, `"isAttestationEnforced":false`)
	without := models{mdstest.AAGUID(1): entry(t, func(e, s map[string]any) { getInfo(e, s)["options"] = map[string]bool{"clientPin": false} })}
	r := entra.Judge(entra.Case{Key: model, Policy: policy, Metadata: without, Now: now})
	if refused(r) != entra.RuleDiscoverable || outcome(t, r, entra.RuleUserVerification) != entra.Passed {
		t.Errorf("%q: %+v", refused(r), r.Reasons)
	}
	r = entra.Judge(entra.Case{Key: model, Policy: policy, Now: now})
	if r.Verdict != entra.VerdictAccepted || outcome(t, r, entra.RuleGetInfo) != entra.Noted {
		t.Errorf("%s: %+v", r.Verdict, r.Reasons)
	}
}
