package client_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/u2f"
)

// everyday is what most people do with a key. It notes what fails.
func everyday(t *testing.T, b *bench) (failed []string) {
	t.Helper()
	ctx := t.Context()
	do := func(what string, f func() error) {
		if err := f(); err != nil {
			failed = append(failed, what+": "+err.Error())
		}
	}
	info, err := b.Info(ctx)
	if err != nil {
		return []string{"info: " + err.Error()}
	}
	if _, pin := info.Option(ctap2.OptionClientPIN); pin {
		do("set PIN", func() error { return b.SetPIN(ctx) })
		b.person.pin = "wrong"
		do("wrong PIN", func() error {
			if err := b.VerifyPIN(ctx); !errors.Is(err, ctap2.ErrPINInvalid) {
				return errors.Join(errors.New("taken"), err)
			}
			return nil
		})
		b.person.pin = "1234"
	}
	r := registration()
	r.Discoverable, _ = info.Option(ctap2.OptionRK)
	var made *client.Registered
	do("register", func() (err error) { made, err = b.Register(ctx, r); return err })
	if made == nil {
		return failed
	}
	do("exclude", func() error {
		again := r
		again.Exclude = []ctap2.Descriptor{descriptor(made)}
		if _, err := b.Register(ctx, again); !errors.Is(err, ctap2.ErrCredentialExcluded) {
			return errors.Join(errors.New("not excluded"), err)
		}
		return nil
	})
	a := client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: []ctap2.Descriptor{descriptor(made)}}
	do("sign in", func() error {
		got, err := b.Authenticate(ctx, a)
		if err == nil {
			verify(t, made, got[0])
		}
		return err
	})
	if r.Discoverable {
		a.Allow = nil
		do("sign in without a list", func() error {
			got, err := b.Authenticate(ctx, a)
			if err == nil {
				verify(t, made, got[0])
			}
			return err
		})
	}
	if manages, _ := info.Option(ctap2.OptionCredMgmt); manages {
		do("list", func() error { _, err := b.Credentials(ctx); return err })
	}
	return failed
}

// told is what everyday tells of a quirk profile, where that is anything: what
// fails, and the findings.
var told = map[string]struct{ failed, findings []string }{
	// The devices of these benches carry no U2F: see TestU2FInfo.
	"quirk-getinfo-fails": {failed: []string{"info: authenticatorGetInfo: CTAP1_ERR_INVALID_COMMAND"}},
	"quirk-no-rp-list":    {failed: []string{"list: the key lists no relying parties"}},

	"quirk-key-agreement-es256": {findings: []string{"keyAgreement is labelled ES256, not ECDH-ES+HKDF-256"}},
	"quirk-no-credential":       {findings: []string{"credential (1) is missing"}},
	"quirk-no-user":             {findings: []string{"user (4) is missing"}},
	"quirk-no-totals":           {findings: []string{"totalRPs (5) is missing", "totalCredentials (9) is missing"}},
	"quirk-protocol-two-fails":  {findings: []string{"PIN/UV auth protocol 2 is listed first and fails"}},
	"quirk-unsorted-maps": {findings: []string{
		"authenticatorGetInfo: not CTAP2 canonical CBOR", "authenticatorClientPIN: not", "authenticatorMakeCredential: not",
		"authenticatorGetAssertion: not", "authenticatorCredentialManagement: not",
	}},
}

// TestEveryQuirk has people's everyday life with each of the keys that do
// something otherwise than the specification says. All of it works but for what
// is told, and what is put up with is told once somebody asks.
func TestEveryQuirk(t *testing.T) {
	for _, name := range simulator.ProfileNames() {
		if !strings.HasPrefix(name, "quirk-") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			b := newBench(t, simulator.Config{Profile: profile(t, name)})
			findings := b.noting()
			failed := everyday(t, b)
			var found []string
			for _, f := range *findings {
				found = append(found, f.Where+": "+f.What)
				if len(f.Raw) == 0 {
					t.Errorf("no bytes with %q", f.What)
				}
			}
			same(t, "failed", failed, told[name].failed)
			same(t, "findings", found, told[name].findings)
		})
	}
}

// same makes sure that each text has one of the parts, and each part is in one of
// the texts.
func same(t *testing.T, what string, texts, parts []string) {
	t.Helper()
	for _, text := range texts {
		if !slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) }) {
			t.Errorf("%s: %s", what, text)
		}
	}
	for _, part := range parts {
		if !slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(text, part) }) {
			t.Errorf("%s: nothing about %q", what, part)
		}
	}
}

// TestU2FQuirkProfiles are about U2F besides CTAP2.
func TestU2FQuirkProfiles(t *testing.T) {
	open := func(name string) (u2f.Messenger, *[]ctap2.Finding, context.Context) {
		a, err := simulator.New(simulator.Config{Profile: profile(t, name)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { a.Close() })
		dev, err := hid.Open(t.Context(), simulator.NewHID(a).Port())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { dev.Close() })
		var findings []ctap2.Finding
		return dev, &findings, transport.WithFindings(t.Context(), func(f ctap2.Finding) { findings = append(findings, f) })
	}
	key, findings, ctx := open("quirk-u2f-needs-lc")
	if v, err := u2f.Do(ctx, key, u2f.Version{}); err != nil || v.Version != u2f.V2 || len(*findings) != 1 {
		t.Errorf("%v, %v, findings %v", v, err, *findings)
	}
	key, _, ctx = open("quirk-u2f-wrong-length")
	_, err := u2f.Do(ctx, key, u2f.Authenticate{Control: u2f.CheckOnly, KeyHandle: make([]byte, 64)})
	if !errors.Is(err, u2f.ErrWrongLength) { // which knownU2F takes for "not mine", as any other
		t.Errorf("a foreign key handle: %v", err)
	}
}

// TestReplugIsSaid: a key that is blocked until it is unplugged has that said,
// whether it tells so beforehand or not.
func TestReplugIsSaid(t *testing.T) {
	for _, name := range []string{"default", "quirk-no-power-cycle-state"} {
		b := newBench(t, simulator.Config{Profile: profile(t, name)})
		b.mustSetPIN(t)
		b.person.pin = "wrong"
		var err error
		for range 3 {
			err = b.VerifyPIN(t.Context())
		}
		var blocked *pin.Error
		if !errors.Is(err, ctap2.ErrPINAuthBlocked) || !errors.As(err, &blocked) || !blocked.Retries.PowerCycle || !strings.Contains(err.Error(), "unplugged") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
