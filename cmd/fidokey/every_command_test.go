package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/fidokey/fidokey/entra/entratest"
	"github.com/fidokey/fidokey/simulator"
)

// callsOnAKey has what each command that opens a key is called with, so that it
// gets as far as the key, and to its PIN. Hidden commands of other names are in it
// too.
var callsOnAKey = map[string]string{
	"access change-pin":             "--pin-file pin --new-pin-file pin",
	"access force-change":           "--pin-file pin",
	"access set-min-length":         "8 --pin-file pin --yes",
	"access verify-pin":             "--pin-file pin",
	"authenticate":                  "--rp example.com --pin-file pin",
	"blobs collect":                 "--pin-file pin --yes",
	"blobs delete":                  "--rp example.com --pin-file pin --yes",
	"blobs get":                     "--rp example.com --pin-file pin",
	"blobs list":                    "--pin-file pin",
	"blobs repair":                  "--pin-file pin --yes",
	"blobs set":                     "--rp example.com pin --pin-file pin --yes",
	"ci":                            "ci.yaml --pin-file pin",
	"config always-uv":              "on --pin-file pin",
	"config enable-ep-attestation":  "--pin-file pin --yes",
	"config enterprise-attestation": "on --pin-file pin --yes",
	"config long-touch-reset":       "on --pin-file pin --yes",
	"config show":                   "",
	"conformance run":               "INF-0* GA-0* --pin-file pin",
	"config toggle-always-uv":       "--pin-file pin",
	"credentials delete":            "aaaa --pin-file pin --yes",
	"credentials export":            "--pin-file pin",
	"credentials list":              "--pin-file pin",
	"credentials metadata":          "--pin-file pin",
	"credentials rename":            "aaaa --name alice --pin-file pin",
	"credentials show":              "aaaa --pin-file pin",
	"entra check":                   "--test-registration login.microsoft.com --pin-file pin --yes",
	"entra inventory":               "--key --pin-file pin",
	"entra policy allow":            "--from-inventory --dry-run",
	"entra policy block":            "--from-inventory --enforce --dry-run",
	"entra register":                "--user user1@example.onmicrosoft.com --pin-file pin",
	"entra strength allow":          "s1 --from-inventory --dry-run",
	"entra strength remove":         "s1 --from-inventory --dry-run",
	"fingerprints add":              "--pin-file pin",
	"fingerprints list":             "--pin-file pin",
	"fingerprints remove":           "aaaa --pin-file pin --yes",
	"fingerprints rename":           "aaaa thumb --pin-file pin",
	"info":                          "",
	"metadata lookup":               "",
	"pin change":                    "--pin-file pin --new-pin-file pin",
	"pin force-change":              "--pin-file pin",
	"pin min-length":                "8 --pin-file pin --yes",
	"pin retries":                   "",
	"pin set":                       "--pin-file pin",
	"pin verify":                    "--pin-file pin",
	"raw":                           "getInfo",
	"register":                      "--rp example.com --user alice --pin-file pin",
	"reset":                         "--pin-file pin --dry-run",
	"secret":                        "--rp example.com --prf x --pin-file pin",
	"secret create":                 "--rp example.com --discoverable --pin-file pin",
	"select":                        "",
	"u2f authenticate":              "--rp example.com --key-handle pin",
	"u2f register":                  "--rp example.com",
	"u2f version":                   "",
	"wink":                          "",
}

// standIn starts a tenant for the commands that ask Graph, who bring the token.
func standIn(t *testing.T, token string, users int) {
	t.Helper()
	tenant, err := entratest.New(entratest.Config{
		Strengths: []entratest.Strength{{ID: "s1", DisplayName: "Keys", Combinations: []json.RawMessage{json.RawMessage(
			`{"@odata.type":"#microsoft.graph.fido2CombinationConfiguration","id":"c1","allowedAAGUIDs":["2fc0579f-8113-47ea-b116-bb5a8db9202a"],"appliesToCombinations":["fido2"]}`)}}},
		Users: entratest.MakeUsers(users), Tokens: []entratest.Token{{Value: token, Scopes: entratest.Everything}},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(tenant)
	t.Cleanup(server.Close)
	t.Setenv(graphRootVariable, server.URL)
	t.Setenv(graphTokenVariable, token)
}

// onEveryCommand plugs in a key and calls do for every command that opens one, with
// the call.
func onEveryCommand(t *testing.T, profile, pin string, prepare func(s *station), do func(t *testing.T, s *station, cmd *cobra.Command, call *exec.Cmd)) {
	t.Helper()
	standIn(t, "token", 1)
	s, dir := &station{}, t.TempDir()
	device, stop, err := s.start(profile, pin)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := os.WriteFile(filepath.Join(dir, "pin"), []byte("12345678\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expected := "register: [{rp: example.com, userVerification: discouraged}]"
	if err := os.WriteFile(filepath.Join(dir, "ci.yaml"), []byte(expected), 0o600); err != nil {
		t.Fatal(err)
	}
	prepare(s)
	opensKey := func(cmd *cobra.Command) bool {
		_, ok := callsOnAKey[strings.Join(words(cmd), " ")]
		return ok || usesKey(cmd) && !noJSON(cmd)
	}
	leaves(t, opensKey, func(t *testing.T, cmd *cobra.Command) {
		args, ok := callsOnAKey[strings.Join(words(cmd), " ")]
		if !ok {
			t.Fatal("it is not in callsOnAKey")
		}
		call := exec.Command("fidokey", slices.Concat(words(cmd), strings.Fields(args), []string{"--device", device, "--timeout", "5s"})...)
		call.Dir = dir
		do(t, s, cmd, call)
	})
}

// output runs a call and returns its exit code and all that it says.
func output(t *testing.T, call *exec.Cmd) (code int, said string) {
	t.Helper()
	out, err := call.CombinedOutput()
	var status *exec.ExitError
	if err != nil && !errors.As(err, &status) {
		t.Fatal(err)
	}
	return call.ProcessState.ExitCode(), string(out)
}

// TestBlockedPIN: every command that takes the PIN says that it is blocked, and
// what helps; those that can do without do so.
func TestBlockedPIN(t *testing.T) {
	without := map[string]string{
		"pin set":      "has a PIN already",
		"blobs list":   "0 entries",
		"blobs repair": "The array is sound",
		"reset":        "would destroy",
		"ci":           "all checks hold",
	}
	block := func(s *station) {
		wrong := &station{key: s.key, pin: "wrong PIN"}
		for range 8 {
			key := wrong.client()
			if err := key.VerifyPIN(context.Background()); err == nil {
				t.Fatal("the wrong PIN is right")
			}
			s.key.PowerCycle()
		}
	}
	onEveryCommand(t, "ctap-2.3", "12345678", block, func(t *testing.T, _ *station, cmd *cobra.Command, call *exec.Cmd) {
		if cmd.Flags().Lookup("pin-file") == nil {
			return // nothing is said of those that take no PIN
		}
		code, said := output(t, call)
		if words, ok := without[strings.Join(words(cmd), " ")]; ok {
			if !strings.Contains(said, words) {
				t.Errorf("exit code %d:\n%s", code, said)
			}
			return
		}
		if code != exitPIN || !strings.Contains(said, "CTAP2_ERR_PIN_BLOCKED (0x32)") || !strings.Contains(said, "Only a reset") {
			t.Errorf("exit code %d:\n%s", code, said)
		}
	})
}

// TestUnpluggedInTheMiddle: a key that goes after some reports is exit code 3 of
// every command, wherever it was.
func TestUnpluggedInTheMiddle(t *testing.T) {
	onEveryCommand(t, "ctap-2.3", "12345678", func(*station) {}, func(t *testing.T, s *station, _ *cobra.Command, call *exec.Cmd) {
		for skip := uint(1); ; skip *= 3 { // the first is CTAPHID_INIT
			if err := s.key.Faults().Add(simulator.Fault{Kind: simulator.FaultUnplug, ToKey: true, Skip: skip}); err != nil {
				t.Fatal(err)
			}
			again := exec.Command(call.Path, call.Args[1:]...)
			again.Dir = call.Dir
			code, said := output(t, again)
			pending := len(s.key.Faults().Pending()) > 0
			s.key.Faults().Clear()
			s.key.PowerOn()
			if pending {
				if skip == 1 {
					t.Error("it sends nothing")
				}
				return
			}
			if code != exitNoKey || !strings.Contains(said, "it was unplugged") {
				t.Errorf("after %d reports exit code %d:\n%s", skip, code, said)
			}
		}
	})
}

// TestNoFeature: what a key cannot do is exit code 6 of every command, and 4 if it
// is a PIN; it is nothing else that went wrong.
func TestNoFeature(t *testing.T) {
	for _, profile := range []string{"u2f", "no-pin"} {
		t.Run(profile, func(t *testing.T) {
			refused := 0
			onEveryCommand(t, profile, "", func(*station) {}, func(t *testing.T, _ *station, _ *cobra.Command, call *exec.Cmd) {
				switch code, said := output(t, call); code {
				case exitRefused, exitPIN:
					refused++
				case exitOK:
				default:
					t.Errorf("exit code %d:\n%s", code, said)
				}
			})
			if refused < len(callsOnAKey)/2 {
				t.Errorf("%d commands are refused", refused)
			}
		})
	}
}
