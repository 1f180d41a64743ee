package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestSimulatorControlCommand steers a simulator by the command, all that there
// is.
func TestSimulatorControlCommand(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	doors := startSimulator(t, 2, "--tcp", "127.0.0.1:0", "--control", "127.0.0.1:0", "--control-token-file", token, "--touch", "0")
	control := func(want int, args ...string) string {
		t.Helper()
		args = append([]string{"simulator", "control", doors["control"], "--token-file", token, "--"}, args...)
		cmd := exec.Command("fidokey", args...)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, _ := cmd.Output()
		if code := cmd.ProcessState.ExitCode(); code != want {
			t.Errorf("%v: exit code %d, want %d\n%s%s", args[5:], code, want, out, &errs)
		}
		return string(out) + errs.String()
	}
	says := func(part string, args ...string) {
		t.Helper()
		if out := control(exitOK, args...); !strings.Contains(out, part) {
			t.Errorf("%v: want %q in %s", args, part, out)
		}
	}
	says("Done.", "touch", "decline")
	says(`"usual": "decline"`, "touch")
	says("Done.", "touch", "next", "never", "250")
	says("Done.", "finger", "thumb")
	says("Done.", "finger", "")
	says("Done.", "finger", "thumb", "0x03")
	says("Done.", "finger", "next", "thumb:3", "index")
	says("Done.", "power", "off")
	says(`"on": false`, "power")
	says("Done.", "power", "on")
	says("Done.", "power", "cycle")
	says(`"powerCycles": 2`, "counters")
	says("Done.", "counters", "clear")
	says(`"powerCycles": 0`, "counters")
	says(`"now": `, "clock", "advance", "30s")
	says(`"now": `, "clock")
	says("Done.", "faults", "add", `{"kind": "lost", "skip": 3}`)
	says(`"skip": 3`, "faults")
	says("Done.", "faults", "clear")
	says("Done.", "reset-window", "off")
	says("Done.", "snapshot", "save", filepath.Join(dir, "snapshot"))
	says("Done.", "profile", "ctap-2.0")
	says(`"name": "ctap-2.0"`, "profile")
	says("Done.", "snapshot", "restore", filepath.Join(dir, "snapshot"))

	for _, bad := range [][]string{
		{"touch", "sometimes"}, {"touch", "answer", "touched"}, {"touch", "next"}, {"finger"}, {"finger", "thumb", "good"},
		{"finger", "next", "thumb:good"}, {"power", "perhaps"}, {"clock", "advance", "soon"}, {"faults", "add", "gremlins"},
		{"snapshot"}, {"snapshot", "restore", "nowhere"}, {"profile", "utopia"}, {"reset-window"}, {"weather"},
	} {
		control(exitUsage, bad...)
	}

	if err := os.WriteFile(token, []byte("wrong"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := control(exitPermission, "power"); !strings.Contains(out, "token is missing or wrong") {
		t.Errorf("wrong token: %s", out)
	}
	doors["control"] = "127.0.0.1:1"
	control(exitNoKey, "power")
}

// TestSimulatorControlWaits answers a request that waits for a touch; the token
// goes with it, and is not said.
func TestSimulatorControlWaits(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		json.NewDecoder(r.Body).Decode(&body)
		got = append(got, r.Method, r.URL.Path, r.Header.Get("Authorization"), body["answer"].(string))
		http.Error(w, "out of paper", http.StatusInternalServerError)
	}))
	defer server.Close()
	request, err := newControlRequest("touch", []string{"answer", "long"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = request.send(t.Context(), strings.TrimPrefix(server.URL, "http://"), "secret")
	if err == nil || !strings.Contains(err.Error(), "out of paper") || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
	if want := "POST /v1/touch/answer Bearer secret long"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %q", got, want)
	}
}
