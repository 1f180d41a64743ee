package simulator_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"testing"
)

func TestCredProtectInput(t *testing.T) {
	for _, c := range []struct {
		name  string
		input any
		want  byte
	}{
		{"XCP-002 level 0", 0, invalidOption},
		{"XCP-002 level 4", 4, invalidOption},
		{"XCP-003 level as text", "1", unexpectedType},
		{"level as bool", true, unexpectedType},
	} {
		k := newKey(t)
		k.refuses(c.want, makeCredential, with(creation(), c.input, 6, "credProtect"))
		if k.prompted() != 0 {
			t.Errorf("%s: asked for a touch", c.name)
		}
	}
}

// TestCredProtect has one credential of each level.
func TestCredProtect(t *testing.T) {
	for _, rk := range []bool{true, false} {
		t.Run(fmt.Sprint("rk ", rk), func(t *testing.T) {
			k := newKey(t)
			var made []created
			for level := range uint64(4) {
				params := with(resident(testRP, fmt.Sprint("user", level)), rk, 7, "rk")
				var want m
				if level > 0 {
					params = with(params, level, 6, "credProtect")
					want = m{"credProtect": level}
				}
				c := k.create(params)
				if !reflect.DeepEqual(c.extensions, want) { // XCP-001, XCP-004
					t.Errorf("level %d: output %v", level, c.extensions)
				}
				made = append(made, c)
			}
			k.setPIN(testPIN)
			uv := func(params m) m { return k.token(2, permGA, testRP).authorizeGA(params) }
			exclude := func(c created) m { return with(creation(), descriptors(c.id), 5) }

			k.assert(sign(testRP, made[1].id), made[1])
			k.assert(sign(testRP, made[2].id), made[2])                      // XCP-007
			k.refuses(noCredentials, getAssertion, sign(testRP, made[3].id)) // XCP-008
			k.assert(uv(sign(testRP, made[3].id)), made[3])                  // XCP-009
			k.refuses(credentialExcluded, makeCredential, exclude(made[1]))
			k.refuses(credentialExcluded, makeCredential, exclude(made[2])) // XCP-011
			k.create(exclude(made[3]))                                      // XCP-012
			k.refuses(credentialExcluded, makeCredential,
				k.token(2, permMC, testRP).authorize(exclude(made[3]))) // XCP-013
			if !rk {
				return
			}
			_, reply := k.assert(sign(testRP), made[1])
			if reply[5] != uint64(2) { // XCP-005, XCP-006, GNA-014
				t.Errorf("without UV: numberOfCredentials %v", reply[5])
			}
			k.verified(k.ok(getNextAssertion, nil), made[0])
			k.refuses(notAllowed, getNextAssertion, nil)
			if reply := k.ok(getAssertion, uv(sign(testRP))); reply[5] != uint64(4) { // XCP-010
				t.Errorf("with UV: numberOfCredentials %v", reply[5])
			}
		})
	}
}

// TestCredProtectLeavesOne is XCP-016 and XCP-006.
func TestCredProtectLeavesOne(t *testing.T) {
	k := newKey(t)
	one := k.create(with(resident(testRP, "alice"), 1, 6, "credProtect"))
	k.create(with(resident(testRP, "bob"), 2, 6, "credProtect"))
	k.create(with(resident("two.example", "bob"), 2, 6, "credProtect"))
	_, reply := k.assert(sign(testRP), one)
	if n, there := reply[5]; there {
		t.Errorf("XCP-016: numberOfCredentials %v", n)
	}
	k.refuses(notAllowed, getNextAssertion, nil)
	k.refuses(noCredentials, getAssertion, sign("two.example"))
}

// secretParams is the input of hmac-secret for one or two salts.
func (p *platform) secretParams(salts ...[]byte) m {
	enc := p.encrypt(slices.Concat(salts...))
	params := m{1: p.cose, 2: enc, 3: p.mac(enc)}
	if p.protocol != 1 {
		params[4] = p.protocol
	}
	return params
}

func withSecret(params m, input any) m { return with(params, input, 4, "hmac-secret") }

// secret asks for the outputs of a credential.
func (k *key) secret(protocol int, c created, uv bool, salts ...[]byte) []byte {
	k.Helper()
	params := sign(testRP, c.id)
	if uv {
		params = k.token(protocol, permGA, testRP).authorizeGA(params)
	}
	p := k.agree(protocol)
	got, _ := k.assert(withSecret(params, p.secretParams(salts...)), c)
	if len(got.extensions) != 1 {
		k.Fatalf("extensions %v", got.extensions)
	}
	return p.decrypt(got.extensions["hmac-secret"].([]byte))
}

func TestHMACSecret(t *testing.T) {
	salt1, salt2 := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	for _, rk := range []bool{false, true} {
		for _, protocol := range []int{1, 2} {
			k := newKey(t)
			params := with(with(resident(testRP, "alice"), rk, 7, "rk"), true, 6, "hmac-secret")
			made := k.create(params)
			if !reflect.DeepEqual(made.extensions, m{"hmac-secret": true}) { // XHS-001
				t.Errorf("XHS-001: output %v", made.extensions)
			}
			if want := map[bool]int{true: 32, false: 138}[rk]; len(made.id) != want {
				t.Errorf("MCR-008: ID of %d bytes, the longest has 138", len(made.id))
			}
			other := k.create(with(params, []byte("bob"), 3, "id"))
			k.setPIN(testPIN)

			one := k.secret(protocol, made, false, salt1) // XHS-004, XHS-005
			two := k.secret(protocol, made, false, salt1, salt2)
			if len(one) != 32 || len(two) != 64 || !bytes.Equal(two[:32], one) {
				t.Error("XHS-006")
			}
			if bytes.Equal(two[:32], two[32:]) || !bytes.Equal(k.secret(protocol, made, false, salt2), two[32:]) {
				t.Error("XHS-007")
			}
			if bytes.Equal(k.secret(protocol, other, false, salt1), one) {
				t.Error("XHS-008")
			}
			verified := k.secret(protocol, made, true, salt1)
			if bytes.Equal(verified, one) {
				t.Error("XHS-009")
			}
			k.PowerCycle()
			if !bytes.Equal(k.secret(protocol, made, true, salt1), verified) {
				t.Error("XHS-019")
			}
			if !bytes.Equal(k.secret(3-protocol, made, false, salt1), one) {
				t.Error("the protocol changes the output")
			}
		}
	}
}

// TestHMACSecretIsHMAC computes the output from the stored secrets.
func TestHMACSecretIsHMAC(t *testing.T) {
	k := newKey(t)
	made := k.create(with(resident(testRP, "alice"), true, 6, "hmac-secret"))
	k.setPIN(testPIN)
	records, err := k.storage.Load()
	if err != nil {
		t.Fatal(err)
	}
	var record map[int]any
	decodeFirst(t, records[fmt.Sprintf("credential/%x", made.id)], &record)
	salt := bytes.Repeat([]byte{9}, 32)
	for uv, credRandom := range map[bool]any{true: record[4], false: record[5]} {
		h := hmac.New(sha256.New, credRandom.([]byte))
		h.Write(salt)
		if got := k.secret(2, made, uv, salt); !bytes.Equal(got, h.Sum(nil)) {
			t.Errorf("UV %v: output %x", uv, got)
		}
	}
}

func TestHMACSecretRefuses(t *testing.T) {
	salt := make([]byte, 32)
	for _, protocol := range []int{1, 2} {
		k := newKey(t)
		made := k.create(with(creation(), true, 6, "hmac-secret"))
		p := k.agree(protocol)
		good := p.secretParams(salt)
		flipped := bytes.Clone(good[3].([]byte))
		flipped[0] ^= 1
		forged := func(saltEnc []byte) m { return with(with(good, saltEnc, 2), p.mac(saltEnc), 3) }
		for _, c := range []struct {
			name  string
			input any
			want  byte
		}{
			{"XHS-010 saltAuth bit flipped", with(good, flipped, 3), pinAuthInvalid},
			{"XHS-011 saltAuth of a wrong length", with(good, flipped[:8], 3), pinAuthInvalid},
			{"XHS-012 saltEnc of 31 bytes", forged(make([]byte, 31)), invalidParameter},
			{"XHS-012 saltEnc of 33 bytes", forged(make([]byte, 33)), invalidParameter},
			{"XHS-012 empty saltEnc", forged([]byte{}), invalidParameter},
			{"XHS-012 16 bytes", p.secretParams(salt[:16]), invalidParameter},
			{"XHS-013 48 bytes", p.secretParams(salt, salt[:16]), invalidParameter},
			{"80 bytes", p.secretParams(salt, salt, salt[:16]), invalidParameter},
			{"XHS-014 keyAgreement missing", without(good, 1), missingParameter},
			{"XHS-015 saltEnc missing", without(good, 2), missingParameter},
			{"XHS-016 saltAuth missing", without(good, 3), missingParameter},
			{"protocol 99", with(good, 99, 4), invalidParameter},
			{"key not on the curve", with(good, make([]byte, 32), 1, -2), invalidParameter},
			{"wrong protocol", with(good, 3-protocol, 4), pinAuthInvalid},
			{"input is true", true, unexpectedType},
		} {
			status, _ := k.send(request(getAssertion, withSecret(sign(testRP, made.id), c.input)))
			if status != c.want {
				t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
			}
		}
		quiet := with(sign(testRP, made.id), false, 5, "up")
		k.prompted()
		k.refuses(unsupportedOption, getAssertion, withSecret(quiet, good)) // XHS-017
		k.refuses(unsupportedOption, getAssertion, withSecret(quiet, m{}))
		if k.prompted() != 0 {
			t.Error("XHS-017: asked for a touch")
		}
		k.refuses(unexpectedType, makeCredential, with(creation(), 1, 6, "hmac-secret")) // XHS-002
	}
}

func TestHMACSecretNotAskedFor(t *testing.T) {
	k := newKey(t)
	for _, params := range []m{creation(), with(creation(), false, 6, "hmac-secret")} {
		made := k.create(params) // XHS-003, XHS-020
		if made.ed {
			t.Errorf("output %v", made.extensions)
		}
		input := k.agree(2).secretParams(make([]byte, 32))
		if got, _ := k.assert(withSecret(sign(testRP, made.id), input), made); got.ed {
			t.Errorf("output %v", got.extensions)
		}
	}
}

// TestHMACSecretSeries is GNA-009 and XHS-018.
func TestHMACSecretSeries(t *testing.T) {
	k := newKey(t)
	alice := k.create(with(resident(testRP, "alice"), true, 6, "hmac-secret"))
	plain := k.create(resident(testRP, "bob"))
	carol := k.create(with(resident(testRP, "carol"), true, 6, "hmac-secret"))
	salt := bytes.Repeat([]byte{3}, 32)
	p := k.agree(2)
	first, _ := k.assert(withSecret(sign(testRP), p.secretParams(salt)), carol)
	second := k.verified(k.ok(getNextAssertion, nil), plain)
	third := k.verified(k.ok(getNextAssertion, nil), alice)
	if second.ed {
		t.Error("output of a credential without the extension")
	}
	for _, c := range []struct {
		authData
		of created
	}{{first, carol}, {third, alice}} {
		got := p.decrypt(c.extensions["hmac-secret"].([]byte))
		if !bytes.Equal(got, k.secret(1, c.of, false, salt)) {
			t.Error("output in a series differs from that of the credential alone")
		}
	}
}

// TestBothExtensions checks the canonical order of the outputs.
func TestBothExtensions(t *testing.T) {
	k := newKey(t)
	made := k.create(with(creation(), m{"credProtect": 2, "hmac-secret": true, "x": 1}, 6))
	want := encode(m{"credProtect": 2, "hmac-secret": true})
	if !bytes.HasSuffix(made.raw, want) {
		t.Errorf("authData %x does not end in %x", made.raw, want)
	}
}
