package guest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/fidokey/fidokey/client"
)

// TestChromium has Debian's Chromium register and sign in with keys of several
// kinds, one process with all of them, and go-webauthn judge the answers.
func TestChromium(t *testing.T) {
	b := startChromium(t)
	b.run(t, "attestation", chromiumAttestation)
	b.run(t, "algorithms", chromiumAlgorithms)
	b.run(t, "fingerprint", chromiumFingerprint)
	b.run(t, "PIN", chromiumPIN)
	b.run(t, "refusals", chromiumRefusals)
	b.run(t, "late", chromiumPluggedInLate)
	b.run(t, "U2F", chromiumU2F)
}

// startChromium starts Chromium on a screen that nobody sees: without one it asks
// no questions, and waits for the answers.
func startChromium(t *testing.T) *browser {
	t.Helper()
	const display = ":7"
	x := exec.Command("Xvfb", display, "-screen", "0", "800x600x24", "-nolisten", "tcp")
	if err := x.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Process.Kill(); x.Wait() })
	waitFor(t, "the screen", func() bool { _, err := os.Stat("/tmp/.X11-unix/X7"); return err == nil })

	b := newBrowser(t)
	cmd := exec.Command("/usr/lib/chromium/chromium", "--app="+b.url,
		"--user-data-dir="+filepath.Join(t.TempDir(), "profile"), "--password-store=basic", "--no-first-run",
		"--no-sandbox", "--no-zygote", "--disable-gpu", "--in-process-gpu", // root's, and lighter
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
		"--webauthn-permit-enterprise-attestation="+b.url,
		"--enable-logging=stderr", "--vmodule=*fido*=2,device_event_log*=2")
	cmd.Env = append(os.Environ(), "DISPLAY="+display)
	b.start(t, cmd)
	go b.watchDialog(t, display)
	return b
}

// chromiumKeys are what is typed when Chromium's dialog comes to a step.
var chromiumKeys = map[string]string{
	"kClientPinEntry":            "ctrl+a 1 2 3 4 5 6 Return", // somePIN
	"kSelectAccount":             "Return",                    // the first
	"kKeyAlreadyRegistered":      "Escape",
	"kKeyNotRegistered":          "Escape",
	"kTimedOut":                  "Escape",
	"kErrorInternalUnrecognized": "Escape",
}

var chromiumStep = regexp.MustCompile(`UI step: (\w+)`)

// watchDialog types into Chromium's dialog, for the length of the test. What is
// typed before the dialog is drawn is lost, so it is typed again.
func (b *browser) watchDialog(t *testing.T, display string) {
	var step string
	var since time.Time
	for read := 0; t.Context().Err() == nil; time.Sleep(100 * time.Millisecond) {
		log, _ := os.ReadFile(b.log)
		for _, m := range chromiumStep.FindAllSubmatch(log[read:], -1) {
			step, since = string(m[1]), time.Now()
		}
		read = bytes.LastIndexByte(log, '\n') + 1
		if keys := chromiumKeys[step]; keys != "" && time.Since(since) > time.Second {
			cmd := exec.CommandContext(t.Context(), "xdotool", "-")
			cmd.Env = append(os.Environ(), "DISPLAY="+display)
			cmd.Stdin = strings.NewReader("key --delay 20 " + keys + "\n")
			cmd.Run()
			since = time.Now().Add(4 * time.Second)
		}
	}
}

// selection is what the relying party asks of a key.
func selection(rk protocol.ResidentKeyRequirement, uv protocol.UserVerificationRequirement) webauthn.RegistrationOption {
	return webauthn.WithAuthenticatorSelection(protocol.AuthenticatorSelection{ResidentKey: rk, UserVerification: uv})
}

// Chromium has a key without a PIN set one for anything more than plain.
var plain = selection(protocol.ResidentKeyRequirementDiscouraged, protocol.VerificationDiscouraged)

var (
	uvDiscouraged = webauthn.WithUserVerification(protocol.VerificationDiscouraged)
	uvRequired    = webauthn.WithUserVerification(protocol.VerificationRequired)
)

// wantException makes sure that a ceremony was refused.
func wantException(t *testing.T, err error, name string) {
	t.Helper()
	if e := (*domException)(nil); !errors.As(err, &e) || e.Name != name {
		t.Errorf("got %v, want %s", err, name)
	}
}

const managedKey = `
name: managed
purpose: a key that a company's browser may identify
base: ctap-2.1
enterpriseAttestation: {platformManaged: true}
getInfo:
  options: {ep: true}
`

func chromiumAttestation(t *testing.T, b *browser) {
	plugProfile(t, write(t, "managed.yaml", managedKey))
	alice := &person{name: "alice"}
	certificates := map[string]protocol.ConveyancePreference{}
	for preference, format := range map[protocol.ConveyancePreference]string{
		protocol.PreferNoAttestation: "none", protocol.PreferDirectAttestation: "packed", protocol.PreferEnterpriseAttestation: "packed",
	} {
		object := b.registers(t, alice, plain, webauthn.WithConveyancePreference(preference)).Response.AttestationObject
		if object.Format != format {
			t.Errorf("%s: format %s, want %s", preference, object.Format, format)
		}
		if chain, _ := object.AttStatement["x5c"].([]any); len(chain) > 0 {
			certificates[string(chain[0].([]byte))] = preference
		}
	}
	if len(certificates) != 2 {
		t.Errorf("certificates: %q", certificates)
	}
	b.signsIn(t, alice, false, uvDiscouraged)
	b.signsIn(t, alice, false, webauthn.WithUserVerification(protocol.VerificationPreferred))

	_, err := b.register(alice, plain, webauthn.WithExclusions(webauthn.Credentials(alice.credentials).CredentialDescriptors()))
	wantException(t, err, "InvalidStateError")
}

const rsaKey = `
name: rsa
purpose: a key with RSA
base: default
getInfo:
  algorithms: [{alg: -7, type: public-key}, {alg: -8, type: public-key}, {alg: -257, type: public-key}]
`

func chromiumAlgorithms(t *testing.T, b *browser) {
	plugProfile(t, write(t, "rsa.yaml", rsaKey))
	for _, algorithm := range []webauthncose.COSEAlgorithmIdentifier{webauthncose.AlgES256, webauthncose.AlgEdDSA, webauthncose.AlgRS256} {
		alice := &person{name: "alice"}
		b.registers(t, alice, plain, webauthn.WithCredentialParameters([]protocol.CredentialParameter{
			{Type: protocol.PublicKeyCredentialType, Algorithm: algorithm},
		}))
		b.signsIn(t, alice, false, uvDiscouraged)
	}
}

// chromiumFingerprint has a key with all that CTAP 2.3 knows, which verifies the
// user by itself.
func chromiumFingerprint(t *testing.T, b *browser) {
	k := plugProfile(t, "ctap-2.3")
	k.setPIN(somePIN)
	ourselves(t, k, func(ctx context.Context, key *client.Key) error {
		_, err := key.EnrollFingerprint(ctx, client.Enrollment{Name: "thumb"})
		return err
	})
	bob := &person{name: "bob"}
	for uv, verified := range map[protocol.UserVerificationRequirement]bool{
		protocol.VerificationDiscouraged: false, protocol.VerificationPreferred: true, protocol.VerificationRequired: true,
	} {
		made := b.registers(t, bob, selection(protocol.ResidentKeyRequirementDiscouraged, uv))
		if got := made.Response.AttestationObject.AuthData.Flags.HasUserVerified(); got != verified {
			t.Errorf("registered with user verification %s: %t", uv, got)
		}
		signed := b.signsIn(t, bob, false, webauthn.WithUserVerification(uv))
		if got := signed.Response.AuthenticatorData.Flags.HasUserVerified(); got != verified {
			t.Errorf("signed in with user verification %s: %t", uv, got)
		}
	}

	alice := &person{name: "alice"}
	b.registers(t, alice, selection(protocol.ResidentKeyRequirementRequired, protocol.VerificationRequired), webauthn.WithExtensions(
		webauthn.WithExtensionCredProps(), webauthn.WithExtensionPRFSupport(), webauthn.WithExtensionMinPinLength(),
		webauthn.WithExtensionLargeBlobSupport(protocol.LargeBlobSupportRequired), webauthn.WithExtensionCredBlob([]byte("note")),
		webauthn.WithExtensionCredentialProtectionPolicy(protocol.CredentialProtectionPolicyUserVerificationRequired, true),
	))
	e := alice.credentials[0].Extensions
	if !isTrue(e.RK) || !isTrue(e.PRFEnabled) || !isTrue(e.LargeBlobSupported) || e.CredProtect != protocol.CredentialProtectionPolicyUserVerificationRequired {
		t.Errorf("extensions: %+v", e)
	}

	blob := bytes.Repeat([]byte("a large blob "), 50)
	signed := b.signsIn(t, alice, false, uvRequired, webauthn.WithAssertionExtensions(webauthn.WithExtensionLargeBlobWrite(blob)))
	if o := signed.ClientExtensionResults.LargeBlob; o == nil || !isTrue(o.Written) {
		t.Errorf("large blob: %+v", o)
	}
	salts := webauthn.WithExtensionPRF(protocol.PRFValues{First: []byte("one"), Second: []byte("two")})
	var secrets []string
	for _, discover := range []bool{true, false} {
		signed := b.signsIn(t, alice, discover, uvRequired, webauthn.WithAssertionExtensions(
			salts, webauthn.WithExtensionLargeBlobRead(), webauthn.WithExtensionGetCredBlob()))
		o := signed.ClientExtensionResults
		if o.LargeBlob == nil || !bytes.Equal(o.LargeBlob.Blob, blob) {
			t.Errorf("large blob: %+v", o.LargeBlob)
		}
		if o.Extra["getCredBlob"] != "bm90ZQ" {
			t.Errorf("extensions: %q", o.Extra)
		}
		if o.PRF == nil || len(o.PRF.Results.First) != 32 || len(o.PRF.Results.Second) != 32 {
			t.Fatalf("prf: %+v", o.PRF)
		}
		secrets = append(secrets, string(o.PRF.Results.First)+string(o.PRF.Results.Second))
	}
	if secrets[0] != secrets[1] {
		t.Error("prf gives other secrets the second time")
	}
}

func isTrue(b *bool) bool { return b != nil && *b }

// chromiumPIN types the PIN, and picks one of two accounts.
func chromiumPIN(t *testing.T, b *browser) {
	plugProfile(t, "ctap-2.1").setPIN(somePIN)
	alice, bob := &person{name: "alice"}, &person{name: "bob"}
	for _, p := range []*person{alice, bob} {
		made := b.registers(t, p, selection(protocol.ResidentKeyRequirementRequired, protocol.VerificationRequired), webauthn.WithExtensions(webauthn.WithExtensionCredProps()))
		if !made.Response.AttestationObject.AuthData.Flags.HasUserVerified() || !isTrue(p.credentials[0].Extensions.RK) {
			t.Errorf("%s: %+v", p.name, p.credentials[0])
		}
	}
	b.signsIn(t, alice, false, uvRequired)
	b.signsIn(t, bob, true, uvRequired) // the last one made comes first
}

// chromiumRefusals are what Chromium makes of a key's refusals.
func chromiumRefusals(t *testing.T, b *browser) {
	alice := &person{name: "alice"}
	t.Run("declined", func(t *testing.T) {
		plug(t, "decline")
		_, err := b.register(alice, plain)
		wantException(t, err, "NotAllowedError")
	})
	t.Run("timeout", func(t *testing.T) {
		plug(t, "never")
		_, err := b.register(alice, plain, func(o *protocol.PublicKeyCredentialCreationOptions) error {
			o.Timeout = 1000 // Chromium gives it 10 s
			return nil
		})
		wantException(t, err, "NotAllowedError")
		begin := time.Now()
		run(t, "", fidokey, "info")
		t.Logf("the key is free after %v", time.Since(begin))
	})
	t.Run("unknown", func(t *testing.T) {
		plug(t, "auto")
		stranger := &person{name: "mallory", credentials: []webauthn.Credential{{ID: bytes.Repeat([]byte{1}, 64)}}}
		_, err := b.signIn(stranger, false, uvDiscouraged)
		wantException(t, err, "NotAllowedError")
	})
}

func chromiumPluggedInLate(t *testing.T, b *browser) {
	alice := &person{name: "alice"}
	done := make(chan error)
	go func() {
		_, err := b.register(alice, plain)
		done <- err
	}()
	time.Sleep(2 * time.Second)
	plug(t, "auto")
	if err := <-done; err != nil {
		t.Error(err)
	}
	b.signsIn(t, alice, false, uvDiscouraged)
}

// chromiumU2F has a key of the U2F age, and an account of that age.
func chromiumU2F(t *testing.T, b *browser) {
	plugProfile(t, "u2f")
	alice := &person{name: "alice"}
	made := b.registers(t, alice, plain, webauthn.WithConveyancePreference(protocol.PreferDirectAttestation))
	if format := made.Response.AttestationObject.Format; format != "fido-u2f" {
		t.Errorf("format %s", format)
	}
	b.signsIn(t, alice, false, uvDiscouraged)

	old := result[struct{ KeyHandle, PublicKey base64URL }](t, run(t, "", fidokey, "u2f", "register", "--app-id", b.url, "--json"))
	alice.credentials = []webauthn.Credential{{ID: old.KeyHandle, PublicKey: old.PublicKey, AttestationFormat: "fido-u2f"}}
	signed := b.signsIn(t, alice, false, uvDiscouraged, webauthn.WithAssertionExtensions(webauthn.WithExtensionAppID(b.url)))
	if !isTrue(signed.ClientExtensionResults.AppID) {
		t.Errorf("extensions: %+v", signed.ClientExtensionResults)
	}
}
