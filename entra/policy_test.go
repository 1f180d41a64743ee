package entra_test

import (
	"encoding/binary"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/fidokey/fidokey/entra"
)

const wholePolicy = `{
	"@odata.context": "https://graph.microsoft.com/$metadata#x",
	"@odata.type": "#microsoft.graph.fido2AuthenticationMethodConfiguration",
	"id": "Fido2", "state": "enabled", "isSelfServiceRegistrationAllowed": false, "isAttestationEnforced": true,
	"defaultPasskeyProfile": "00000000-0000-0000-0000-000000000001",
	"excludeTargets": [{"id": "g9", "targetType": "group", "later": 1}],
	"keyRestrictions": {"isEnforced": false, "enforcementType": "allow", "aaGuids": [], "later": [1]},
	"includeTargets@odata.context": "x",
	"includeTargets": [{"targetType": "group", "id": "all_users", "isRegistrationRequired": false, "allowedPasskeyProfiles": ["00000000-0000-0000-0000-000000000001"], "later": null}],
	"passkeyProfiles": [{"id": "00000000-0000-0000-0000-000000000001", "name": "Default passkey profile", "passkeyTypes": "deviceBound,synced",
		"attestationEnforcement": "disabled", "keyRestrictions": null, "later": {"a": "b"}}]}`

// TestReadModifyWrite: a policy that is written again has every member that was read,
// the unknown ones and null too.
func TestReadModifyWrite(t *testing.T) {
	for _, text := range []string{wholePolicy, `{"state":"disabled","defaultPasskeyProfile":null,"includeTargets":[]}`} {
		p, err := entra.ParsePolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		written, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var before, after any
		if err := json.Unmarshal([]byte(text), &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(written, &after); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(before, after) {
			t.Errorf("%s became\n%s", text, written)
		}
	}
	p, err := entra.ParsePolicy([]byte(wholePolicy))
	if err != nil {
		t.Fatal(err)
	}
	p.PasskeyProfiles[0].KeyRestrictions = &entra.KeyRestrictions{EnforcementType: entra.EnforcementBlock}
	written, err := json.Marshal(p)
	if err != nil || !strings.Contains(string(written), `"keyRestrictions":{"enforcementType":"block"}`) || !strings.Contains(string(written), `"later":{"a":"b"}`) {
		t.Errorf("%s, %v", written, err)
	}
}

func TestParsePolicy(t *testing.T) {
	var sixteen []byte
	for _, unit := range append([]uint16{0xfeff}, utf16.Encode([]rune(wholePolicy))...) {
		sixteen = binary.LittleEndian.AppendUint16(sixteen, unit)
	}
	for name, text := range map[string]string{
		"alone":                       wholePolicy,
		"with a byte order mark":      "\ufeff" + wholePolicy,
		"in UTF-16":                   string(sixteen),
		"among the methods":           `{"id":"authenticationMethodsPolicy","authenticationMethodConfigurations":[{"id":"Sms","state":"disabled"},` + wholePolicy + `]}`,
		"among methods of odd shapes": `{"authenticationMethodConfigurations":[1,` + wholePolicy + `]}`,
	} {
		if p, err := entra.ParsePolicy([]byte(text)); err != nil || p.State != entra.StateEnabled || len(p.PasskeyProfiles) != 1 {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	for text, want := range map[string]string{
		``:                               "not the JSON",
		`[]`:                             "not the JSON",
		`<html>`:                         "not the JSON",
		`{}`:                             "no state",
		`{"id":"Sms","state":"enabled"}`: "another method",
		`{"state":1}`:                    "not the JSON",
		`{"state":"enabled","includeTargets":{}}`:          "not the JSON",
		`{"authenticationMethodConfigurations":[]}`:        "no configuration of FIDO2",
		`{"error":{"code":"Authorization_RequestDenied"}}`: "no state",
	} {
		if _, err := entra.ParsePolicy([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(wholePolicy))
	f.Add([]byte(`{"authenticationMethodConfigurations":[{"id":"fido2","state":"enabled"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := entra.ParsePolicy(text)
		if err != nil {
			return
		}
		if _, err := json.Marshal(p); err != nil {
			t.Error(err)
		}
		entra.Judge(entra.Case{Key: key1(t), Policy: p, User: entra.User{AnyGroup: true}, Now: now})
	})
}
