package entra_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra"
)

const (
	defaultID = entra.DefaultProfileID
	keysID    = "00000000-0000-4000-8000-00000000000a"
	phonesID  = "00000000-0000-4000-8000-00000000000b"
	modelA    = "aaaaaaaa-0000-4000-8000-000000000001"
	modelB    = "bbbbbbbb-0000-4000-8000-000000000002"
	modelC    = "cccccccc-0000-4000-8000-000000000003"
)

// restrictions writes keyRestrictions of a kind; "" are not enforced.
func restrictions(kind string, aaguids ...string) string {
	list, _ := json.Marshal(append([]string{}, aaguids...))
	if kind == "" {
		return fmt.Sprintf(`{"isEnforced":false,"enforcementType":"block","aaGuids":%s}`, list)
	}
	return fmt.Sprintf(`{"isEnforced":true,"enforcementType":%q,"aaGuids":%s}`, kind, list)
}

func profileOf(id, name, restrictions string) string {
	return fmt.Sprintf(`{"id":%q,"name":%q,"passkeyTypes":"deviceBound","attestationEnforcement":"disabled","keyRestrictions":%s,"later":[1]}`, id, name, restrictions)
}

// policyOf has a default profile, which the legacy members mirror, and the profile Keys,
// which a group uses; Phones is used by nobody.
func policyOf(t *testing.T, ofDefault, ofKeys string) *entra.Policy {
	t.Helper()
	return parse(t, `{"@odata.type":"#microsoft.graph.fido2AuthenticationMethodConfiguration","id":"Fido2","state":"enabled","later":{"a":1},
		"isSelfServiceRegistrationAllowed":true,"isAttestationEnforced":false,"keyRestrictions":`+ofDefault+`,
		"includeTargets":[{"targetType":"group","id":"all_users"},{"targetType":"group","id":"g1","allowedPasskeyProfiles":["`+keysID+`"]}],
		"excludeTargets":[],"defaultPasskeyProfile":"`+defaultID+`","passkeyProfiles":[`+
		profileOf(defaultID, "Default passkey profile", ofDefault)+`,`+profileOf(keysID, "Keys", ofKeys)+`,`+profileOf(phonesID, "Phones", restrictions(""))+`]}`)
}

func parse(t *testing.T, text string) *entra.Policy {
	t.Helper()
	p, err := entra.ParsePolicy([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func aaguids(t *testing.T, texts ...string) (models []ctap2.AAGUID) {
	for _, s := range texts {
		models = append(models, aaguid(t, s))
	}
	return models
}

// differences are those of two policies in lines.
func differences(p, to *entra.Policy) (lines []string) {
	for _, c := range p.Differences(to) {
		lines = append(lines, c.String())
	}
	return lines
}

func TestAllowAndBlock(t *testing.T) {
	const list = "passkeyProfiles[Keys].keyRestrictions.aaGuids: "
	const enforced = "~ passkeyProfiles[Keys].keyRestrictions.isEnforced: false -> true"
	for name, c := range map[string]struct {
		keys           string // restrictions of the profile
		block, enforce bool
		models         []string
		want           []string // differences
		note           string
		err            error
		warning        string
	}{
		"allow, allow list":               {restrictions("allow", modelA), false, false, []string{modelA, modelB}, []string{"+ " + list + modelB}, "", nil, ""},
		"allow, listed in upper case":     {restrictions("allow", strings.ToUpper(modelA)), false, false, []string{modelA}, nil, "has these already", nil, ""},
		"allow, block list":               {restrictions("block", modelA, modelB), false, false, []string{modelA}, []string{"- " + list + modelA}, "", nil, ""},
		"allow, the last of a block list": {restrictions("block", modelA), false, false, []string{modelA}, []string{"- " + list + modelA}, "", nil, ""},
		"allow, not in a block list":      {restrictions("block", modelA), false, false, []string{modelB}, nil, "takes them already", nil, ""},
		"allow, not enforced":             {restrictions(""), false, false, []string{modelB}, nil, "takes these already", nil, ""},
		"allow, to be enforced":           {restrictions("", modelC), false, true, []string{modelB}, []string{"- " + list + modelC, "+ " + list + modelB, "~ passkeyProfiles[Keys].keyRestrictions.enforcementType: block -> allow", enforced}, "", nil, "1 model and no others"},
		"allow, null restrictions":        {"null", false, true, []string{modelB}, []string{`+ passkeyProfiles[Keys].keyRestrictions: {"aaGuids":["` + modelB + `"],"enforcementType":"allow","isEnforced":true}`}, "", nil, "1 model and no others"},
		"allow, unknown kind":             {restrictions("prefer"), false, false, []string{modelB}, nil, "", errAny, ""},
		"block, block list":               {restrictions("block", modelA), true, false, []string{modelB, modelB}, []string{"+ " + list + modelB}, "", nil, "passkeys on 1 model no longer"},
		"block, blocked":                  {restrictions("block", modelA), true, false, []string{modelA}, nil, "has these already", nil, ""},
		"block, allow list":               {restrictions("allow", modelA, modelB), true, false, []string{modelB}, []string{"- " + list + modelB}, "", nil, "passkeys on 1 model no longer"},
		"block, not in an allow list":     {restrictions("allow", modelA), true, false, []string{modelB}, nil, "refuses them already", nil, ""},
		"block, all of an allow list":     {restrictions("allow", modelA), true, false, []string{modelA}, nil, "", entra.ErrAllBlocked, ""},
		"block, not enforced":             {restrictions(""), true, false, []string{modelA}, nil, "", entra.ErrNotEnforced, ""},
		"block, to be enforced":           {restrictions("", modelC), true, true, []string{modelA}, []string{"+ " + list + modelA, enforced}, "", nil, "passkeys on 2 models no longer"},
		"block, unknown kind":             {restrictions("prefer"), true, true, []string{modelB}, nil, "", errAny, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := policyOf(t, restrictions(""), c.keys)
			to := p.Clone()
			change := to.Allow
			if c.block {
				change = to.Block
			}
			notes, err := change("keys", aaguids(t, c.models...), c.enforce)
			if c.err != nil {
				if err == nil || c.err != errAny && !errors.Is(err, c.err) {
					t.Fatal(err)
				}
				return
			}
			if err != nil || (c.note == "") != (len(notes) == 0) || c.note != "" && (!strings.Contains(notes[0].Text, c.note) || notes[0].Profile != "Keys") {
				t.Errorf("%+v, %v", notes, err)
			}
			if got := differences(p, to); !slices.Equal(got, c.want) {
				t.Errorf("changed: %q\nwant %q", got, c.want)
			}
			if (p.Patch(to) == nil) != (c.want == nil) {
				t.Errorf("sent: %s", p.Patch(to))
			}
			if q, err := to.Profile("Keys"); err != nil || len(c.want) > 0 && !strings.Contains(string(mustJSON(t, q)), `"aaGuids":[`) {
				t.Errorf("a list that is left out is not changed: %s, %v", mustJSON(t, q), err)
			}
			warnings := p.Consequences(to)
			if (c.warning == "") != (len(warnings) == 0) || c.warning != "" && !strings.Contains(warnings[0].Text, c.warning) {
				t.Errorf("consequences: %+v", warnings)
			}
			if err := p.CheckEdit(to); err != nil {
				t.Error(err)
			}
		})
	}
}

var errAny = errors.New("any")

// TestEditMirror: a change of the default profile changes the legacy members with it, in
// one message that has the profiles as a whole, with what is not known of them.
func TestEditMirror(t *testing.T) {
	p := policyOf(t, restrictions("allow", modelA), restrictions(""))
	to := p.Clone()
	if _, err := to.Allow("", aaguids(t, modelB), false); err != nil {
		t.Fatal(err)
	}
	want := []string{"+ keyRestrictions.aaGuids: " + modelB, "+ passkeyProfiles[Default passkey profile].keyRestrictions.aaGuids: " + modelB}
	if got := differences(p, to); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	var sent struct {
		Type         string                `json:"@odata.type"`
		Profiles     []map[string]any      `json:"passkeyProfiles"`
		Restrictions entra.KeyRestrictions `json:"keyRestrictions"`
	}
	var all map[string]any
	patch := p.Patch(to)
	if json.Unmarshal(patch, &sent) != nil || json.Unmarshal(patch, &all) != nil || len(all) != 3 ||
		sent.Type != entra.PolicyType || len(sent.Profiles) != 3 || len(sent.Restrictions.AAGUIDs) != 2 {
		t.Errorf("%s", patch)
	}
	for _, q := range sent.Profiles {
		if q["later"] == nil || q["id"] == nil {
			t.Errorf("%v", q)
		}
	}
	// Another profile leaves the legacy members alone.
	to = p.Clone()
	if _, err := to.Block("Keys", aaguids(t, modelB), true); err != nil {
		t.Fatal(err)
	}
	all = nil
	if patch := p.Patch(to); json.Unmarshal(patch, &all) != nil || len(all) != 2 || all["passkeyProfiles"] == nil {
		t.Errorf("%s", patch)
	}
	if !slices.Equal(to.KeyRestrictions.AAGUIDs, []string{modelA}) {
		t.Errorf("%v", to.KeyRestrictions.AAGUIDs)
	}
}

// TestEditLegacy: a tenant without profiles has its legacy members changed, and no
// others; one whose legacy members are gone does not get them back.
func TestEditLegacy(t *testing.T) {
	p := parse(t, `{"id":"Fido2","state":"enabled","isAttestationEnforced":true,"includeTargets":[{"id":"all_users","targetType":"group"}]}`)
	to := p.Clone()
	if _, err := to.Allow("", aaguids(t, modelA), true); err != nil {
		t.Fatal(err)
	}
	if got := string(p.Patch(to)); got != `{"@odata.type":"`+entra.PolicyType+`","keyRestrictions":{"isEnforced":true,"enforcementType":"allow","aaGuids":["`+modelA+`"]}}` {
		t.Error(got)
	}
	if _, err := to.Allow("Keys", aaguids(t, modelA), true); err == nil || !strings.Contains(err.Error(), `"legacy settings"`) {
		t.Error(err)
	}
	gone := policyOf(t, restrictions("allow", modelA), restrictions(""))
	gone.KeyRestrictions, gone.IsAttestationEnforced = nil, nil
	to = gone.Clone()
	if _, err := to.Allow("", aaguids(t, modelB), false); err != nil {
		t.Fatal(err)
	}
	var sent map[string]any
	if patch := gone.Patch(to); json.Unmarshal(patch, &sent) != nil || len(sent) != 2 || sent["passkeyProfiles"] == nil {
		t.Errorf("%s", patch)
	}
	// A default profile that is not in the list is what the legacy members say.
	bare := parse(t, `{"state":"enabled","defaultPasskeyProfile":"`+defaultID+`","keyRestrictions":`+restrictions("allow", modelA)+`,"includeTargets":[]}`)
	to = bare.Clone()
	if _, err := to.Allow(defaultID, aaguids(t, modelB), false); err == nil {
		t.Error("it has an ID after all")
	}
	if _, err := to.Allow("", aaguids(t, modelB), false); err != nil || len(to.KeyRestrictions.AAGUIDs) != 2 {
		t.Errorf("%+v, %v", to.KeyRestrictions, err)
	}
}

// TestCheckEdit: what Graph refuses, or what nobody can have meant.
func TestCheckEdit(t *testing.T) {
	p := policyOf(t, restrictions(""), restrictions("allow", modelA))
	many := make([]string, 590)
	for i := range many {
		many[i] = fmt.Sprintf("f1d0f1d0-0000-4000-8000-%012x", i)
	}
	for name, c := range map[string]struct {
		change func(p *entra.Policy)
		says   string // empty: nothing is wrong
	}{
		"nothing":        {func(p *entra.Policy) {}, ""},
		"unused deleted": {func(p *entra.Policy) { p.PasskeyProfiles = p.PasskeyProfiles[:2] }, ""},
		"renamed":        {func(p *entra.Policy) { p.PasskeyProfiles[1].Name = "Other" }, ""},
		"used deleted":   {func(p *entra.Policy) { p.PasskeyProfiles = slices.Delete(p.PasskeyProfiles, 1, 2) }, "target g1 uses it"},
		"used and untargeted": {func(p *entra.Policy) {
			p.PasskeyProfiles = slices.Delete(p.PasskeyProfiles, 1, 2)
			p.IncludeTargets = p.IncludeTargets[:1]
		}, ""},
		"default deleted": {func(p *entra.Policy) { p.PasskeyProfiles = p.PasskeyProfiles[1:] }, "default profile cannot be deleted"},
		"default renamed": {func(p *entra.Policy) { p.PasskeyProfiles[0].Name = "Mine" }, "cannot be renamed"},
		"another default": {func(p *entra.Policy) { p.DefaultPasskeyProfile = new(keysID) }, "cannot be another one"},
		"no default":      {func(p *entra.Policy) { p.DefaultPasskeyProfile = nil }, "cannot be another one"},
		"four profiles": {func(p *entra.Policy) {
			p.PasskeyProfiles = append(p.PasskeyProfiles, entra.PasskeyProfile{Name: "Fourth", PasskeyTypes: "synced", AttestationEnforcement: "disabled"})
		}, "may be 3"},
		"unknown profile":     {func(p *entra.Policy) { p.IncludeTargets[1].AllowedPasskeyProfiles = []string{"x"} }, "which is not there"},
		"too long":            {func(p *entra.Policy) { p.PasskeyProfiles[1].KeyRestrictions.AAGUIDs = many }, "may be 20480"},
		"no AAGUID":           {func(p *entra.Policy) { p.PasskeyProfiles[1].KeyRestrictions.AAGUIDs = []string{"YubiKey"} }, "is no AAGUID"},
		"unknown kind":        {func(p *entra.Policy) { p.PasskeyProfiles[1].KeyRestrictions.EnforcementType = "prefer" }, "no kind of restriction"},
		"unknown type":        {func(p *entra.Policy) { p.PasskeyProfiles[1].PasskeyTypes = "deviceBound,hybrid" }, "no type of passkeys"},
		"unknown attestation": {func(p *entra.Policy) { p.PasskeyProfiles[1].AttestationEnforcement = "always" }, "neither disabled nor registrationOnly"},
		"unknown state":       {func(p *entra.Policy) { p.State = "maybe" }, "neither enabled nor disabled"},
	} {
		t.Run(name, func(t *testing.T) {
			to := p.Clone()
			c.change(to)
			err := p.CheckEdit(to)
			if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, entra.ErrRefusedEdit) || !strings.Contains(err.Error(), c.says)) {
				t.Error(err)
			}
			// What Graph wrote itself is no reason against another change.
			if err := to.CheckEdit(to); err != nil && !strings.Contains(name, "profile") && name != "used deleted" {
				t.Errorf("unchanged: %v", err)
			}
		})
	}
	legacy := parse(t, `{"state":"enabled"}`)
	if err := legacy.CheckEdit(p); err == nil || !strings.Contains(err.Error(), "no passkey profiles yet") {
		t.Error(err)
	}
}

// TestSize: by the figures that are published.
func TestSize(t *testing.T) {
	p := policyOf(t, restrictions("allow", modelA), restrictions("allow", modelA, modelB))
	const kb = 1024
	want := 1.44*kb + 3*0.4*kb + 3*0.03*kb + 2*0.4*kb
	if got := p.Size(); float64(got) < want-10 || float64(got) > want+10 {
		t.Errorf("%d, want %.0f", got, want)
	}
	legacy := parse(t, `{"state":"enabled","keyRestrictions":`+restrictions("allow", modelA)+`,"excludeTargets":[{"id":"g"}]}`)
	if got, want := float64(legacy.Size()), (1.44+0.03+0.23)*kb; got < want-10 || got > want+10 {
		t.Errorf("%.0f, want %.0f", got, want)
	}
}

func TestUsedBy(t *testing.T) {
	p := policyOf(t, restrictions(""), restrictions(""))
	for name, want := range map[string][]string{"": {"all_users"}, "Keys": {"g1"}, phonesID: nil, strings.ToUpper(keysID): {"g1"}} {
		q, err := p.Profile(name)
		if err != nil || !slices.Equal(p.UsedBy(q), want) {
			t.Errorf("%q: %v, %v", name, p.UsedBy(q), err)
		}
	}
	if _, err := p.Profile("nobody"); err == nil || !strings.Contains(err.Error(), `"Keys"`) {
		t.Error(err)
	}
}

// TestApplied: what a file says holds, what it leaves out stays, and the mirror follows
// the side that was changed.
func TestApplied(t *testing.T) {
	p := policyOf(t, restrictions("allow", modelA), restrictions(""))
	both := restrictions("allow", modelA, modelB)
	profiles := func(first string) string {
		return `"passkeyProfiles":[` + profileOf(defaultID, "Default passkey profile", first) + `,` + profileOf("", "Keys", restrictions("")) + `,` + profileOf(phonesID, "Phones", restrictions("")) + `]`
	}
	mirrored := []string{"+ keyRestrictions.aaGuids: " + modelB, "+ passkeyProfiles[Default passkey profile].keyRestrictions.aaGuids: " + modelB}
	for name, c := range map[string]struct {
		file string
		want []string
		says string
	}{
		"nothing":           {`{"state":"enabled","defaultPasskeyProfile":null,"@odata.context":"x","id":"fido2"}`, nil, ""},
		"self-service":      {`{"state":"enabled","isSelfServiceRegistrationAllowed":false}`, []string{"~ isSelfServiceRegistrationAllowed: true -> false"}, ""},
		"legacy only":       {`{"state":"enabled","keyRestrictions":` + both + `}`, mirrored, ""},
		"profile only":      {`{"state":"enabled",` + profiles(both) + `}`, mirrored, ""},
		"profile, old rest": {`{"state":"enabled","keyRestrictions":` + restrictions("allow", modelA) + `,` + profiles(both) + `}`, mirrored, ""},
		"both alike":        {`{"state":"enabled","keyRestrictions":` + both + `,` + profiles(both) + `}`, mirrored, ""},
		"both, not alike":   {`{"state":"enabled","keyRestrictions":` + both + `,` + profiles(restrictions("allow", modelC)) + `}`, nil, "change one of both"},
		"attestation":       {`{"state":"enabled","isAttestationEnforced":true}`, []string{"~ isAttestationEnforced: false -> true", "~ passkeyProfiles[Default passkey profile].attestationEnforcement: disabled -> registrationOnly"}, ""},
		"target":            {`{"state":"enabled","includeTargets":[{"id":"g1","targetType":"group","allowedPasskeyProfiles":["` + keysID + `"]}]}`, []string{`- includeTargets[all_users]: {"id":"all_users","targetType":"group"}`}, ""},
		"profile deleted": {`{"state":"enabled","passkeyProfiles":[` + profileOf(defaultID, "Default passkey profile", restrictions("allow", modelA)) + `,` + profileOf(keysID, "Keys", restrictions("")) + `]}`,
			[]string{"- passkeyProfiles[Phones]: " + `{"attestationEnforcement":"disabled","id":"` + phonesID + `","keyRestrictions":` + `{"aaGuids":[],"enforcementType":"block","isEnforced":false}` + `,"later":[1],"name":"Phones","passkeyTypes":"deviceBound"}`}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			to, err := p.Applied(parse(t, c.file))
			if c.says != "" {
				if !errors.Is(err, entra.ErrRefusedEdit) || !strings.Contains(err.Error(), c.says) {
					t.Error(err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := differences(p, to); !slices.Equal(got, c.want) {
				t.Errorf("%q\nwant %q", got, c.want)
			}
			for i, q := range to.PasskeyProfiles {
				if q.ID != p.PasskeyProfiles[i].ID {
					t.Errorf("%s has the ID %q", q.Name, q.ID)
				}
			}
			if !strings.Contains(string(mustJSON(t, to)), `"later":{"a":1}`) {
				t.Error("an unknown member is gone")
			}
		})
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestSamePolicy: another spelling is no difference.
func TestSamePolicy(t *testing.T) {
	p := parse(t, `{"@odata.context":"a","state":"enabled","passkeyProfiles":[{"id":"A","name":"N","passkeyTypes":"deviceBound,synced","keyRestrictions":{"isEnforced":true,"enforcementType":"allow","aaGuids":["`+modelA+`","`+modelB+`"]}}],"includeTargets":[{"id":"x"},{"id":"y"}]}`)
	same := parse(t, `{"@odata.context":"b","state":"Enabled","isAttestationEnforced":false,"excludeTargets":[],"passkeyProfiles":[{"id":"a","name":"N","passkeyTypes":"synced, deviceBound","keyRestrictions":{"isEnforced":true,"enforcementType":"Allow","aaGuids":["`+modelB+`","`+strings.ToUpper(modelA)+`"]}}],"includeTargets":[{"id":"Y","isRegistrationRequired":false},{"id":"x"}]}`)
	if got := differences(p, same); got != nil {
		t.Errorf("%q", got)
	}
	same.PasskeyProfiles[0].ID = "" // it has none yet
	if got := differences(p, same); got != nil {
		t.Errorf("%q", got)
	}
	same.PasskeyProfiles[0].ID, same.PasskeyProfiles[0].Name = "a", "n"
	if got := differences(p, same); !slices.Equal(got, []string{"~ passkeyProfiles[N].name: N -> n"}) {
		t.Errorf("%q", got)
	}
}

// TestConsequences: who is shut out, and what is let in.
func TestConsequences(t *testing.T) {
	for name, c := range map[string]struct {
		keys   string
		change func(p *entra.Policy)
		want   []string
	}{
		"nothing":         {restrictions("allow", modelA), func(p *entra.Policy) {}, nil},
		"disabled":        {restrictions(""), func(p *entra.Policy) { p.State = "disabled" }, []string{"nobody signs in"}},
		"no self-service": {restrictions(""), func(p *entra.Policy) { p.IsSelfServiceRegistrationAllowed = new(false) }, []string{"self-service"}},
		"target gone":     {restrictions(""), func(p *entra.Policy) { p.IncludeTargets = p.IncludeTargets[1:] }, []string{"all_users only"}},
		"excluded":        {restrictions(""), func(p *entra.Policy) { p.ExcludeTargets = []entra.ExcludeTarget{{ID: "g7"}} }, []string{"members of g7"}},
		"type gone":       {restrictions(""), func(p *entra.Policy) { p.PasskeyProfiles[1].PasskeyTypes = "synced" }, []string{"deviceBound passkeys no longer"}},
		"attested, synced": {restrictions(""), func(p *entra.Policy) {
			p.PasskeyProfiles[1].PasskeyTypes, p.PasskeyProfiles[1].AttestationEnforcement = "deviceBound,synced", "registrationOnly"
		}, []string{"synced passkeys never pass"}},
		"empty allow list":   {restrictions("allow", modelA), func(p *entra.Policy) { p.PasskeyProfiles[1].KeyRestrictions.AAGUIDs = nil }, []string{"no key at all"}},
		"allow to block":     {restrictions("allow", modelA), func(p *entra.Policy) { p.PasskeyProfiles[1].KeyRestrictions.EnforcementType = "block" }, []string{"every model now", "1 model no longer"}},
		"block to allow":     {restrictions("block", modelA), func(p *entra.Policy) { p.PasskeyProfiles[1].KeyRestrictions.EnforcementType = "allow" }, []string{"takes 1 model and no others"}},
		"no longer enforced": {restrictions("block", modelA), func(p *entra.Policy) { p.PasskeyProfiles[1].KeyRestrictions.IsEnforced = new(false) }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := policyOf(t, restrictions(""), c.keys)
			to := p.Clone()
			c.change(to)
			notes := p.Consequences(to)
			if len(notes) != len(c.want) {
				t.Fatalf("%+v", notes)
			}
			for i, n := range notes {
				if !n.Warning || !strings.Contains(n.Text, c.want[i]) {
					t.Errorf("%+v", n)
				}
			}
		})
	}
}

// TestShutOut: by which profiles a passkey signed in, and no longer does.
func TestShutOut(t *testing.T) {
	p := policyOf(t, restrictions("block", modelC), restrictions("allow", modelA, modelB))
	to := p.Clone()
	for _, profile := range []string{"", "Keys"} {
		if _, err := to.Block(profile, aaguids(t, modelB), false); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := to.Block(phonesID, aaguids(t, modelA, modelB), true); err != nil { // used by nobody
		t.Fatal(err)
	}
	to.PasskeyProfiles[0].PasskeyTypes = "synced"
	for _, c := range []struct{ model, kind, want string }{
		{modelA, "", ""},
		{modelA, "deviceBound", "Default passkey profile"},
		{strings.ToUpper(modelB), "", "Default passkey profile,Keys"},
		{modelB, "synced", ""}, // neither took it before
		{modelC, "deviceBound", ""},
	} {
		if got := strings.Join(p.ShutOut(to, c.model, c.kind), ","); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.model, c.kind, got, c.want)
		}
	}
}

// TestRefusedAllTheSame: where an allow list is of no use.
func TestRefusedAllTheSame(t *testing.T) {
	for name, c := range map[string]struct {
		model, types, attestation, keys string
		want                            string // rules
	}{
		"Windows Hello, attested":     {hello, "deviceBound", "registrationOnly", restrictions("allow", hello), "Windows Hello"},
		"Windows Hello, allowed":      {hello, "deviceBound", "disabled", restrictions("allow", hello), ""},
		"Windows Hello, block list":   {hello, "deviceBound", "disabled", restrictions("block"), "Windows Hello"},
		"Authenticator":               {authIOS, "deviceBound", "registrationOnly", restrictions("allow", authIOS), ""},
		"synced, device-bound only":   {msSynced, "deviceBound", "disabled", restrictions("allow", msSynced), "type"},
		"no metadata, attested":       {modelA, "deviceBound", "registrationOnly", restrictions("allow", modelA), "metadata"},
		"no metadata, not attested":   {modelA, "deviceBound", "disabled", restrictions("allow", modelA), ""},
		"not in the list is not told": {modelA, "deviceBound", "disabled", restrictions("allow", modelB), ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := policyOf(t, restrictions(""), c.keys)
			p.PasskeyProfiles[1].PasskeyTypes, p.PasskeyProfiles[1].AttestationEnforcement = c.types, c.attestation
			q, err := p.Profile("Keys")
			if err != nil {
				t.Fatal(err)
			}
			var rules []string
			for _, r := range p.RefusedAllTheSame(q, entra.Case{Key: entra.Key{AAGUID: aaguid(t, c.model)}, Metadata: models{}, Now: now}) {
				rules = append(rules, r.Rule)
			}
			if got := strings.Join(rules, ","); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestNamed(t *testing.T) {
	for name, want := range map[string]int{
		"Windows Hello": 3, "windows hello": 3, "Windows Hello (VBS)": 1, "windows hello vbs": 1,
		"Microsoft Authenticator": 2, "authenticator": 2, "Microsoft Authenticator (iOS)": 1, "Authenticator Android": 1,
		"Microsoft Password Manager": 1, "microsoft": 0, "hello": 0, "": 0,
	} {
		if got := entra.Named(name); len(got) != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	for _, name := range entra.Names() {
		if len(entra.Named(name)) == 0 {
			t.Errorf("%q is not known", name)
		}
	}
	if got := entra.Names(); len(got) != 8 {
		t.Errorf("%q", got)
	}
}

// TestWrapped reads what PowerShell's modules for Graph make of a policy and a strength.
func TestWrapped(t *testing.T) {
	p, err := entra.ParsePolicy([]byte(`{"ExcludeTargets":[{"Id":"g9","TargetType":"group","AdditionalProperties":{}}],"Id":"Fido2","State":"enabled","AdditionalProperties":{
		"@odata.type":"#microsoft.graph.fido2AuthenticationMethodConfiguration","isSelfServiceRegistrationAllowed":true,
		"keyRestrictions":` + restrictions("allow", modelA) + `,"includeTargets":[{"id":"all_users","targetType":"group"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	plain := parse(t, `{"id":"Fido2","state":"enabled","isSelfServiceRegistrationAllowed":true,"keyRestrictions":`+restrictions("allow", modelA)+`,"includeTargets":[{"id":"all_users","targetType":"group"}],"excludeTargets":[{"id":"g9","targetType":"group"}]}`)
	if d := differences(p, plain); d != nil || strings.Contains(string(mustJSON(t, p)), "State") || p.ODataType != entra.PolicyType {
		t.Errorf("%q\n%s", d, mustJSON(t, p))
	}
	all, err := entra.ParsePolicy([]byte(`{"AuthenticationMethodConfigurations":[{"Id":"Fido2","State":"enabled","AdditionalProperties":{"isAttestationEnforced":true}}],"Id":"authenticationMethodsPolicy","AdditionalProperties":{}}`))
	if err != nil || all.IsAttestationEnforced == nil {
		t.Errorf("%+v, %v", all, err)
	}
	s, err := entra.ParseStrength([]byte(`{"AllowedCombinations":["fido2"],"CombinationConfigurations":[{"AppliesToCombinations":["fido2"],"Id":"c1","AdditionalProperties":{"@odata.type":"#microsoft.graph.fido2CombinationConfiguration","allowedAAGUIDs":["` + modelA + `"]}}],"DisplayName":"Ours","Id":"s1","PolicyType":"custom","AdditionalProperties":{}}`))
	if err != nil || !slices.Equal(s.AllowedAAGUIDs(), []string{modelA}) || s.PolicyType != "custom" || s.CombinationConfigurations[0].ID != "c1" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := entra.ParsePolicy([]byte(`{"State":"enabled","AdditionalProperties":{`)); err == nil {
		t.Error("half of one is good")
	}
}
