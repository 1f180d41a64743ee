package simulator_test

import (
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
)

func fromHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestHostileMessages(t *testing.T) {
	for _, c := range []struct {
		name string
		msg  string
		want byte
	}{
		{"empty message", "", invalidLength},
		{"CBR-001 command 00", "00", invalidCommand},
		{"CBR-001 command 3F", "3f", invalidCommand},
		{"CBR-023 command 40", "40a0", invalidCommand},
		{"CBR-023 command BF", "bf", invalidCommand},
		{"CBR-025 command 03", "03", invalidCommand},
		{"CBR-025 command 05", "05", invalidCommand},
		{"BIO-001 bioEnrollment", "09a0", invalidCommand},
		{"LB-001 largeBlobs", "0ca0", invalidCommand},
		{"CFG-001 config", "0da0", invalidCommand},
		{"CBR-002 command byte only", "01", missingParameter},
		{"CBR-002 command byte only", "02", missingParameter},
		{"CBR-002 command byte only", "06", missingParameter},
		{"CBR-002 command byte only", "0a", missingParameter},
		{"CBR-003 array", "0680", unexpectedType},
		{"CBR-003 integer", "0601", unexpectedType},
		{"CBR-004 keys out of order", "06a202010102", invalidCBOR},
		{"CBR-005 duplicate keys", "06a202010201", invalidCBOR},
		{"CBR-006 long integer", "06a1021801", invalidCBOR},
		{"CBR-006 long key", "06a1180201", invalidCBOR},
		{"CBR-007 indefinite map", "06bf0201ff", invalidCBOR},
		{"CBR-007 indefinite string", "06a202010a7f6161ff", invalidCBOR},
		{"CBR-008 more entries than follow", "06a20201", invalidCBOR},
		{"CBR-009 more bytes than follow", "06a2020104420a", invalidCBOR},
		{"CBR-010 length of 2^32 - 1", "06a20201045affffffff", invalidCBOR},
		{"CBR-010 array of 2^64 - 1", "06a20201049bffffffffffffffff", invalidCBOR},
		{"CBR-011 5 levels", "06a20201188081818180", invalidCBOR},
		{"4 levels", "06a202011880818180", ok},
		{"CBR-012 1000 levels", "06" + strings.Repeat("81", 1000) + "80", invalidCBOR},
		{"CBR-013 tag", "06a102c101", invalidCBOR},
		{"CBR-014 float", "06a102f93c00", unexpectedType},
		{"CBR-015 null", "06a102f6", unexpectedType},
		{"CBR-015 undefined", "06a102f7", unexpectedType},
		{"CBR-016 bytes after the map", "06a1020100", invalidCBOR},
		{"CBR-017 not UTF-8", "06a202010a61ff", invalidCBOR},
		{"CBR-018 negative key", "06a202012001", ok},
		{"text key", "06a2020161 6101", ok},
		{"key of a map", "06a20201a0a0", ok},
		{"trailing bytes", "0b00", invalidLength},
		{"trailing bytes", "08a0", invalidLength},
		{"trailing bytes", "07a0", invalidLength},
	} {
		k := newKey(t)
		if status, _ := k.send(fromHex(t, c.msg)); status != c.want {
			t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
		}
	}
}

// TestCanonicalVectors sends the vectors as the value of an unknown member.
func TestCanonicalVectors(t *testing.T) {
	var vectors struct {
		Valid, Invalid []struct {
			Desc string
			CBOR ctaptest.Hex
		}
	}
	ctaptest.Vectors(t, "cbor-canonical", &vectors)
	k := newKey(t)
	for _, v := range vectors.Valid {
		if status, _ := k.send(append(fromHex(t, "06a202011880"), v.CBOR...)); status != ok {
			t.Errorf("%s: status %#02x", v.Desc, status)
		}
	}
	for _, v := range vectors.Invalid {
		if status, _ := k.send(append(fromHex(t, "06a202011880"), v.CBOR...)); status != invalidCBOR {
			t.Errorf("%s: status %#02x, want INVALID_CBOR", v.Desc, status)
		}
	}
}

func TestMessageSize(t *testing.T) {
	const size = 2000
	k := newKey(t, func(c *simulator.Config) { c.MaxMsgSize = size })
	made := k.create(creation())
	fill := func(n int) []byte {
		params := with(with(sign(testRP, made.id), false, 5, "up"), []byte{}, 0x7f)
		short := len(request(getAssertion, params)) + 2 // the length takes two bytes more
		return request(getAssertion, with(params, make([]byte, n-short), 0x7f))
	}
	if status, _ := k.send(fill(size)); status != ok { // CBR-019
		t.Errorf("CBR-019: status %#02x", status)
	}
	if status, _ := k.send(fill(size + 1)); status != requestTooLarge { // CBR-020
		t.Errorf("CBR-020: status %#02x", status)
	}
}

// fullRequests has every member that the commands know.
func fullRequests() map[byte]m {
	coseKey := m{1: 2, 3: -25, -1: 1, -2: make([]byte, 32), -3: make([]byte, 32)}
	secret := m{1: coseKey, 2: make([]byte, 32), 3: make([]byte, 16), 4: 1}
	list := []any{m{"id": []byte{1}, "type": "public-key", "transports": []any{"usb"}}}
	user := m{"id": []byte{1}, "name": "x", "displayName": "x", "icon": "x"}
	return map[byte]m{
		makeCredential: {
			1: clientDataHash,
			2: m{"id": testRP, "name": "x", "icon": "x"},
			3: user,
			4: []any{publicKeyParam(-7)},
			5: list,
			6: m{
				"credProtect": 1, "hmac-secret": true, "hmac-secret-mc": secret, "credBlob": []byte{1}, "largeBlobKey": true,
				"minPinLength": true, "pinComplexityPolicy": true, "thirdPartyPayment": true, "uvm": true,
			},
			7: m{"rk": true, "up": true, "uv": false},
			8: make([]byte, 32), 9: 2, 10: 1, 11: []any{"packed"},
		},
		getAssertion: {
			1: testRP,
			2: clientDataHash,
			3: list,
			4: m{"hmac-secret": secret, "credBlob": true, "largeBlobKey": true, "thirdPartyPayment": true, "uvm": true},
			5: m{"rk": true, "up": true, "uv": false},
			6: make([]byte, 32), 7: 2,
		},
		clientPIN: {
			1: 2, 2: 9, 3: coseKey, 4: make([]byte, 16), 5: make([]byte, 64), 6: make([]byte, 16), 9: 1, 10: testRP,
		},
		credentialManagement: {
			1: 7, 2: m{1: make([]byte, 32), 2: list[0], 3: user}, 3: 2, 4: make([]byte, 16),
		},
		largeBlobArray: {
			1: 10, 2: make([]byte, 17), 3: 0, 4: 17, 5: make([]byte, 16), 6: 2,
		},
		bioEnrollment: {
			1: 1, 2: 5, 3: m{1: []byte{1}, 2: "x", 3: 1000}, 4: 2, 5: make([]byte, 16), 6: false,
		},
		config: {
			1: 3, 2: m{1: 6, 2: []any{"x"}, 3: true, 4: true}, 3: 2, 4: make([]byte, 16),
		},
	}
}

// TestWrongTypes is CBR-021: every member as every other major type.
func TestWrongTypes(t *testing.T) {
	values := []any{1, -1, []byte{1}, "x", []any{}, m{}, true, nil, math.Inf(1)}
	k := newKey(t, full23())
	for command, params := range fullRequests() {
		for _, path := range paths(params, nil) {
			kind := kindOf(at(params, path))
			for _, v := range values {
				if kindOf(v) == kind {
					continue
				}
				want := byte(unexpectedType)
				if kind := kindOf(v); len(path) == 4 && (kind == kindOf(m{}) || kind == kindOf([]any{})) {
					want = invalidCBOR // nested too deep
				}
				if status, _ := k.send(request(command, with(params, v, path...))); status != want {
					t.Errorf("command %#02x, member %v as %T: status %#02x", command, path, v, status)
				}
			}
		}
	}
}

// paths lists where the members and elements of a request are.
func paths(v any, prefix []any) (list [][]any) {
	visit := func(key, element any) {
		path := append(slices.Clone(prefix), key)
		list = append(append(list, path), paths(element, path)...)
	}
	switch v := v.(type) {
	case m:
		for key, element := range v {
			visit(key, element)
		}
	case []any:
		for i, element := range v {
			visit(i, element)
		}
	}
	return list
}

func at(v any, path []any) any {
	for _, key := range path {
		switch parent := v.(type) {
		case m:
			v = parent[key]
		case []any:
			v = parent[key.(int)]
		}
	}
	return v
}

func kindOf(v any) string { return fmt.Sprintf("%T", v) }

// TestNegativeNumbers: where only unsigned integers may be, negative ones are of
// a wrong type.
func TestNegativeNumbers(t *testing.T) {
	k := newKey(t, full23())
	for command, members := range map[byte][]int{
		makeCredential: {9, 10}, getAssertion: {7}, clientPIN: {1, 2, 9}, credentialManagement: {1, 3},
		bioEnrollment: {1, 2, 4}, config: {1, 3},
	} {
		for _, member := range members {
			k.refuses(unexpectedType, command, with(fullRequests()[command], -1, member))
		}
	}
}

// TestMissingMembers is CBR-022.
func TestMissingMembers(t *testing.T) {
	k := newKey(t, full23())
	for command, required := range map[byte][]int{
		makeCredential:       {1, 2, 3, 4},
		getAssertion:         {1, 2},
		clientPIN:            {1, 2, 3, 6, 9, 10},
		credentialManagement: {1, 2, 3},
		bioEnrollment:        {1, 2, 3, 4},
		config:               {1},
	} {
		for _, member := range required {
			k.refuses(missingParameter, command, without(fullRequests()[command], member))
		}
	}
}
