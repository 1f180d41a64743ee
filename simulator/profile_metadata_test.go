package simulator_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

const (
	statement = `{
		"description": "Acme Key 5 (NFC)", "aaguid": "01020304-0506-0708-090a-0b0c0d0e0f10", "protocolFamily": "fido2",
		"authenticatorGetInfo": {
			"versions": ["FIDO_2_0", "FIDO_2_1", "FIDO_9_9"], "extensions": ["hmac-secret", "aroma"],
			"aaguid": "0102030405060708090a0b0c0d0e0f10",
			"options": {"rk": true, "clientPin": true, "telepathy": true},
			"maxMsgSize": 510, "pinUvAuthProtocols": [1, 9], "transports": ["usb", "smoke"],
			"algorithms": [{"type": "public-key", "alg": -7}, {"type": "public-key", "alg": -64000}],
			"minPINLength": 6, "colour": "red"
		}
	}`
	u2fStatement = `{"description": "Old key", "protocolFamily": "u2f"}`
)

var acme, _ = ctap2.ParseAAGUID("01020304-0506-0708-090a-0b0c0d0e0f10")

// blobOf is a BLOB that nobody signed.
func blobOf(t testing.TB, statements ...string) []byte {
	t.Helper()
	var entries []any
	for _, s := range statements {
		entries = append(entries, map[string]any{"aaguid": acme.String(), "metadataStatement": json.RawMessage(s)})
	}
	payload, err := json.Marshal(map[string]any{"entries": entries})
	if err != nil {
		t.Fatal(err)
	}
	return []byte("e30." + base64.RawURLEncoding.EncodeToString(payload) + ".")
}

func TestProfileFromMetadata(t *testing.T) {
	for name, data := range map[string][]byte{"statement": []byte(statement), "BLOB": blobOf(t, statement)} {
		t.Run(name, func(t *testing.T) {
			p, notes, err := simulator.ProfileFromMetadata(data, acme)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"FIDO_9_9", "aroma", "telepathy", "smoke", "-64000", "colour", "maxMsgSize 510", "clientPin"} {
				if !slices.ContainsFunc(notes, func(n string) bool { return strings.Contains(n, want) }) {
					t.Errorf("no note about %s in %q", want, notes)
				}
			}
			info := p.GetInfo
			if p.Name != "acme-key-5-nfc" || info.AAGUID != acme || !slices.Equal(info.Versions, []string{"FIDO_2_0", "FIDO_2_1"}) ||
				info.Options["clientPin"] || !info.Options["rk"] || *info.MinPINLength != 6 || len(info.Algorithms) != 1 {
				t.Errorf("%+v", p)
			}
			k := newKey(t, func(c *simulator.Config) { c.Profile = p })
			k.ok(makeCredential, creation())
		})
	}
}

func TestProfileFromU2FMetadata(t *testing.T) {
	p, _, err := simulator.ProfileFromMetadata([]byte(u2fStatement), ctap2.AAGUID{})
	if err != nil || !slices.Equal(p.GetInfo.Versions, []string{"U2F_V2"}) {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestProfileFromBadMetadata(t *testing.T) {
	for _, data := range [][]byte{nil, []byte("{"), []byte("a.b"), []byte("a.!.c"), []byte("a.e30.c"), []byte(`{"description": "x"}`), blobOf(t)} {
		if p, _, err := simulator.ProfileFromMetadata(data, acme); err == nil {
			t.Errorf("%q: %+v", data, p)
		}
	}
}

// TestProfilesFromBLOB makes a profile of every model in a real BLOB, whose file
// FIDOKEY_METADATA_BLOB names.
func TestProfilesFromBLOB(t *testing.T) {
	path := os.Getenv("FIDOKEY_METADATA_BLOB")
	if path == "" {
		t.Skip("FIDOKEY_METADATA_BLOB names no file")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(strings.TrimSpace(string(data)), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var blob struct {
		Entries []struct {
			AAGUID    string
			Statement json.RawMessage `json:"metadataStatement"`
		}
	}
	if err := json.Unmarshal(payload, &blob); err != nil {
		t.Fatal(err)
	}
	made := 0
	for _, entry := range blob.Entries {
		if !strings.Contains(string(entry.Statement), `"authenticatorGetInfo"`) {
			continue
		}
		p, _, err := simulator.ProfileFromMetadata(entry.Statement, ctap2.AAGUID{})
		if err != nil {
			t.Errorf("%s: %v", entry.AAGUID, err)
			continue
		}
		made++
		k := newKey(t, func(c *simulator.Config) { c.Profile = p })
		if p.GetInfo.HasVersion(ctap2.VersionFIDO20) {
			k.ok(getInfo, nil)
			k.ok(makeCredential, creation())
		}
	}
	t.Logf("%d profiles", made)
}
