package guest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/fidokey/fidokey/client"
)

// runCommon is what all browsers can do.
func (b *browser) runCommon(t *testing.T) {
	b.run(t, "attestation", attestation)
	b.run(t, "algorithms", algorithms)
	b.run(t, "fingerprint", fingerprint)
	b.run(t, "refusals", refusals)
	b.run(t, "late", pluggedInLate)
	b.run(t, "U2F", onlyU2F)
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

func attestation(t *testing.T, b *browser) {
	b.door.plug(t, "--state", ":memory:", "--profile", write(t, "managed.yaml", managedKey))
	alice := &person{name: "alice"}
	formats := map[protocol.ConveyancePreference]string{protocol.PreferNoAttestation: "none", protocol.PreferDirectAttestation: "packed"}
	if b.enterprise {
		formats[protocol.PreferEnterpriseAttestation] = "packed"
	}
	certificates := map[string]bool{}
	for preference, format := range formats {
		object := b.registers(t, alice, plain, webauthn.WithConveyancePreference(preference)).Response.AttestationObject
		if object.Format != format {
			t.Errorf("%s: format %s, want %s", preference, object.Format, format)
		}
		if chain, _ := object.AttStatement["x5c"].([]any); len(chain) > 0 {
			certificates[string(chain[0].([]byte))] = true
		}
	}
	if len(certificates) != len(formats)-1 {
		t.Errorf("%d different certificates", len(certificates))
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

func algorithms(t *testing.T, b *browser) {
	b.door.plug(t, "--state", ":memory:", "--profile", write(t, "rsa.yaml", rsaKey))
	for _, algorithm := range []webauthncose.COSEAlgorithmIdentifier{webauthncose.AlgES256, webauthncose.AlgEdDSA, webauthncose.AlgRS256} {
		alice := &person{name: "alice"}
		b.registers(t, alice, plain, webauthn.WithCredentialParameters([]protocol.CredentialParameter{
			{Type: protocol.PublicKeyCredentialType, Algorithm: algorithm},
		}))
		b.signsIn(t, alice, false, uvDiscouraged)
	}
}

// fingerprint has a key with all that CTAP 2.3 knows, which verifies the
// user by itself.
func fingerprint(t *testing.T, b *browser) {
	k := b.door.plug(t, "--state", ":memory:", "--profile", "ctap-2.3")
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
	extensions := []webauthn.ExtensionOption{
		webauthn.WithExtensionCredProps(), webauthn.WithExtensionPRFSupport(), webauthn.WithExtensionMinPinLength(),
		webauthn.WithExtensionCredentialProtectionPolicy(protocol.CredentialProtectionPolicyUserVerificationRequired, true),
	}
	if b.blobs {
		extensions = append(extensions, webauthn.WithExtensionCredBlob([]byte("note")),
			webauthn.WithExtensionLargeBlobSupport(protocol.LargeBlobSupportRequired))
	}
	b.registers(t, alice, selection(protocol.ResidentKeyRequirementRequired, protocol.VerificationRequired), webauthn.WithExtensions(extensions...))
	e := alice.credentials[0].Extensions
	if !isTrue(e.RK) || !isTrue(e.PRFEnabled) || e.CredProtect != protocol.CredentialProtectionPolicyUserVerificationRequired {
		t.Errorf("extensions: %+v", e)
	}
	secrets(t, b, alice)
	if b.blobs {
		blobs(t, b, alice)
	}
}

// secrets has the same ones computed twice, the first time without a word of
// which credential is meant.
func secrets(t *testing.T, b *browser, p *person) {
	salts := webauthn.WithExtensionPRF(protocol.PRFValues{First: []byte("one"), Second: []byte("two")})
	got := map[string]bool{}
	for _, discover := range []bool{true, false} {
		o := b.signsIn(t, p, discover, uvRequired, webauthn.WithAssertionExtensions(salts)).ClientExtensionResults.PRF
		if o == nil || len(o.Results.First) != 32 || len(o.Results.Second) != 32 {
			t.Fatalf("prf: %+v", o)
		}
		got[string(o.Results.First)+string(o.Results.Second)] = true
	}
	if len(got) != 1 {
		t.Error("prf gives other secrets the second time")
	}
}

// blobs are written and read.
func blobs(t *testing.T, b *browser, p *person) {
	blob := bytes.Repeat([]byte("a large blob "), 50)
	written := b.signsIn(t, p, false, uvRequired, webauthn.WithAssertionExtensions(webauthn.WithExtensionLargeBlobWrite(blob)))
	if o := written.ClientExtensionResults.LargeBlob; o == nil || !isTrue(o.Written) {
		t.Errorf("large blob: %+v", o)
	}
	read := b.signsIn(t, p, false, uvRequired, webauthn.WithAssertionExtensions(
		webauthn.WithExtensionLargeBlobRead(), webauthn.WithExtensionGetCredBlob())).ClientExtensionResults
	if read.LargeBlob == nil || !bytes.Equal(read.LargeBlob.Blob, blob) {
		t.Errorf("large blob: %+v", read.LargeBlob)
	}
	if read.Extra["getCredBlob"] != "bm90ZQ" { // note
		t.Errorf("extensions: %q", read.Extra)
	}
}

func isTrue(b *bool) bool { return b != nil && *b }

// refusals are what a browser makes of a key's refusals.
func refusals(t *testing.T, b *browser) {
	alice := &person{name: "alice"}
	t.Run("declined", func(t *testing.T) {
		b.door.plug(t, "--state", ":memory:", "--touch", "decline")
		_, err := b.register(alice, plain)
		wantException(t, err, "NotAllowedError")
	})
	t.Run("given up", func(t *testing.T) {
		b.door.plug(t, "--state", ":memory:", "--touch", "never")
		b.giveUpAfter = 5 * time.Second
		defer func() { b.giveUpAfter = 0 }()
		_, err := b.register(alice, plain)
		wantException(t, err, "TimeoutError")
		begin := time.Now()
		run(t, "", fidokey, "info") // waits for a key that is busy
		if took := time.Since(begin); took > 15*time.Second {
			t.Errorf("the key was free after %v", took)
		}
	})
	t.Run("unknown", func(t *testing.T) {
		b.door.plug(t, "--state", ":memory:", "--touch", "auto")
		stranger := &person{name: "mallory", credentials: []webauthn.Credential{{ID: bytes.Repeat([]byte{1}, 64)}}}
		_, err := b.signIn(stranger, false, uvDiscouraged)
		wantException(t, err, "NotAllowedError")
	})
}

func pluggedInLate(t *testing.T, b *browser) {
	alice := &person{name: "alice"}
	done := make(chan error)
	go func() {
		_, err := b.register(alice, plain)
		done <- err
	}()
	time.Sleep(2 * time.Second)
	b.door.plug(t, "--state", ":memory:", "--touch", "auto")
	if err := <-done; err != nil {
		t.Error(err)
	}
	b.signsIn(t, alice, false, uvDiscouraged)
}

// onlyU2F has a key of the U2F age.
func onlyU2F(t *testing.T, b *browser) {
	b.door.plug(t, "--state", ":memory:", "--profile", "u2f")
	alice := &person{name: "alice"}
	made := b.registers(t, alice, plain, webauthn.WithConveyancePreference(protocol.PreferDirectAttestation))
	if format := made.Response.AttestationObject.Format; format != "fido-u2f" {
		t.Errorf("format %s", format)
	}
	b.signsIn(t, alice, false, uvDiscouraged)

}
