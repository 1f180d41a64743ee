package simulator_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestClientPINRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		params m
		want   byte
	}{
		{"PIN-001 subCommand missing", m{1: 2}, missingParameter},
		{"PIN-002 subCommand is text", m{2: "x"}, unexpectedType},
		{"PIN-003 subCommand 0x7F", m{2: 0x7f}, invalidSubcommand},
		{"subCommand 0x08, never assigned", m{2: 8}, invalidSubcommand},
		{"subCommand beyond a byte", m{2: 0x101}, invalidSubcommand},
		{"PIN-008 getUVRetries", m{2: 7}, invalidSubcommand},
		{"PIN-009 getKeyAgreement without protocol", m{2: 2}, missingParameter},
		{"PIN-010 getKeyAgreement with protocol 99", m{1: 99, 2: 2}, invalidParameter},
		{"getKeyAgreement with protocol 0", m{1: 0, 2: 2}, invalidParameter},
		{"PIN-011 protocol is text", m{1: "x", 2: 2}, unexpectedType},
		{"PIN-074 token by built-in verification", m{1: 2, 2: 6}, invalidSubcommand},
	} {
		k := newKey(t)
		if status, _ := k.send(request(clientPIN, c.params)); status != c.want {
			t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
		}
	}
}

func TestPINRetries(t *testing.T) {
	k := newKey(t)
	for range 2 {
		reply := k.ok(clientPIN, m{2: 1}) // PIN-004, PIN-005
		if reply[3] != uint64(8) || reply[4] != false || len(reply) != 2 {
			t.Errorf("PIN-006: reply %v", reply)
		}
	}
}

func TestKeyAgreement(t *testing.T) {
	k := newKey(t)
	ask := func(protocol int) m { return k.ok(clientPIN, m{1: protocol, 2: 2})[1].(m) }
	x := func(key m) string { return string(key[int64(-2)].([]byte)) }
	for _, protocol := range []int{1, 2} {
		first := ask(protocol)
		if len(first) != 5 || first[uint64(1)] != uint64(2) || first[uint64(3)] != int64(-25) || first[int64(-1)] != uint64(1) {
			t.Errorf("PIN-012: %v", first)
		}
		if x(ask(protocol)) != x(first) {
			t.Error("PIN-014: another key without reason")
		}
		if x(ask(3-protocol)) == x(first) {
			t.Error("both protocols share a key")
		}
		k.PowerCycle()
		if x(ask(protocol)) == x(first) {
			t.Error("PIN-013: same key after a power cycle")
		}
	}
}

func TestSetPIN(t *testing.T) {
	euro := "\u20ac"
	for _, c := range []struct {
		name   string
		padded []byte
		want   byte
	}{
		{"PIN-015 four characters", padded("1234"), ok},
		{"PIN-016 63 bytes", padded(strings.Repeat("x", 63)), ok},
		{"PIN-017 three characters", padded("123"), pinPolicyViolation},
		{"PIN-018 three characters of 3 bytes", padded(strings.Repeat(euro, 3)), pinPolicyViolation},
		{"PIN-019 four characters of 3 bytes", padded(strings.Repeat(euro, 4)), ok},
		{"PIN-020 64 bytes", bytes.Repeat([]byte("x"), 64), pinPolicyViolation},
		{"PIN-021 empty", padded(""), pinPolicyViolation},
		{"PIN-022 block of 32 bytes", padded("1234")[:32], invalidParameter},
		{"PIN-023 block of 128 bytes", append(padded("1234"), make([]byte, 64)...), invalidParameter},
		{"PIN-024 not UTF-8", padded("12\xff34"), pinPolicyViolation},
		{"zero byte inside", padded("12\x0034"), ok},
	} {
		for _, protocol := range []int{1, 2} {
			k := newKey(t)
			status, _ := k.send(request(clientPIN, k.agree(protocol).setPINParams(c.padded)))
			if status != c.want {
				t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
			}
			if set := k.ok(getInfo, nil)[4].(m)["clientPin"]; set != (c.want == ok) {
				t.Errorf("%s: clientPin %v", c.name, set)
			}
			if pin := string(bytes.TrimRight(c.padded, "\x00")); c.want == ok && k.enterPIN(pin) != ok {
				t.Errorf("%s: PIN is not accepted afterwards", c.name)
			}
		}
	}
}

func TestSetPINRefuses(t *testing.T) {
	// A point that is no other's business: x = y = 1 is not on P-256.
	one := append(make([]byte, 31), 1)
	prime := append([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1}, append(make([]byte, 12), bytes.Repeat([]byte{0xff}, 12)...)...)
	for _, protocol := range []int{1, 2} {
		k := newKey(t)
		p := k.agree(protocol)
		good := p.setPINParams(padded(testPIN))
		x, y := slices.Clone(p.cose[-2].([]byte)), p.cose[-3].([]byte)
		odd := p.encrypt(padded(testPIN))[:63]
		for _, c := range []struct {
			name   string
			params m
			want   byte
		}{
			{"protocol missing", without(good, 1), missingParameter},
			{"PIN-026 keyAgreement missing", without(good, 3), missingParameter},
			{"PIN-027 newPinEnc missing", without(good, 5), missingParameter},
			{"PIN-028 pinUvAuthParam missing", without(good, 4), missingParameter},
			{"protocol 99", with(good, 99, 1), invalidParameter},
			{"step 1 before 2", without(with(good, 99, 1), 5), missingParameter},
			{"PIN-029 wrong pinUvAuthParam", with(good, make([]byte, 32), 4), pinAuthInvalid},
			{"empty pinUvAuthParam", with(good, []byte{}, 4), pinAuthInvalid},
			{"PIN-030 key not on the curve", with(with(good, one, 3, -2), one, 3, -3), invalidParameter},
			{"CBR-024 point (0,0)", with(with(good, make([]byte, 32), 3, -2), make([]byte, 32), 3, -3), invalidParameter},
			{"CBR-024 x is the prime", with(good, prime, 3, -2), invalidParameter},
			{"x of 31 bytes", with(good, one[1:], 3, -2), invalidParameter},
			{"PIN-031 kty 1", with(good, 1, 3, 1), invalidParameter},
			{"PIN-031 alg -7", with(good, -7, 3, 3), invalidParameter},
			{"crv 2", with(good, 2, 3, -1), invalidParameter},
			{"no y", without(good, 3, -3), invalidParameter},
			{"point cut elsewhere", with(with(good, x[:31], 3, -2), append(x[31:], y...), 3, -3), invalidParameter},
			{"keyAgreement is text", with(good, "x", 3), unexpectedType},
			{"x is text", with(good, "x", 3, -2), unexpectedType},
			{"step 4 before 5", with(with(good, one, 3, -2), make([]byte, 32), 4), invalidParameter},
			{"step 6 cannot decrypt", with(with(good, odd, 5), p.mac(odd), 4), pinAuthInvalid},
		} {
			if status, _ := k.send(request(clientPIN, c.params)); status != c.want {
				t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
			}
		}
		k.ok(clientPIN, good)
		k.refuses(pinAuthInvalid, clientPIN, good)                   // PIN-032
		k.refuses(pinAuthInvalid, clientPIN, with(good, one, 3, -2)) // step 3 before 4
	}
}

func TestChangePIN(t *testing.T) {
	for _, protocol := range []int{1, 2} {
		k := newKey(t)
		k.refuses(pinNotSet, clientPIN, k.agree(protocol).changePINParams(testPIN, "5678")) // PIN-037
		k.setPIN(testPIN)
		good := k.agree(protocol).changePINParams(testPIN, "5678")
		for _, member := range []int{1, 3, 4, 5, 6} {
			k.refuses(missingParameter, clientPIN, without(good, member)) // PIN-038
		}
		k.refuses(invalidParameter, clientPIN, with(good, 99, 1))
		k.refuses(pinAuthInvalid, clientPIN, with(good, make([]byte, 32), 4)) // PIN-036
		k.refuses(invalidParameter, clientPIN, with(good, 3, 3, 1))
		if k.retries() != 8 {
			t.Error("PIN-036: a retry is gone")
		}

		k.refuses(pinInvalid, clientPIN, k.agree(protocol).changePINParams("0000", "5678")) // PIN-034
		if k.retries() != 7 {
			t.Error("PIN-034: no retry is gone")
		}
		k.refuses(pinPolicyViolation, clientPIN, k.agree(protocol).changePINParams(testPIN, "567")) // PIN-035
		if k.retries() != 8 {
			t.Error("PIN-035: retries are not at the maximum")
		}
		old := k.oldToken(protocol)
		k.ok(clientPIN, k.agree(protocol).changePINParams(testPIN, testPIN)) // PIN-040
		k.refuses(pinAuthInvalid, makeCredential, old.authorize(creation()))
		k.ok(clientPIN, k.agree(protocol).changePINParams(testPIN, "5678")) // PIN-033
		if k.enterPIN(testPIN) != pinInvalid || k.enterPIN("5678") != ok {
			t.Error("PIN-033: old PIN works, or the new one does not")
		}
	}
}

func TestGetPINToken(t *testing.T) {
	for _, protocol := range []int{1, 2} {
		k := newKey(t)
		k.refuses(pinNotSet, clientPIN, k.agree(protocol).tokenParams(testPIN)) // PIN-043
		k.setPIN(testPIN)
		good := k.agree(protocol).tokenParams(testPIN)
		encrypted := k.ok(clientPIN, good)[2].([]byte) // PIN-042
		if len(encrypted) != 32+16*(protocol-1) {
			t.Errorf("PIN-042: %d bytes", len(encrypted))
		}
		for _, member := range []int{1, 3, 6} {
			k.refuses(missingParameter, clientPIN, without(good, member))
		}
		k.refuses(invalidParameter, clientPIN, with(good, 99, 1))
		k.refuses(invalidParameter, clientPIN, with(good, 3, 9))       // PIN-056
		k.refuses(invalidParameter, clientPIN, with(good, testRP, 10)) // PIN-056
		k.refuses(invalidParameter, clientPIN, with(good, 3, 3, 1))

		k.refuses(pinInvalid, clientPIN, k.agree(protocol).tokenParams("0000")) // PIN-044
		k.refuses(pinInvalid, clientPIN, good)                                  // PIN-046: the key is another one
		if k.retries() != 6 {
			t.Error("PIN-047: retries")
		}
		k.ok(clientPIN, k.agree(protocol).tokenParams(testPIN)) // PIN-045
		if k.retries() != 8 {
			t.Error("PIN-045: retries are not at the maximum")
		}
		for _, size := range []int{0, 15, 17} {
			p := k.agree(protocol)
			k.refuses(pinInvalid, clientPIN, with(p.tokenParams(testPIN), make([]byte, size), 6)) // PIN-080
			k.ok(clientPIN, k.agree(protocol).tokenParams(testPIN))
		}
		p := k.agree(protocol)
		long := p.encrypt(append(pinHash(testPIN), make([]byte, 16)...))
		k.refuses(pinInvalid, clientPIN, with(p.tokenParams(testPIN), long, 6))
	}
}

func TestTokenWithPermissions(t *testing.T) {
	k := newKey(t)
	k.refuses(pinNotSet, clientPIN, with(with(k.agree(2).tokenParams(testPIN), 9, 2), permCM, 9))
	k.setPIN(testPIN)
	good := with(with(with(k.agree(2).tokenParams(testPIN), 9, 2), permMC, 9), testRP, 10)
	for _, c := range []struct {
		name   string
		params m
		want   byte
	}{
		{"protocol missing", without(good, 1), missingParameter},
		{"keyAgreement missing", without(good, 3), missingParameter},
		{"pinHashEnc missing", without(good, 6), missingParameter},
		{"PIN-058 permissions missing", without(good, 9), missingParameter},
		{"PIN-059 permissions 0", with(good, 0, 9), invalidParameter},
		{"PIN-060 mc without rpId", without(good, 10), missingParameter},
		{"PIN-060 ga without rpId", without(with(good, permGA, 9), 10), missingParameter},
		{"step 2 before 3", with(with(good, 0, 9), 99, 1), invalidParameter},
		{"PIN-062 be", with(good, 0x08, 9), unauthorizedPermission},
		{"PIN-063 lbw", with(good, permMC|0x10, 9), unauthorizedPermission},
		{"PIN-064 acfg", with(good, 0x20, 9), unauthorizedPermission},
		{"pcmr", with(good, 0x40, 9), unauthorizedPermission},
		{"step 4 before 6", with(with(good, 0x20, 9), 1, 3, 1), unauthorizedPermission},
		{"platform key of kty 1", with(good, 1, 3, 1), invalidParameter},
		{"PIN-061 unknown bit too", with(good, permMC|0x80, 9), ok},
		{"cm without rpId", without(with(good, permCM, 9), 10), ok},
	} {
		if status, _ := k.send(request(clientPIN, c.params)); status != c.want {
			t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
		}
	}
	if k.retries() != 8 {
		t.Error("refused requests cost retries")
	}
}

// TestPINLockOut is PIN-048 to PIN-055: 31 31 34, power, 31 31 34, power, 31 32.
func TestPINLockOut(t *testing.T) {
	k := newKey(t)
	k.setPIN(testPIN)
	try := func(pin string, want byte, retries uint64) {
		t.Helper()
		if status := k.enterPIN(pin); status != want {
			t.Errorf("status %#02x, want %#02x", status, want)
		}
		if got := k.retries(); got != retries {
			t.Errorf("%d retries, want %d", got, retries)
		}
	}
	try("0000", pinInvalid, 7)
	try("0000", pinInvalid, 6)
	try("0000", pinAuthBlocked, 5)  // PIN-048
	try(testPIN, pinAuthBlocked, 5) // PIN-049
	if state := k.ok(clientPIN, m{2: 1})[4]; state != true {
		t.Errorf("PIN-050: powerCycleState %v", state)
	}
	k.refuses(pinAuthBlocked, clientPIN, k.agree(2).changePINParams(testPIN, "5678"))
	k.refuses(pinAuthBlocked, clientPIN, with(with(k.agree(2).tokenParams(testPIN), 9, 2), permCM, 9))
	k.PowerCycle()
	try("0000", pinInvalid, 4) // PIN-055
	try("0000", pinInvalid, 3)
	try("0000", pinAuthBlocked, 2)
	k.PowerCycle()
	try("0000", pinInvalid, 1)
	try("0000", pinBlocked, 0)  // PIN-052
	try(testPIN, pinBlocked, 0) // PIN-053
	k.PowerCycle()
	try(testPIN, pinBlocked, 0)
	k.refuses(pinBlocked, clientPIN, k.agree(2).changePINParams(testPIN, "5678"))

	k.ok(reset, nil) // PIN-054
	k.setPIN("new PIN")
	try("new PIN", ok, 8)
}

func TestPINAfterPowerCycle(t *testing.T) {
	k := newKey(t)
	k.setPIN(testPIN)
	for range 3 {
		k.enterPIN("0000")
	}
	k.PowerCycle()
	if status := k.enterPIN(testPIN); status != ok || k.retries() != 8 {
		t.Errorf("PIN-051: status %#02x", status)
	}
	k.enterPIN("0000")
	k.enterPIN("0000")
	k.enterPIN(testPIN)
	k.enterPIN("0000")
	if status := k.enterPIN("0000"); status != pinInvalid {
		t.Errorf("the right PIN does not end a row of wrong ones: status %#02x", status)
	}
}

func TestTokenState(t *testing.T) {
	start := func(t *testing.T) (*key, created) {
		k := newKey(t)
		made := k.create(creation())
		k.setPIN(testPIN)
		return k, made
	}
	for _, protocol := range []int{1, 2} {
		t.Run("PIN-067 a new token ends the old", func(t *testing.T) {
			k, made := start(t)
			old := k.oldToken(protocol)
			k.oldToken(3 - protocol)
			k.refuses(pinAuthInvalid, getAssertion, old.authorizeGA(sign(testRP, made.id)))
		})
		t.Run("PIN-068 unused for 30 s", func(t *testing.T) {
			k, made := start(t)
			params := k.oldToken(protocol).authorizeGA(sign(testRP, made.id))
			k.clock.Advance(30*time.Second - 1)
			k.assert(params, made)
			params = k.oldToken(protocol).authorizeGA(sign(testRP, made.id))
			k.clock.Advance(30 * time.Second)
			k.refuses(pinAuthInvalid, getAssertion, params)
		})
		t.Run("PIN-069 used for 10 minutes", func(t *testing.T) {
			k, made := start(t)
			quiet := with(sign(testRP, made.id), false, 5, "up")
			params := k.oldToken(protocol).authorizeGA(quiet)
			for range 59 {
				k.clock.Advance(10 * time.Second)
				k.assert(params, made)
			}
			k.clock.Advance(10 * time.Second)
			k.refuses(pinAuthInvalid, getAssertion, params)
		})
		t.Run("PIN-070 power cycle", func(t *testing.T) {
			k, made := start(t)
			old := k.oldToken(protocol)
			k.PowerCycle()
			k.refuses(pinAuthInvalid, getAssertion, old.authorizeGA(sign(testRP, made.id)))
			if bytes.Equal(k.oldToken(protocol).value, old.value) {
				t.Error("same token after a power cycle")
			}
		})
		t.Run("a touch uses it up", func(t *testing.T) {
			k, made := start(t)
			old := k.token(protocol, permMC|permGA|permCM, testRP)
			k.create(creation()) // without the token
			k.refuses(pinAuthInvalid, getAssertion, old.authorizeGA(sign(testRP, made.id)))
			k.refuses(pinAuthInvalid, credentialManagement, old.manage(4, m{1: hashOf(testRP)}))
		})
		t.Run("credential management does not use it up", func(t *testing.T) {
			k, _ := start(t)
			old := k.token(protocol, permCM, "")
			for range 3 {
				k.ok(credentialManagement, old.manage(1, nil))
			}
		})
	}
}

func TestTokenOverNFC(t *testing.T) {
	k := newKey(t)
	k.overNFC = true
	k.setPIN(testPIN)
	for _, c := range []struct {
		pause time.Duration
		want  byte
	}{{19800*time.Millisecond - 1, ok}, {19800 * time.Millisecond, pinAuthInvalid}} {
		params := k.oldToken(2).authorize(creation())
		k.clock.Advance(c.pause)
		if status, _ := k.send(request(makeCredential, params)); status != c.want {
			t.Errorf("PIN-068: status %#02x after %v", status, c.pause)
		}
	}
}

// TestProtocolsMixed is PIN-081.
func TestProtocolsMixed(t *testing.T) {
	k := newKey(t)
	one, two := k.agree(1), k.agree(2)
	k.ok(clientPIN, two.setPINParams(padded(testPIN)))
	mixed := with(one.tokenParams(testPIN), 2, 1)
	k.refuses(pinInvalid, clientPIN, mixed)
	k.ok(clientPIN, one.tokenParams(testPIN)) // only the key of protocol two is renewed
	if slices.Equal(one.secret, k.agree(2).secret[:32]) {
		t.Error("shared secrets are the same")
	}
}
