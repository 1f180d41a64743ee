package simulator_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestGetAssertionRefuses has the requests that end without a touch, on a key
// with one credential that is not discoverable.
func TestGetAssertionRefuses(t *testing.T) {
	k := newKey(t)
	made := k.create(creation())
	good := sign(testRP, made.id)
	flipped := bytes.Clone(made.id)
	flipped[20] ^= 1
	for _, c := range []struct {
		name   string
		params m
		want   byte
	}{
		{"GA-002 rpId missing", without(good, 1), missingParameter},
		{"GA-003 rpId is bytes", with(good, []byte{1}, 1), unexpectedType},
		{"GA-004 rpId is empty", with(good, "", 1), noCredentials},
		{"GA-005 clientDataHash missing", without(good, 2), missingParameter},
		{"GA-006 clientDataHash is text", with(good, "x", 2), unexpectedType},
		{"clientDataHash of 33 bytes", with(good, make([]byte, 33), 2), invalidLength},
		{"GA-007 allowList is a map", with(good, m{}, 3), unexpectedType},
		{"GA-008 element is a number", with(good, []any{1}, 3), unexpectedType},
		{"GA-009 element without type", without(good, 3, 0, "type"), missingParameter},
		{"GA-010 element without id", without(good, 3, 0, "id"), missingParameter},
		{"GA-011 type is a number", with(good, 1, 3, 0, "type"), unexpectedType},
		{"GA-012 id is text", with(good, "x", 3, 0, "id"), unexpectedType},
		{"GA-016 unknown id", sign(testRP, []byte{1}), noCredentials},
		{"unknown type only", with(good, "x", 3, 0, "type"), noCredentials},
		{"GA-017 bit flipped", sign(testRP, flipped), noCredentials},
		{"GA-018 id cut short", sign(testRP, made.id[:len(made.id)-1]), noCredentials},
		{"GA-018 id extended", sign(testRP, append(bytes.Clone(made.id), 0)), noCredentials},
		{"GA-018 id empty", sign(testRP, []byte{}), noCredentials},
		{"GA-019 other rpId", sign("other.example", made.id), noCredentials},
		{"GA-020 nothing stored", sign("other.example"), noCredentials},
		{"GA-021 empty allowList", with(good, []any{}, 3), noCredentials},
		{"GA-022 not discoverable", sign(testRP), noCredentials},
		{"GA-023 allowList too long", sign(testRP, slices.Repeat([][]byte{made.id}, 21)...), limitExceeded},
		{"GA-025 extensions is text", with(good, "x", 4), unexpectedType},
		{"GA-027 options is an array", with(good, []any{}, 5), unexpectedType},
		{"GA-029 options.rk true", with(good, true, 5, "rk"), unsupportedOption},
		{"GA-029 options.rk false", with(good, false, 5, "rk"), unsupportedOption},
		{"GA-032 up false, unknown id", with(sign(testRP, []byte{1}), false, 5, "up"), noCredentials},
		{"GA-033 options.uv true", with(good, true, 5, "uv"), invalidOption},
		{"GA-038 param without protocol", with(good, make([]byte, 32), 6), missingParameter},
		{"GA-039 protocol 99", with(with(good, make([]byte, 32), 6), 99, 7), invalidParameter},
		{"step 2 before 4", with(with(good, make([]byte, 32), 6), true, 5, "rk"), missingParameter},
		{"step 4 before 7", with(sign(testRP), true, 5, "rk"), unsupportedOption},
	} {
		k.prompted()
		if status, _ := k.send(request(getAssertion, c.params)); status != c.want {
			t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
		}
		if k.prompted() != 0 {
			t.Errorf("%s: asked for a touch", c.name)
		}
	}
}

func TestGetAssertionAccepts(t *testing.T) {
	k := newKey(t)
	made := k.create(creation())
	other := k.create(creation())
	good := sign(testRP, made.id)
	badType := with(descriptor([]byte{1}), "x", "type")
	for _, c := range []struct {
		name   string
		params m
		up     bool
	}{
		{"GA-001 smallest", good, true},
		{"GA-013 unknown type and a good one", with(good, []any{badType, descriptor(made.id)}, 3), true},
		{"GA-014 extra members", with(with(good, "x", 3, 0, "more"), []any{"usb"}, 3, 0, "transports"), true},
		{"GA-015 unknown id and a good one", sign(testRP, []byte{1}, made.id), true},
		{"GA-024 several good ids", sign(testRP, made.id, other.id), true},
		{"GA-026 unknown extension", with(good, m{"x": m{"y": 1}}, 4), true},
		{"GA-028 unknown option", with(good, 1, 5, "fly"), true},
		{"GA-030 up true", with(good, true, 5, "up"), true},
		{"GA-031 up false", with(good, false, 5, "up"), false},
		{"GA-035 uv false", with(good, false, 5, "uv"), true},
		{"param on a key without a PIN", with(with(good, make([]byte, 32), 6), 2, 7), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k.T = t
			k.prompted()
			got, reply := k.assert(c.params, made)
			if prompts := k.prompted(); (prompts == 1) != c.up {
				t.Errorf("%d touches asked for", prompts)
			}
			if got.up != c.up || got.uv || got.at || got.ed || got.rest != 0 || len(got.raw) != 37 {
				t.Errorf("GA-048: authData %x", got.raw)
			}
			if rp := sha256.Sum256([]byte(testRP)); !bytes.Equal(got.rpIDHash, rp[:]) {
				t.Error("GA-049: rpIdHash")
			}
			// GA-051, GA-054, GA-055, GA-059
			if len(reply) != 3 || !reflect.DeepEqual(reply[1], descriptor(made.id)) {
				t.Errorf("reply %v", reply)
			}
		})
	}
}

func TestGetAssertionTouch(t *testing.T) {
	k := newKey(t)
	made := k.create(creation())
	k.touch = k.nobody
	k.refuses(operationDenied, getAssertion, sign(testRP, made.id)) // GA-047
	k.touch = declined
	k.refuses(operationDenied, getAssertion, sign(testRP, made.id))
	k.touch = nil

	ask := with(sign(testRP, made.id), []byte{}, 6)
	k.prompted()
	k.refuses(pinNotSet, getAssertion, ask) // GA-036
	k.setPIN(testPIN)
	k.refuses(pinInvalid, getAssertion, ask) // GA-037
	if k.prompted() != 2 {
		t.Error("GA-036, GA-037: no touch asked for")
	}
}

// TestSignatureCounter is GA-050, GA-060 and STA-005: one counter for all
// credentials, over power cycles.
func TestSignatureCounter(t *testing.T) {
	k := newKey(t)
	first, second := k.create(creation()), k.create(resident(testRP, "alice"))
	last := second.count
	for i := range 6 {
		made := []created{first, second}[i%2]
		got, _ := k.assert(with(sign(testRP, made.id), i%3 == 0, 5, "up"), made)
		if got.count <= last {
			t.Errorf("counter %d after %d", got.count, last)
		}
		last = got.count
		k.PowerCycle()
	}
}

func TestGetAssertionWithPIN(t *testing.T) {
	for _, protocol := range []int{1, 2} {
		k := newKey(t)
		made := k.create(creation())
		k.setPIN(testPIN)
		plain := sign(testRP, made.id)
		good := k.token(protocol, permGA, testRP).authorizeGA(plain)
		flipped := bytes.Clone(good[6].([]byte))
		flipped[0] ^= 0x80

		k.refuses(pinAuthInvalid, getAssertion, with(good, flipped, 6))               // GA-040
		k.refuses(pinAuthInvalid, getAssertion, with(good, "other.example", 1))       // GA-044
		k.refuses(pinAuthInvalid, getAssertion, with(good, 3-protocol, 7))            // PIN-071
		k.refuses(noCredentials, getAssertion, with(good, descriptors([]byte{1}), 3)) // step 6 before 7
		if got, _ := k.assert(with(good, true, 5, "uv"), made); !got.uv || !got.up {  // GA-041
			t.Error("GA-041: flags")
		}
		k.refuses(pinAuthInvalid, getAssertion, good) // used up
		if got, _ := k.assert(plain, made); got.uv {  // GA-042
			t.Error("GA-042: UV without a token")
		}
		k.refuses(pinAuthInvalid, getAssertion, k.token(protocol, permMC|permCM, testRP).authorizeGA(plain)) // GA-043
	}
}

func TestPowerCycleKeepsCredentials(t *testing.T) {
	k := newKey(t)
	listed, resident := k.create(creation()), k.create(resident(testRP, "alice"))
	k.PowerCycle()
	k.assert(sign(testRP, listed.id), listed) // GA-057
	k.assert(sign(testRP), resident)          // GA-058
}

func TestUserOfAssertion(t *testing.T) {
	k := newKey(t)
	alice := k.create(resident(testRP, "alice"))
	id := func(user string) m { return m{"id": []byte(user)} }
	whole := func(user string) m {
		return m{"id": []byte(user), "name": user + "@" + testRP, "displayName": "The " + user}
	}

	_, reply := k.assert(sign(testRP, alice.id), alice)
	if user, there := reply[4]; there {
		t.Errorf("GA-056: user %v with an allowList", user)
	}
	_, reply = k.assert(sign(testRP), alice)
	if _, there := reply[5]; there || !reflect.DeepEqual(reply[4], id("alice")) {
		t.Errorf("GA-055: one match: %v", reply)
	}
	bob := k.create(resident(testRP, "bob"))
	_, reply = k.assert(sign(testRP), bob)
	if !reflect.DeepEqual(reply[4], id("bob")) {
		t.Errorf("GA-052: user %v", reply[4])
	}
	k.setPIN(testPIN)
	_, reply = k.assert(k.token(2, permGA, testRP).authorizeGA(sign(testRP)), bob)
	if !reflect.DeepEqual(reply[4], whole("bob")) {
		t.Errorf("GA-053: user %v", reply[4])
	}
	if next := k.ok(getNextAssertion, nil); !reflect.DeepEqual(next[4], whole("alice")) {
		t.Errorf("GA-053: next user %v", next[4])
	}
	carol := k.create(k.token(2, permMC, "x.org").authorize(resident("x.org", "carol")))
	_, reply = k.assert(k.token(2, permGA, "x.org").authorizeGA(sign("x.org")), carol)
	if !reflect.DeepEqual(reply[4], id("carol")) {
		t.Errorf("GA-053: one match with UV: user %v", reply[4])
	}
}

// threeUsers is a key with three discoverable credentials, the newest first.
func threeUsers(t *testing.T) (*key, []created) {
	k := newKey(t)
	var made []created
	for _, user := range []string{"carol", "bob", "alice"} {
		made = append([]created{k.create(resident(testRP, user))}, made...)
	}
	return k, made
}

func TestGetNextAssertion(t *testing.T) {
	k, made := threeUsers(t)
	k.prompted()
	first, reply := k.assert(sign(testRP), made[0])
	if reply[5] != uint64(3) {
		t.Errorf("GNA-001: numberOfCredentials %v", reply[5])
	}
	last := first.count
	for _, c := range made[1:] {
		k.clock.Advance(30 * time.Second) // GNA-007: not too late
		reply := k.ok(getNextAssertion, nil)
		got := k.verified(reply, c) // GNA-002
		if got.up != first.up || got.uv != first.uv || got.count <= last {
			t.Errorf("GNA-008: authData %x", got.raw)
		}
		if _, there := reply[5]; there {
			t.Error("GNA-013: numberOfCredentials")
		}
		last = got.count
	}
	k.refuses(notAllowed, getNextAssertion, nil) // GNA-003
	if k.prompted() != 1 {
		t.Error("GNA-010: touch for later answers")
	}
}

func TestGetNextAssertionRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(k *key, made []created)
	}{
		{"GNA-004 no getAssertion before", func(k *key, _ []created) { k.ok(getInfo, nil) }},
		{"GNA-005 another command between", func(k *key, _ []created) {
			k.ok(getAssertion, sign(testRP))
			k.ok(clientPIN, m{2: 1})
		}},
		{"GNA-005 unknown command between", func(k *key, _ []created) {
			k.ok(getAssertion, sign(testRP))
			k.refuses(invalidCommand, 0x3f, nil)
		}},
		{"GNA-007 after 30 s", func(k *key, _ []created) {
			k.ok(getAssertion, sign(testRP))
			k.clock.Advance(30*time.Second + time.Millisecond)
		}},
		{"GNA-011 power cycle between", func(k *key, _ []created) {
			k.ok(getAssertion, sign(testRP))
			k.PowerCycle()
		}},
		{"GNA-012 allowList", func(k *key, made []created) {
			k.ok(getAssertion, sign(testRP, made[0].id, made[1].id))
		}},
		{"one match", func(k *key, _ []created) {
			k.create(resident("other.example", "dave"))
			k.ok(getAssertion, sign("other.example"))
		}},
		{"series of another kind", func(k *key, _ []created) {
			k.setPIN(testPIN)
			k.ok(credentialManagement, k.token(2, permCM, "").manage(4, m{1: hashOf(testRP)}))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, made := threeUsers(t)
			c.before(k, made)
			k.refuses(notAllowed, getNextAssertion, nil)
		})
	}
}

// TestSeriesBelongsToChannel is GNA-006 and STA-010.
func TestSeriesBelongsToChannel(t *testing.T) {
	k, _ := threeUsers(t)
	from := func(channel uint32, msg []byte) byte {
		status, _ := k.read(k.ExchangeFrom(t.Context(), channel, msg))
		return status
	}
	begin, next := request(getAssertion, sign(testRP)), []byte{getNextAssertion}
	got := []byte{from(1, begin), from(1, next), from(2, next), from(1, next)}
	if want := []byte{ok, ok, notAllowed, notAllowed}; !bytes.Equal(got, want) {
		t.Errorf("statuses %x, want %x", got, want)
	}
}

// TestSeriesEndsWithToken: a silent assertion leaves the token in use, and the
// series ends with it.
func TestSeriesEndsWithToken(t *testing.T) {
	k := newKey(t)
	for i := range 25 {
		k.create(resident(testRP, fmt.Sprint("user", i)))
	}
	k.setPIN(testPIN)
	k.ok(getAssertion, k.token(2, permGA, testRP).authorizeGA(with(sign(testRP), false, 5, "up")))
	for range 23 {
		k.clock.Advance(25 * time.Second) // 9 min 35 s
		k.ok(getNextAssertion, nil)
	}
	k.clock.Advance(25 * time.Second)
	k.refuses(notAllowed, getNextAssertion, nil)
}

func hashOf(rpID string) []byte {
	sum := sha256.Sum256([]byte(rpID))
	return sum[:]
}
