package simulator_test

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/fidokey/fidokey/simulator"
)

func TestLargeBlobKey(t *testing.T) {
	k := newKey(t, extended())
	asked := func(user string) created {
		return k.create(with(resident(testRP, user), true, 6, "largeBlobKey"))
	}
	alice := asked("alice")
	key, _ := alice.reply[5].([]byte)
	if len(key) != 32 || alice.ed {
		t.Errorf("XLB-001: %v, extensions %v", alice.reply, alice.extensions)
	}
	bob := asked("bob")
	if bytes.Equal(bob.reply[5].([]byte), key) {
		t.Error("XLB-002: the same key twice")
	}
	want := func(name string, reply map[int]any, key any) {
		t.Helper()
		if !reflect.DeepEqual(reply[7], key) {
			t.Errorf("%s: key %v, want %v", name, reply[7], key)
		}
	}
	ask := func(params m) m { return with(params, true, 4, "largeBlobKey") }
	got, reply := k.assert(ask(sign(testRP, alice.id)), alice)
	if want("XLB-003", reply, alice.reply[5]); got.ed {
		t.Errorf("XLB-003: extensions %v", got.extensions)
	}
	_, reply = k.assert(sign(testRP, alice.id), alice)
	want("XLB-008", reply, nil)
	carol := k.create(resident(testRP, "carol"))
	_, reply = k.assert(ask(sign(testRP)), carol)
	want("XLB-009", reply, nil)
	reply = k.ok(getNextAssertion, nil)
	want("XLB-010", reply, bob.reply[5])
	reply = k.ok(getNextAssertion, nil)
	want("XLB-010", reply, alice.reply[5])
}

func TestLargeBlobKeyRefuses(t *testing.T) {
	k := newKey(t, extended())
	made := k.create(resident(testRP, "alice"))
	k.prompted()
	k.refuses(invalidOption, makeCredential, with(resident(testRP, "bob"), false, 6, "largeBlobKey")) // XLB-004
	k.refuses(invalidOption, getAssertion, with(sign(testRP, made.id), false, 4, "largeBlobKey"))     // XLB-005
	k.refuses(unexpectedType, makeCredential, with(resident(testRP, "bob"), 1, 6, "largeBlobKey"))    // XLB-006
	k.refuses(unexpectedType, getAssertion, with(sign(testRP, made.id), 1, 4, "largeBlobKey"))        // XLB-006
	k.refuses(invalidOption, makeCredential, with(creation(), true, 6, "largeBlobKey"))               // XLB-007
	if k.prompted() != 0 {
		t.Error("asked for a touch")
	}
}

// largeBlobs is the variant with the largeBlob extension.
func largeBlobs(p *simulator.Profile) {
	p.GetInfo.Extensions = []string{"credProtect", "hmac-secret", "largeBlob"}
	delete(p.GetInfo.Options, "largeBlobs")
	p.GetInfo.MaxSerializedLargeBlobArray = nil
	p.MaxLargeBlob = 100
}

func writeBlob(params m, blob []byte, size any) m {
	return with(params, m{"write": blob, "originalSize": size}, 4, "largeBlob")
}

func readBlob(params m) m { return with(params, m{"read": true}, 4, "largeBlob") }

func TestLargeBlob(t *testing.T) {
	k := newKey(t, extended(largeBlobs))
	var made created
	for _, support := range []string{"preferred", "required"} { // XLB-011
		made = k.create(with(resident(testRP, support), support, 6, "largeBlob", "support"))
		if want := (m{"largeBlob": m{"supported": true}}); made.ed || !reflect.DeepEqual(made.reply[6], want) {
			t.Errorf("XLB-011: %v", made.reply)
		}
	}
	output := func(name string, params m, c created, want any) {
		t.Helper()
		got, reply := k.assert(params, c)
		if outputs, _ := reply[8].(m); got.ed || !reflect.DeepEqual(outputs["largeBlob"], want) {
			t.Errorf("%s: %v, want %v", name, reply[8], want)
		}
	}
	blob := bytes.Repeat([]byte{5}, 100)
	output("read of nothing", readBlob(sign(testRP, made.id)), made, nil)
	output("XLB-012", writeBlob(sign(testRP, made.id), blob, 7000), made, m{"written": true})
	output("XLB-013", writeBlob(sign(testRP), blob[1:], 1), made, m{"written": false})
	output("too long", writeBlob(sign(testRP, made.id), make([]byte, 101), 1), made, m{"written": false})
	plain := k.create(resident(testRP, "plain"))
	output("XLB-014", writeBlob(sign(testRP, plain.id), blob, 1), plain, m{"written": false})

	k.Authenticator.Close()
	k.plugIn(k.storage, extended(largeBlobs))
	output("XLB-012", readBlob(sign(testRP, made.id)), made, m{"blob": blob, "originalSize": uint64(7000)})
	output("replaced", writeBlob(sign(testRP, made.id), []byte{}, 0), made, m{"written": true})
	output("empty", readBlob(sign(testRP, made.id)), made, m{"blob": []byte{}, "originalSize": uint64(0)})

	reply := k.create(with(creation(), "preferred", 6, "largeBlob", "support")).reply
	if want := (m{"largeBlob": m{"supported": false}}); !reflect.DeepEqual(reply[6], want) {
		t.Errorf("not discoverable: %v", reply[6])
	}
}

func TestLargeBlobRefuses(t *testing.T) {
	k := newKey(t, extended(largeBlobs))
	made := k.create(resident(testRP, "alice"))
	k.prompted()
	for name, input := range map[string]any{
		"XLB-015 read and write": m{"read": true, "write": []byte{1}, "originalSize": 1},
		"XLB-016 read is 1":      m{"read": 1},
		"XLB-016 write is text":  m{"write": "x", "originalSize": 1},
		"XLB-016 size is text":   m{"write": []byte{1}, "originalSize": "x"},
		"XLB-016 input is true":  true,
		"write without size":     m{"write": []byte{1}},
		"size without write":     m{"originalSize": 1},
		"read and size":          m{"read": true, "originalSize": 1},
		"read is false":          m{"read": false},
		"nothing":                m{},
	} {
		if status, _ := k.send(request(getAssertion, with(sign(testRP, made.id), input, 4, "largeBlob"))); status != invalidCBOR {
			t.Errorf("%s: status %#02x", name, status)
		}
	}
	for name, input := range map[string]any{
		"XLB-016 support is true": m{"support": true},
		"XLB-016 input is true":   true,
		"unknown support":         m{"support": "perhaps"},
		"no support":              m{},
	} {
		if status, _ := k.send(request(makeCredential, with(resident(testRP, "bob"), input, 6, "largeBlob"))); status != invalidCBOR {
			t.Errorf("%s: status %#02x", name, status)
		}
	}
	k.refuses(invalidOption, makeCredential, with(creation(), "required", 6, "largeBlob", "support"))
	if k.prompted() != 0 {
		t.Error("asked for a touch")
	}
}
