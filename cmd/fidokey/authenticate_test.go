package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/webauthn"
)

// registerForAppID makes a credential as U2F did, for an AppID, and saves it.
func registerForAppID(t *testing.T, socket, appID, file string) {
	t.Helper()
	port, err := hid.DialUnix(socket)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := hid.Open(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	key := client.New(dev, client.Options{})
	defer key.Close()
	clientDataJSON := webauthn.ClientData{Type: webauthn.TypeCreate, Challenge: []byte("challenge"), Origin: "https://example.com"}.JSON()
	made, err := key.Register(t.Context(), client.Registration{
		ClientDataHash: webauthn.Hash(clientDataJSON),
		RP:             ctap2.RP{ID: appID},
		User:           ctap2.User{ID: []byte{1}, Name: "alice"},
		Parameters:     []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}},
	})
	if err != nil {
		t.Fatal(err)
	}
	response, err := webauthn.NewRegistration(clientDataJSON, made.MakeCredentialResponse, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := saveRegistration(file, response); err != nil {
		t.Fatal(err)
	}
}

// TestAppID signs in with a credential from the days of U2F, and has that judged.
func TestAppID(t *testing.T) {
	const appID = "https://example.com/app-id.json"
	dir, err := os.MkdirTemp("", "fidokey") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	startSimulator(t, 1, "--unix", filepath.Join(dir, "key"), "--profile", "u2f", "--touch", "0")
	registerForAppID(t, filepath.Join(dir, "key"), appID, filepath.Join(dir, "old.json"))
	run := func(args ...string) (string, int) {
		cmd := exec.Command("fidokey", args...)
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := run("authenticate", "--device", "unix:key", "--rp", "example.com", "--credential", "old.json"); code != exitRefused {
		t.Errorf("without the AppID: exit code %d\n%s", code, out)
	}
	out, code := run("authenticate", "--device", "unix:key", "--rp", "example.com", "--credential", "old.json",
		"--app-id", appID, "--response", "signed.json")
	if code != exitOK || !strings.Contains(out, "the AppID "+appID) {
		t.Errorf("with it: exit code %d\n%s", code, out)
	}
	if out, code := run("verify", "signed.json", "--registration", "old.json"); code != exitOK {
		t.Errorf("verify: exit code %d\n%s", code, out)
	}
	if out, code := run("register", "--device", "unix:key", "--rp", "example.com", "--user", "alice", "--no-discoverable",
		"--exclude", "old.json", "--app-id-exclude", appID); code != exitRefused || !strings.Contains(out, "CREDENTIAL_EXCLUDED") {
		t.Errorf("excluded by AppID: exit code %d\n%s", code, out)
	}

	// The same as a browser would hand it over: without our request.
	text, err := os.ReadFile(filepath.Join(dir, "signed.json"))
	if err != nil {
		t.Fatal(err)
	}
	var pure map[string]any
	if err := json.Unmarshal(text, &pure); err != nil {
		t.Fatal(err)
	}
	if results := pure["clientExtensionResults"].(map[string]any); results["appid"] != true {
		t.Errorf("clientExtensionResults %v", results)
	}
	delete(pure, "request")
	if text, err = json.Marshal(pure); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pure.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := run("verify", "pure.json", "--registration", "old.json", "--rp", "example.com"); code != exitVerify {
		t.Errorf("verify for the RP ID: exit code %d\n%s", code, out)
	}
	if out, code := run("verify", "pure.json", "--registration", "old.json", "--rp", "example.com", "--app-id", appID); code != exitOK {
		t.Errorf("verify for the AppID: exit code %d\n%s", code, out)
	}
}
