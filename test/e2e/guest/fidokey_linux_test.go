package guest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

const entraRPID = "login.microsoftonline.com"

// base64URL is a byte string in the JSON of WebAuthn.
type base64URL []byte

func (b *base64URL) UnmarshalText(text []byte) (err error) {
	*b, err = base64.RawURLEncoding.DecodeString(string(text))
	return err
}

// A registration is the result of "fidokey register --json", or what it saved.
type registration struct {
	ID, RawID base64URL
	Response  struct{ ClientDataJSON, AttestationObject base64URL }
}

// authentications are the result of "fidokey authenticate --json".
type authentications struct{ Assertions []authentication }

type authentication struct {
	ID       base64URL
	Response struct{ ClientDataJSON, AuthenticatorData, Signature, UserHandle base64URL }
}

func parse[T any](t *testing.T, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return v
}

// result is what an answer of --json is about.
func result[T any](t *testing.T, text string) T {
	t.Helper()
	return parse[struct{ Result T }](t, text).Result
}

// signedIn is the one account that an answer has.
func signedIn(t *testing.T, text string) authentication {
	t.Helper()
	all := result[authentications](t, text).Assertions
	if len(all) != 1 {
		t.Fatalf("%d accounts in\n%s", len(all), text)
	}
	return all[0]
}

// bstr is data as a CBOR byte string in base64, as fido2-cred and fido2-assert
// have the authenticator data.
func bstr(t *testing.T, data []byte) string {
	t.Helper()
	encoded, err := cbor.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return b64.EncodeToString(encoded)
}

func hash64(data []byte) string {
	hash := sha256.Sum256(data)
	return b64.EncodeToString(hash[:])
}

// forFido2Cred is the registration in the words of fido2-cred -V.
func (r registration) forFido2Cred(t *testing.T, rpID string) string {
	t.Helper()
	var object struct {
		Fmt      string
		AuthData []byte
		AttStmt  struct {
			Sig []byte
			X5c [][]byte
		}
	}
	if err := cbor.Unmarshal(r.Response.AttestationObject, &object); err != nil {
		t.Fatal(err)
	}
	words := []string{
		hash64(r.Response.ClientDataJSON), rpID, object.Fmt, bstr(t, object.AuthData),
		b64.EncodeToString(r.RawID), b64.EncodeToString(object.AttStmt.Sig),
	}
	for _, certificate := range object.AttStmt.X5c {
		words = append(words, b64.EncodeToString(certificate))
	}
	return param(words...)
}

// forFido2Assert is the authentication in the words of fido2-assert -V.
func (a authentication) forFido2Assert(t *testing.T, rpID string) string {
	t.Helper()
	return param(hash64(a.Response.ClientDataJSON), rpID,
		bstr(t, a.Response.AuthenticatorData), b64.EncodeToString(a.Response.Signature))
}

func TestFidokeyListAndInfo(t *testing.T) {
	k := plug(t, "auto")
	wantLines(t, run(t, "", fidokey, "list"), k.node, "fidokey simulator")
	keys := result[struct {
		Keys []struct{ Device struct{ Path string } }
	}](t, run(t, "", fidokey, "list", "--json")).Keys
	if len(keys) != 1 || keys[0].Device.Path != k.node {
		t.Errorf("list --json: %+v", keys)
	}
	wantLines(t, run(t, "", fidokey, "info"), k.node, "FIDO_2_0", "not set")
	info := result[struct {
		Versions   []string
		MaxMsgSize int
		PINRetries *int
		Options    map[string]bool
	}](t, run(t, "", fidokey, "info", "--json"))
	if info.MaxMsgSize != 1200 || len(info.Versions) == 0 || !info.Options["rk"] {
		t.Errorf("info --json: %+v", info)
	}
}

// TestFidokeyAsPlainUser needs rights on the node and nothing else.
func TestFidokeyAsPlainUser(t *testing.T) {
	k := plug(t, "auto")
	nobody := func(args ...string) (string, error) {
		return try(t, "", "setpriv", append([]string{"--reuid", "65534", "--regid", "65534", "--clear-groups", fidokey}, args...)...)
	}
	for command, says := range map[string]string{"info": "permission denied", "doctor": `TAG+="uaccess"`} {
		if _, err := nobody(command); exitStatus(err) != 9 || !strings.Contains(err.Error(), says) {
			t.Errorf("%s without rights, exit status %d, want 9 and %q: %v", command, exitStatus(err), says, err)
		}
	}
	if err := os.Chmod(k.node, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"list", "info"} {
		out, err := nobody(command)
		if err != nil {
			t.Fatal(err)
		}
		wantLines(t, out, k.node)
	}
}

// TestFidokeyPIN sets a PIN at a terminal, first with a slip.
func TestFidokeyPIN(t *testing.T) {
	k := plug(t, "auto")
	set := func(first, second string) *terminal {
		tty := onTerminal(t, fidokey, "pin", "set")
		tty.expect("New PIN")
		tty.enter(first)
		tty.expect("again")
		tty.enter(second)
		return tty
	}
	if tty := set("123456", "123465"); tty.wait() == 0 {
		t.Error("two different PINs were taken")
	}
	wantLines(t, run(t, "", "fido2-token", "-I", k.node), "noclientPin")

	tty := set("123456", "123456")
	tty.succeed()
	if strings.Contains(tty.seen.String(), "123456") {
		t.Errorf("the PIN is on the screen:\n%s", &tty.seen)
	}
	wantLines(t, run(t, "", "fido2-token", "-I", k.node), ", clientPin", "pin retries: 8")

	if _, err := try(t, "wrong PIN\n", fidokey, "pin", "verify", "--pin-stdin"); err == nil {
		t.Error("a wrong PIN was taken")
	} else if status := exitStatus(err); status != 4 {
		t.Errorf("exit status %d, want 4: %v", status, err)
	}
	wantLines(t, run(t, "", "fido2-token", "-I", k.node), "pin retries: 7")
	run(t, "123456\n", fidokey, "pin", "verify", "--pin-stdin")
	wantLines(t, run(t, "", "fido2-token", "-I", k.node), "pin retries: 8")
}

// TestFidokeyRegisters has our client register and sign in, with and without a
// PIN, and Debian's tools judge both.
func TestFidokeyRegisters(t *testing.T) {
	k := plug(t, "auto")
	for _, pin := range []string{"", "123456"} {
		t.Run("PIN "+pin, func(t *testing.T) {
			withPIN := func(args ...string) []string { return args }
			flags := []string{"-p"}
			if pin != "" {
				k.setPIN(pin)
				file := write(t, "pin", pin+"\n")
				withPIN = func(args ...string) []string { return append(args, "--pin-file", file) }
				flags = append(flags, "-v")
			}
			saved := filepath.Join(t.TempDir(), "alice.json")
			out := run(t, "", fidokey, withPIN("register", "--rp", entraRPID, "--user", "alice@example.com",
				"--user-id", "a11ce0", "--json", "--credential", saved)...)
			made := result[registration](t, out)
			if file, err := os.ReadFile(saved); err != nil || !bytes.Equal(parse[registration](t, string(file)).RawID, made.RawID) {
				t.Errorf("--credential: %v\n%s", err, file)
			}
			id, publicKey := verifyCred(t, made.forFido2Cred(t, entraRPID), "es256")
			if id != b64.EncodeToString(made.ID) {
				t.Errorf("credential %x is %s to fido2-cred", made.ID, id)
			}

			out = run(t, "", fidokey, withPIN("authenticate", "--rp", entraRPID, "--credential", saved, "--json")...)
			signed := signedIn(t, out)
			if !bytes.Equal(signed.ID, made.ID) {
				t.Errorf("signed in with %x, registered %x", signed.ID, made.ID)
			}
			run(t, signed.forFido2Assert(t, entraRPID), "fido2-assert", append(append([]string{"-V"}, flags...), publicKey, "es256")...)
		})
	}
}

// TestFidokeyUsesForeignCredential signs in with a credential that fido2-cred
// made.
func TestFidokeyUsesForeignCredential(t *testing.T) {
	k := plug(t, "auto")
	k.setPIN("123456")
	id, publicKey := verifyCred(t, k.makeResident("example.com", "alice", "123456"), "es256")

	pin := write(t, "pin", "123456")
	signed := signedIn(t, run(t, "", fidokey, "authenticate", "--rp", "example.com", "--pin-file", pin, "--json"))
	if b64.EncodeToString(signed.ID) != id || string(signed.Response.UserHandle) != "id of alice" {
		t.Errorf("signed in with %x as %q, want %s", signed.ID, signed.Response.UserHandle, id)
	}
	run(t, signed.forFido2Assert(t, "example.com"), "fido2-assert", "-V", "-p", "-v", publicKey, "es256")
}

// TestFidokeyInterrupted presses Ctrl-C while the key waits for a touch: the key
// is free again at once.
func TestFidokeyInterrupted(t *testing.T) {
	plug(t, "never")
	tty := onTerminal(t, fidokey, "register", "--rp", "example.com", "--user", "alice")
	tty.expect("Touch your security key")
	tty.press("\x03")
	if status := tty.wait(); status != 130 {
		t.Errorf("exit status %d, want 130:\n%s", status, &tty.seen)
	}
	wantLines(t, run(t, "", fidokey, "info"), "FIDO_2_0")
}

// TestFidokeyUnplugged ends the simulator under a client that waits for a touch.
func TestFidokeyUnplugged(t *testing.T) {
	k := plug(t, "never")
	tty := onTerminal(t, fidokey, "register", "--rp", "example.com", "--user", "alice")
	tty.expect("Touch your security key")
	if err := k.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if status := tty.wait(); status == 0 {
		t.Errorf("registered without a key:\n%s", &tty.seen)
	}
}

// TestSimulatorKeepsItsState unplugs the key and plugs it in again.
func TestSimulatorKeepsItsState(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	saved := filepath.Join(t.TempDir(), "alice.json")
	t.Run("register", func(t *testing.T) {
		plugState(t, "auto", state)
		run(t, "", fidokey, "register", "--rp", "example.com", "--user", "alice", "--credential", saved)
	})
	t.Run("authenticate", func(t *testing.T) {
		plugState(t, "auto", state)
		run(t, "", fidokey, "authenticate", "--rp", "example.com", "--credential", saved)
	})
}

// exitStatus is that of a program that try ran.
func exitStatus(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}
