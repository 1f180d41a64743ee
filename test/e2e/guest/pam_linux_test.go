package guest

import (
	"fmt"
	"os"
	"testing"
)

// TestPAM has pamu2fcfg register keys and pam_u2f judge who signs in with them.
func TestPAM(t *testing.T) {
	forEachDoor(t, func(t *testing.T, d door) {
		drives(t, "pamu2fcfg and pam_u2f, by pamtester")
		k := d.plugSteered(t, everything)
		const origin = "pam://fidokey"
		register := func(answers string, options ...string) string {
			t.Helper()
			return run(t, answers, "pamu2fcfg", append(options, "-o", origin, "-i", origin, "-u", "root")...)
		}
		// serve makes a service of which a mapping is what it knows.
		serve := func(mapping, options string) {
			t.Helper()
			file := write(t, "mapping", mapping)
			service := fmt.Sprintf("auth required pam_u2f.so authfile=%s origin=%s appid=%s cue %s\n", file, origin, origin, options)
			if err := os.WriteFile("/etc/pam.d/fidokey", []byte(service), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { os.Remove("/etc/pam.d/fidokey") })
		signIn := func(user, answers string) error {
			_, err := try(t, answers, "pamtester", "fidokey", user, "authenticate")
			return err
		}
		admits := func(what, answers string) {
			t.Helper()
			if err := signIn("root", answers); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		rejects := func(what, user, answers string) {
			t.Helper()
			if signIn(user, answers) == nil {
				t.Errorf("%s signed in", what)
			}
		}

		touched := register("")
		serve(touched, "")
		admits("touch", "")
		rejects("a user without a mapping", "nobody", "")
		k.steer("touch", "decline")
		rejects("who declines", "root", "")
		k.steer("touch", "auto")
		serve(register("", "-t", "RS256", "-r"), "")
		admits("a discoverable credential with RS256", "")
		serve(register("", "-P"), "userpresence=0")
		k.steer("touch", "never")
		admits("presence not asked for", "")
		k.steer("touch", "auto")

		k.token(newPIN(somePIN), "-S")
		serve(register(param(somePIN), "-N"), "")
		admits("PIN", param(somePIN))
		rejects("a wrong PIN", "root", param("wrong1"))
		wantLines(t, k.info(), "pin retries: 7")
		serve(touched, "pinverification=1")
		admits("PIN that the service asks for", param(somePIN))

		k.steer("finger", "thumb")
		k.token(param(somePIN), "-S", "-e")
		serve(register(param(somePIN), "-V"), "")
		admits("finger", "")
		k.steer("finger", "toe")
		rejects("another finger", "root", "")
		serve(touched, "")
		k.unplug()
		d.plug(t, "--state", ":memory:", "--profile", everything)
		rejects("another key", "root", "")
	})
}
