package guest

import (
	"os"
	"path/filepath"
	"testing"
)

// TestCryptenroll has systemd-cryptenroll put keys into LUKS2 volumes, and
// systemd and cryptsetup open them with the extension hmac-secret.
func TestCryptenroll(t *testing.T) {
	forEachDoor(t, func(t *testing.T, d door) {
		drives(t, "systemd-cryptenroll, cryptsetup and systemd-cryptsetup")
		run(t, "", "modprobe", "-a", "loop", "dm-crypt")
		if err := os.MkdirAll("/run/systemd/ask-password", 0o755); err != nil { // as systemd does, which is not here
			t.Fatal(err)
		}
		state := filepath.Join(t.TempDir(), "state")
		// This systemd wants the PIN for the volume only if the key wants it for the
		// credential, which keys with makeCredUvNotRqd do not.
		plugIn := func() *key { return d.plug(t, "--state", state, "--profile", "variant-no-uvnotrqd") }
		k := plugIn()
		wantLines(t, run(t, "", "systemd-cryptenroll", "--fido2-device=list"), k.node)

		touched := newVolume(t)
		touched.enroll("", "--fido2-with-client-pin=no")
		touched.opens("")
		touched.attach(k, "written")

		k.token(newPIN(somePIN), "-S")
		withPIN := newVolume(t)
		withPIN.enroll(somePIN, "--fido2-with-client-pin=yes")
		withPIN.opens(somePIN)
		withPIN.refuses("wrong1")
		wantLines(t, k.info(), "pin retries: 7")

		k.unplug()
		other := d.plug(t, "--state", ":memory:", "--profile", "ctap-2.3")
		touched.refuses("")
		other.unplug()
		plugIn()
		touched.opens("")
	})
}

// A volume is an encrypted one in a file.
type volume struct {
	*testing.T
	file, passphrase string
}

func newVolume(t *testing.T) *volume {
	t.Helper()
	v := &volume{t, write(t, "volume", ""), write(t, "passphrase", "until there is a key")}
	if err := os.Truncate(v.file, 20<<20); err != nil {
		t.Fatal(err)
	}
	run(t, "", "cryptsetup", "luksFormat", "-q", "--type", "luks2", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", v.file, v.passphrase)
	return v
}

// enroll gives the volume to the key. A PIN is asked for on the terminal.
func (v *volume) enroll(pin string, options ...string) {
	v.Helper()
	tty := onTerminal(v.T, "systemd-cryptenroll", append(options, "--unlock-key-file="+v.passphrase, "--fido2-device=auto", v.file)...)
	if pin != "" {
		tty.expect("enter security token PIN")
		tty.enter(pin)
	}
	tty.succeed()
	wantLines(v.T, tty.seen.String(), "New FIDO2 token enrolled as key slot 1")
}

// test has systemd's plug-in of cryptsetup find the passphrase with the key.
func (v *volume) test(pin string) *terminal {
	v.Helper()
	tty := onTerminal(v.T, "cryptsetup", "open", "--test-passphrase", "--token-only", v.file)
	if pin != "" {
		tty.expect("PIN")
		tty.enter(pin)
	}
	return tty
}

func (v *volume) opens(pin string) { v.Helper(); v.test(pin).succeed() }

func (v *volume) refuses(pin string) {
	v.Helper()
	tty, end := v.test(pin), (*terminal).wait
	if pin != "" {
		tty.expect("PIN of security token incorrect")
		tty.expect("PIN:")
		end = (*terminal).interrupt
	}
	if end(tty) == 0 {
		v.Errorf("opened:\n%s", &tty.seen)
	}
}

// attach maps the volume twice with systemd's own program: what is written the
// first time is there the second time.
func (v *volume) attach(k *key, text string) {
	v.Helper()
	const name, systemd = "fidokey-volume", "/lib/systemd/systemd-cryptsetup"
	mapped := func(do func(*os.File) error) {
		v.Helper()
		run(v.T, "", systemd, "attach", name, v.file, "-", "headless=1,fido2-device="+k.node)
		device, err := os.OpenFile("/dev/mapper/"+name, os.O_RDWR, 0)
		if err == nil {
			err = do(device)
			device.Close()
		}
		if err != nil {
			v.Error(err)
		}
		run(v.T, "", systemd, "detach", name)
	}
	mapped(func(device *os.File) error { _, err := device.WriteString(text); return err })
	mapped(func(device *os.File) error {
		b := make([]byte, len(text))
		_, err := device.Read(b)
		if err == nil && string(b) != text {
			v.Errorf("read %q, wrote %q", b, text)
		}
		return err
	})
}
