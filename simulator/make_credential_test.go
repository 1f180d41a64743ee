package simulator_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/simulator"
)

// TestMakeCredentialRefuses has the requests that no touch and no PIN can save.
func TestMakeCredentialRefuses(t *testing.T) {
	es256 := publicKeyParam(-7)
	tooMany := slices.Repeat(descriptors([]byte{1}), 21)
	for _, c := range []struct {
		name   string
		params m
		want   byte
	}{
		{"MC-002 clientDataHash missing", without(creation(), 1), missingParameter},
		{"MC-003 clientDataHash is text", with(creation(), "x", 1), unexpectedType},
		{"MC-004 clientDataHash is 31 bytes", with(creation(), clientDataHash[:31], 1), invalidLength},
		{"MC-005 rp missing", without(creation(), 2), missingParameter},
		{"MC-006 rp is not a map", with(creation(), "x", 2), unexpectedType},
		{"MC-007 rp without id", with(creation(), m{"name": "x"}, 2), missingParameter},
		{"MC-008 rp.id is bytes", with(creation(), []byte("x"), 2, "id"), unexpectedType},
		{"MC-009 rp.id is empty", with(creation(), "", 2, "id"), invalidParameter},
		{"MC-010 rp.name is a number", with(creation(), 1, 2, "name"), unexpectedType},
		{"MC-011 rp.icon is a number", with(creation(), 1, 2, "icon"), unexpectedType},
		{"MC-012 user missing", without(creation(), 3), missingParameter},
		{"MC-013 user is not a map", with(creation(), []any{}, 3), unexpectedType},
		{"MC-014 user without id", with(creation(), m{"name": "x"}, 3), missingParameter},
		{"MC-015 user.id is text", with(creation(), "x", 3, "id"), unexpectedType},
		{"MC-016 user.id of 65 bytes", with(creation(), make([]byte, 65), 3, "id"), invalidLength},
		{"MC-016 user.id of 0 bytes", with(creation(), []byte{}, 3, "id"), invalidLength},
		{"MC-019 user.name is a number", with(creation(), 1, 3, "name"), unexpectedType},
		{"MC-020 user.displayName is a number", with(creation(), 1, 3, "displayName"), unexpectedType},
		{"MC-021 user.icon is bytes", with(creation(), []byte{}, 3, "icon"), unexpectedType},
		{"MC-023 user.displayName is broken UTF-8", with(creation(), "\xff", 3, "displayName"), invalidCBOR},
		{"MC-025 pubKeyCredParams missing", without(creation(), 4), missingParameter},
		{"MC-026 pubKeyCredParams is a map", with(creation(), m{}, 4), unexpectedType},
		{"MC-027 pubKeyCredParams is empty", with(creation(), []any{}, 4), unsupportedAlgorithm},
		{"MC-028 element is a number", with(creation(), []any{1}, 4), unexpectedType},
		{"MC-029 element without type", with(creation(), []any{m{"alg": -7}}, 4), invalidCBOR},
		{"MC-030 element without alg", with(creation(), []any{m{"type": "public-key"}}, 4), invalidCBOR},
		{"MC-031 type is a number", with(creation(), []any{m{"alg": -7, "type": 1}}, 4), unexpectedType},
		{"MC-032 alg is text", with(creation(), []any{m{"alg": "x", "type": "public-key"}}, 4), unexpectedType},
		{"MC-033 broken element after a valid one", with(creation(), []any{es256, m{"alg": -7}}, 4), invalidCBOR},
		{"MC-034 unknown algorithm only", with(creation(), []any{publicKeyParam(-999)}, 4), unsupportedAlgorithm},
		{"MC-034 algorithm beyond 64 bits", with(creation(), []any{m{"alg": uint64(1<<64 - 8), "type": "public-key"}}, 4), unsupportedAlgorithm},
		{"MC-035 known alg with another type", with(creation(), []any{m{"alg": -7, "type": "private-key"}}, 4), unsupportedAlgorithm},
		{"MC-039 excludeList is a number", with(creation(), 1, 5), unexpectedType},
		{"MC-040 excludeList element is a number", with(creation(), []any{1}, 5), unexpectedType},
		{"MC-041 excludeList element without type", with(creation(), []any{m{"id": []byte{1}}}, 5), missingParameter},
		{"MC-042 excludeList element without id", with(creation(), []any{m{"type": "public-key"}}, 5), missingParameter},
		{"MC-043 excludeList type is a number", with(creation(), []any{m{"id": []byte{1}, "type": 1}}, 5), unexpectedType},
		{"MC-044 excludeList id is text", with(creation(), []any{m{"id": "x", "type": "public-key"}}, 5), unexpectedType},
		{"MC-050 excludeList too long", with(creation(), tooMany, 5), limitExceeded},
		{"MC-052 extensions is text", with(creation(), "x", 6), unexpectedType},
		{"MC-055 options is an array", with(creation(), []any{}, 7), unexpectedType},
		{"MC-056 options.rk is a number", with(creation(), 1, 7, "rk"), unexpectedType},
		{"MC-061 options.up false", with(creation(), false, 7, "up"), invalidOption},
		{"MC-064 options.uv true", with(creation(), true, 7, "uv"), invalidOption},
		{"MC-071 pinUvAuthParam without protocol", with(creation(), make([]byte, 32), 8), missingParameter},
		{"MC-072 protocol 99", with(with(creation(), make([]byte, 32), 8), 99, 9), invalidParameter},
		{"MC-084 enterpriseAttestation", with(creation(), 1, 10), invalidParameter},
		{"MC-086 enterpriseAttestation is text", with(creation(), "x", 10), unexpectedType},
		{"MC-093 attestationFormatsPreference is no array", with(creation(), "x", 11), unexpectedType},
		{"attestationFormatsPreference of numbers", with(creation(), []any{1}, 11), unexpectedType},

		// The order of the steps shows in requests with two faults.
		{"step 2 before 3", with(with(creation(), make([]byte, 32), 8), []any{}, 4), missingParameter},
		{"step 3 before 5", with(with(creation(), false, 7, "up"), []any{}, 4), unsupportedAlgorithm},
		{"step 5 before 9", with(with(creation(), false, 7, "up"), 1, 10), invalidOption},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKey(t)
			k.refuses(c.want, makeCredential, c.params)
			if k.prompted() != 0 {
				t.Error("asked for a touch")
			}
			if n := k.ok(getInfo, nil)[20]; n != uint64(100) {
				t.Error("a credential was stored")
			}
		})
	}
}

// TestMakeCredentialAccepts has the requests that must be served with a touch.
func TestMakeCredentialAccepts(t *testing.T) {
	unknown := func(n int) m {
		extensions := m{}
		for i := range n {
			extensions[fmt.Sprintf("org.example.%d", i)] = i
		}
		return extensions
	}
	for _, c := range []struct {
		name   string
		params m
	}{
		{"MC-001 smallest", creation()},
		{"MC-018 user with id only", creation()},
		{"MC-045 excludeList element of unknown type", with(creation(), []any{m{"id": []byte{1}, "type": "x"}}, 5)},
		{"MC-046 excludeList element of unknown id", with(creation(), descriptors([]byte{1}), 5)},
		{"MC-047 excludeList with transports", with(creation(), []any{with(descriptor([]byte{1}), []any{"usb"}, "transports")}, 5)},
		{"empty excludeList", with(creation(), []any{}, 5)},
		{"MC-053 unknown extension", with(creation(), unknown(1), 6)},
		{"MC-054 30 unknown extensions", with(creation(), unknown(30), 6)},
		{"MC-057 unknown option", with(creation(), 1, 7, "fly")},
		{"MC-062 options.up true", with(creation(), true, 7, "up")},
		{"MC-063 options.uv false", with(creation(), false, 7, "uv")},
		{"MC-073 pinUvAuthParam without a PIN", with(with(creation(), make([]byte, 32), 8), 2, 9)},
		{"MC-073 uv beside it", with(with(with(creation(), make([]byte, 32), 8), 2, 9), true, 7, "uv")},
		{"MC-091 packed first", with(creation(), []any{"packed", "none"}, 11)},
		{"MC-092 unknown formats only", with(creation(), []any{"x"}, 11)},
		{"none is not the only format", with(creation(), []any{"none", "x"}, 11)},
		{"empty attestationFormatsPreference", with(creation(), []any{}, 11)},
		{"MC-101 unknown parameter", with(creation(), 1, 0x7f)},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKey(t)
			made := k.create(c.params)
			if k.prompted() != 1 {
				t.Error("did not ask for exactly one touch")
			}
			checkRegistration(t, made)
			if made.uv {
				t.Error("UV is set")
			}
			k.assert(sign(testRP, made.id), made)
		})
	}
}

// checkRegistration is MCR-001 to MCR-016 for self attestation without
// extensions.
func checkRegistration(t *testing.T, made created) {
	t.Helper()
	rp := sha256.Sum256([]byte(testRP))
	if !bytes.Equal(made.rpIDHash, rp[:]) {
		t.Error("MCR-003 rpIdHash")
	}
	if !made.up || !made.at || made.ed || made.rest != 0 {
		t.Error("MCR-004 to 006, 015 flags")
	}
	if !bytes.Equal(made.aaguid, simulator.AAGUID[:]) {
		t.Error("MCR-007 AAGUID")
	}
	if len(made.id) == 0 || len(made.id) > 138 {
		t.Errorf("MCR-008 credential ID of %d bytes", len(made.id))
	}
	if len(made.reply) != 3 || made.reply[1] != "packed" {
		t.Fatalf("MCR-001 reply %v", made.reply)
	}
	statement := made.reply[3].(m)
	if len(statement) != 2 || statement["alg"] != made.key[uint64(3)] {
		t.Errorf("MCR-011 statement %v", statement)
	}
	verifySignature(t, made.key, slices.Concat(made.raw, clientDataHash), statement["sig"].([]byte))
}

func TestMakeCredentialAlgorithms(t *testing.T) {
	for _, c := range []struct {
		name string
		algs []int
		want int64
	}{
		{"MC-036 unknown first", []int{-999, -7}, -7},
		{"MC-037 ES256", []int{-7}, -7},
		{"MC-037 EdDSA", []int{-8}, -8},
		{"MC-038 two known", []int{-8, -7}, -8},
		{"MC-038 two known", []int{-7, -8}, -7},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newKey(t)
			var params []any
			for _, alg := range c.algs {
				params = append(params, publicKeyParam(alg))
			}
			for _, rk := range []bool{false, true} {
				made := k.create(with(with(creation(), params, 4), rk, 7, "rk"))
				if got := made.key[uint64(3)]; got != c.want {
					t.Fatalf("algorithm %v, want %v", got, c.want)
				}
				checkRegistration(t, made)
				if got, _ := k.assert(sign(testRP, made.id), made); got.count <= made.count {
					t.Error("MCR-014 counter does not rise")
				}
			}
		})
	}
}

func TestMakeCredentialWithoutAttestation(t *testing.T) {
	k := newKey(t)
	made := k.create(with(creation(), []any{"none"}, 11))
	if len(made.reply) != 2 || made.reply[1] != "none" {
		t.Errorf("MC-090: reply %v, want fmt none and no attStmt", made.reply)
	}
}

func TestMakeCredentialExcludeList(t *testing.T) {
	unknown := slices.Repeat([][]byte{bytes.Repeat([]byte{7}, 64)}, 19)
	for _, rk := range []bool{false, true} {
		k := newKey(t)
		made := k.create(with(creation(), rk, 7, "rk"))
		k.prompted()
		again := with(creation(), descriptors(made.id), 5)

		k.refuses(credentialExcluded, makeCredential, again)
		if k.prompted() != 1 {
			t.Error("MC-048: did not ask for a touch")
		}
		k.refuses(credentialExcluded, makeCredential, with(creation(), descriptors(append(unknown, made.id)...), 5))
		for _, touch := range []func(*key){
			func(k *key) { k.touch = declined },
			func(k *key) { k.touch = k.nobody },
		} {
			touch(k)
			k.refuses(credentialExcluded, makeCredential, again)
		}
		k.touch = nil
		k.create(with(again, "other.example", 2, "id")) // MC-049
	}
}

func TestMakeCredentialTouch(t *testing.T) {
	k := newKey(t)
	k.touch = k.nobody
	k.refuses(operationDenied, makeCredential, resident(testRP, "alice")) // MC-094
	k.touch = declined
	k.refuses(operationDenied, makeCredential, resident(testRP, "alice")) // MC-095
	if got := k.prompts[0]; got != (simulator.PresenceRequest{Command: makeCredential, RPID: testRP}) {
		t.Errorf("asked for %+v", got)
	}
	k.touch = nil
	k.refuses(noCredentials, getAssertion, sign(testRP)) // STA-008

	k.prompted()
	k.create(creation())
	k.create(creation())
	if k.prompted() != 2 {
		t.Error("MC-096: one touch served two requests")
	}
}

func TestMakeCredentialWhichKey(t *testing.T) {
	k := newKey(t)
	ask := with(creation(), []byte{}, 8)
	for _, params := range []m{ask, with(ask, 2, 9), with(ask, 99, 9)} {
		k.refuses(pinNotSet, makeCredential, params) // MC-068
	}
	if k.prompted() != 3 {
		t.Error("MC-068: no touch asked for")
	}
	k.setPIN(testPIN)
	k.refuses(pinInvalid, makeCredential, ask) // MC-069
	k.touch = k.nobody
	k.refuses(operationDenied, makeCredential, ask) // MC-070
}

func TestMakeCredentialWithPIN(t *testing.T) {
	for _, protocol := range []int{1, 2} {
		k := newKey(t)
		k.setPIN(testPIN)
		fresh := func() token { return k.token(protocol, permMC, testRP) }
		good := fresh().authorize(creation())
		flipped := bytes.Clone(good[8].([]byte))
		flipped[3] ^= 1

		for _, c := range []struct {
			name   string
			params m
			want   byte
		}{
			{"MC-074 bit flipped", with(good, flipped, 8), pinAuthInvalid},
			{"MC-075 another clientDataHash", with(good, make([]byte, 32), 1), pinAuthInvalid},
			{"param cut short", with(good, good[8].([]byte)[:8], 8), pinAuthInvalid},
			{"MC-077 no param, rk", with(creation(), true, 7, "rk"), puatRequired},
			{"steps 5 before 7", with(with(creation(), true, 7, "rk"), true, 7, "uv"), invalidOption},
			{"steps 7 before 9", with(with(creation(), true, 7, "rk"), 1, 10), puatRequired},
			{"steps 9 before 11", with(with(good, 1, 10), flipped, 8), invalidParameter},
			{"PIN-071 other protocol", with(good, 3-protocol, 9), pinAuthInvalid},
			{"MC-081 other RP", with(good, "other.example", 2, "id"), pinAuthInvalid},
		} {
			k.prompted()
			if status, _ := k.send(request(makeCredential, c.params)); status != c.want {
				t.Errorf("protocol %d: %s: status %#02x, want %#02x", protocol, c.name, status, c.want)
			}
			if k.prompted() != 0 {
				t.Errorf("%s: asked for a touch", c.name)
			}
		}

		made := k.create(with(good, true, 7, "uv")) // MC-067, MC-076
		if !made.uv {
			t.Error("MC-076: UV is not set")
		}
		k.refuses(pinAuthInvalid, makeCredential, good)                                               // MC-083
		k.refuses(pinAuthInvalid, makeCredential, k.token(protocol, permGA, testRP).authorize(good))  // MC-080
		k.refuses(pinAuthInvalid, makeCredential, k.token(protocol, permMC, "x.org").authorize(good)) // MC-081
		if made := k.create(creation()); made.uv {                                                    // MC-078
			t.Error("MC-078: UV is set without a token")
		}
		k.create(fresh().authorize(resident(testRP, "alice")))
	}
}

// TestTokenBoundAtFirstUse is MC-082 and PIN-057.
func TestTokenBoundAtFirstUse(t *testing.T) {
	k := newKey(t)
	made := k.create(creation())
	k.setPIN(testPIN)
	old := k.oldToken(1)
	quiet := with(sign(testRP, made.id), false, 5, "up")
	if got, _ := k.assert(old.authorizeGA(quiet), made); !got.uv || got.up {
		t.Error("flags of a silent assertion")
	}
	k.refuses(pinAuthInvalid, makeCredential, old.authorize(with(creation(), "other.example", 2, "id")))
	k.create(old.authorize(creation()))
	k.refuses(pinAuthInvalid, credentialManagement, k.oldToken(1).manage(1, nil))
}

func TestDiscoverableCredentials(t *testing.T) {
	k := newKey(t, withRoomFor(3))

	// MC-017
	long := strings.Repeat("u", 64)
	made := k.create(resident(testRP, long))
	_, reply := k.assert(sign(testRP), made)
	if got := reply[4].(m)["id"].([]byte); string(got) != long {
		t.Errorf("MC-017: user.id %q", got)
	}
	// MC-099
	k.create(resident(testRP, long[:63]))
	if n := k.ok(getInfo, nil)[20]; n != uint64(1) {
		t.Error("MC-099: a prefix of user.id is taken for the same user")
	}
	// MC-097
	k.create(resident("other.example", "bob"))
	k.refuses(keyStoreFull, makeCredential, resident("third.example", "carol"))
	k.assert(sign(testRP, made.id), made)
	// MC-098, also on a full store
	again := k.create(resident(testRP, long))
	k.refuses(noCredentials, getAssertion, sign(testRP, made.id))
	k.assert(sign(testRP, again.id), again)
	if n := k.ok(getInfo, nil)[20]; n != uint64(0) {
		t.Errorf("MC-098: room for %d", n)
	}
}

func TestNonDiscoverableCredentials(t *testing.T) {
	k := newKey(t)
	seen := map[string]bool{}
	for range 100 {
		made := k.create(with(creation(), false, 7, "rk"))
		for _, unique := range [][]byte{made.id, made.key[int64(-2)].([]byte)} {
			if seen[string(unique)] {
				t.Fatal("MC-100, MCR-017: repeated")
			}
			seen[string(unique)] = true
		}
	}
	k.refuses(noCredentials, getAssertion, sign(testRP)) // MC-058, GA-022
	if n := k.ok(getInfo, nil)[20]; n != uint64(100) {
		t.Errorf("MC-058: room for %d", n)
	}
}
