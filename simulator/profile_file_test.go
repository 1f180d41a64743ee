package simulator_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/simulator"
)

// playing plays a shipped profile.
func playing(t *testing.T, name string) func(c *simulator.Config) {
	t.Helper()
	p, err := simulator.LoadProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return func(c *simulator.Config) { c.Profile = p }
}

func TestShippedProfiles(t *testing.T) {
	for _, name := range simulator.ProfileNames() {
		t.Run(name, func(t *testing.T) {
			p, err := simulator.LoadProfile(name)
			if err != nil {
				t.Fatal(err)
			}
			if p.Name != name || p.Purpose == "" {
				t.Errorf("it calls itself %q, for %q", p.Name, p.Purpose)
			}
			text, err := p.YAML()
			if err != nil {
				t.Fatal(err)
			}
			again, err := simulator.ParseProfile(text)
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			if !reflect.DeepEqual(again, p) {
				t.Errorf("read again it differs:\n got %+v\nwant %+v", again, p)
			}
			if a, err := simulator.New(simulator.Config{Profile: p}); err != nil {
				t.Error(err)
			} else {
				a.Close()
			}
		})
	}
}

func TestParseProfile(t *testing.T) {
	const head = "name: mine\npurpose: a test\n"
	for _, tt := range []struct {
		name, text string
		fault      string // empty: none
	}{
		{"derived", head + "base: ctap-2.1\ngetInfo: {maxMsgSize: 2000, options: {rk: null}}", ""},
		{"JSON", `{"name": "mine", "purpose": "a test", "base": "default"}`, ""},
		{"unknown member", head + "base: default\nhue: red", `line 4, column 1: field hue not found`},
		{"unknown member of getInfo", head + "base: default\ngetInfo: {colour: 1}", `line 4, column 11: field colour not found`},
		{"of another type", head + "base: default\ngetInfo:\n  maxMsgSize: much", "line 5, column 15: getInfo.maxMsgSize: cannot read string"},
		{"unknown quirk", head + "base: default\nquirks: {moody: true}", "moody"},
		{"twice", head + "name: mine", `line 3, column 1: mapping key "name"`},
		{"unknown base", head + "base: utopia", "utopia"},
		{"base is a number", head + "base: 7", "base"},
		{"no name", "purpose: a test\nbase: default", "name"},
		{"no versions", head, "versions"},
		{"short messages", head + "base: default\ngetInfo: {maxMsgSize: 64}", "maxMsgSize"},
		{"PIN protocol of the future", head + "base: default\ngetInfo: {pinUvAuthProtocols: [9]}", "pinUvAuthProtocols 9"},
		{"option that is not there", head + "base: default\ngetInfo: {options: {telepathy: true}}", "options telepathy"},
		{"algorithm that is not there", head + "base: default\ngetInfo: {algorithms: [{type: public-key, alg: -65000}]}", "-65000"},
		{"attestation by a chain", head + "base: default\nattestation: chain", ""},
		{"attestation that is not there", head + "base: default\nattestation: hearsay", "hearsay"},
		{"large blobs in both ways", head + "base: default\ngetInfo: {extensions: [largeBlob, largeBlobKey]}", "largeBlobKey"},
		{"nothing", "\t", "nothing is there"},
		{"not YAML", head + "getInfo: {", "line 3, column 11: "},
		{"no map", "[name, mine]", "line 1, column 1: cannot read"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := simulator.ParseProfile([]byte(tt.text))
			switch {
			case tt.fault == "" && err != nil:
				t.Fatal(err)
			case tt.fault == "" && p.Name != "mine":
				t.Errorf("name %q", p.Name)
			case tt.fault != "" && (err == nil || !strings.Contains(err.Error(), tt.fault)):
				t.Errorf("error %v does not name %q", err, tt.fault)
			}
		})
	}
}

func TestProfileMergesMaps(t *testing.T) {
	file := filepath.Join(t.TempDir(), "mine.yaml")
	text := "name: mine\npurpose: a test\nbase: default\ngetInfo: {options: {credMgmt: null}, transports: [nfc]}"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := simulator.LoadProfile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := simulator.DefaultProfile()
	want.Name, want.Purpose = p.Name, p.Purpose
	delete(want.GetInfo.Options, "credMgmt")
	want.GetInfo.Transports = []string{"nfc"}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("\n got %+v\nwant %+v", p, want)
	}
}

func TestUnknownProfile(t *testing.T) {
	if _, err := simulator.LoadProfile("utopia"); err == nil || !strings.Contains(err.Error(), "ctap-2.0") {
		t.Errorf("error does not list the profiles: %v", err)
	}
	if _, err := simulator.LoadProfile("./utopia.yaml"); !os.IsNotExist(err) && err == nil {
		t.Error("a file that is not there was read")
	}
}

// TestCommandsOfProfile: a key refuses the commands that its getInfo does not
// stand for.
func TestCommandsOfProfile(t *testing.T) {
	const managementPreview = 0x41
	for profile, refused := range map[string][]byte{
		"ctap-2.0": {credentialManagement, managementPreview, selection},
		"ctap-2.1": {managementPreview},
		"preview":  {credentialManagement, selection},
		"no-pin":   {clientPIN, credentialManagement, managementPreview, selection},
		"u2f":      {getInfo, makeCredential, clientPIN, credentialManagement, managementPreview, selection},
	} {
		t.Run(profile, func(t *testing.T) {
			k := newKey(t, playing(t, profile))
			for _, command := range []byte{getInfo, clientPIN, credentialManagement, managementPreview, selection, makeCredential} {
				status, _ := k.send(request(command, nil))
				if want := strings.IndexByte(string(refused), command) >= 0; (status == invalidCommand) != want {
					t.Errorf("command %#02x: status %#02x", command, status)
				}
			}
		})
	}
}

// TestManagementPreview: the old command number answers as the new one, to a
// token of the old subcommand.
func TestManagementPreview(t *testing.T) {
	const managementPreview = 0x41
	k := newKey(t, playing(t, "preview"))
	k.ok(clientPIN, k.agree(1).setPINParams(padded(testPIN)))
	k.ok(makeCredential, k.oldToken(1).authorize(resident(testRP, "alice")))

	token := k.oldToken(1)
	if reply := k.ok(managementPreview, token.manage(1, nil)); reply[1] != uint64(1) {
		t.Errorf("metadata: %v", reply)
	}
	if reply := k.ok(managementPreview, token.manage(2, nil)); reply[5] != uint64(1) {
		t.Errorf("RPs: %v", reply)
	}
	k.refuses(invalidSubcommand, managementPreview, token.manage(7, nil))
	k.refuses(invalidSubcommand, clientPIN, m{2: 9})
}
