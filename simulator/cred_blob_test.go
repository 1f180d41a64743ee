package simulator_test

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/fidokey/fidokey/simulator"
)

// extended gives the key all extensions; edits change the profile further.
func extended(edits ...func(p *simulator.Profile)) func(c *simulator.Config) {
	return func(c *simulator.Config) {
		c.Profile = simulator.DefaultProfile()
		simulator.WithExtensions(c.Profile)
		for _, edit := range edits {
			edit(c.Profile)
		}
	}
}

// TestExtensionsOfTheProfile: what the key does not list it does not look at.
func TestExtensionsOfTheProfile(t *testing.T) {
	k := newKey(t, func(c *simulator.Config) {
		c.Profile = simulator.DefaultProfile()
		c.Profile.GetInfo.Extensions = nil
	})
	inputs := m{
		"credBlob": 1, "credProtect": 9, "hmac-secret": 1, "hmac-secret-mc": 1, "largeBlob": 1, "largeBlobKey": false,
		"minPinLength": 1, "pinComplexityPolicy": 1, "thirdPartyPayment": 1, "uvm": 1,
	}
	made := k.create(with(resident(testRP, "alice"), inputs, 6))
	got, reply := k.assert(with(sign(testRP), inputs, 4), made)
	if made.ed || got.ed || len(made.reply) != 3 || len(reply) != 4 {
		t.Errorf("outputs %v, %v", made.reply, reply)
	}
}

// TestExtensionsTogether checks the canonical order of the outputs, also XCB-009.
func TestExtensionsTogether(t *testing.T) {
	k := newKey(t, extended())
	if err := k.SetPINPolicy(6, false, testRP); err != nil {
		t.Fatal(err)
	}
	secret := k.agree(2).secretParams(make([]byte, 32))
	made := k.create(with(resident(testRP, "alice"), m{
		"credBlob": []byte{1}, "credProtect": 2, "hmac-secret": true, "hmac-secret-mc": secret, "largeBlobKey": true,
		"minPinLength": true, "pinComplexityPolicy": true, "thirdPartyPayment": true, "uvm": true, "x": true,
	}, 6))
	made.extensions["hmac-secret-mc"] = nil
	want := m{
		"credBlob": true, "credProtect": uint64(2), "hmac-secret": true, "hmac-secret-mc": nil,
		"minPinLength": uint64(6), "pinComplexityPolicy": false, "uvm": []any{[]any{uint64(1), uint64(1), uint64(1)}},
	}
	if !reflect.DeepEqual(made.extensions, want) {
		t.Errorf("outputs %v, want %v", made.extensions, want)
	}
	// Canonical CBOR has one form only.
	var again m
	tail := made.raw[bytes.Index(made.raw, []byte("cuvm"))-1:]
	decodeFirst(t, tail, &again)
	if !bytes.Equal(encode(again), tail) {
		t.Errorf("outputs are not canonical: %x", tail)
	}
}

func TestCredBlob(t *testing.T) {
	for _, c := range []struct {
		name   string
		blob   []byte
		rk     bool
		stored bool
	}{
		{"XCB-001 32 bytes", bytes.Repeat([]byte{7}, 32), true, true},
		{"XCB-002 too long", make([]byte, 65), true, false},
		{"XCB-003 the longest", bytes.Repeat([]byte{9}, 64), true, true},
		{"XCB-004 empty", []byte{}, true, true},
		{"XCB-005 not discoverable", []byte{1}, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKey(t, extended())
			params := with(resident(testRP, "alice"), c.rk, 7, "rk")
			made := k.create(with(params, c.blob, 6, "credBlob"))
			if !reflect.DeepEqual(made.extensions, m{"credBlob": c.stored}) {
				t.Errorf("registration: %v", made.extensions)
			}
			want := m{"credBlob": []byte{}}
			if c.stored {
				want["credBlob"] = c.blob
			}
			got, _ := k.assert(with(sign(testRP, made.id), true, 4, "credBlob"), made)
			if !reflect.DeepEqual(got.extensions, want) {
				t.Errorf("assertion: %v, want %v", got.extensions, want)
			}
			if got, _ := k.assert(with(sign(testRP, made.id), false, 4, "credBlob"), made); got.ed {
				t.Errorf("output for false: %v", got.extensions)
			}
			k.Authenticator.Close()
			k.plugIn(k.storage, extended()) // XCB-010
			got, _ = k.assert(with(sign(testRP, made.id), true, 4, "credBlob"), made)
			if !reflect.DeepEqual(got.extensions, want) {
				t.Errorf("XCB-010: %v, want %v", got.extensions, want)
			}
		})
	}
}

func TestCredBlobWithoutBlob(t *testing.T) {
	k := newKey(t, extended())
	made := k.create(resident(testRP, "alice"))
	got, _ := k.assert(with(sign(testRP), true, 4, "credBlob"), made) // XCB-006
	if !reflect.DeepEqual(got.extensions, m{"credBlob": []byte{}}) {
		t.Errorf("XCB-006: %v", got.extensions)
	}
	k.refuses(unexpectedType, makeCredential, with(creation(), "x", 6, "credBlob"))         // XCB-007
	k.refuses(unexpectedType, getAssertion, with(sign(testRP, made.id), 1, 4, "credBlob"))  // XCB-008
	k.refuses(unexpectedType, getAssertion, with(sign(testRP), []byte("x"), 4, "credBlob")) // XCB-008
	if n := k.ok(getInfo, nil)[15]; n != uint64(64) || !slices.Contains(k.listed(), "credBlob") {
		t.Errorf("maxCredBlobLength %v", n)
	}
}

// listed returns the extensions in getInfo.
func (k *key) listed() []any { return k.ok(getInfo, nil)[2].([]any) }
