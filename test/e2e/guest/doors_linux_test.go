package guest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/internal/pcsctest"
)

// script is what a person may do with a key, in twenty commands. ID stands for the
// ID of the passkey that "register" made.
var script = []string{
	"list",
	"info",
	"pin set --pin-file pin",
	"pin retries",
	"pin verify --pin-file pin",
	"pin change --pin-file pin --new-pin-file new",
	"register --rp example.com --user alice --pin-file new --credential passkey.json --large-blob required --prf x",
	"register --rp example.org --user bob --pin-file new --credential other.json --no-discoverable --user-verification discouraged",
	"authenticate --rp example.com --pin-file new --prf x",
	"authenticate --rp example.org --credential other.json --user-verification discouraged",
	"credentials list --pin-file new",
	"credentials rename ID --name carol --pin-file new",
	"credentials show ID --pin-file new",
	"blobs set --rp example.com big --pin-file new --yes",
	"blobs get --rp example.com --pin-file new",
	"u2f version",
	"config always-uv on --pin-file new",
	"config show",
	"raw clientPIN {2:_7}",
	"credentials delete ID --pin-file new --yes",
}

// transportFields are members of answers that say how the key is reached, and how
// long a message may be, or takes, there.
var transportFields = []string{"device", "path", "maxMsgSize", "transports", "microseconds"}

// random finds what is different each time: keys, signatures, and what has them.
var random = regexp.MustCompile(`^[A-Za-z0-9+/_=-]{40,}$|^[0-9a-f]{16,}$`)

// settled returns an answer without those.
func settled(v any) any {
	switch v := v.(type) {
	case map[string]any:
		kept := map[string]any{}
		for name, member := range v {
			if !slices.Contains(transportFields, name) {
				kept[name] = settled(member)
			}
		}
		return kept
	case []any:
		var kept []any
		for _, member := range v {
			kept = append(kept, settled(member))
		}
		return kept
	case string:
		if random.MatchString(v) {
			return "random"
		}
	}
	return v
}

// A way is how a program reaches a key.
type way struct {
	program, device string
	flags           []string
}

// follow runs the script and returns the answers, one for each command.
func (w way) follow(t *testing.T) (answers []string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{"pin": "123456\n", "new": "654321\n", "big": strings.Repeat("a large blob ", 150)} {
		writeIn(t, dir, name, content)
	}
	id := ""
	for _, line := range script {
		args := slices.Concat(strings.Fields(line), w.flags, []string{"--json"})
		for i, arg := range args {
			switch {
			case args[0] == "raw":
				args[i] = strings.ReplaceAll(arg, "_", " ")
			case arg == "ID":
				args[i] = id
			case slices.Contains([]string{"pin", "new", "big", "passkey.json", "other.json"}, arg) && i > 0:
				args[i] = filepath.Join(dir, arg)
			}
		}
		if w.device != "" {
			args = append(args, "--device", w.device)
		}
		out, err := try(t, "", w.program, args...)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		var answer map[string]any
		if err := json.Unmarshal([]byte(out), &answer); err != nil {
			t.Fatalf("%s: %v in %s", line, err, out)
		}
		if id == "" && strings.HasPrefix(line, "register") {
			made := answer["result"].(map[string]any)["id"].(string)
			raw, err := base64.RawURLEncoding.DecodeString(made)
			if err != nil {
				t.Fatal(err)
			}
			id = fmt.Sprintf("%x", raw)
		}
		text, _ := json.MarshalIndent(settled(answer), "", " ")
		answers = append(answers, string(text))
	}
	return answers
}

// TestSameAtEveryDoor runs the same twenty commands on the same kind of key at
// every door and in every way to it that there is; the answers are the same.
func TestSameAtEveryDoor(t *testing.T) {
	if withC == "" {
		t.Skip("fidokey was not built with C: libpcsclite-dev and pkg-config are missing")
	}
	if missing := pcsctest.Missing(); missing != "" {
		t.Skip(missing)
	}
	key := []string{"--state", ":memory:", "--profile", "ctap-2.3"}
	d, err := pcsctest.Start("contactless", "contact")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	t.Setenv("PCSCLITE_CSOCK_NAME", d.Socket)
	laid := func(n int, flags ...string) func(t *testing.T) way {
		return func(t *testing.T) way {
			simulate(t, "vpcd", slices.Concat([]string{"simulator", "run"}, key, []string{fmt.Sprintf("--vpcd=127.0.0.1:%d", d.Readers[n].Port)}, flags)...)
			return way{withC, "pcsc:" + d.Readers[n].Name, nil}
		}
	}
	plugged := func(at door, program string, flags ...string) func(t *testing.T) way {
		return func(t *testing.T) way {
			at.plug(t, key...)
			return way{program, "", flags}
		}
	}
	ways := map[string]func(t *testing.T) way{
		"1 uhid, hidraw":    plugged(uhid, fidokey),
		"2 vhci, hidraw":    plugged(vhci, fidokey),
		"3 usbip, hidraw":   plugged(usbip, fidokey),
		"4 vhci, libusb":    plugged(vhci, withC, "--hid-backend", "libusb"),
		"5 vpcd, PC/SC":     laid(0),
		"6 contacts, PC/SC": laid(1, "--contact"),
		"7 TCP":             socket("tcp", "127.0.0.1:7000", key),
		"8 Unix socket":     socket("unix", filepath.Join(t.TempDir(), "s"), key),
		"9 UDP":             socket("udp", "8111:7112", key),
	}
	answers := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(ways)) {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			answers[name] = ways[name](t).follow(t)
			t.Logf("%d commands in %.1f s", len(script), time.Since(begin).Seconds())
		})
	}
	reference := answers["1 uhid, hidraw"]
	for name, got := range answers {
		for i := range got {
			if i < len(reference) && got[i] != reference[i] {
				t.Errorf("%s: %s:\n%s\nwith uhid:\n%s", name, script[i], got[i], reference[i])
			}
		}
	}
}

// socket is a door that is none of the system's.
func socket(kind, address string, key []string) func(t *testing.T) way {
	return func(t *testing.T) way {
		simulate(t, kind, slices.Concat([]string{"simulator", "run"}, key, []string{"--" + kind + "=" + address})...)
		if kind == "udp" {
			address = "127.0.0.1:8111:7112"
		}
		return way{fidokey, kind + ":" + address, nil}
	}
}

// TestDoorsShareTheKey: one key hangs at every door at the same time. What is made
// at one is there at all others.
func TestDoorsShareTheKey(t *testing.T) {
	if withC == "" {
		t.Skip("fidokey was not built with C: libpcsclite-dev and pkg-config are missing")
	}
	if missing := pcsctest.Missing(); missing != "" {
		t.Skip(missing)
	}
	drives(t, "one key, six doors")
	d, err := pcsctest.Start("reader")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	t.Setenv("PCSCLITE_CSOCK_NAME", d.Socket)
	path := filepath.Join(t.TempDir(), "s")
	simulate(t, "control", "simulator", "run", "--state", ":memory:", "--profile", "ctap-2.3", "--uhid", "--vhci", "--unix", path, "--tcp", "127.0.0.1:7000", "--udp=8111:7112",
		fmt.Sprintf("--vpcd=127.0.0.1:%d", d.Readers[0].Port),
		"--control", controlAddress, "--control-token-file", write(t, "token", "0123456789abcdef0123456789abcdef\n"))
	waitFor(t, "two nodes", func() bool { return len(nodes()) == 2 })
	run(t, "", "udevadm", "settle")
	pin := write(t, "pin", "123456\n")
	devices := append(nodes(), "unix:"+path, "tcp:127.0.0.1:7000", "udp:127.0.0.1:8111:7112", "pcsc:"+d.Readers[0].Name)
	run(t, "", withC, "pin", "set", "--pin-file", pin, "--device", devices[0])
	for n, device := range devices {
		run(t, "", withC, "register", "--rp", "example.com", "--user", fmt.Sprint("user", n), "--pin-file", pin, "--device", device)
	}
	for _, device := range devices {
		out := run(t, "", withC, "credentials", "list", "--pin-file", pin, "--device", device)
		for n := range devices {
			wantLines(t, out, fmt.Sprint("user", n))
		}
	}
}
