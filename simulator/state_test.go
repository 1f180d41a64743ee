package simulator_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"reflect"
	"testing"

	"github.com/fidokey/fidokey/simulator"
)

// breaking is a Storage whose commits fail on demand.
type breaking struct {
	simulator.Storage
	broken  bool
	commits int
}

func (b *breaking) Commit(changes map[string][]byte) error {
	b.commits++
	if b.broken {
		return errors.New("disk full")
	}
	return b.Storage.Commit(changes)
}

func (b *breaking) dump(t *testing.T) map[string][]byte {
	t.Helper()
	records, err := b.Load()
	if err != nil {
		t.Fatal(err)
	}
	return maps.Clone(records)
}

// changingCommands are all that change what survives power-off. They come to a
// key with a PIN and a credential.
var changingCommands = []struct {
	name    string
	message func(k *key, alice created) []byte
}{
	{"create, discoverable", func(k *key, _ created) []byte {
		return request(makeCredential, k.token(2, permMC, testRP).authorize(resident(testRP, "bob")))
	}},
	{"replace", func(k *key, _ created) []byte {
		return request(makeCredential, k.token(2, permMC, testRP).authorize(resident(testRP, "alice")))
	}},
	{"create", func(*key, created) []byte { return request(makeCredential, creation()) }},
	{"sign", func(*key, created) []byte { return request(getAssertion, sign(testRP)) }},
	{"right PIN", func(k *key, _ created) []byte { return request(clientPIN, k.agree(2).tokenParams(testPIN)) }},
	{"wrong PIN", func(k *key, _ created) []byte { return request(clientPIN, k.agree(2).tokenParams("0000")) }},
	{"changePIN", func(k *key, _ created) []byte {
		return request(clientPIN, k.agree(2).changePINParams(testPIN, "5678"))
	}},
	{"delete", func(k *key, alice created) []byte {
		return request(credentialManagement, k.token(2, permCM, "").manage(6, m{2: descriptor(alice.id)}))
	}},
	{"update", func(k *key, alice created) []byte {
		return request(credentialManagement,
			k.token(2, permCM, "").manage(7, m{2: descriptor(alice.id), 3: m{"id": []byte("alice")}}))
	}},
	{"config", func(k *key, _ created) []byte {
		return request(config, k.token(2, permACFG, "").configure(3, m{1: 6, 3: true, 4: true}))
	}},
	{"enterprise attestation", func(k *key, _ created) []byte {
		return request(config, k.token(2, permACFG, "").configure(1, nil))
	}},
	{"long touch for reset", func(k *key, _ created) []byte {
		return request(config, k.token(2, permACFG, "").configure(4, nil))
	}},
	{"alwaysUv", func(k *key, _ created) []byte {
		return request(config, k.token(2, permACFG, "").configure(2, nil))
	}},
	{"enroll", func(k *key, _ created) []byte {
		k.lay(simulator.Sample{Finger: "index"})
		return request(bioEnrollment, k.token(2, permBE, "").enroll(1, nil))
	}},
	{"rename template", func(k *key, _ created) []byte {
		params := m{1: firstTemplate(k), 2: "x"}
		return request(bioEnrollment, k.token(2, permBE, "").enroll(5, params))
	}},
	{"remove template", func(k *key, _ created) []byte {
		params := m{1: firstTemplate(k)}
		return request(bioEnrollment, k.token(2, permBE, "").enroll(6, params))
	}},
	{"right finger", func(k *key, _ created) []byte {
		k.lay(simulator.Sample{Finger: "thumb"})
		return request(makeCredential, with(creation(), true, uvTrue...))
	}},
	{"persistent token", func(k *key, _ created) []byte {
		return request(clientPIN, with(with(k.agree(2).tokenParams(testPIN), 9, 2), permPCMR, 9))
	}},
	{"reset", func(*key, created) []byte { return []byte{reset} }},
	{"large blobs", func(k *key, _ created) []byte {
		return request(largeBlobArray, k.token(2, permLB, "").authorizeSet(fragment(noBlobs, 0, len(noBlobs))))
	}},
}

func firstTemplate(k *key) any { return k.enroll(4, nil)[7].([]any)[0].(m)[uint64(1)] }

// changed is a key with a PIN, a finger and a credential, and a message that changes
// it.
func changed(k *key, message func(k *key, alice created) []byte) (alice created, msg []byte) {
	k.Helper()
	k.setPIN(testPIN)
	alice = k.add(testRP, "alice")
	k.enrollFinger("thumb")
	return alice, message(k, alice)
}

// everything plays all of CTAP 2.3, with a sensor that is soon content.
func everything() func(c *simulator.Config) {
	return full23(func(p *simulator.Profile) { p.Fingerprints.Samples = 1 })
}

// TestFailingStorage: a command whose change cannot be stored changes nothing.
func TestFailingStorage(t *testing.T) {
	for _, c := range changingCommands {
		t.Run(c.name, func(t *testing.T) {
			storage := &breaking{Storage: simulator.NewMemory()}
			k := &key{T: t, clock: newClock()}
			k.plugIn(storage, everything())
			alice, message := changed(k, c.message)
			before, info := storage.dump(t), k.ok(getInfo, nil)

			storage.broken = true
			if status, _ := k.send(message); status != other {
				t.Errorf("status %#02x, want OTHER", status)
			}
			storage.broken = false
			if !reflect.DeepEqual(storage.dump(t), before) {
				t.Error("storage changed")
			}
			if got := k.ok(getInfo, nil); !reflect.DeepEqual(got, info) {
				t.Errorf("getInfo changed: %v", got)
			}
			if k.retries() != 8 || k.enterPIN(testPIN) != ok {
				t.Error("PIN changed")
			}
			if got, _ := k.assert(sign(testRP), alice); got.count != alice.count+1 {
				t.Errorf("counter %d after %d", got.count, alice.count)
			}
			user := k.manage(4, m{1: hashOf(testRP)})[6].(m)
			if user["name"] != "alice@"+testRP {
				t.Errorf("user %v", user)
			}
		})
	}
}

// TestOneCommitPerCommand: everything a command changes is one transaction. A
// PIN is paid for before it is compared.
func TestOneCommitPerCommand(t *testing.T) {
	storage := &breaking{Storage: simulator.NewMemory()}
	k := &key{T: t, clock: newClock()}
	k.plugIn(storage, full23())
	commits := func(what string, want int, run func()) {
		t.Helper()
		storage.commits = 0
		run()
		if storage.commits != want {
			t.Errorf("%s: %d commits, want %d", what, storage.commits, want)
		}
	}
	commits("create", 1, func() { k.create(resident(testRP, "alice")) })
	commits("replace", 1, func() { k.create(resident(testRP, "alice")) })
	commits("sign", 1, func() { k.ok(getAssertion, sign(testRP)) })
	commits("setPIN", 1, func() { k.setPIN(testPIN) })
	commits("wrong PIN", 1, func() { k.enterPIN("0000") })
	commits("right PIN", 2, func() { k.enterPIN(testPIN) })
	k.enrollFinger(simulator.DefaultFinger)
	acfg := k.token(2, permACFG, "")
	commits("wrong finger", 3, func() {
		k.lay(wrongFinger)
		k.refuses(puatRequired, makeCredential, with(creation(), true, uvTrue...))
	})
	commits("right finger and create", 3, func() {
		k.lay(rightFinger)
		k.create(with(creation(), true, uvTrue...))
	})
	commits("toggle", 1, func() { k.ok(config, acfg.configure(2, nil)) })
	commits("all of setMinPINLength", 1, func() { k.ok(config, acfg.configure(3, m{1: 6, 3: true, 4: true})) })
	commits("reset", 1, func() { k.ok(reset, nil) })
	commits("questions", 0, func() { k.ok(getInfo, nil); k.retries(); k.agree(1) })
}

// TestStorageRounds is STA-009 and STA-014: nothing is lost by and by.
func TestStorageRounds(t *testing.T) {
	k := manager(t, withRoomFor(1))
	before, _ := k.storage.Load()
	for range 50 {
		made := k.add(testRP, "alice")
		k.manage(6, m{2: descriptor(made.id)})
	}
	if after, _ := k.storage.Load(); len(after) != len(before) {
		t.Errorf("%d records, before %d", len(after), len(before))
	}
	k.add(testRP, "alice")
}

// TestDeterminism: one seed and one script give the same bytes.
func TestDeterminism(t *testing.T) {
	run := func() (transcript []byte) {
		k := newKey(t, full23())
		send := func(command byte, params any) {
			answer, err := k.Exchange(t.Context(), request(command, params))
			if err != nil {
				t.Fatal(err)
			}
			transcript = append(transcript, answer...)
		}
		send(getInfo, nil)
		for _, alg := range []int{-7, -8} {
			for _, rk := range []bool{false, true} {
				params := with(resident(testRP, fmt.Sprint(alg, rk)), rk, 7, "rk")
				send(makeCredential, with(with(params, []any{publicKeyParam(alg)}, 4), true, 6, "hmac-secret"))
			}
		}
		send(makeCredential, resident("other.example", "bob"))
		send(clientPIN, k.agree(1).setPINParams(padded(testPIN)))
		send(getAssertion, withSecret(sign(testRP), k.agree(2).secretParams(make([]byte, 32))))
		send(getNextAssertion, nil)
		k.enterPIN("0000")
		send(credentialManagement, k.token(2, permCM, "").manage(2, nil))
		send(credentialManagement, m{1: 3})
		send(bioEnrollment, k.token(2, permBE, "").enroll(1, nil))
		k.token(2, permPCMR, "")
		send(getInfo, nil)
		k.PowerCycle()
		send(clientPIN, m{1: 1, 2: 2})
		send(reset, nil)
		send(makeCredential, creation())
		return transcript
	}
	if first, second := run(), run(); !bytes.Equal(first, second) {
		t.Error("two runs with the same seed differ")
	}
}

// TestRandomnessFails: a source that ends is CTAP1_ERR_OTHER, not a weak key.
func TestRandomnessFails(t *testing.T) {
	random := bytes.NewReader(make([]byte, 0))
	seed := make([]byte, 32+4*32)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(seed)
	random.Reset(seed)
	k := newKey(t, func(c *simulator.Config) { c.Random = random })
	k.refuses(other, makeCredential, creation())
	k.refuses(other, makeCredential, resident(testRP, "alice"))
	k.PowerCycle()
	if _, err := k.Exchange(t.Context(), []byte{getInfo}); err == nil {
		t.Error("powered up without randomness")
	}
	random.Reset(seed)
	k.ok(getInfo, nil)
}

// TestRandomnessRepeats: a source that is stuck makes no second credential with
// the ID of the first.
func TestRandomnessRepeats(t *testing.T) {
	k := newKey(t, func(c *simulator.Config) { c.Random = stuck{} })
	made := k.create(resident(testRP, "alice"))
	k.refuses(other, makeCredential, resident("other.example", "bob"))
	k.assert(sign(testRP), made)
}

type stuck struct{}

func (stuck) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 1
	}
	return len(b), nil
}

// TestStateOverReopen is STA-001, STA-005 and STA-013 on a file.
func TestStateOverReopen(t *testing.T) {
	path := t.TempDir() + "/keys/key.db"
	open := func(k *key) {
		s, err := simulator.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		k.plugIn(s)
	}
	k := &key{T: t, clock: newClock()}
	open(k)
	listed := k.create(creation())
	var users []created
	for i := range 10 {
		users = append([]created{k.create(resident(testRP, fmt.Sprint("user", i)))}, users...)
	}
	k.setPIN(testPIN)
	k.enterPIN("0000")
	last, _ := k.assert(sign(testRP, listed.id), listed)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}

	open(k)
	if k.retries() != 7 || k.enterPIN(testPIN) != ok {
		t.Error("STA-013: PIN or its retries are lost")
	}
	if got, _ := k.assert(sign(testRP, listed.id), listed); got.count <= last.count {
		t.Errorf("STA-005: counter %d after %d", got.count, last.count)
	}
	_, reply := k.assert(sign(testRP), users[0])
	if reply[5] != uint64(10) {
		t.Errorf("STA-001: %v", reply)
	}
	for _, user := range users[1:] { // the newest first, as before
		k.verified(k.ok(getNextAssertion, nil), user)
	}
	carol := k.add(testRP, "carol")
	k.assert(sign(testRP), carol) // newer than those of the first life
}

// TestConfigOverReopen is STA-013 and PIN-077: what is configured stays.
func TestConfigOverReopen(t *testing.T) {
	k := newKey(t, full23())
	k.setPIN(testPIN)
	id := k.enrollFinger("thumb")
	persistent := k.token(2, permPCMR, "")
	k.add(testRP, "alice")
	acfg := k.token(2, permACFG, "")
	k.ok(config, acfg.configure(1, nil))
	k.ok(config, acfg.configure(2, nil))
	k.ok(config, acfg.configure(4, nil))
	k.ok(config, acfg.configure(3, m{1: 8, 2: []any{testRP}, 4: true}))
	k.lay(simulator.Sample{Finger: "thumb"})
	k.create(with(creation(), true, uvTrue...))
	k.lay(wrongFinger)
	k.refuses(puatRequired, makeCredential, with(creation(), true, uvTrue...))
	identifier, state := k.identity(persistent)
	before := k.ok(getInfo, nil)
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}

	k.plugIn(k.storage, full23())
	after := k.ok(getInfo, nil)
	for _, encrypted := range []int{0x19, 0x1e} {
		delete(before, encrypted)
		delete(after, encrypted)
	}
	if !reflect.DeepEqual(after, before) {
		t.Errorf("getInfo:\n got %v\nwant %v", after, before)
	}
	if is, now := k.identity(persistent); is != identifier || now != state {
		t.Error("identifier or credential store state is lost")
	}
	k.ok(credentialManagement, persistent.manage(1, nil))
	if !k.TellsPINPolicyTo(testRP) || k.uvRetries() != 2 {
		t.Errorf("RP list or %d UV retries", k.uvRetries())
	}
	k.ok(clientPIN, k.agree(2).changePINParams(testPIN, "long enough"))
	p := k.agree(2)
	params := with(with(with(p.tokenParams(testPIN), 9, 2), permBE, 9), p.encrypt(pinHash("long enough")), 6)
	be := token{2, p.decrypt(k.ok(clientPIN, params)[2].([]byte))}
	if got := k.ok(bioEnrollment, be.enroll(4, nil))[7]; !reflect.DeepEqual(got, []any{m{uint64(1): id}}) {
		t.Errorf("templates %v", got)
	}
}

// TestWrongPINThenCrash is STA-003: power is cut while the key compares.
func TestWrongPINThenCrash(t *testing.T) {
	dir := t.TempDir()
	s, err := simulator.OpenFile(dir + "/key.db")
	if err != nil {
		t.Fatal(err)
	}
	k := &key{T: t, clock: newClock()}
	k.plugIn(s)
	k.setPIN(testPIN)
	k.enterPIN("0000")
	left, err := os.ReadFile(dir + "/key.db")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/copy.db", left, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err = simulator.OpenFile(dir + "/copy.db")
	if err != nil {
		t.Fatal(err)
	}
	again := &key{T: t, clock: newClock()}
	again.plugIn(s)
	if got := again.retries(); got != 7 {
		t.Errorf("%d retries after the crash, want 7", got)
	}
}
