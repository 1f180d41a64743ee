package guest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// makes runs fido2-cred -M with an algorithm and options. answers are those to its
// questions.
func (k *key) makes(answers, algorithm string, options ...string) (made string, err error) {
	k.Helper()
	output := filepath.Join(k.TempDir(), "output")
	args := append([]string{"-M"}, append(options, "-i", write(k.T, "input", credParam("example.com", "alice")), "-o", output, k.node, algorithm)...)
	if _, err := try(k.T, answers, "fido2-cred", args...); err != nil {
		return "", err
	}
	b, err := os.ReadFile(output)
	return string(b), err
}

// asserts runs fido2-assert -G on what param has told it.
func (k *key) asserts(answers, input string, options ...string) (asserted string, err error) {
	k.Helper()
	output := filepath.Join(k.TempDir(), "output")
	args := append([]string{"-G", "-i", write(k.T, "input", input), "-o", output}, options...)
	if _, err := try(k.T, answers, "fido2-assert", append(args, k.node)...); err != nil {
		return "", err
	}
	b, err := os.ReadFile(output)
	return string(b), err
}

// must is for what asserts and makes have to do.
func must(t *testing.T) func(string, error) string {
	return func(out string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// TestLibfido2Algorithms makes, verifies and uses a credential of each algorithm
// that libfido2 has.
func TestLibfido2Algorithms(t *testing.T) {
	drives(t, "fido2-cred -M, -V and fido2-assert -G, -V with every algorithm")
	k := uhid.plug(t, "--state", ":memory:", "--profile", everything)
	algorithms := []string{"es256", "eddsa", "es384", "rs256"}
	for i, algorithm := range algorithms {
		made := must(t)(k.makes("", algorithm))
		id, publicKey := verifyCred(t, made, algorithm)
		asserted := must(t)(k.asserts("", param(clientDataHash, "example.com", id), "-p"))
		run(t, asserted, "fido2-assert", "-V", "-p", publicKey, algorithm)

		other := algorithms[(i+1)%len(algorithms)]
		if out, err := try(t, made, "fido2-cred", "-V", other); err == nil {
			t.Errorf("%s was taken for %s:\n%s", algorithm, other, out)
		}
		l := lines(asserted)
		l[0] = hash64([]byte("other client data"))
		out, err := try(t, param(l...), "fido2-assert", "-V", publicKey, algorithm)
		wantRefusal(t, out, err, "FIDO_ERR_INVALID_SIG")
	}
}

// TestLibfido2Cred goes through the options of fido2-cred.
func TestLibfido2Cred(t *testing.T) {
	forEachDoor(t, func(t *testing.T, d door) {
		drives(t, "fido2-cred -M -b -c -h -q -r -u -v and -V -c -h -v")
		k := d.plug(t, "--state", ":memory:", "--profile", everything)
		verify := func(made string, options ...string) error {
			_, err := try(t, made, "fido2-cred", append([]string{"-V"}, options...)...)
			return err
		}
		for _, tt := range []struct {
			make, verified, not []string
		}{
			{nil, nil, []string{"-h"}},
			{[]string{"-h"}, []string{"-h"}, []string{"-v"}},
			{[]string{"-c", "1"}, []string{"-c", "1"}, []string{"-c", "2"}},
			{[]string{"-c", "2", "-r"}, []string{"-c", "2"}, []string{"-c", "3"}},
			{[]string{"-c", "3", "-h"}, []string{"-c", "3", "-h"}, []string{"-c", "1"}},
		} {
			made := must(t)(k.makes("", "es256", tt.make...))
			if err := verify(made, tt.verified...); err != nil {
				t.Errorf("made with %q, verified with %q: %v", tt.make, tt.verified, err)
			}
			if verify(made, tt.not...) == nil {
				t.Errorf("made with %q, and verified with %q", tt.make, tt.not)
			}
		}
		if l := lines(must(t)(k.makes("", "es256", "-b", "-r"))); len(l) != 8 { // with certificate and key
			t.Errorf("-b: %q", l)
		} else if key, err := b64.DecodeString(l[7]); err != nil || len(key) != 32 {
			t.Errorf("largeBlobKey %q", l[7])
		}
		made := must(t)(k.makes("", "es256", "-u"))
		if l := lines(made); l[2] != "fido-u2f" {
			t.Errorf("-u: %q", l)
		}
		if err := verify(made); err != nil {
			t.Error(err)
		}

		k.token(newPIN(somePIN), "-S")
		out, err := k.makes("", "es256", "-r", "-q")
		wantRefusal(t, out, err, "FIDO_ERR_PIN_REQUIRED")
		out, err = k.makes(param("wrong1"), "es256", "-r")
		wantRefusal(t, out, err, "FIDO_ERR_PIN_INVALID")
		if err := verify(must(t)(k.makes(param(somePIN), "es256", "-r")), "-v"); err != nil {
			t.Errorf("made with a PIN: %v", err)
		}
		if verify(must(t)(k.makes("", "es256", "-q")), "-v") == nil {
			t.Error("made without a PIN, and verified with -v")
		}
		if err := verify(must(t)(k.makes(param(somePIN), "es256", "-v")), "-v"); err != nil {
			t.Errorf("made with -v: %v", err)
		}
	})
}

// TestLibfido2Assert goes through the options of fido2-assert.
func TestLibfido2Assert(t *testing.T) {
	forEachDoor(t, func(t *testing.T, d door) {
		drives(t, "fido2-assert -G -b -h -p -r -t -u -v and -V -h -p -v")
		k := d.plug(t, "--state", ":memory:", "--profile", everything)
		k.token(newPIN(somePIN), "-S")
		pin := param(somePIN)
		made := must(t)(k.makes(pin, "es256", "-r", "-b", "-h"))
		largeBlobKey := lines(made)[7]
		id, publicKey := verifyCred(t, made, "es256", "-h")
		verify := func(asserted string, options ...string) error {
			args := append(append([]string{"-V"}, options...), publicKey, "es256")
			_, err := try(t, asserted, "fido2-assert", args...)
			return err
		}
		byID, byRP := param(clientDataHash, "example.com", id), param(clientDataHash, "example.com")
		for _, tt := range []struct {
			answers, input string
			get            []string
			verified, not  []string
		}{
			{"", byID, nil, []string{"-p"}, []string{"-v"}},
			{"", byID, []string{"-p"}, []string{"-p"}, []string{"-h"}},
			{"", byID, []string{"-t", "up=false"}, nil, []string{"-p"}},
			{pin, byID, []string{"-v"}, []string{"-p", "-v"}, []string{"-h"}},
			{pin, byID, []string{"-t", "pin=true"}, []string{"-p", "-v"}, []string{"-h"}},
			{pin, byRP, []string{"-r", "-v"}, []string{"-p", "-v"}, []string{"-h"}},
			{"", byRP, []string{"-r", "-t", "uv=false"}, []string{"-p"}, []string{"-v"}},
		} {
			asserted := must(t)(k.asserts(tt.answers, tt.input, tt.get...))
			if err := verify(asserted, tt.verified...); err != nil {
				t.Errorf("-G %q, -V %q: %v", tt.get, tt.verified, err)
			}
			if verify(asserted, tt.not...) == nil {
				t.Errorf("-G %q, and verified with %q", tt.get, tt.not)
			}
		}
		if l := lines(must(t)(k.asserts("", byID, "-b"))); len(l) != 5 || l[4] != largeBlobKey {
			t.Errorf("-b: %q, the key is %s", l, largeBlobKey)
		}
		out, err := k.asserts(param("wrong1"), byID, "-v")
		wantRefusal(t, out, err, "FIDO_ERR_PIN_INVALID")
		out, err = k.asserts("", param(clientDataHash, "example.net"), "-r")
		wantRefusal(t, out, err, "FIDO_ERR_NO_CREDENTIALS")

		k.secrets(id, verify)
		must(t)(k.makes(param(somePIN), "eddsa", "-r", "-h")) // the same user: it takes the first one's place
		if n := len(lines(must(t)(k.asserts(pin, byRP, "-r", "-v")))); n != 5 {
			t.Errorf("%d lines of one account", n)
		}
		k.makeResident("example.com", "bob", somePIN)
		if l := lines(must(t)(k.asserts(pin, byRP, "-r", "-v"))); len(l) != 10 {
			t.Errorf("two accounts: %q", l)
		}

		u2f := must(t)(k.makes("", "es256", "-u"))
		id, publicKey = verifyCred(t, u2f, "es256")
		if err := verify(must(t)(k.asserts("", param(clientDataHash, "example.com", id), "-u")), "-p"); err != nil {
			t.Errorf("-u: %v", err)
		}
	})
}

// secrets asks for what the extension hmac-secret gives.
func (k *key) secrets(id string, verify func(string, ...string) error) {
	k.Helper()
	one, two := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	secret := func(salt []byte, answers string, options ...string) string {
		k.Helper()
		input := param(clientDataHash, "example.com", id, b64.EncodeToString(salt))
		asserted := must(k.T)(k.asserts(answers, input, append(options, "-h")...))
		if err := verify(asserted, "-h", "-p"); err != nil {
			k.Error(err)
		}
		b, err := b64.DecodeString(lines(asserted)[4])
		if err != nil {
			k.Fatal(err)
		}
		return string(b)
	}
	first, verified := secret(one, ""), secret(one, param(somePIN), "-v")
	if len(first) != 32 || first == verified || first != secret(one, "") {
		k.Error("the secrets of one salt are not two, with and without the PIN")
	}
	if both := secret(append(one, two...), ""); len(both) != 64 || both[:32] != first || both[32:] == first {
		k.Error("two salts do not give the first one's secret and another")
	}
}
