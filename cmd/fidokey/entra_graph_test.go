package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// signInCase is a way to sign in that gets no further than this machine.
type signInCase struct {
	args, stdin string
	code        int
	says        string
}

var signIns = []signInCase{
	{"", "", exitUsage, "no token in $FIDOKEY_GRAPH_TOKEN"},
	{"--token-file nowhere", "", exitFailure, "nowhere"},
	{"--token-file empty", "", exitUsage, "no token"},
	{"--token-stdin", "\n", exitUsage, "no token on standard input"},
	{"--token-stdin --graph http://example.com", "not-to-be-seen\n", exitUsage, "over https only"},
	{"--token-stdin", "not-to-be-seen twice\n", exitUsage, "characters that no token has"},
	{"--token-stdin --token-file secret", "", exitUsage, "none of the others can be"},
	{"--token-file secret --cloud moon", "", exitUsage, "usgov"},
	{"--token-file secret --sign-in nicely", "", exitUsage, "device-code"},
	{"--sign-in device-code --tenant-id t", "", exitUsage, "needs the tenant and the ID"},
	{"--sign-in client-secret", "", exitUsage, "needs --client-secret-file or"},
	{"--sign-in client-secret --client-secret-file secret --tenant-id t", "", exitUsage, "needs the tenant and the ID"},
	{"--sign-in client-secret --client-secret-env SECRET --client-id c", "", exitUsage, "needs the tenant and the ID"},
	{"--sign-in client-secret --client-secret-env NOWHERE", "", exitFailure, "NOWHERE is not set"},
	{"--sign-in certificate", "", exitUsage, "needs --certificate"},
	{"--sign-in certificate --certificate secret --certificate-password-env SECRET", "", exitFailure, "secret: "},
	{"--sign-in managed-identity --graph ftp://127.0.0.1", "", exitUsage, "over https only"},
	{"--sign-in azure-cli --graph ftp://127.0.0.1", "", exitUsage, "over https only"},
}

// TestSignIn tries the flags that all commands that ask Graph have, on each of them. No
// secret is in what they say.
func TestSignIn(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty": "\n", "secret": "not-to-be-seen\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	asksGraph := func(cmd *cobra.Command) bool { return cmd.Flags().Lookup("sign-in") != nil }
	leaves(t, asksGraph, func(t *testing.T, cmd *cobra.Command) {
		for _, c := range signIns {
			call := exec.Command("fidokey", slices.Concat(examples(cmd)[0], strings.Fields(c.args))...)
			call.Dir, call.Stdin = dir, strings.NewReader(c.stdin)
			call.Env = append(os.Environ(), "SECRET=not-to-be-seen")
			out, err := call.CombinedOutput()
			var status *exec.ExitError
			if !errors.As(err, &status) || status.ExitCode() != c.code || !strings.Contains(string(out), c.says) {
				t.Errorf("%q: %v\n%s", c.args, err, out)
			}
			if strings.Contains(string(out), "not-to-be-seen") {
				t.Errorf("%q shows the secret:\n%s", c.args, out)
			}
		}
	})
}

// isGraphFlag is for the flags that TestSignIn tries on every command that has them.
func isGraphFlag(cmd *cobra.Command, f *pflag.Flag) bool {
	return cmd.Flags().Lookup("sign-in") != nil && slices.ContainsFunc(signIns, func(c signInCase) bool {
		return slices.Contains(strings.Fields(c.args), "--"+f.Name)
	})
}
