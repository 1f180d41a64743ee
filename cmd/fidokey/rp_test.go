package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestRPServe registers and signs in at the relying party with the command line in
// place of a browser, and reads what it tells of that.
func TestRPServe(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signal that asks a program to end")
	}
	server := exec.Command("fidokey", "rp", "serve", "--json", "--listen", "localhost:0")
	server.Stderr = os.Stderr
	stdout, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	schemas, lines := loadSchemas(t), bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	type line struct {
		Command string
		Result  struct {
			URL, RPID, Type, User string
			Verified              bool
		}
	}
	next := func() (l line) {
		t.Helper()
		if !lines.Scan() {
			t.Fatal("no line: ", lines.Err())
		}
		if err := schemas.answer(lines.Text()); err != nil {
			t.Error(err)
		}
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	ready := next()
	if ready.Command != "rp serve" || ready.Result.RPID != "localhost" || !strings.HasPrefix(ready.Result.URL, "http://localhost:") {
		t.Fatalf("%+v", ready)
	}
	origin := strings.TrimSuffix(ready.Result.URL, "/")
	post := func(path string, body []byte) []byte {
		t.Helper()
		r, err := http.Post(origin+path, "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		answer, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v %s", path, r.StatusCode, err, answer)
		}
		return answer
	}
	folder := t.TempDir()
	browser := func(options []byte, args ...string) []byte {
		t.Helper()
		args = append(args, "--device", "simulator", "--simulator-state", filepath.Join(folder, "key.db"), "--origin", origin, "--insecure-localhost", "--options", "-", "--json")
		cmd := exec.Command("fidokey", args...)
		cmd.Dir, cmd.Stdin = folder, bytes.NewReader(options)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		var answered struct{ Result json.RawMessage }
		if err := json.Unmarshal(out, &answered); err != nil {
			t.Fatal(err)
		}
		return answered.Result
	}
	post("/api/registration", browser(post("/api/registration/options", []byte(`{"user":"alice","residentKey":"required"}`)), "register", "--credential", "alice.json"))
	if l := next(); l.Result.Type != "registration" || !l.Result.Verified || l.Result.User != "alice" {
		t.Errorf("%+v", l)
	}
	options := post("/api/authentication/options", []byte(`{"allow":true}`))
	var signed struct{ Assertions []json.RawMessage }
	if err := json.Unmarshal(browser(options, "authenticate", "--credential", "alice.json"), &signed); err != nil {
		t.Fatal(err)
	}
	post("/api/authentication", signed.Assertions[0])
	if l := next(); l.Result.Type != "assertion" || !l.Result.Verified {
		t.Errorf("%+v", l)
	}
	server.Process.Signal(syscall.SIGINT)
	if err := server.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
}
