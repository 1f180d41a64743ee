package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/mdstest"
)

// tenantCmd is "tenant fidokey entra stand-in ARGS..." of the scripts: it starts a tenant,
// and when that is ready the environment names it and its token.
func tenantCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || args[0] != "fidokey" {
		ts.Fatalf("usage: tenant fidokey entra stand-in ARGS...")
	}
	var stderr bytes.Buffer
	token, err := os.MkdirTemp(ts.MkAbs("."), "tenant")
	ts.Check(err)
	token += "/token"
	cmd := exec.Command(args[0], append(args[1:], "--token-file", token, "--json")...)
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), &stderr
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+ts.Getenv("XDG_CACHE_HOME"))
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	var answer struct {
		Result struct{ URL string }
	}
	if err := json.NewDecoder(stdout).Decode(&answer); err != nil {
		ts.Fatalf("the tenant does not begin: %v\n%s", err, &stderr)
	}
	go io.Copy(io.Discard, stdout)
	text, err := os.ReadFile(token)
	ts.Check(err)
	ts.Setenv(graphRootVariable, answer.Result.URL)
	ts.Setenv(graphTokenVariable, strings.TrimSpace(string(text)))
}

// vouchCmd is "vouch FILE" of the scripts: a metadata BLOB that has the model of the key
// which is plugged in, certified, with the root that its attestation leads to; root.pem
// is what the BLOB leads to.
func vouchCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: vouch FILE")
	}
	key := stationOf(ts).key
	info, err := ctap2.Do(context.Background(), key, ctap2.GetInfo{})
	ts.Check(err)
	root, err := key.AttestationRoot()
	ts.Check(err)
	entry := mdstest.Entry(1, "")
	statement := entry["metadataStatement"].(map[string]any)
	statement["description"] = "Key that is vouched for"
	entry["aaguid"], statement["aaguid"] = info.AAGUID.String(), info.AAGUID.String()
	statement["attestationRootCertificates"] = []string{base64.StdEncoding.EncodeToString(root)}
	a, err := metadataAuthority()
	ts.Check(err)
	blob, err := a.Sign(mdstest.Blob{No: 1, Entries: []any{entry}}.JSON())
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), blob, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("root.pem"), a.RootPEM(), 0o600))
}

// pageCmd is "page N" of the scripts: it runs the Nth of the five commands that
// docs/entra.md begins with, as it stands there. Which key is meant is in $KEY.
func pageCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: page N")
	}
	page, err := os.ReadFile("../../docs/entra.md")
	ts.Check(err)
	var five []string
	for line := range strings.Lines(string(page)) {
		if command, ok := strings.CutPrefix(line, "    fidokey "); ok {
			command, _, _ = strings.Cut(command, " #")
			five = append(five, strings.TrimSpace(command))
		} else if five != nil {
			break
		}
	}
	n, err := strconv.Atoi(args[0])
	if ts.Check(err); len(five) != 5 || n < 1 || n > 5 {
		ts.Fatalf("docs/entra.md begins with %d commands", len(five))
	}
	var call []string // words; what is in quotes is one
	for i, part := range strings.Split(five[n-1], "'") {
		if i%2 == 1 {
			call = append(call, part)
		} else {
			call = append(call, strings.Fields(part)...)
		}
	}
	if found, _, err := newRootCmd(&env{}).Find(call); err == nil && usesKey(found) {
		call = append(call, "--device", ts.Getenv("KEY"))
	}
	ts.Check(ts.Exec("fidokey", call...))
}
