package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// benchSchema is docs/schema/bench.json.
func benchSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../docs/schema/bench.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, text string) error {
	t.Helper()
	var document any
	if err := yaml.Load([]byte(text), &document); err != nil {
		return err
	}
	return schema.Validate(document)
}

// TestExample holds the file that the documentation shows to parser and schema.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../docs/bench.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := validate(t, benchSchema(t), string(text)); err != nil {
		t.Error(err)
	}
	f, err := LoadFile("../docs/bench.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Keys) != 4 || f.Keys["blue"].Power.Name() != "uhubctl" || *f.Keys["blue"].Match.Product != 0x0407 {
		t.Errorf("%+v", f.Keys["blue"])
	}
	if pin := f.Keys["blue"].PIN.File; pin != filepath.Join("../docs", "blue.pin") {
		t.Errorf("the PIN is in %s", pin)
	}
	if f.Times.Settle.String() != "1s" || f.Times.TouchGap.String() != "100ms" {
		t.Errorf("%+v", f.Times)
	}
}

// goodFiles are right in parser and schema.
var goodFiles = map[string]string{
	"least":          "keys: {a: {match: {serial: x}}}",
	"none":           "keys: {a: {match: {serial: x}, power: {driver: none}, touch: {driver: none}}}",
	"numbers":        "keys: {a: {match: {vendor: 1050, product: 0407, port: 1-1}, release: true}}",
	"in process":     "keys: {a: {match: {device: simulator}, profile: ctap-2.1, power: {driver: simulator}, touch: {driver: simulator}}}",
	"person":         "keys: {a: {match: {serial: x}, power: {driver: person}, touch: {driver: person}}}",
	"commands":       "keys: {a: {match: {serial: x}, power: {driver: command, on: [p, 'on'], off: [p, 'off'], probe: [p]}}}",
	"http":           "keys: {a: {match: {serial: x}, touch: {driver: http, on: 'http://h/on', off: 'https://h:1/off', method: POST, body: '{\"a\": 1}', tokenEnv: T}}}",
	"relays":         "keys: {a: {match: {serial: x}, touch: {driver: serial, device: d, protocol: numato, channel: 0}, power: {driver: serial, device: d, protocol: bytes, on: 'A0 01', off: a000}}}",
	"rts":            "keys: {a: {match: {serial: x}, touch: {driver: serial, device: d, protocol: rts, baud: 115200}}}",
	"boards":         "keys: {a: {match: {serial: x}, power: {driver: ykushcmd, board: ykushxs}}, b: {match: {serial: y}, power: {driver: ykushcmd, board: ykush, port: 3}}}",
	"reader":         "keys: {a: {match: {serial: x}, reader: {name: ACS, field: {driver: command, on: [a], off: [b]}}}}",
	"pcsc":           "keys: {a: {match: {serial: x}, reader: {name: ACS, field: {driver: pcsc}}}}",
	"two properties": "keys: {a: {match: {vendor: '1050', aaguid: 9c835346-796b-4c27-8898-d6032f515cc5}, release: true}, b: {match: {aaguid: 9c835346796b4c278898d6032f515cc5, firmware: 5}, release: true}}",
	"times":          "times: {settle: 500ms, enumerate: 5s, touch: 1s, touchGap: 0s, longTouch: 5500ms}\nkeys: {a: {match: {serial: x}}}",
}

// badFiles are wrong, with where and why.
var badFiles = map[string]struct{ text, want string }{
	"empty":             {"", "nothing is there"},
	"no keys":           {"keys: {}", "1:1: there are no keys"},
	"not YAML":          {"keys: [", "bench.yaml:1:8: did not find"},
	"unknown member":    {"keys:\n  a:\n    match: {serial: x}\n    colour: blue\n", "bench.yaml:4:5: field colour not found"},
	"twice":             {"keys:\n  a: {match: {serial: x}}\n  a: {match: {serial: y}}\n", `bench.yaml:3:3: mapping key "a" already defined`},
	"unknown at top":    {"key: {}\nkeys: {a: {match: {serial: x}}}", "bench.yaml:1:1: field key not found"},
	"no match":          {"keys:\n  a: {release: false}", "bench.yaml:2:6: key a: match has nothing"},
	"null":              {"keys:\n  a:\n", "key a: match has nothing"},
	"name":              {"keys: {../a: {match: {serial: x}}}", `key "../a": a name has`},
	"vendor":            {"keys: {a: {match: {vendor: '10500'}}}", `bench.yaml:1:28: "10500" is not four`},
	"vendor's name":     {"keys: {a: {match: {vendor: acme}}}", "not four hexadecimal digits"},
	"aaguid":            {"keys: {a: {match: {aaguid: 9c83}}}", "aaguid"},
	"firmware":          {"keys: {a: {match: {firmware: '5.7'}}}", "bench.yaml:1:30: cannot read"},
	"device":            {"keys: {a: {match: {device: '/dev/hidraw0'}}}", "neither simulator nor reader, unix:PATH"},
	"device and serial": {"keys: {a: {match: {device: 'tcp:h:1', serial: x}}}", "a software key at tcp:h:1 has no vendor"},
	"PIN":               {"keys: {a: {match: {serial: x}, pin: '1234'}}", "bench.yaml:1:37: cannot read !!str `1234` here"},
	"PIN in it":         {"keys: {a: {match: {serial: x}, pin: {value: '1234'}}}", "field value not found"},
	"two PINs":          {"keys: {a: {match: {serial: x}, pin: {file: a, env: B}}}", "either a file or an env"},
	"driver":            {"keys:\n  a:\n    match: {serial: x}\n    power: {driver: magic}", `bench.yaml:4:12: driver "magic": must be none or one of command, gpio, http, pcsc, person`},
	"driver's member":   {"keys:\n  a:\n    match: {serial: x}\n    power: {driver: uhubctl, hub: 1-1, port: 1, colour: blue}", "bench.yaml:4:49: field colour not found"},
	"none with more":    {"keys: {a: {match: {serial: x}, power: {driver: none, port: 1}}}", `driver "none"`},
	"hub":               {"keys: {a: {match: {serial: x}, power: {driver: uhubctl, hub: /dev/bus, port: 1}}}", "hub is a location"},
	"touch by a hub":    {"keys: {a: {match: {serial: x}, touch: {driver: uhubctl, hub: 1-1, port: 1}}}", "the driver uhubctl is not for touch"},
	"board":             {"keys: {a: {match: {serial: x}, power: {driver: ykushcmd, board: ykush3}}}", "port is 1, 2 or 3"},
	"url":               {"keys: {a: {match: {serial: x}, power: {driver: http, on: /on, off: /off}}}", "on and off are addresses"},
	"password":          {"keys: {a: {match: {serial: x}, power: {driver: http, on: 'http://u:p@h/on', off: 'http://h/off'}}}", "has a password in it"},
	"two tokens":        {"keys: {a: {match: {serial: x}, power: {driver: http, on: 'http://h/on', off: 'http://h/off', tokenEnv: A, tokenFile: b}}}", "tokenFile or from tokenEnv"},
	"command":           {"keys: {a: {match: {serial: x}, power: {driver: command, on: [a]}}}", "on and off are lists"},
	"relay":             {"keys: {a: {match: {serial: x}, touch: {driver: serial, device: d, protocol: morse}}}", `protocol "morse": must be devantech, kmtronic, lcus, numato`},
	"bytes":             {"keys: {a: {match: {serial: x}, touch: {driver: serial, device: d, protocol: bytes, on: A0}}}", "hexadecimal digits with the protocol bytes"},
	"gpio":              {"keys: {a: {match: {serial: x}, touch: {driver: gpio, chip: c, line: -1}}}", "line a number from 0"},
	"control":           {"keys: {a: {match: {serial: x}, touch: {driver: simulator, control: 'h:1'}}}", "control and tokenFile go together"},
	"profile":           {"keys: {a: {match: {serial: x}, profile: ctap-2.1}}", "profile is for match.device: simulator"},
	"simulator":         {"keys: {a: {match: {serial: x}, power: {driver: simulator}}}", "has a control address"},
	"reader":            {"keys: {a: {match: {serial: x}, reader: {}}}", "reader has no name"},
	"short time":        {"times: {settle: 1ns}\nkeys: {a: {match: {serial: x}}}", "bench.yaml:1:17: times: settle is 1ns: must be a time from 1ms to 1m"},
	"time":              {"times: {settle: 1}\nkeys: {a: {match: {serial: x}}}", "bench.yaml:1:17: cannot read !!int `1` into a time as 1s"},
	"long touch":        {"times: {longTouch: 20s}\nkeys: {a: {match: {serial: x}}}", "keys wait for 10 seconds"},
}

// onlyParser are files in which only the parser sees what is wrong.
var onlyParser = map[string]bool{"twice": true, "simulator": true, "long touch": true}

func TestFiles(t *testing.T) {
	schema := benchSchema(t)
	for name, text := range goodFiles {
		if _, err := Parse("bench.yaml", []byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := validate(t, schema, text); err != nil {
			t.Errorf("%s: the schema: %v", name, err)
		}
	}
	for name, bad := range badFiles {
		_, err := Parse("bench.yaml", []byte(bad.text))
		if err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v, want %s", name, err, bad.want)
		}
		var place *FileError
		if err != nil && !errors.As(err, &place) {
			t.Errorf("%s: %T", name, err)
		}
		if err := validate(t, schema, bad.text); err == nil && !onlyParser[name] {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}
