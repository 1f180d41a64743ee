package simulator_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
)

func TestEncryptedMembersVectors(t *testing.T) {
	var v struct {
		PersistentPinUvAuthToken ctaptest.Hex
		Cases                    []struct {
			Member, Info     string
			IV, Plain, Value ctaptest.Hex
		}
	}
	ctaptest.Vectors(t, "getinfo-encrypted", &v)
	for _, c := range v.Cases {
		got, err := simulator.EncryptIdentity(v.PersistentPinUvAuthToken, c.Info, c.IV, c.Plain)
		if err != nil || !bytes.Equal(got, c.Value) {
			t.Errorf("%s: %x, %v, want %x", c.Member, got, err, c.Value)
		}
	}
	if len(v.Cases) != 2 {
		t.Errorf("%d vectors", len(v.Cases))
	}
}

// identity decrypts what getInfo tells the holder of a persistent token.
func (k *key) identity(persistent token) (identifier, state string) {
	k.Helper()
	info := k.ok(getInfo, nil)
	open := func(member int, name string) string {
		sealed, _ := info[member].([]byte)
		if len(sealed) != 32 {
			k.Fatalf("%s is %x", name, sealed)
		}
		secret, err := hkdf.Key(sha256.New, persistent.value, make([]byte, 32), name, 16)
		if err != nil {
			k.Fatal(err)
		}
		block, err := aes.NewCipher(secret)
		if err != nil {
			k.Fatal(err)
		}
		plain := make([]byte, 16)
		cipher.NewCBCDecrypter(block, sealed[:16]).CryptBlocks(plain, sealed[16:])
		return string(plain)
	}
	return open(0x19, "encIdentifier"), open(0x1e, "encCredStoreState")
}

// TestIdentity is INF-042 to INF-044.
func TestIdentity(t *testing.T) {
	k := manager(t, full23())
	persistent := k.token(2, permPCMR, "")
	identifier, state := k.identity(persistent)
	if again, same := k.identity(persistent); again != identifier || same != state || identifier == state {
		t.Error("INF-042: identifier or state changes by itself")
	}
	first, second := k.ok(getInfo, nil), k.ok(getInfo, nil)
	for _, member := range []int{0x19, 0x1e} {
		if bytes.Equal(first[member].([]byte), second[member].([]byte)) {
			t.Errorf("INF-042: member %#02x repeats itself", member)
		}
	}
	seen := map[string]bool{state: true}
	check := func(what string, renewed bool) {
		t.Helper()
		is, state := k.identity(persistent)
		if is != identifier || seen[state] == renewed {
			t.Errorf("INF-044: after %s: same identifier %v, old state %v", what, is == identifier, seen[state])
		}
		seen[state] = true
	}
	k.add(testRP, "alice")
	check("a discoverable credential", true)
	made := k.add(testRP, "alice")
	check("an overwrite", true)
	k.manage(7, m{2: descriptor(made.id), 3: m{"id": []byte("alice")}})
	check("an update", true)
	k.create(creation())
	k.ok(getAssertion, sign(testRP))
	k.refuses(puatRequired, makeCredential, resident(testRP, "bob"))
	k.PowerCycle()
	check("what changes no discoverable credential", false)
	k.manage(6, m{2: descriptor(made.id)})
	check("a deletion", true)

	k.ok(clientPIN, k.agree(2).changePINParams(testPIN, testPIN))
	if info := k.ok(getInfo, nil); info[0x19] != nil || info[0x1e] != nil {
		t.Error("members are there without a persistent token")
	}
	persistent = k.token(1, permPCMR, "")
	check("changePIN", false)

	k.ok(reset, nil)
	k.setPIN(testPIN)
	persistent = k.token(2, permPCMR, "")
	if other, state := k.identity(persistent); other == identifier || seen[state] {
		t.Error("INF-043: same identifier or state after reset")
	}

	k = manager(t, full23(func(p *simulator.Profile) { p.EncIdentifier, p.EncCredStoreState = false, false }))
	k.token(2, permPCMR, "")
	if info := k.ok(getInfo, nil); info[0x19] != nil || info[0x1e] != nil {
		t.Error("members are there against the profile")
	}
}

// TestPersistentToken is PIN-076 to PIN-079, CM-040 and CM-041.
func TestPersistentToken(t *testing.T) {
	k := manager(t, full23(func(p *simulator.Profile) { p.GetInfo.PreferredPlatformUVAttempts = nil }))
	k.enrollFinger(simulator.DefaultFinger)
	made := k.add(testRP, "alice")
	k.add("other.example", "bob")

	good := with(with(k.agree(2).tokenParams(testPIN), 9, 2), permPCMR, 9)
	for _, permissions := range []int{permPCMR | permCM, permPCMR | 0x80} {
		k.refuses(unauthorizedPermission, clientPIN, with(good, permissions, 9))
	}
	ordinary := k.token(2, permCM, "")
	persistent := k.token(2, permPCMR, "")
	k.ok(credentialManagement, ordinary.manage(1, nil)) // which it does not replace
	for name, again := range map[string]token{
		"another PIN entry": k.token(2, permPCMR, ""),
		"protocol one":      k.token(1, permPCMR, testRP),
		"a finger":          k.tokenByUV(2, permPCMR, ""),
	} {
		if !bytes.Equal(again.value, persistent.value) {
			t.Errorf("%s gives another token", name)
		}
	}
	read := func() {
		t.Helper()
		for _, protocol := range []int{1, 2} {
			p := token{protocol, persistent.value}
			if got := k.ok(credentialManagement, p.manage(1, nil)); got[1] != uint64(2) { // CM-040
				t.Errorf("metadata %v", got)
			}
			k.ok(credentialManagement, p.manage(2, nil))
			k.ok(credentialManagement, m{1: 3})
			k.ok(credentialManagement, p.manage(4, m{1: hashOf(testRP)}))
		}
	}
	read()
	k.clock.Advance(11 * time.Minute)
	read()
	for _, params := range []m{
		persistent.manage(6, m{2: descriptor(made.id)}), // CM-041
		persistent.manage(7, m{2: descriptor(made.id), 3: m{"id": []byte("alice")}}),
	} {
		k.refuses(pinAuthInvalid, credentialManagement, params)
	}
	k.refuses(pinAuthInvalid, makeCredential, persistent.authorize(creation()))
	k.refuses(pinAuthInvalid, getAssertion, persistent.authorizeGA(sign(testRP, made.id)))
	k.refuses(pinAuthInvalid, config, persistent.configure(3, nil))
	k.refuses(pinAuthInvalid, bioEnrollment, persistent.enroll(1, nil))
	k.PowerCycle()
	read() // PIN-077
	k.ok(clientPIN, k.agree(2).changePINParams(testPIN, testPIN))
	k.refuses(pinAuthInvalid, credentialManagement, persistent.manage(1, nil)) // PIN-078

	persistent = k.token(2, permPCMR, "")
	read()
	k.PowerCycle()
	k.ok(reset, nil)
	k.setPIN(testPIN)
	k.refuses(pinAuthInvalid, credentialManagement, persistent.manage(1, nil)) // PIN-079
}

// TestBoundTokenDoesNotReadIn23: what CTAP 2.1 allowed.
func TestBoundTokenDoesNotReadIn23(t *testing.T) {
	k := manager(t, full23())
	made := k.add(testRP, "alice")
	k.refuses(pinAuthInvalid, credentialManagement, k.token(2, permCM, testRP).manage(4, m{1: hashOf(testRP)})) // CM-027
	k.ok(credentialManagement, k.token(2, permCM, testRP).manage(6, m{2: descriptor(made.id)}))
}
