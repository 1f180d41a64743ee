package simulator_test

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/simulator"
)

// manager is a key with a PIN.
func manager(t *testing.T, options ...func(*simulator.Config)) *key {
	k := newKey(t, options...)
	k.setPIN(testPIN)
	return k
}

// add makes a discoverable credential with a token.
func (k *key) add(rpID, user string) created {
	k.Helper()
	return k.create(k.token(2, permMC, rpID).authorize(resident(rpID, user)))
}

// manage runs one subcommand with a token that is not bound.
func (k *key) manage(sub int, subParams any) map[int]any {
	k.Helper()
	return k.ok(credentialManagement, k.token(2, permCM, "").manage(sub, subParams))
}

func TestCredentialManagementRefuses(t *testing.T) {
	k := manager(t)
	made := k.add(testRP, "alice")
	unknown := m{2: descriptor([]byte{1})}
	alice := m{2: descriptor(made.id)}
	update := with(alice, m{"id": []byte("alice")}, 3)
	for _, c := range []struct {
		name      string
		sub       int
		subParams any
		bound     string // the RP ID of the token
		change    func(params m) m
		want      byte
	}{
		{"CM-002 subCommand missing", 1, nil, "", drop(1), missingParameter},
		{"subCommand is text", 1, nil, "", set("x", 1), unexpectedType},
		{"CM-003 subCommand 0x7F", 0x7f, nil, "", nil, invalidSubcommand},
		{"CM-006 without pinUvAuthParam", 1, nil, "", drop(4), puatRequired},
		{"without pinUvAuthParam and params", 4, nil, "", drop(4), puatRequired},
		{"CM-007 without protocol", 1, nil, "", drop(3), missingParameter},
		{"protocol 99", 1, nil, "", set(99, 3), invalidParameter},
		{"CM-008 wrong pinUvAuthParam", 1, nil, "", set(make([]byte, 32), 4), pinAuthInvalid},
		{"MAC of another subcommand", 1, nil, "", set(2, 1), pinAuthInvalid},
		{"MAC of other params", 4, m{1: hashOf("x")}, "", set(hashOf(testRP), 2, 1), pinAuthInvalid},
		{"CM-010 metadata with a bound token", 1, nil, testRP, nil, pinAuthInvalid},
		{"RPs with a bound token", 2, nil, testRP, nil, pinAuthInvalid},
		{"CM-017 next RP without begin", 3, nil, "", nil, notAllowed},
		{"CM-024 unknown hash", 4, m{1: hashOf("x")}, "", nil, noCredentials},
		{"CM-025 credentials without params", 4, nil, "", nil, missingParameter},
		{"credentials with empty params", 4, m{}, "", nil, missingParameter},
		{"CM-026 hash of 31 bytes", 4, m{1: hashOf("x")[:31]}, "", nil, invalidParameter},
		{"hash is text", 4, m{1: "x"}, "", nil, unexpectedType},
		{"params is an array", 4, []any{}, "", nil, unexpectedType},
		{"CM-027 credentials with a token of another RP", 4, m{1: hashOf(testRP)}, "x", nil, pinAuthInvalid},
		{"CM-029 next credential without begin", 5, nil, "", nil, notAllowed},
		{"delete without params", 6, nil, "", nil, missingParameter},
		{"delete without descriptor", 6, m{1: hashOf("x")}, "", nil, missingParameter},
		{"descriptor without id", 6, without(alice, 2, "id"), "", nil, missingParameter},
		{"CM-031 delete unknown", 6, unknown, "", nil, noCredentials},
		{"delete by another type", 6, with(alice, "x", 2, "type"), "", nil, noCredentials},
		{"CM-032 delete with a token of another RP", 6, alice, "x", nil, pinAuthInvalid},
		{"delete unknown with a bound token", 6, unknown, testRP, nil, pinAuthInvalid},
		{"update without user", 7, alice, "", nil, missingParameter},
		{"update without descriptor", 7, without(update, 2), "", nil, missingParameter},
		{"user without id", 7, without(update, 3, "id"), "", nil, missingParameter},
		{"CM-037 another user.id", 7, with(update, []byte("bob"), 3, "id"), "", nil, invalidParameter},
		{"CM-038 update unknown", 7, with(update, []byte{1}, 2, "id"), "", nil, noCredentials},
		{"update with a token of another RP", 7, update, "x", nil, pinAuthInvalid},
	} {
		params := k.token(2, permCM, c.bound).manage(c.sub, c.subParams)
		if c.change != nil {
			params = c.change(params)
		}
		if status, _ := k.send(request(credentialManagement, params)); status != c.want {
			t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
		}
	}
	k.refuses(pinAuthInvalid, credentialManagement, k.token(2, permMC, testRP).manage(1, nil)) // CM-009
	k.assert(sign(testRP, made.id), made)
	if k.retries() != 8 {
		t.Error("CM-011: PIN retries fell")
	}
}

func set(element any, path ...any) func(m) m {
	return func(params m) m { return with(params, element, path...) }
}

func drop(path ...any) func(m) m { return set(gone{}, path...) }

// TestBoundTokenManagesItsRP: a token of that RP does for what concerns it.
func TestBoundTokenManagesItsRP(t *testing.T) {
	k := manager(t)
	made := k.add(testRP, "alice")
	bound := func(sub int, subParams any) m { return k.token(1, permCM, testRP).manage(sub, subParams) }
	k.ok(credentialManagement, bound(4, m{1: hashOf(testRP)}))
	k.ok(credentialManagement, bound(7, m{2: descriptor(made.id), 3: m{"id": []byte("alice")}}))
	k.ok(credentialManagement, bound(6, m{2: descriptor(made.id)}))
}

func TestCredsMetadata(t *testing.T) {
	k := manager(t)
	for n := range uint64(3) {
		want := map[int]any{1: n, 2: 100 - n}
		if got := k.manage(1, nil); !reflect.DeepEqual(got, want) { // CM-004, CM-005
			t.Errorf("metadata %v, want %v", got, want)
		}
		k.add(testRP, fmt.Sprint("user", n))
	}
}

func TestEnumerateRPs(t *testing.T) {
	k := manager(t)
	k.refuses(noCredentials, credentialManagement, k.token(2, permCM, "").manage(2, nil)) // CM-012
	long := strings.Repeat("long.", 40) + "example"
	rps := []string{testRP, "other.example", long}
	for _, rp := range rps {
		k.add(rp, "alice")
	}
	var got []map[int]any
	got = append(got, k.manage(2, nil), k.ok(credentialManagement, m{1: 3}), k.ok(credentialManagement, m{1: 3})) // CM-015
	for i, rp := range rps {
		want := map[int]any{3: m{"id": rp, "name": cut("RP of " + rp)}, 4: hashOf(rp)} // CM-014
		if i == 0 {
			want[5] = uint64(3) // CM-013
		}
		if !reflect.DeepEqual(got[i], want) {
			t.Errorf("RP %v, want %v", got[i], want)
		}
	}
	k.refuses(notAllowed, credentialManagement, m{1: 3}) // CM-016
}

func cut(name string) string { return name[:min(len(name), 64)] }

func TestEnumerateCredentials(t *testing.T) {
	k := manager(t)
	alice := k.add(testRP, "alice")
	params := with(resident(testRP, "bob"), 3, 6, "credProtect")
	bob := k.create(k.token(2, permMC, testRP).authorize(with(params, []any{publicKeyParam(-8)}, 4)))
	k.add("other.example", "carol")

	first := k.manage(4, m{1: hashOf(testRP)})
	second := k.ok(credentialManagement, m{1: 5})
	want := map[int]any{ // CM-021, CM-022, CM-023, XCP-014
		6:  m{"id": []byte("bob"), "name": "bob@" + testRP, "displayName": "The bob"},
		7:  descriptor(bob.id),
		8:  bob.key,
		9:  uint64(2),
		10: uint64(3),
	}
	if !reflect.DeepEqual(first, want) {
		t.Errorf("first %v, want %v", first, want)
	}
	want = map[int]any{
		6:  m{"id": []byte("alice"), "name": "alice@" + testRP, "displayName": "The alice"},
		7:  descriptor(alice.id),
		8:  alice.key,
		10: uint64(1),
	}
	if !reflect.DeepEqual(second, want) {
		t.Errorf("second %v, want %v", second, want)
	}
	k.refuses(notAllowed, credentialManagement, m{1: 5}) // CM-028
}

// TestEnumerationEnds has what ends an enumeration before its end.
func TestEnumerationEnds(t *testing.T) {
	for _, c := range []struct {
		name    string
		between func(k *key)
	}{
		{"CM-018 another channel", func(k *key) { k.ExchangeFrom(t.Context(), 7, request(credentialManagement, m{1: 3})) }},
		{"CM-019 another command", func(k *key) { k.ok(getInfo, nil) }},
		{"another subcommand", func(k *key) { k.refuses(puatRequired, credentialManagement, m{1: 1}) }},
		{"next of the other kind", func(k *key) { k.send(request(credentialManagement, m{1: 8})) }},
		{"CM-020 30 s", func(k *key) { k.clock.Advance(30*time.Second + 1) }},
		{"CM-034 delete", func(k *key) {
			k.send(request(credentialManagement, k.token(2, permCM, "").manage(6, m{2: descriptor([]byte{1})})))
		}},
		{"power cycle", func(k *key) { k.PowerCycle() }},
	} {
		for begin, next := range map[int]int{2: 3, 4: 5} {
			k := manager(t)
			for _, rp := range []string{testRP, "other.example"} {
				k.add(rp, "alice")
				k.add(rp, "bob")
			}
			k.manage(begin, m{1: hashOf(testRP)})
			c.between(k)
			if status, _ := k.send(request(credentialManagement, m{1: next})); status != notAllowed {
				t.Errorf("%s: status %#02x, want NOT_ALLOWED", c.name, status)
			}
		}
	}
}

func TestDeleteCredential(t *testing.T) {
	k := manager(t)
	alice, bob := k.add(testRP, "alice"), k.add("other.example", "bob")
	k.manage(6, m{2: descriptor(alice.id)}) // CM-030
	k.refuses(noCredentials, getAssertion, sign(testRP))
	k.refuses(noCredentials, getAssertion, sign(testRP, alice.id))
	if got := k.manage(1, nil); got[2] != uint64(99) {
		t.Errorf("CM-030: metadata %v", got)
	}
	if got := k.manage(2, nil); got[5] != uint64(1) || !bytes.Equal(got[4].([]byte), hashOf("other.example")) {
		t.Errorf("CM-033: %v", got)
	}
	k.assert(sign("other.example"), bob)
}

func TestUpdateUserInformation(t *testing.T) {
	k := manager(t, withRoomFor(2))
	alice, bob := k.add(testRP, "alice"), k.add(testRP, "bob")
	user := func() any {
		k.manage(4, m{1: hashOf(testRP)})
		return k.ok(credentialManagement, m{1: 5})[6] // alice is the older one
	}
	for _, want := range []m{
		{"id": []byte("alice"), "name": "new", "displayName": "New"}, // CM-035, CM-039
		{"id": []byte("alice"), "name": "newer"},                     // CM-036
		{"id": []byte("alice")},
	} {
		k.manage(7, m{2: descriptor(alice.id), 3: want})
		if got := user(); !reflect.DeepEqual(got, want) {
			t.Errorf("user %v, want %v", got, want)
		}
	}
	k.manage(7, m{2: descriptor(alice.id), 3: m{"id": []byte("alice"), "name": ""}})
	if got := user(); !reflect.DeepEqual(got, m{"id": []byte("alice")}) {
		t.Errorf("empty name is kept: %v", got)
	}
	k.assert(sign(testRP), bob) // the order is the same
	k.assert(sign(testRP, alice.id), alice)
}

// TestNamesAreCut is MC-022 and MC-024.
func TestNamesAreCut(t *testing.T) {
	k := manager(t)
	for name, want := range map[string]string{
		strings.Repeat("x", 64):       strings.Repeat("x", 64),
		strings.Repeat("x", 200):      strings.Repeat("x", 64),
		strings.Repeat("\u20ac", 30):  strings.Repeat("\u20ac", 21), // 63 bytes
		"x" + strings.Repeat("é", 40): "x" + strings.Repeat("é", 31),
		"Привет, 世界":                  "Привет, 世界",
	} {
		params := resident(testRP, "alice")
		params[3] = m{"id": []byte("alice"), "name": name, "displayName": name}
		k.create(k.token(2, permMC, testRP).authorize(params))
		got := k.manage(4, m{1: hashOf(testRP)})[6]
		if !reflect.DeepEqual(got, m{"id": []byte("alice"), "name": want, "displayName": want}) {
			t.Errorf("stored %v, want %q", got, want)
		}
	}
}

// TestManyCredentials is CM-043: 20 RPs with 3 credentials each.
func TestManyCredentials(t *testing.T) {
	k := manager(t)
	want := map[string]bool{}
	for i := range 60 {
		made := k.add(fmt.Sprintf("rp%d.example", i%20), fmt.Sprint("user", i))
		want[string(made.id)] = true
	}
	var hashes [][]byte
	for reply := k.manage(2, nil); ; reply = k.ok(credentialManagement, m{1: 3}) {
		hashes = append(hashes, reply[4].([]byte))
		if len(hashes) == 20 {
			break
		}
	}
	for _, hash := range hashes {
		reply := k.manage(4, m{1: hash})
		for range 2 {
			delete(want, string(reply[7].(m)["id"].([]byte)))
			reply = k.ok(credentialManagement, m{1: 5})
		}
		delete(want, string(reply[7].(m)["id"].([]byte)))
	}
	if len(want) != 0 {
		t.Errorf("%d credentials were not listed", len(want))
	}
}
