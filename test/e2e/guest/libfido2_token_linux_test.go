package guest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// These tests go through the verbs and options that Debian's fido2-token has, but
// for -L and -V, which need no key.

// everything is the profile of a key that libfido2 1.12 can manage in full: it
// knows the prototypes of credential management and enrolment only, 0x41 and 0x40.
const everything = "variant-preview"

// plugSteered plugs in a key with a state of its own and an address for steer.
func (d door) plugSteered(t *testing.T, profile string) *key {
	t.Helper()
	return d.plug(t, "--state", filepath.Join(t.TempDir(), "state"), "--profile", profile,
		"--control", controlAddress, "--control-token-file", write(t, "token", controlToken))
}

// steer is "fidokey simulator control" with the key.
func (k *key) steer(args ...string) {
	k.Helper()
	args = append([]string{"simulator", "control", controlAddress, "--token-file", write(k.T, "token", controlToken)}, args...)
	run(k.T, "", fidokey, args...)
}

// token runs fido2-token, which gets the answers to its questions on stdin, a line
// each, and the node as the last argument.
func (k *key) token(answers string, args ...string) string {
	k.Helper()
	return run(k.T, answers, "fido2-token", append(args, k.node)...)
}

// refused is token for what the key refuses, with a word of the reason.
func (k *key) refused(why, answers string, args ...string) {
	k.Helper()
	out, err := try(k.T, answers, "fido2-token", append(args, k.node)...)
	wantRefusal(k.T, out, err, why)
}

func wantRefusal(t *testing.T, out string, err error, why string) {
	t.Helper()
	if err == nil {
		t.Errorf("not refused; wanted %s:\n%s", why, out)
	} else if exitStatus(err) != 1 || !strings.Contains(err.Error(), why) {
		t.Errorf("exit status %d, want 1 and %s: %v", exitStatus(err), why, err)
	}
}

// info is what fido2-token -I prints.
func (k *key) info() string { k.Helper(); return k.token("", "-I") }

func newPIN(pin string) string { return param(pin, pin) }

func changePIN(pin, next string) string { return param(pin, next, next) }

// TestLibfido2PIN spends all tries of a PIN, with the key unplugged as often as
// it has to be, and resets the key.
func TestLibfido2PIN(t *testing.T) {
	forEachDoor(t, func(t *testing.T, d door) {
		drives(t, "fido2-token -S, -C, -R")
		state := filepath.Join(t.TempDir(), "state")
		plugIn := func() *key { return d.plug(t, "--state", state, "--profile", "ctap-2.3") }
		k := plugIn()
		k.refused("PINs do not match", param("123456", "654321"), "-S")
		k.refused("FIDO_ERR_PIN_NOT_SET", changePIN("123456", "654321"), "-C") // there is none
		k.token(newPIN("123456"), "-S")
		k.refused("FIDO_ERR_PIN_AUTH_INVALID", newPIN("654321"), "-S") // there is one
		k.refused("FIDO_ERR_PIN_INVALID", changePIN("wrong", "654321"), "-C")
		wantLines(t, k.info(), "pin retries: 7")
		k.token(changePIN("123456", "Größe!"), "-C")
		wantLines(t, k.info(), "pin retries: 8")

		wrong := changePIN("wrong", "654321")
		for _, left := range []string{"5", "2", "0"} {
			k.refused("FIDO_ERR_PIN_INVALID", wrong, "-C")
			if left != "0" {
				k.refused("FIDO_ERR_PIN_INVALID", wrong, "-C")
				k.refused("FIDO_ERR_PIN_AUTH_BLOCKED", wrong, "-C")
				k.refused("FIDO_ERR_PIN_AUTH_BLOCKED", changePIN("Größe!", "654321"), "-C")
			} else {
				k.refused("FIDO_ERR_PIN_BLOCKED", wrong, "-C")
				k.refused("FIDO_ERR_PIN_BLOCKED", changePIN("Größe!", "654321"), "-C")
			}
			wantLines(t, k.info(), "pin retries: "+left)
			k.unplug()
			k = plugIn()
		}
		k.refused("FIDO_ERR_PIN_BLOCKED", changePIN("Größe!", "654321"), "-C")
		k.unplug()
		k = plugIn()
		k.token("", "-R")
		wantLines(t, k.info(), "noclientPin", "pin retries: 8")
	})
}

// TestLibfido2Reset: a key is reset just after it was plugged in, and not later.
func TestLibfido2Reset(t *testing.T) {
	drives(t, "fido2-token -R")
	k := uhid.plugSteered(t, everything)
	k.token(newPIN(somePIN), "-S")
	k.makeResident("example.com", "alice", somePIN)
	k.steer("clock", "advance", "11s")
	k.refused("FIDO_ERR_NOT_ALLOWED", "", "-R")
	wantLines(t, k.info(), ", clientPin")
	k.steer("power", "cycle")
	waitFor(t, "the node to be back", func() bool { return len(nodes()) == 1 })
	k.token("", "-R")
	wantLines(t, k.info(), "noclientPin", "remaining rk(s): 100")
}

// TestLibfido2Config has the key configured.
func TestLibfido2Config(t *testing.T) {
	drives(t, "fido2-token -S -a, -u, -l, -m, -f and -D -u")
	k := uhid.plug(t, "--state", ":memory:", "--profile", everything)
	k.token(newPIN(somePIN), "-S")
	pin := param(somePIN)

	wantLines(t, k.info(), " noep,", " noalwaysUv,", "minpinlen: 4", "pin change required: false")
	k.token(pin, "-S", "-a")
	wantLines(t, k.info(), " ep,")

	k.token(pin, "-S", "-u")
	wantLines(t, k.info(), " alwaysUv,")
	k.token("", "-S", "-u") // it is already, which the tool sees: it asks for nothing
	k.token(pin, "-D", "-u")
	wantLines(t, k.info(), " noalwaysUv,")

	k.token(pin, "-S", "-l", "6")
	wantLines(t, k.info(), "minpinlen: 6", "pin change required: false")
	k.refused("FIDO_ERR_PIN_POLICY_VIOLATION", pin, "-S", "-l", "5")
	k.refused("FIDO_ERR_PIN_POLICY_VIOLATION", changePIN(somePIN, "12345"), "-C")
	k.token(pin, "-S", "-m", "example.com,example.org")
	for rpID, told := range map[string]bool{"example.org": true, "example.net": false} {
		out := run(t, pin, fidokey, "register", "--rp", rpID, "--user", "alice", "--min-pin-length", "--pin-stdin", "--json")
		if tells := strings.Contains(out, `"minPinLength": 6`); tells != told {
			t.Errorf("minPinLength told to %s: %v, want %v\n%s", rpID, tells, told, out)
		}
	}
	k.refused("FIDO_ERR_PIN_INVALID", param("wrong1"), "-S", "-m", "example.com")

	k.token(pin, "-S", "-f")
	wantLines(t, k.info(), "pin change required: true")
	k.refused("FIDO_ERR_PIN_POLICY_VIOLATION", pin, "-S", "-a")
	k.refused("FIDO_ERR_PIN_POLICY_VIOLATION", changePIN(somePIN, somePIN), "-C")
	k.token(changePIN(somePIN, "654321"), "-C")
	wantLines(t, k.info(), "pin change required: false")
}

// TestLibfido2Credentials counts, lists, shows, renames and deletes discoverable
// credentials.
func TestLibfido2Credentials(t *testing.T) {
	forEachDoor(t, func(t *testing.T, d door) {
		drives(t, "fido2-token -I -c, -I -k -i, -L -r, -L -k, -S -c, -D -i")
		// It renames by the prototype's number, too.
		profile := write(t, "renames.yaml", "name: renames\npurpose: for this test\nbase: "+everything+"\ndisputes: {previewUpdates: true}\n")
		k := d.plug(t, "--state", ":memory:", "--profile", profile)
		k.token(newPIN(somePIN), "-S")
		pin := param(somePIN)
		k.refused("FIDO_ERR_NO_CREDENTIALS", pin, "-L", "-r")
		made := k.makeResident("example.com", "alice", somePIN)
		alice, publicKey := verifyCred(t, made, "es256")
		k.makeResident("example.com", "bob", somePIN)
		k.makeResident("example.org", "carol", somePIN, "-c", "3")

		wantLines(t, k.token(pin, "-I", "-c"), "existing rk(s): 3", "remaining rk(s): 97")
		wantLines(t, k.token(pin, "-L", "-r"), "example.com\n", "example.org\n")
		k.refused("FIDO_ERR_PIN_INVALID", param("wrong1"), "-L", "-r")
		of := lines(k.token(pin, "-L", "-k", "example.com"))
		if len(of) != 2 {
			t.Errorf("credentials of example.com: %q", of)
		}
		wantLines(t, strings.Join(of, "\n"), alice+" (null) "+b64.EncodeToString([]byte("id of alice"))+" es256 uvopt")
		wantLines(t, k.token(pin, "-L", "-k", "example.org"), " es256 uvreq")
		k.refused("FIDO_ERR_NO_CREDENTIALS", pin, "-L", "-k", "example.net")

		pem, err := os.ReadFile(publicKey)
		if err != nil {
			t.Fatal(err)
		}
		wantLines(t, k.token(pin, "-I", "-k", "example.com", "-i", alice), alice+"\n"+string(pem))
		user := b64.EncodeToString([]byte("id of alice"))
		k.token(pin, "-S", "-c", "-i", alice, "-k", user, "-n", "alicia", "-p", "Alicia Ñ")
		wantLines(t, k.token(pin, "-L", "-k", "example.com"), alice+" Alicia Ñ "+user)
		other := b64.EncodeToString([]byte("id of bob"))
		k.refused("FIDO_ERR_INVALID_PARAMETER", pin, "-S", "-c", "-i", alice, "-k", other, "-n", "bob", "-p", "Bob")

		k.token(pin, "-D", "-i", alice)
		k.refused("FIDO_ERR_NO_CREDENTIALS", pin, "-D", "-i", alice)
		wantLines(t, k.token(pin, "-I", "-c"), "existing rk(s): 2")
	})
}

// TestLibfido2LargeBlobs writes, lists, reads and deletes blobs, by their key and
// by their credential. One of them takes several messages each way.
func TestLibfido2LargeBlobs(t *testing.T) {
	forEachDoor(t, func(t *testing.T, d door) {
		drives(t, "fido2-token -S -b, -G -b, -L -b, -D -b")
		k := d.plug(t, "--state", ":memory:", "--profile", everything)
		k.token(newPIN(somePIN), "-S")
		pin := param(somePIN)
		made := lines(k.makeResident("example.com", "alice", somePIN, "-b"))
		alice, keyFile := made[4], write(t, "key", made[len(made)-1]+"\n")
		bob := lines(k.makeResident("example.com", "bob", somePIN, "-b"))[4]
		k.makeResident("example.org", "carol", somePIN, "-b")
		k.makeResident("example.net", "dave", somePIN)

		long := make([]byte, 3000) // which no compression makes shorter
		rand.Read(long)
		blob, got := write(t, "blob", string(long)), filepath.Join(t.TempDir(), "got")
		reads := func(want []byte, answers string, args ...string) {
			t.Helper()
			os.Remove(got)
			k.token(answers, append(append([]string{"-G", "-b"}, args...), got)...)
			if b, err := os.ReadFile(got); err != nil || !bytes.Equal(b, want) {
				t.Errorf("-G -b %q: %d bytes, %v, want %d bytes", args, len(b), err, len(want))
			}
		}
		const carols = "what carol has to say" // libfido2 does not take less than 16 bytes
		k.token(pin, "-S", "-b", "-k", keyFile, blob)
		reads(long, "", "-k", keyFile)
		reads(long, pin, "-n", "example.com", "-i", alice)
		k.refused("multiple credentials", pin, "-G", "-b", "-n", "example.com", got)
		k.refused("no associated blob key", pin, "-G", "-b", "-n", "example.net", got)
		k.refused("FIDO_ERR_NOTFOUND", pin, "-G", "-b", "-n", "example.org", got)

		k.token(pin, "-S", "-b", "-n", "example.org", write(t, "blob", carols))
		k.token(pin, "-S", "-b", "-n", "example.com", "-i", bob, write(t, "blob", "what bob has to say"))
		reads([]byte(carols), pin, "-n", "example.org")
		k.refused("FIDO_ERR_LARGEBLOB_STORAGE_FULL", pin, "-S", "-b", "-n", "example.org", blob)
		// This fido2-token does not find the credentials of what it wrote: it
		// expects zlib's header when it lists, as no key and no other verb does.
		list := k.token(pin, "-L", "-b")
		wantLines(t, list, "total map size: ", "00: 3021 3000 ", fmt.Sprintf("01:   39   %d ", len(carols)), "02: ")
		if n := len(lines(list)); n != 4 {
			t.Errorf("%d lines:\n%s", n, list)
		}

		k.token(pin, "-D", "-b", "-k", keyFile)
		k.refused("FIDO_ERR_NOTFOUND", "", "-G", "-b", "-k", keyFile, got)
		k.token(pin, "-D", "-b", "-n", "example.org")
		k.token(pin, "-D", "-b", "-n", "example.com", "-i", bob)
		if out := k.token(pin, "-L", "-b"); out != "" {
			t.Errorf("all deleted, and listed:\n%s", out)
		}
	})
}

// TestLibfido2Fingerprints enrols a finger, some samples of which are poor, names
// it, has it verify the user, and deletes it.
func TestLibfido2Fingerprints(t *testing.T) {
	forEachDoor(t, func(t *testing.T, d door) {
		drives(t, "fido2-token -S -e, -L -e, -D -e and fido2-assert -t uv=true")
		k := d.plugSteered(t, everything)
		k.token(newPIN(somePIN), "-S")
		pin := param(somePIN)
		id, publicKey := verifyCred(t, k.makeResident("example.com", "alice", somePIN), "es256")
		wantLines(t, k.info(), " nouv,", " nobioEnroll,", "uv modality: 0x2 (fingerprint check)", "sensor type: 1 (touch)")
		k.refused("FIDO_ERR_INVALID_OPTION", pin, "-L", "-e")

		k.steer("finger", "thumb")
		k.steer("finger", "next", "thumb:0", "thumb:3")
		out := k.token(pin, "-S", "-e")
		wantLines(t, out, "Touch your security key", "Sample too left.", "Sample ok.")
		wantLines(t, k.info(), " uv,", " bioEnroll,", "uv retries: ")
		template := regexp.MustCompile(`(?m)^00: (\S+) `).FindStringSubmatch(k.token(pin, "-L", "-e"))
		if template == nil {
			t.Fatalf("no template after\n%s", out)
		}
		k.token(pin, "-S", "-e", "-i", template[1], "-n", "left thumb")
		wantLines(t, k.token(pin, "-L", "-e"), template[1]+" left thumb\n")

		input := param(clientDataHash, "example.com", id)
		k.steer("finger", "thumb")
		run(t, run(t, input, "fido2-assert", "-G", "-t", "uv=true", k.node), "fido2-assert", "-V", "-p", "-v", publicKey)
		k.steer("finger", "toe")
		out, err := try(t, input, "fido2-assert", "-G", "-t", "uv=true", k.node)
		wantRefusal(t, out, err, "FIDO_ERR_UV_INVALID")

		k.token(pin, "-D", "-e", "-i", template[1])
		wantLines(t, k.info(), " nouv,", " nobioEnroll,")
		unknown := base64.StdEncoding.EncodeToString([]byte{9, 9})
		k.refused("FIDO_ERR_INVALID_OPTION", pin, "-D", "-e", "-i", unknown)
	})
}
