package simulator_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"reflect"
	"slices"
	"testing"

	"github.com/fidokey/fidokey/simulator"
)

// TestU2FUnderAlwaysUVWithoutFinger is U2F-023.
func TestU2FUnderAlwaysUVWithoutFinger(t *testing.T) {
	k := newKey(t, full23())
	r := k.register()
	k.ok(config, m{1: 2})
	for _, apdu := range [][]byte{u2fAPDU(3, 0, nil), u2fAPDU(1, 3, registerData()), u2fAPDU(2, 7, authenticateData(r.handle))} {
		k.u2fRefuses("U2F-023", 0x6986, apdu)
	}
	if versions := k.ok(getInfo, nil)[1].([]any); slices.Contains(versions, any("U2F_V2")) {
		t.Errorf("U2F-023: versions %v", versions)
	}
	k.ok(config, m{1: 2})
	k.authenticate(r.public, 3, r.handle)
}

// TestU2FUnderAlwaysUVWithFinger: a finger that the key knows takes the place of
// the touch.
func TestU2FUnderAlwaysUVWithFinger(t *testing.T) {
	k := newKey(t, full23(builtIn, withOption("alwaysUv", true), func(p *simulator.Profile) {
		delete(p.GetInfo.Options, "bioEnroll")
	}))
	r := k.register()
	if len(k.fingers) != 1 || len(k.prompts) != 0 || !k.fingers[0].U2F {
		t.Errorf("fingers %v, touches %v", k.fingers, k.prompts)
	}
	k.finger = func(context.Context) simulator.Sample { return simulator.Sample{Finger: "stranger"} }
	left := k.uvRetries()
	authenticate := u2fAPDU(2, 3, authenticateData(r.handle))
	for ; left > 0; left-- {
		k.u2fRefuses("stranger", 0x6985, authenticate)
		if n := k.uvRetries(); n != left-1 {
			t.Fatalf("uvRetries %d after %d", n, left)
		}
	}
	k.fingers = nil
	k.u2fRefuses("blocked", 0x6985, authenticate)
	if len(k.fingers) != 0 {
		t.Error("asked for a finger that cannot help")
	}
}

// TestU2FAndForcedChange is U2F-024: a PIN is nothing to U2F.
func TestU2FAndForcedChange(t *testing.T) {
	k := newKey(t, full23())
	k.setPIN(testPIN)
	k.configure(3, m{3: true})
	k.register()
}

// TestUVMFinger is XMP-010 with a fingerprint.
func TestUVMFinger(t *testing.T) {
	k := newKey(t, full23())
	k.setPIN(testPIN)
	k.enrollFinger(simulator.DefaultFinger)
	want := m{"uvm": []any{[]any{uint64(2), uint64(1), uint64(1)}}}
	made := k.create(with(with(creation(), true, 6, "uvm"), true, 7, "uv"))
	if !made.uv || !reflect.DeepEqual(made.extensions, want) {
		t.Errorf("XMP-010: %v", made.extensions)
	}
	got, _ := k.assert(with(with(sign(testRP, made.id), true, 4, "uvm"), true, 5, "uv"), made)
	if !got.uv || !reflect.DeepEqual(got.extensions, want) {
		t.Errorf("XMP-010: %v", got.extensions)
	}
}

// TestEnterpriseCertificate is MC-087 to MC-089 with the certificates.
func TestEnterpriseCertificate(t *testing.T) {
	k := newKey(t, full23())
	k.ok(config, m{1: 1})
	certificate := func(value int, rpID string) *x509.Certificate {
		t.Helper()
		made := k.create(with(with(creation(), rpID, 2, "id"), value, 10))
		chain := leaf(t, made)
		if granted := chain[0].Subject.SerialNumber != ""; (made.reply[4] == true) != granted {
			t.Errorf("epAtt %v, subject %v", made.reply[4], chain[0].Subject)
		}
		k.verifyChain(chain[0])
		return chain[0]
	}
	named := certificate(1, "enterprise.example") // MC-087
	if named.Subject.SerialNumber == "" {
		t.Error("MC-087: not granted")
	}
	if certificate(1, testRP).Subject.SerialNumber != "" { // MC-088
		t.Error("MC-088: granted")
	}
	if again := certificate(2, testRP); !bytes.Equal(again.Raw, named.Raw) { // MC-089
		t.Errorf("MC-089: %v, want %v", again.Subject, named.Subject)
	}
}

// TestCardReset is NFC-029.
func TestCardReset(t *testing.T) {
	r := newReader(t, full23(func(p *simulator.Profile) { p.GetInfo.TransportsForReset = []string{"usb"} })).selected()
	made := r.create(resident(testRP, "alice"))
	if status, _ := r.exchange([]byte{reset}); status != operationDenied {
		t.Errorf("NFC-029: status %#02x", status)
	}
	r.assert(sign(testRP), made)
	other := newReader(t).selected()
	if status, _ := other.exchange([]byte{reset}); status != ok {
		t.Errorf("allowed: status %#02x", status)
	}
}
