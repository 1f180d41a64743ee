package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/winwebauthn"
	"github.com/fidokey/fidokey/webauthn"
)

// fakeWindows asks a simulated key.
type fakeWindows struct {
	key     *openedKey
	made    *winwebauthn.Registration // the last request
	signed  *winwebauthn.Assertion
	failure error
}

func newFakeWindows(t *testing.T) *fakeWindows {
	t.Helper()
	e := &env{stderr: t.Output()}
	e.global.simulatorProfile, e.global.simulatorTouch, e.global.simulatorState, e.global.timeout = "default", "auto", ":memory:", client.DefaultTimeout
	key, err := e.openSimulator(t.Context(), client.Prompt{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { key.Close() })
	return &fakeWindows{key: key}
}

func (f *fakeWindows) MakeCredential(ctx context.Context, r *winwebauthn.Registration) (*winwebauthn.Attestation, error) {
	if f.made = r; f.failure != nil {
		return nil, f.failure
	}
	registration := client.Registration{
		ClientDataHash: webauthn.Hash(r.ClientDataJSON), RP: ctap2.RP{ID: r.RPID, Name: r.RPName},
		User: ctap2.User{ID: r.UserID, Name: r.User, DisplayName: r.DisplayName}, Discoverable: r.RequireResident,
		Extensions: client.RegistrationExtensions{CredProtect: client.CredProtect(r.CredProtect)},
	}
	for _, alg := range r.Algorithms {
		registration.Parameters = append(registration.Parameters, ctap2.CredentialParameters{Algorithm: cose.Algorithm(alg), Type: ctap2.PublicKeyType})
	}
	made, err := f.key.Register(ctx, registration)
	if err != nil {
		return nil, err
	}
	response, err := webauthn.NewRegistration(r.ClientDataJSON, made.MakeCredentialResponse, nil)
	if err != nil {
		return nil, err
	}
	return &winwebauthn.Attestation{Object: response.Response.AttestationObject, Transports: []string{"nfc"}}, nil
}

func (f *fakeWindows) GetAssertion(ctx context.Context, a *winwebauthn.Assertion) (*winwebauthn.Signed, error) {
	if f.signed = a; f.failure != nil {
		return nil, f.failure
	}
	assertion := client.Assertion{ClientDataHash: webauthn.Hash(a.ClientDataJSON), RPID: a.RPID}
	for _, id := range a.Allow {
		assertion.Allow = append(assertion.Allow, ctap2.Descriptor{ID: id, Type: ctap2.PublicKeyType})
	}
	all, err := f.key.Authenticate(ctx, assertion)
	if err != nil {
		return nil, err
	}
	signed := &winwebauthn.Signed{CredentialID: all[0].Credential.ID, AuthenticatorData: all[0].AuthData, Signature: all[0].Signature}
	if all[0].User != nil {
		signed.UserID = all[0].User.ID
	}
	return signed, nil
}

// run runs the program as on Windows without elevation.
func (f *fakeWindows) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &errs, keysKept: true, platform: func() (platform, error) { return f, nil }}
	root := newRootCmd(e)
	root.SetArgs(args)
	code = e.exit(root.ExecuteContext(t.Context()))
	return code, out.String(), errs.String()
}

func TestThroughSystem(t *testing.T) {
	f := newFakeWindows(t)
	saved := filepath.Join(t.TempDir(), "alice.json")
	code, out, errs := f.run(t, "register", "--rp", "example.com", "--user", "alice", "--display-name", "Alice", "--user-id", "0102",
		"--cred-protect", "1", "--user-verification", "required", "--credential", saved, "--json", "--timeout", "7s")
	if code != 0 && code != exitVerify || !strings.Contains(errs, "follow its window") {
		t.Fatalf("register: exit code %d\n%s%s", code, out, errs)
	}
	r := f.made
	if r.RPID != "example.com" || r.User != "alice" || r.DisplayName != "Alice" || !bytes.Equal(r.UserID, []byte{1, 2}) || !r.RequireResident ||
		r.Attestation != winwebauthn.AttestationDirect || r.UserVerification != winwebauthn.VerificationRequired || r.CredProtect != 1 ||
		r.Timeout.Seconds() != 7 || fmt.Sprint(r.Algorithms) != "[-7 -8 -257]" {
		t.Errorf("asked of Windows: %+v", r)
	}
	var answered struct {
		Device struct{ Path string }
		Result struct {
			Response struct{ Transports []string }
			Checks   []struct {
				Name   string
				Passed bool
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &answered); err != nil {
		t.Fatal(err)
	}
	if answered.Device.Path != "webauthn.dll" || fmt.Sprint(answered.Result.Response.Transports) != "[nfc]" || len(answered.Result.Checks) < 5 {
		t.Errorf("answer: %+v", answered)
	}
	for _, check := range answered.Result.Checks {
		// The simulated key has no PIN, so its UV flag is not what was required.
		if check.Passed == (check.Name == webauthn.CheckUserVerified || check.Name == webauthn.CheckLibrary) {
			t.Errorf("check %s: %v", check.Name, check.Passed)
		}
	}

	code, out, errs = f.run(t, "authenticate", "--rp", "example.com", "--credential", saved, "--explain")
	if code != 0 || !strings.Contains(out, "Signed in at example.com.") || !strings.Contains(out, "signature") {
		t.Errorf("authenticate: exit code %d\n%s%s", code, out, errs)
	}
	if len(f.signed.Allow) != 1 || f.signed.UserVerification != winwebauthn.VerificationPreferred {
		t.Errorf("asked of Windows: %+v", f.signed)
	}
	if code, out, errs = f.run(t, "authenticate", "--rp", "example.com"); code != 0 || !strings.Contains(out, "User handle") {
		t.Errorf("authenticate without a list: exit code %d\n%s%s", code, out, errs)
	}
	if code, _, errs = f.run(t, "register", "--rp", "example.com", "--user", "alice", "--exclude", saved, "--attestation", "none", "--discoverable", "preferred"); code != 0 {
		t.Errorf("exit code %d\n%s", code, errs)
	}
	if r := f.made; len(r.Exclude) != 1 || r.Attestation != winwebauthn.AttestationNone || r.RequireResident || !r.PreferResident {
		t.Errorf("asked of Windows: %+v", r)
	}
}

// TestServerOptionsThroughSystem: options of a server go the same way, and what
// Windows is not asked for is told.
func TestServerOptionsThroughSystem(t *testing.T) {
	f := newFakeWindows(t)
	file := filepath.Join(t.TempDir(), "options.json")
	options := `{"rp": {"id": "example.com", "name": "Example"}, "user": {"id": "AQI", "name": "alice", "displayName": "Alice"}, "challenge": "AAEC",
		"pubKeyCredParams": [{"type": "public-key", "alg": -7}], "attestation": "indirect", "authenticatorSelection": {"requireResidentKey": true},
		"extensions": {"credProps": true, "hmacCreateSecret": true, "credentialProtectionPolicy": "userVerificationOptional", "appidExclude": "https://example.com"}}`
	if err := os.WriteFile(file, []byte(options), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := f.run(t, "register", "--options", file, "--json")
	if code != 0 || !strings.Contains(errs, "does not have it: appidExclude, credProps\n") || strings.Contains(out, `"appidExclude": true`) {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if r := f.made; r.RPName != "Example" || !r.RequireResident || r.Attestation != winwebauthn.AttestationDirect || !r.HMACSecret || r.CredProtect != 1 ||
		!bytes.Contains(r.ClientDataJSON, []byte(`"challenge":"AAEC"`)) {
		t.Errorf("asked of Windows: %+v", r)
	}
	if err := os.WriteFile(file, []byte(`{"challenge": "AAEC", "rpId": "example.com", "extensions": {"uvm": true}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs = f.run(t, "authenticate", "--options", file)
	if code != 0 || !strings.Contains(errs, "does not have it: uvm") || f.signed.RPID != "example.com" {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

func TestThroughSystemRefused(t *testing.T) {
	f := newFakeWindows(t)
	register := []string{"register", "--rp", "example.com", "--user", "alice"}
	for _, tt := range []struct {
		name    string
		args    []string
		failure error
		code    int
		want    string
		asked   bool
	}{
		{"a PIN", append(register, "--pin-env", "PIN"), nil, exitUsage, "it is Windows that asks for the PIN: run the command without --pin-env", false},
		{"an extension", append(register, "--large-blob", "required"), nil, exitUsage, "--large-blob does not go through Windows", false},
		{"enterprise attestation", append(register, "--attestation", "enterprise"), nil, exitUsage, "--attestation enterprise does not go through Windows", false},
		{"hmac-secret", []string{"authenticate", "--rp", "example.com", "--user-verification", "required", "--hmac-secret", strings.Repeat("00", 32)}, nil, exitUsage, "--hmac-secret does not go through Windows", false},
		{"a key by name with the flag", append(register, "--device", "1", "--windows-webauthn"), nil, exitUsage, "--device does not go through Windows", false},
		{"dry", append(register, "--dry-run"), nil, exitOK, "", false},
		{"cancelled", register, &winwebauthn.Error{HRESULT: 0x80090036, Name: winwebauthn.NotAllowedError}, exitNoTouch, "NotAllowedError (HRESULT 0x80090036)", true},
		{"excluded", register, &winwebauthn.Error{HRESULT: 0x8009000f, Name: winwebauthn.InvalidStateError}, exitRefused, "of this list already", true},
		{"not supported", register, &winwebauthn.Error{HRESULT: 0x80090027, Name: "NotSupportedError"}, exitRefused, "NotSupportedError", true},
		{"interrupted", register, fmt.Errorf("%w: %w", context.Canceled, &winwebauthn.Error{Name: winwebauthn.NotAllowedError}), exitInterrupt, "interrupted", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f.made, f.signed, f.failure = nil, nil, tt.failure
			code, _, errs := f.run(t, tt.args...)
			if code != tt.code || !strings.Contains(errs, tt.want) {
				t.Errorf("exit code %d, want %d and %q:\n%s", code, tt.code, tt.want, errs)
			}
			if asked := f.made != nil || f.signed != nil; asked != tt.asked {
				t.Errorf("Windows was asked: %v", asked)
			}
		})
	}
	f.made, f.failure = nil, nil
	if code, _, errs := f.run(t, register...); code != 0 || f.made.Timeout != systemTimeout {
		t.Errorf("exit code %d, %+v\n%s", code, f.made, errs)
	}
	// What is no device of the system is not kept by it.
	f.made = nil
	if code, _, errs := f.run(t, append(register, "--device", "simulator", "--simulator-state", ":memory:")...); code != 0 || f.made != nil {
		t.Errorf("simulator: exit code %d\n%s", code, errs)
	}
}

// TestListOfKeptKeys: keys that Windows keeps are listed, and how to go on is said
// once.
func TestListOfKeptKeys(t *testing.T) {
	kept := func(path string) place {
		return place{deviceInfo{Path: path, Product: "Security Key"}, func(context.Context, client.Prompt) (*openedKey, error) {
			return nil, fmt.Errorf("open key: %w", fs.ErrPermission)
		}}
	}
	var out, errs bytes.Buffer
	e := &env{stdout: &out, stderr: &errs, keysKept: true}
	if err := e.list(e.identifyAll(t.Context(), []place{kept(`\\?\hid#one`), kept(`\\?\hid#two`)})); err != nil {
		t.Fatal(err)
	}
	if strings.Count(out.String(), keptError) != 2 || !strings.Contains(out.String(), "hid#two") || strings.Count(errs.String(), "Run as administrator") != 1 {
		t.Errorf("stdout:\n%s\nstderr:\n%s", out.String(), errs.String())
	}
	e = &env{stdout: &out, stderr: &errs}
	if k := e.identify(t.Context(), 1, kept("/dev/hidraw0")); !strings.Contains(k.Error, "open key") {
		t.Errorf("elsewhere: %+v", k)
	}
}
