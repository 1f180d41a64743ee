package guest

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// b64 is the base64 of Debian's fido2-tools.
var b64 = base64.StdEncoding

// clientDataHash is one that the tools may sign.
var clientDataHash = func() string {
	hash := sha256.Sum256([]byte("client data"))
	return b64.EncodeToString(hash[:])
}()

func param(lines ...string) string { return strings.Join(lines, "\n") + "\n" }

// credParam is the input of fido2-cred -M.
func credParam(rpID, user string) string {
	return param(clientDataHash, rpID, user, b64.EncodeToString([]byte("id of "+user)))
}

func TestFido2TokenInfo(t *testing.T) {
	k := plug(t, "auto")
	wantLines(t, run(t, "", "fido2-token", "-L"), k.node+": vendor=0x1209, product=0xf1d0")
	wantLines(t, run(t, "", "fido2-token", "-I", k.node),
		"proto: 0x02", "caps: 0x0d (wink, cbor, nomsg)", "FIDO_2_0", "noclientPin", "rk, up, noplat",
		"es256 (public-key)", "pin protocols: ", "pin retries: 8")
}

// TestFido2TokenPIN sets and changes a PIN as a person does at a terminal.
func TestFido2TokenPIN(t *testing.T) {
	k := plug(t, "auto")
	set := onTerminal(t, "fido2-token", "-S", k.node)
	set.expect("Enter new PIN")
	set.enter("123456")
	set.expect("again")
	set.enter("123456")
	set.succeed()
	wantLines(t, run(t, "", "fido2-token", "-I", k.node), ", clientPin", "pin retries: 8")

	change := func(current, next string) *terminal {
		tty := onTerminal(t, "fido2-token", "-C", k.node)
		tty.expect("Enter current PIN")
		tty.enter(current)
		tty.expect("Enter new PIN")
		tty.enter(next)
		tty.expect("again")
		tty.enter(next)
		return tty
	}
	if tty := change("not the PIN", "654321"); tty.wait() == 0 {
		t.Error("a wrong PIN was taken")
	}
	wantLines(t, run(t, "", "fido2-token", "-I", k.node), "pin retries: 7")
	change("123456", "654321").succeed()
	wantLines(t, run(t, "", "fido2-token", "-I", k.node), "pin retries: 8")
}

// TestFido2Cred has a credential made, verified and used by strangers.
func TestFido2Cred(t *testing.T) {
	k := plug(t, "auto")
	for _, algorithm := range []string{"es256", "eddsa"} {
		t.Run(algorithm, func(t *testing.T) {
			made := run(t, credParam("example.com", "alice"), "fido2-cred", "-M", k.node, algorithm)
			if l := lines(made); l[1] != "example.com" || l[2] != "packed" {
				t.Errorf("fido2-cred -M: %q", l)
			}
			id, publicKey := verifyCred(t, made, algorithm)
			asserted := run(t, param(clientDataHash, "example.com", id), "fido2-assert", "-G", k.node)
			run(t, asserted, "fido2-assert", "-V", publicKey, algorithm)

			other := param(clientDataHash, "example.org", id)
			if out, err := try(t, other, "fido2-assert", "-G", k.node); err == nil {
				t.Errorf("an assertion for another RP ID:\n%s", out)
			}
		})
	}
}

// verifyCred gives what fido2-cred -M prints to fido2-cred -V. It returns the ID
// of the credential, in base64, and the file of the public key.
func verifyCred(t *testing.T, made, algorithm string, options ...string) (id, publicKey string) {
	t.Helper()
	id, pem, _ := strings.Cut(run(t, made, "fido2-cred", append(append([]string{"-V"}, options...), algorithm)...), "\n")
	return id, write(t, "key.pem", pem)
}

// TestFido2CredResident makes discoverable credentials on a key with a PIN, and
// uses one of them.
func TestFido2CredResident(t *testing.T) {
	k := plug(t, "auto")
	k.setPIN("123456")
	made := k.makeResident("example.com", "alice", "123456")
	_, publicKey := verifyCred(t, made, "es256")
	k.makeResident("example.org", "bob", "123456")

	// Found without an ID, verified with user presence and user verification.
	input, output := write(t, "input", param(clientDataHash, "example.com")), filepath.Join(t.TempDir(), "output")
	get := onTerminal(t, "fido2-assert", "-G", "-r", "-v", "-i", input, "-o", output, k.node)
	get.expect("Enter PIN")
	get.enter("123456")
	get.succeed()
	asserted, err := os.ReadFile(output)
	if err != nil {
		t.Fatal(err)
	}
	if l := lines(string(asserted)); len(l) < 5 || l[4] != b64.EncodeToString([]byte("id of alice")) {
		t.Errorf("fido2-assert -G -r: %q", l)
	}
	run(t, string(asserted), "fido2-assert", "-V", "-p", "-v", publicKey, "es256")
}

// TestFido2TokenCredentials lists and deletes discoverable credentials. libfido2
// 1.12 knows only the command's preview, 0x41.
func TestFido2TokenCredentials(t *testing.T) {
	k := plugProfile(t, "preview")
	k.setPIN("123456")
	made := lines(k.makeResident("example.com", "alice", "123456"))
	k.makeResident("example.org", "bob", "123456")
	wantLines(t, k.withPIN("123456", "fido2-token", "-L", "-r", k.node), "example.com", "example.org")
	wantLines(t, k.withPIN("123456", "fido2-token", "-L", "-k", "example.com", k.node), made[4])
	k.withPIN("123456", "fido2-token", "-D", "-i", made[4], k.node)
	if left := k.withPIN("123456", "fido2-token", "-L", "-r", k.node); strings.Contains(left, "example.com") {
		t.Errorf("deleted, but listed:\n%s", left)
	}
}

// setPIN gives the key its first PIN.
func (k *key) setPIN(pin string) {
	k.Helper()
	tty := onTerminal(k.T, "fido2-token", "-S", k.node)
	for range 2 {
		tty.expect("PIN")
		tty.expect(": ")
		tty.enter(pin)
	}
	tty.succeed()
}

// onTerminalWithPIN starts a program that asks for the PIN, and gives it.
func (k *key) onTerminalWithPIN(pin, name string, args ...string) *terminal {
	k.Helper()
	tty := onTerminal(k.T, name, args...)
	tty.expect("Enter PIN")
	tty.enter(pin)
	return tty
}

// withPIN runs a program that asks for the PIN, and returns its output.
func (k *key) withPIN(pin, name string, args ...string) string {
	k.Helper()
	tty := k.onTerminalWithPIN(pin, name, args...)
	tty.succeed()
	return tty.seen.String()
}

// makeResident has fido2-cred make a discoverable credential, and returns what it
// prints.
func (k *key) makeResident(rpID, user, pin string, options ...string) string {
	k.Helper()
	input, output := write(k.T, "input", credParam(rpID, user)), filepath.Join(k.TempDir(), "output")
	k.withPIN(pin, "fido2-cred", append([]string{"-M", "-r"}, append(options, "-i", input, "-o", output, k.node)...)...)
	made, err := os.ReadFile(output)
	if err != nil {
		k.Fatal(err)
	}
	return string(made)
}

// TestSSH signs a file with a key in the security key.
func TestSSH(t *testing.T) {
	plug(t, "auto")
	dir := t.TempDir()
	id := filepath.Join(dir, "id")
	run(t, "", "ssh-keygen", "-q", "-t", "ecdsa-sk", "-N", "", "-f", id)
	public, err := os.ReadFile(id + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	signers := write(t, "signers", "alice "+string(public))
	signature := write(t, "sig", run(t, "some data", "ssh-keygen", "-Y", "sign", "-n", "file", "-f", id))
	verify := func(data string) error {
		_, err := try(t, data, "ssh-keygen", "-Y", "verify", "-n", "file", "-f", signers, "-I", "alice", "-s", signature)
		return err
	}
	if err := verify("some data"); err != nil {
		t.Error(err)
	}
	if verify("other data") == nil {
		t.Error("the signature of other data was taken")
	}
}

// TestFido2Declined makes sure that a stranger learns of a refusal.
func TestFido2Declined(t *testing.T) {
	k := plug(t, "decline")
	_, err := try(t, credParam("example.com", "alice"), "fido2-cred", "-M", k.node)
	if err == nil || !strings.Contains(fmt.Sprint(err), "FIDO_ERR_OPERATION_DENIED") {
		t.Errorf("fido2-cred -M: %v", err)
	}
}

// TestInfoAsFido2Token compares what "fidokey info --format fido2-token" prints
// with what fido2-token does, line by line: those that both have are the same and
// in the same order, and fido2-token has none besides.
func TestInfoAsFido2Token(t *testing.T) {
	for _, profile := range []string{"default", "ctap-2.0", "ctap-2.3", "u2f"} {
		t.Run(profile, func(t *testing.T) {
			k := plugProfile(t, profile)
			theirs := lines(run(t, "", "fido2-token", "-I", k.node))
			named := map[string]bool{}
			for _, line := range theirs {
				name, _, _ := strings.Cut(line, ":")
				named[name] = true
			}
			ours := slices.DeleteFunc(lines(run(t, "", fidokey, "info", "--format", "fido2-token")), func(line string) bool {
				name, _, _ := strings.Cut(line, ":")
				return !named[name] // a later version of fido2-token has it
			})
			if !slices.Equal(ours, theirs) {
				t.Errorf("fidokey:\n%s\nfido2-token:\n%s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
			}
		})
	}
}
