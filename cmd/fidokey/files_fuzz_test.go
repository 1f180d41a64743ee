package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/fidokey/fidokey/u2f"
)

// A smallFile is one that a command reads and that no package parses for it: what it may
// be, and whether it is taken. What is taken must do for what comes next.
type smallFile struct {
	seeds []string
	read  func(t *testing.T, path string) error
}

func smallFiles() map[string]smallFile {
	return map[string]smallFile{
		"credential of u2f register": {
			[]string{`{"appId":"example.com","keyHandle":"AAEC","publicKey":"BAAA"}`, `{"appId":"example.com","keyHandle":""}`, `{"keyHandle":[0]}`},
			func(t *testing.T, path string) error {
				o := u2fAuthenticateOptions{credential: path, party: u2fParty{appID: "example.com"}}
				c, err := o.load()
				if err == nil && (len(c.KeyHandle) == 0 || len(c.KeyHandle) > u2f.MaxKeyHandle || c.AppID != "example.com") {
					t.Errorf("taken: %+v", c)
				}
				request := u2f.Authenticate{KeyHandle: c.KeyHandle}
				if err == nil && c.PublicKey != nil && request.Verify(&u2f.AuthenticateResponse{}, c.PublicKey) == nil {
					t.Errorf("an empty signature is good for %x", c.PublicKey)
				}
				return err
			},
		},
		"key handle": {
			[]string{"00ff\n", "AP8", "AP-_\n", "\x00\x01", strings.Repeat("00", 300), ""},
			func(t *testing.T, path string) error {
				handle, err := readKeyHandle(path)
				if err == nil && (len(handle) == 0 || len(handle) > u2f.MaxKeyHandle) {
					t.Errorf("taken: %x", handle)
				}
				return err
			},
		},
		"salt": {
			[]string{strings.Repeat("00", 32), strings.Repeat("A", 43), strings.Repeat("\x80", 32), "short"},
			func(t *testing.T, path string) error {
				salt, err := readSalt(&env{}, path)
				if err == nil && len(salt) != saltSize {
					t.Errorf("taken: %x", salt)
				}
				return err
			},
		},
		"PIN": {
			[]string{"1234\n", "12\r\n34", "\n", strings.Repeat("1", 2000)},
			func(t *testing.T, path string) error {
				pin, err := (&pinSource{file: path}).read(&env{})
				if err == nil && (len(pin) == 0 || len(pin) > maxPINLine || bytes.ContainsAny(pin, "\n")) {
					t.Errorf("taken: %q", pin)
				}
				return err
			},
		},
		"recipients": {
			[]string{"# mine\nage1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p\n", "age1"},
			func(t *testing.T, path string) error {
				m := enrolment{entraRegisterOptions: &entraRegisterOptions{enrol: enrolOptions{recipientsFile: path}}}
				err := m.readRecipients()
				if err == nil && len(m.recipients) == 0 {
					t.Error("nobody is a recipient")
				}
				return err
			},
		},
		"identity": {
			[]string{"# created\nAGE-SECRET-KEY-1"},
			func(t *testing.T, path string) error {
				identities, err := readIdentities(path)
				if text, _ := os.ReadFile(path); err == nil && len(identities) == 0 {
					t.Error("there is no identity")
				} else if err != nil && len(bytes.TrimSpace(text)) > 8 && strings.Contains(err.Error(), string(bytes.TrimSpace(text))) {
					t.Errorf("the identity is in %v", err)
				}
				return err
			},
		},
		"switches of the stand-in": {
			[]string{`{"throttleEvery":3,"refuseSelf":"a","missingPermissions":["User.Read.All"]}`, `{"throttle":1}`, `{} {}`, `null`},
			func(t *testing.T, path string) error {
				o := entraStandInOptions{users: 1, switches: path}
				_, _, err := o.tenant(&env{}, "token")
				return err
			},
		},
		"RP IDs": {
			[]string{"# mine\nexample.com\n\n example.org # theirs\r\n", "#\n"},
			func(t *testing.T, path string) error {
				ids, err := (&env{}).readRPIDs(nil, path)
				if err == nil && (len(ids) == 0 || slices.ContainsFunc(ids, func(id string) bool { return id == "" || strings.ContainsAny(id, "#\n") })) {
					t.Errorf("taken: %q", ids)
				}
				return err
			},
		},
		"options of verify": {
			[]string{`{"rp":{"id":"example.com"},"user":{"id":"AQ"},"challenge":"AAAA","authenticatorSelection":{"userVerification":"required"}}`, `{"publicKey":{"challenge":"AAAA","rpId":"example.com"}}`},
			func(t *testing.T, path string) error {
				return errors.Join((&verifyOptions{options: path}).readOptions(&env{}, false), (&verifyOptions{options: path}).readOptions(&env{}, true))
			},
		},
		"what a USB device calls itself": {
			[]string{"Yubico", "\x1b[2J\u009b\u202e\xff"},
			func(t *testing.T, path string) error {
				m := &machine{root: filepath.Dir(path), goos: "linux"}
				usb := filepath.Join(m.root, "sys/bus/usb/devices")
				for _, err := range []error{
					os.MkdirAll(filepath.Join(usb, "1-1:1.0"), 0o700), os.WriteFile(filepath.Join(usb, "1-1:1.0/bInterfaceClass"), []byte("0b\n"), 0o600),
					os.MkdirAll(filepath.Join(usb, "1-1"), 0o700), os.WriteFile(filepath.Join(usb, "1-1/idVendor"), []byte("20a0\n"), 0o600), os.Rename(path, filepath.Join(usb, "1-1/manufacturer")),
				} {
					if err != nil {
						t.Fatal(err)
					}
				}
				if d := m.checkPretenders(t.Context()); strings.ContainsFunc(d.Seen, unfit) {
					t.Errorf("%q would be printed", d.Seen)
				}
				return nil
			},
		},
		"recorded run": {
			[]string{`{"version":1}` + "\n", `{"fidokey":"trace"}`},
			func(t *testing.T, path string) error {
				key, err := suiteKeyOfTrace(path)
				if (key == nil) != (err != nil) {
					t.Errorf("%+v, %v", key, err)
				}
				return err
			},
		},
	}
}

// FuzzSmallFiles reads them: each error is about the file, and what is taken will do.
func FuzzSmallFiles(f *testing.F) {
	files := smallFiles()
	for kind, file := range files {
		for _, seed := range file.seeds {
			f.Add(kind, []byte(seed))
		}
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		f.Fatal(err)
	}
	f.Add("identity", []byte(identity.String()))
	f.Add("recipients", []byte(identity.Recipient().String()))
	recording, err := os.ReadFile("../../conformance/testdata/fuzz/FuzzPlayback/recording")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("recorded run", recordedRun(f, recording))
	f.Fuzz(func(t *testing.T, kind string, text []byte) {
		file, ok := files[kind]
		if !ok {
			return
		}
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := file.read(t, path); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}

// recordedRun takes the recording out of a seed of the fuzzer.
func recordedRun(f *testing.F, seed []byte) []byte {
	_, quoted, _ := strings.Cut(string(seed), "[]byte(")
	quoted, _, _ = strings.Cut(quoted, ")\n")
	text, err := strconv.Unquote(quoted)
	if err != nil {
		f.Fatal(err)
	}
	return []byte(text)
}

// FuzzControlAnswer: whatever a simulator says that is steered, nothing of it steers the
// terminal.
func FuzzControlAnswer(f *testing.F) {
	f.Add([]byte(`{"on":true}`))
	f.Add([]byte("\"\u009b31m\u202e\""))
	f.Add([]byte("\x1b[2J"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		var out bytes.Buffer
		p := newPrinter(&out)
		controlReport{answer}.print(p)
		p.flush()
		if i := strings.IndexFunc(out.String(), unfit); i >= 0 {
			t.Errorf("%q is printed", out.String())
		}
	})
}
