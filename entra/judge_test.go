package entra_test

import (
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
	"github.com/fidokey/fidokey/internal/mdstest"
)

// TestReferenceCases are answers that are known.
func TestReferenceCases(t *testing.T) {
	maker := newVendor(t)
	aaguid1 := aaguid(t, mdstest.AAGUID(1))
	packed := &entra.Attestation{Format: "packed", AAGUID: aaguid1, Certificates: [][]byte{maker.leaf(t, withAAGUID(aaguid1))}}
	self := &entra.Attestation{Format: "packed", AAGUID: aaguid1}
	none := &entra.Attestation{Format: "none"}
	synced := &entra.Attestation{Format: "none", AAGUID: aaguid1, BackupEligible: true}
	inMDS, notInMDS := models{mdstest.AAGUID(1): maker.entry(t)}, models{}
	const (
		attested   = `"isAttestationEnforced":true`
		allowIt    = `"isAttestationEnforced":false,"keyRestrictions":{"isEnforced":true,"enforcementType":"allow","aaGuids":["F1D0F1D0-0000-4000-8000-000000000001"]}`
		allowOther = `"isAttestationEnforced":false,"keyRestrictions":{"isEnforced":true,"enforcementType":"allow","aaGuids":["f1d0f1d0-0000-4000-8000-000000000002"]}`
		allowNone  = `"isAttestationEnforced":false,"keyRestrictions":{"isEnforced":true,"enforcementType":"allow","aaGuids":[]}`
		blockIt    = `"isAttestationEnforced":false,"keyRestrictions":{"isEnforced":true,"enforcementType":"block","aaGuids":["f1d0f1d0-0000-4000-8000-000000000001"]}`
		ignored    = `"isAttestationEnforced":false,"keyRestrictions":{"isEnforced":false,"enforcementType":"block","aaGuids":["f1d0f1d0-0000-4000-8000-000000000001"]}`
		two        = `"defaultPasskeyProfile":"00000000-0000-0000-0000-000000000001","passkeyProfiles":[
			{"id":"a","name":"A","passkeyTypes":"deviceBound","attestationEnforcement":"registrationOnly"},
			{"id":"b","name":"B","passkeyTypes":"synced","attestationEnforcement":"disabled"}],
			"includeTargets":[{"targetType":"group","id":"g1","allowedPasskeyProfiles":["a"]},{"targetType":"group","id":"g2","allowedPasskeyProfiles":["b"]}]`
		excluded = `"isAttestationEnforced":false,"excludeTargets":[{"targetType":"group","id":"g1"}],"includeTargets":[{"targetType":"group","id":"g2"}]`
	)
	tests := []struct {
		name, policy string
		attestation  *entra.Attestation
		metadata     entra.Metadata
		verdict      entra.Verdict
		refused      string
		summary      string // a part of it
	}{
		{"attested, listed, certified", attested, packed, inMDS, entra.VerdictAccepted, "", "Accepted"},
		{"attested, self attestation", attested, self, inMDS, entra.VerdictRefused, "legacy settings attestation", "attestation"},
		{"attested, none", attested, none, inMDS, entra.VerdictRefused, "legacy settings attestation", "attestation"},
		{"attested, not in the metadata", attested, packed, notInMDS, entra.VerdictRefused, "legacy settings metadata", "metadata"},
		{"not attested, in the allow list", allowIt, self, inMDS, entra.VerdictAccepted, "", "not verified"},
		{"not in the allow list", allowOther, packed, inMDS, entra.VerdictRefused, "legacy settings key restrictions", "key restrictions"},
		{"empty allow list", allowNone, packed, inMDS, entra.VerdictRefused, "legacy settings key restrictions", "key restrictions"},
		{"in the block list", blockIt, packed, inMDS, entra.VerdictRefused, "legacy settings key restrictions", "key restrictions"},
		{"in a list that is not enforced", ignored, packed, inMDS, entra.VerdictAccepted, "", "Accepted"},
		{"two profiles, not attested", two, self, inMDS, entra.VerdictRefused, "A attestation, B type", "attestation (A); type (B)"},
		{"two profiles, synced", two, synced, inMDS, entra.VerdictAccepted, "A type, A attestation", `by "B"`},
		{"excluded and included", excluded, packed, inMDS, entra.VerdictRefused, "excluded group", "excluded"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			key := entra.Key{AAGUID: test.attestation.AAGUID, Info: goodInfo(), Attestation: test.attestation}
			r := entra.Judge(entra.Case{Key: key, Policy: enabled(t, test.policy), User: entra.User{Groups: []string{"G1", "g2"}}, Metadata: test.metadata, Now: now})
			if r.Verdict != test.verdict || refused(r) != test.refused || !strings.Contains(r.Summary, test.summary) {
				t.Errorf("%s, %q\n%s\n%+v", r.Verdict, refused(r), r.Summary, r.Reasons)
			}
		})
	}
}

// TestGates: each gate that is closed ends the evaluation.
func TestGates(t *testing.T) {
	const everybody = `"includeTargets":[{"targetType":"group","id":"all_users"}]`
	tests := []struct {
		name, policy string
		user         entra.User
		verdict      entra.Verdict
		refused      string
	}{
		{"open", everybody, entra.User{}, entra.VerdictAccepted, ""},
		{"disabled", `"state":"disabled"`, entra.User{}, entra.VerdictRefused, entra.RuleState},
		{"excluded", `"excludeTargets":[{"id":"G9"}]`, entra.User{Groups: []string{"g9"}}, entra.VerdictRefused, entra.RuleExcluded},
		{"excluded, all of them", `"excludeTargets":[{"id":"all_users"}]`, entra.User{}, entra.VerdictRefused, entra.RuleExcluded},
		{"excluded others", `"excludeTargets":[{"id":"G9"}]`, entra.User{Groups: []string{"g8"}}, entra.VerdictAccepted, ""},
		{"excluded perhaps", `"excludeTargets":[{"id":"G9"}]`, entra.User{AnyGroup: true}, entra.VerdictAccepted, ""},
		{"not targeted", `"includeTargets":[{"id":"g1"}]`, entra.User{Groups: []string{"g2"}}, entra.VerdictRefused, entra.RuleTargeted},
		{"no targets", `"includeTargets":[]`, entra.User{AnyGroup: true}, entra.VerdictRefused, entra.RuleTargeted},
		{"any group", `"includeTargets":[{"id":"g1"}]`, entra.User{AnyGroup: true}, entra.VerdictAccepted, ""},
		{"no self-service", `"isSelfServiceRegistrationAllowed":false`, entra.User{}, entra.VerdictRefused, entra.RuleSelfService},
		{"self-service not told", `"isSelfServiceRegistrationAllowed":null`, entra.User{}, entra.VerdictUnknown, ""},
		{"guest", everybody, entra.User{Guest: true}, entra.VerdictRefused, entra.RuleMember},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := entra.Judge(entra.Case{Key: key1(t), Policy: enabled(t, test.policy), User: test.user, Now: now})
			if r.Verdict != test.verdict || refused(r) != test.refused {
				t.Errorf("%s, %q: %s", r.Verdict, refused(r), r.Summary)
			}
			closed := slices.IndexFunc(r.Reasons, func(r entra.Reason) bool { return r.Outcome == entra.Refused })
			if test.refused != "" && closed != len(r.Reasons)-1 {
				t.Errorf("it goes on: %+v", r.Reasons[closed+1:])
			}
		})
	}
	t.Run("self-service is for registrations", func(t *testing.T) {
		r := entra.JudgeSignIn(entra.Case{Key: key1(t), Policy: enabled(t, `"isSelfServiceRegistrationAllowed":false`), Now: now})
		if r.Verdict != entra.VerdictAccepted {
			t.Errorf("%s: %s", r.Verdict, r.Summary)
		}
	})
}

func profiles(members string) string {
	return `"defaultPasskeyProfile":"00000000-0000-0000-0000-000000000001",` + members
}

func TestProfiles(t *testing.T) {
	const open = `{"id":"00000000-0000-0000-0000-000000000001","passkeyTypes":"deviceBound,synced","attestationEnforcement":"disabled"}`
	const closed = `{"id":"c","name":"C","passkeyTypes":"synced"}`
	tests := []struct {
		name, policy string
		verdict      entra.Verdict
		refused      string
	}{
		{"the default for targets without", profiles(`"passkeyProfiles":[` + open + `,` + closed + `]`), entra.VerdictAccepted, ""},
		{"of all targets together", profiles(`"passkeyProfiles":[` + open + `,` + closed + `],"includeTargets":[{"id":"all_users","allowedPasskeyProfiles":["C"]},{"id":"all_users","allowedPasskeyProfiles":["c","00000000-0000-0000-0000-000000000001"]}]`), entra.VerdictAccepted, "C type"},
		{"one of them only", profiles(`"passkeyProfiles":[` + open + `,` + closed + `],"includeTargets":[{"id":"all_users","allowedPasskeyProfiles":["c"]}]`), entra.VerdictRefused, "C type"},
		{"the default is not in the list", profiles(`"isAttestationEnforced":false,"keyRestrictions":{"isEnforced":true,"enforcementType":"allow","aaGuids":[]}`), entra.VerdictRefused, "default profile (as the legacy settings have it) key restrictions"},
		{"profiles of a tenant without", `"defaultPasskeyProfile":null,"passkeyProfiles":[` + closed + `]`, entra.VerdictAccepted, ""},
		{"a profile that is not there", profiles(`"passkeyProfiles":[` + open + `],"includeTargets":[{"id":"all_users","allowedPasskeyProfiles":["x"]}]`), entra.VerdictUnknown, ""},
		{"types that are not told", profiles(`"passkeyProfiles":[{"id":"00000000-0000-0000-0000-000000000001","attestationEnforcement":"disabled"}]`), entra.VerdictUnknown, ""},
		{"an enforcement of another kind", profiles(`"passkeyProfiles":[{"id":"00000000-0000-0000-0000-000000000001","passkeyTypes":"deviceBound","attestationEnforcement":"always"}]`), entra.VerdictUnknown, ""},
		{"a restriction of another kind", `"keyRestrictions":{"isEnforced":true,"enforcementType":"ask","aaGuids":[]}`, entra.VerdictUnknown, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := entra.Judge(entra.Case{Key: key1(t), Policy: enabled(t, test.policy), User: entra.User{AnyGroup: true}, Now: now})
			if r.Verdict != test.verdict || refused(r) != test.refused {
				t.Errorf("%s, %q: %s\n%+v", r.Verdict, refused(r), r.Summary, r.Reasons)
			}
		})
	}
}

// TestLegacyTypes: where attestation is enforced without profiles, synced passkeys
// are not taken.
func TestLegacyTypes(t *testing.T) {
	for members, want := range map[string]string{
		`"isAttestationEnforced":true`:  "legacy settings type, legacy settings attestation",
		`"isAttestationEnforced":false`: "",
	} {
		key := key1(t)
		key.Attestation = &entra.Attestation{Format: "none", BackupEligible: true}
		r := entra.Judge(entra.Case{Key: key, Policy: enabled(t, members), Now: now})
		if refused(r) != want {
			t.Errorf("%s: %q", members, refused(r))
		}
	}
}

// TestAAGUIDs: the models with rules of their own.
func TestAAGUIDs(t *testing.T) {
	const zero = "00000000-0000-0000-0000-000000000000"
	restricted := func(kind string, aaguids ...string) string {
		return fmt.Sprintf(`"keyRestrictions":{"isEnforced":true,"enforcementType":%q,"aaGuids":["%s"]}`, kind, strings.Join(aaguids, `","`))
	}
	tests := []struct {
		name, aaguid, policy string
		verdict              entra.Verdict
		refused              string
	}{
		{"zero, allow list", zero, restricted("allow", listed), entra.VerdictRefused, "legacy settings key restrictions"},
		{"zero, block list of others", zero, restricted("block", listed), entra.VerdictAccepted, ""},
		{"zero, block list that names it", zero, restricted("block", zero), entra.VerdictRefused, "legacy settings key restrictions"},
		{"zero, attested", zero, `"isAttestationEnforced":true`, entra.VerdictRefused, "legacy settings AAGUID"},
		{"Windows Hello, no list", hello, `"isAttestationEnforced":false`, entra.VerdictRefused, "legacy settings Windows Hello"},
		{"Windows Hello, allowed", hello, restricted("allow", hello), entra.VerdictAccepted, ""},
		{"Windows Hello, allowed and attested", hello, `"isAttestationEnforced":true,` + restricted("allow", hello), entra.VerdictRefused, "legacy settings Windows Hello"},
		{"Windows Hello, not blocked", hello, restricted("block", listed), entra.VerdictRefused, "legacy settings Windows Hello"},
		{"Microsoft's synced passkeys, attested", msSynced, `"isAttestationEnforced":true`, entra.VerdictRefused, "legacy settings type"},
		{"Authenticator, attested", authIOS, `"isAttestationEnforced":true`, entra.VerdictAccepted, ""},
		{"listed by Microsoft, attested", listed, `"isAttestationEnforced":true`, entra.VerdictAccepted, ""},
		{"in no list, attested", mdstest.AAGUID(3), `"isAttestationEnforced":true`, entra.VerdictUnknown, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := entra.Judge(entra.Case{Key: entra.Key{AAGUID: aaguid(t, test.aaguid)}, Policy: enabled(t, test.policy), Now: now})
			if r.Verdict != test.verdict || refused(r) != test.refused {
				t.Errorf("%s, %q: %s\n%+v", r.Verdict, refused(r), r.Summary, r.Reasons)
			}
		})
	}
}

// TestStrength: an authentication strength counts at sign-in.
func TestStrength(t *testing.T) {
	const it, other = "F1D0F1D0-0000-4000-8000-000000000001", "f1d0f1d0-0000-4000-8000-000000000002"
	configured := func(aaguid, applies string) string {
		return fmt.Sprintf(`{"displayName":"S","allowedCombinations":["fido2"],"combinationConfigurations":[{"@odata.type":%q,"allowedAAGUIDs":[%s],"appliesToCombinations":[%q]}]}`, entra.CombinationConfigurationType, aaguid, applies)
	}
	for _, test := range []struct {
		name, strength string
		verdict        entra.Verdict
	}{
		{"any passkey", `{"allowedCombinations":["windowsHelloForBusiness","fido2"]}`, entra.VerdictAccepted},
		{"empty list", configured("", "fido2"), entra.VerdictAccepted},
		{"in the list", configured(`"`+it+`"`, "fido2"), entra.VerdictAccepted},
		{"not in the list", configured(`"`+other+`"`, "fido2"), entra.VerdictRefused},
		{"a list for something else", configured(`"`+other+`"`, "x509CertificateMultiFactor"), entra.VerdictAccepted},
		{"no passkeys", `{"allowedCombinations":["password,sms"]}`, entra.VerdictRefused},
		{"in a list of one", `{"value":[` + configured(`"`+other+`"`, "fido2") + `]}`, entra.VerdictRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := entra.ParseStrength([]byte(test.strength))
			if err != nil {
				t.Fatal(err)
			}
			r := entra.Judge(entra.Case{Key: key1(t), Policy: enabled(t, `"isAttestationEnforced":false`), Strength: s, Now: now})
			if r.Verdict != test.verdict || (refused(r) != "") != (test.verdict == entra.VerdictRefused) {
				t.Errorf("%s: %s", r.Verdict, r.Summary)
			}
			if test.verdict == entra.VerdictRefused && !strings.Contains(r.Summary, "sign-in: authentication strength") {
				t.Errorf("%s", r.Summary)
			}
		})
	}
	for _, text := range []string{`{"value":[{},{}]}`, `[]`, `{}`, `{"allowedCombinations":1}`} {
		if _, err := entra.ParseStrength([]byte(text)); err == nil {
			t.Errorf("%s is read", text)
		}
	}
}

// TestStrengthAlone: without a policy the strength is all that counts at sign-in.
func TestStrengthAlone(t *testing.T) {
	for combination, want := range map[string]string{"fido2": "Accepted at sign-in.", "password,sms": "Refused at sign-in: authentication strength."} {
		r := entra.JudgeSignIn(entra.Case{Key: key1(t), Strength: &entra.Strength{AllowedCombinations: []string{combination}}, Now: now})
		if r.Summary != want || len(r.Reasons) != 1 {
			t.Errorf("%s: %+v", r.Summary, r.Reasons)
		}
	}
}

// TestSignIn: attestation and what the key can do count at registration only; type
// and restrictions at both.
func TestSignIn(t *testing.T) {
	useless := entra.Key{AAGUID: aaguid(t, mdstest.AAGUID(1)), Info: &ctap2.GetInfoResponse{Versions: []string{"U2F_V2"}}, Attestation: &entra.Attestation{Format: "none"}}
	for members, want := range map[string]string{
		`"isAttestationEnforced":true`: "",
		`"keyRestrictions":{"isEnforced":true,"enforcementType":"block","aaGuids":["f1d0f1d0-0000-4000-8000-000000000001"]}`: "legacy settings key restrictions",
		profiles(`"passkeyProfiles":[{"id":"00000000-0000-0000-0000-000000000001","passkeyTypes":"synced"}]`):                "default profile type",
	} {
		r := entra.JudgeSignIn(entra.Case{Key: useless, Policy: enabled(t, members), Now: now})
		if refused(r) != want {
			t.Errorf("%s: %q", members, refused(r))
		}
	}
}

// TestWithoutPolicy: both columns of the requirements are judged.
func TestWithoutPolicy(t *testing.T) {
	r := entra.Judge(entra.Case{Key: key1(t), Metadata: models{}, Now: now})
	if r.Verdict != entra.VerdictAccepted || refused(r) != "attestation enforced metadata" || r.Summary != "The key has what Entra needs where attestation is not enforced; where it is, the key is refused: metadata." {
		t.Errorf("%s, %q: %s", r.Verdict, refused(r), r.Summary)
	}
}

// TestAttestation: what of a registration's attestation is not good.
func TestAttestation(t *testing.T) {
	maker, other := newVendor(t), newVendor(t)
	id := aaguid(t, mdstest.AAGUID(1))
	tests := []struct {
		name   string
		leaf   []byte
		format string
		detail string // empty: good
	}{
		{"leads to the root", maker.leaf(t, nil), "packed", ""},
		{"with the right AAGUID", maker.leaf(t, withAAGUID(id)), "packed", ""},
		{"with another AAGUID", maker.leaf(t, withAAGUID(aaguid(t, listed))), "packed", "AAGUID"},
		{"of another maker", other.leaf(t, nil), "packed", "lead to no root"},
		{"no OU", maker.leaf(t, func(c *x509.Certificate) { c.Subject.OrganizationalUnit = nil }), "packed", "OU=Authenticator Attestation"},
		{"no country", maker.leaf(t, func(c *x509.Certificate) { c.Subject.Country = nil }), "packed", "lacks C"},
		{"of an authority", maker.leaf(t, func(c *x509.Certificate) { c.IsCA = true }), "packed", "authority"},
		{"no certificate", []byte{1, 2, 3}, "packed", "x509"},
		{"another format", maker.leaf(t, nil), "tpm", "must be packed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			key := key1(t)
			key.Attestation = &entra.Attestation{Format: test.format, AAGUID: id, Certificates: [][]byte{test.leaf}}
			r := entra.Judge(entra.Case{Key: key, Policy: enabled(t, `"isAttestationEnforced":true`), Metadata: models{mdstest.AAGUID(1): maker.entry(t)}, Now: now})
			i := slices.IndexFunc(r.Reasons, func(r entra.Reason) bool { return r.Rule == entra.RuleAttestation })
			if got := r.Reasons[i]; (got.Outcome == entra.Passed) != (test.detail == "") || !strings.Contains(got.Detail, test.detail) {
				t.Errorf("%+v", got)
			}
		})
	}
	t.Run("at another time", func(t *testing.T) {
		key := key1(t)
		key.Attestation = &entra.Attestation{Format: "packed", AAGUID: id, Certificates: [][]byte{maker.leaf(t, nil)}}
		r := entra.Judge(entra.Case{Key: key, Policy: enabled(t, `"isAttestationEnforced":true`), Metadata: models{mdstest.AAGUID(1): maker.entry(t)}, Now: now.AddDate(2, 0, 0)})
		if refused(r) != "legacy settings attestation" {
			t.Errorf("%q: %s", refused(r), r.Summary)
		}
	})
	t.Run("the certificate is listed itself", func(t *testing.T) {
		leaf := other.leaf(t, nil)
		listed := &vendor{root: must(x509.ParseCertificate(leaf))}
		key := key1(t)
		key.Attestation = &entra.Attestation{Format: "packed", AAGUID: id, Certificates: [][]byte{leaf}}
		r := entra.Judge(entra.Case{Key: key, Policy: enabled(t, `"isAttestationEnforced":true`), Metadata: models{mdstest.AAGUID(1): listed.entry(t)}, Now: now})
		if r.Verdict != entra.VerdictAccepted {
			t.Errorf("%s", r.Summary)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
