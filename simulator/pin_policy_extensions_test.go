package simulator_test

import (
	"reflect"
	"testing"

	"github.com/fidokey/fidokey/simulator"
)

func TestPINPolicyExtensions(t *testing.T) {
	k := newKey(t, extended())
	policy := func(minLength uint, complexity bool, rpIDs ...string) {
		t.Helper()
		if err := k.SetPINPolicy(minLength, complexity, rpIDs...); err != nil {
			t.Fatal(err)
		}
	}
	output := func(name, id string, input, want any) {
		t.Helper()
		made := k.create(with(creation(), input, 6, id))
		if !reflect.DeepEqual(made.extensions[id], want) || made.ed != (want != nil) {
			t.Errorf("%s: output %v, want %v", name, made.extensions, want)
		}
	}
	output("XMP-002", "minPinLength", true, nil)
	output("XMP-006", "pinComplexityPolicy", true, nil)
	policy(0, false, "other.example", testRP)
	output("XMP-001", "minPinLength", true, uint64(4))
	output("XMP-005", "pinComplexityPolicy", true, false)
	output("XMP-003 false", "minPinLength", false, nil)
	output("false", "pinComplexityPolicy", false, nil)
	policy(8, true, testRP)
	output("XMP-004", "minPinLength", true, uint64(8))
	if n := k.ok(getInfo, nil)[13]; n != uint64(8) {
		t.Errorf("XMP-001: getInfo has %v", n)
	}
	output("XMP-005", "pinComplexityPolicy", true, true)
	k.refuses(unexpectedType, makeCredential, with(creation(), 1, 6, "minPinLength")) // XMP-003
	k.refuses(unexpectedType, makeCredential, with(creation(), 1, 6, "pinComplexityPolicy"))
}

func TestThirdPartyPayment(t *testing.T) {
	k := newKey(t, extended())
	k.setPIN(testPIN)
	for _, rk := range []bool{true, false} { // XMP-009
		for _, set := range []any{true, false, nil} {
			params := with(resident(testRP, "alice"), rk, 7, "rk")
			if set != nil {
				params = with(params, set, 6, "thirdPartyPayment")
			}
			made := k.create(k.token(2, permMC, testRP).authorize(params))
			if made.ed {
				t.Errorf("registration: output %v", made.extensions)
			}
			got, _ := k.assert(with(sign(testRP, made.id), true, 4, "thirdPartyPayment"), made)
			if want := (m{"thirdPartyPayment": set == true}); !reflect.DeepEqual(got.extensions, want) {
				t.Errorf("XMP-007, XMP-008: rk %v, set %v: %v", rk, set, got.extensions)
			}
			if got, _ := k.assert(with(sign(testRP, made.id), false, 4, "thirdPartyPayment"), made); got.ed {
				t.Errorf("output for false: %v", got.extensions)
			}
			if !rk {
				continue
			}
			rp := m{1: made.rpIDHash}
			if reply := k.ok(credentialManagement, k.token(2, permCM, "").manage(4, rp)); reply[12] != (set == true) {
				t.Errorf("credentialManagement: %v, want %v", reply[12], set)
			}
		}
	}
	k.refuses(unexpectedType, makeCredential, with(creation(), 1, 6, "thirdPartyPayment"))
}

// TestManagementOfExtensions: largeBlobKey is listed where there is one.
func TestManagementOfExtensions(t *testing.T) {
	k := newKey(t, extended())
	alice := k.create(with(resident(testRP, "alice"), true, 6, "largeBlobKey"))
	k.create(resident(testRP, "bob"))
	k.setPIN(testPIN)
	reply := k.ok(credentialManagement, k.token(2, permCM, "").manage(4, m{1: alice.rpIDHash}))
	if _, there := reply[11]; there {
		t.Errorf("bob: largeBlobKey %v", reply[11])
	}
	if reply := k.ok(credentialManagement, m{1: 5}); !reflect.DeepEqual(reply[11], alice.reply[5]) {
		t.Errorf("alice: largeBlobKey %v, want %v", reply[11], alice.reply[5])
	}
	if reply := newKey(t).create(resident(testRP, "alice")).reply; len(reply) != 3 {
		t.Errorf("reply %v", reply)
	}
}

func TestUVM(t *testing.T) {
	k := newKey(t, extended())
	made := k.create(with(creation(), true, 6, "uvm"))
	triple := func(method uint64) m { return m{"uvm": []any{[]any{method, uint64(1), uint64(1)}}} }
	want := func(name string, got authData, method uint64) {
		t.Helper()
		if !reflect.DeepEqual(got.extensions, triple(method)) {
			t.Errorf("%s: %v", name, got.extensions)
		}
	}
	want("XMP-011", made.authData, 0x1)
	ask := with(sign(testRP, made.id), true, 4, "uvm")
	got, _ := k.assert(ask, made)
	want("XMP-011", got, 0x1)
	got, _ = k.assert(with(ask, false, 5, "up"), made)
	want("nobody there", got, 0x200)
	k.setPIN(testPIN)
	want("XMP-010", k.create(k.token(2, permMC, testRP).authorize(with(creation(), true, 6, "uvm"))).authData, 0x800)
	got, _ = k.assert(k.token(2, permGA, testRP).authorizeGA(ask), made)
	want("XMP-010", got, 0x800)
	if got, _ := k.assert(with(ask, false, 4, "uvm"), made); got.ed {
		t.Errorf("output for false: %v", got.extensions)
	}
}

// TestCredProtectDefault: a key may protect credentials of itself (XCP-004).
func TestCredProtectDefault(t *testing.T) {
	k := newKey(t, extended(func(p *simulator.Profile) { p.CredProtect = 2 }))
	alice := k.create(resident(testRP, "alice"))
	if alice.ed {
		t.Errorf("XCP-004: output %v", alice.extensions)
	}
	k.refuses(noCredentials, getAssertion, sign(testRP))
	k.assert(sign(testRP, alice.id), alice)
	bob := k.create(with(resident(testRP, "bob"), 1, 6, "credProtect"))
	k.assert(sign(testRP), bob)
}
