package simulator_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

var (
	application = sha256.Sum256([]byte(testRP))
	challenge   = bytes.Repeat([]byte{0xab}, 32)
)

// u2fAPDU is a command in the extended form.
func u2fAPDU(ins, p1 byte, data []byte) []byte {
	b := append([]byte{0, ins, p1, 0, 0}, binary.BigEndian.AppendUint16(nil, uint16(len(data)))...)
	return append(append(b, data...), 0, 0)
}

// shortAPDU is a command in the short form.
func shortAPDU(ins, p1 byte, data []byte) []byte {
	return append(append([]byte{0, ins, p1, 0, byte(len(data))}, data...), 0)
}

func registerData() []byte { return slices.Concat(challenge, application[:]) }

func authenticateData(handle []byte) []byte {
	return slices.Concat(challenge, application[:], []byte{byte(len(handle))}, handle)
}

// u2f exchanges one APDU.
func (k *key) u2f(apdu []byte) (data []byte, sw uint16) {
	k.Helper()
	answer, err := k.Message(k.Context(), apdu)
	if err != nil || len(answer) < 2 {
		k.Fatalf("%x: answer %x, %v", apdu, answer, err)
	}
	n := len(answer) - 2
	return answer[:n], binary.BigEndian.Uint16(answer[n:])
}

// u2fRefuses exchanges an APDU that must end in a status word, without data.
func (k *key) u2fRefuses(name string, want uint16, apdu []byte) {
	k.Helper()
	if data, sw := k.u2f(apdu); sw != want || len(data) > 0 {
		k.Errorf("%s: %x, SW %04x, want %04x", name, data, sw, want)
	}
}

// A registration is the answer of REGISTER, taken apart.
type registration struct {
	public      *ecdsa.PublicKey
	point       []byte
	handle      []byte
	certificate *x509.Certificate
}

func (k *key) parseRegistration(data []byte, sw uint16) registration {
	k.Helper()
	if sw != 0x9000 || data[0] != 5 {
		k.Fatalf("REGISTER: %x, SW %04x", data, sw)
	}
	r := registration{point: data[1:66]}
	var err error
	if r.public, err = ecdsa.ParseUncompressedPublicKey(elliptic.P256(), r.point); err != nil {
		k.Fatal(err)
	}
	size := int(data[66])
	r.handle, data = data[67:67+size], data[67+size:]
	var raw asn1.RawValue
	signature, err := asn1.Unmarshal(data, &raw)
	if err != nil {
		k.Fatal(err)
	}
	if r.certificate, err = x509.ParseCertificate(raw.FullBytes); err != nil {
		k.Fatal(err)
	}
	base := slices.Concat([]byte{0}, application[:], challenge, r.handle, r.point)
	if err := r.certificate.CheckSignature(x509.ECDSAWithSHA256, base, signature); err != nil {
		k.Error(err)
	}
	return r
}

// register registers with U2F.
func (k *key) register() registration {
	k.Helper()
	return k.parseRegistration(k.u2f(u2fAPDU(1, 3, registerData())))
}

// authenticate returns the counter of a signature, which it verifies.
func (k *key) authenticate(public *ecdsa.PublicKey, control byte, handle []byte) uint32 {
	k.Helper()
	data, sw := k.u2f(u2fAPDU(2, control, authenticateData(handle)))
	if sw != 0x9000 || len(data) < 6 {
		k.Fatalf("AUTHENTICATE: %x, SW %04x", data, sw)
	}
	if want := map[byte]byte{3: 1, 8: 0}[control]; data[0] != want {
		k.Errorf("presence byte %#02x, want %#02x", data[0], want)
	}
	digest := sha256.Sum256(slices.Concat(application[:], data[:5], challenge))
	if !ecdsa.VerifyASN1(public, digest[:], data[5:]) {
		k.Error("signature does not verify")
	}
	return binary.BigEndian.Uint32(data[1:])
}

func TestU2F(t *testing.T) {
	k := newKey(t, extended())
	if data, sw := k.u2f(u2fAPDU(3, 0, nil)); string(data) != "U2F_V2" || sw != 0x9000 {
		t.Errorf("U2F-001: %q, SW %04x", data, sw)
	}
	r := k.register() // U2F-003
	k.verifyChain(r.certificate)
	var last uint32
	for range 5 { // U2F-006, U2F-016
		count := k.authenticate(r.public, 3, r.handle)
		if count <= last {
			t.Errorf("U2F-016: counter %d after %d", count, last)
		}
		last = count
	}
	if n := len(k.prompts); n != 6 || k.Counters().Touches["touched"] != 6 {
		t.Errorf("%d touches, counted %v", n, k.Counters().Touches)
	}
	k.authenticate(r.public, 8, r.handle) // U2F-010
	if n := len(k.prompts); n != 6 {
		t.Errorf("U2F-010: %d touches", n)
	}
	k.prompts = nil
	if r := k.parseRegistration(k.u2f(shortAPDU(1, 0, registerData()))); len(r.handle) > 255 { // U2F-025, U2F-026
		t.Errorf("handle of %d bytes", len(r.handle))
	}
	k.Authenticator.Close()
	k.plugIn(k.storage, extended())
	if count := k.authenticate(r.public, 3, r.handle); count <= last {
		t.Errorf("counter %d after %d", count, last)
	}
	k.ok(reset, nil)
	k.u2fRefuses("after reset", 0x6a80, u2fAPDU(2, 7, authenticateData(r.handle)))
}

func TestU2FRefuses(t *testing.T) {
	k := newKey(t, extended())
	r := k.register()
	k.prompts = nil
	flipped := bytes.Clone(r.handle)
	flipped[20] ^= 1
	good := authenticateData(r.handle)
	other := bytes.Clone(good)
	other[40] ^= 1
	long := bytes.Clone(good)
	long[64]++
	for _, c := range []struct {
		name string
		want uint16
		apdu []byte
	}{
		{"U2F-002 VERSION with data", 0x6700, u2fAPDU(3, 0, []byte{1})},
		{"U2F-005 REGISTER of 63 bytes", 0x6700, u2fAPDU(1, 3, registerData()[1:])},
		{"U2F-005 REGISTER of 65 bytes", 0x6700, u2fAPDU(1, 3, append(registerData(), 0))},
		{"U2F-008 check only", 0x6985, u2fAPDU(2, 7, good)},
		{"U2F-009 bad handle", 0x6a80, u2fAPDU(2, 7, authenticateData([]byte("bad")))},
		{"U2F-011 another P1", 0x6a86, u2fAPDU(2, 0, good)},
		{"U2F-012 bit flipped", 0x6a80, u2fAPDU(2, 3, authenticateData(flipped))},
		{"U2F-013 handle too short", 0x6a80, u2fAPDU(2, 3, authenticateData(r.handle[1:]))},
		{"U2F-013 empty handle", 0x6a80, u2fAPDU(2, 3, authenticateData(nil))},
		{"U2F-014 other application", 0x6a80, u2fAPDU(2, 3, other)},
		{"U2F-015 length byte too large", 0x6700, u2fAPDU(2, 3, long)},
		{"bytes after the handle", 0x6700, u2fAPDU(2, 3, append(bytes.Clone(good), 0))},
		{"no handle", 0x6700, u2fAPDU(2, 3, good[:64])},
		{"U2F-017 unknown INS", 0x6d00, u2fAPDU(4, 0, nil)},
		{"U2F-018 wrong class", 0x6e00, append([]byte{0x80}, u2fAPDU(3, 0, nil)[1:]...)},
		{"cut off", 0x6700, []byte{0, 3, 0}},
		{"Lc too large", 0x6700, []byte{0, 1, 3, 0, 0, 0, 64, 1, 2, 3}},
		{"Lc too small", 0x6700, append(u2fAPDU(1, 3, registerData()), 0)},
	} {
		k.u2fRefuses(c.name, c.want, c.apdu)
	}
	for _, apdu := range [][]byte{{0, 3, 0, 0}, {0, 3, 0, 0, 0}, {0, 3, 0, 0, 0, 0, 0}, {0, 3, 0, 0, 0, 0, 0, 0, 0}} {
		if data, sw := k.u2f(apdu); string(data) != "U2F_V2" || sw != 0x9000 {
			t.Errorf("%x: %x, SW %04x", apdu, data, sw)
		}
	}
	if len(k.prompts) != 0 {
		t.Error("asked for a touch")
	}
	if _, err := newKey(t).Message(t.Context(), u2fAPDU(3, 0, nil)); !errors.Is(err, transport.ErrUnsupported) {
		t.Errorf("key without U2F: %v", err)
	}
}

// TestU2FAndCTAP2 uses credentials of the one with the other.
func TestU2FAndCTAP2(t *testing.T) {
	k := newKey(t, extended())
	r := k.register()
	public := m{uint64(1): uint64(2), uint64(3): int64(-7), int64(-1): uint64(1), int64(-2): r.point[1:33], int64(-3): r.point[33:]}
	k.assert(sign(testRP, r.handle), created{authData: authData{key: public}}) // U2F-019
	k.refuses(noCredentials, getAssertion, sign("other.example", r.handle))
	k.refuses(credentialExcluded, makeCredential, with(creation(), descriptors(r.handle), 5)) // U2F-021

	check := func(name string, want uint16, params m) {
		t.Helper()
		made := k.create(params)
		k.u2fRefuses(name, want, u2fAPDU(2, 7, authenticateData(made.id)))
		if want != 0x6985 {
			k.u2fRefuses(name, want, u2fAPDU(2, 3, authenticateData(made.id)))
			return
		}
		point := slices.Concat([]byte{4}, made.key[int64(-2)].([]byte), made.key[int64(-3)].([]byte))
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		if err != nil {
			t.Fatal(err)
		}
		k.authenticate(public, 3, made.id)
	}
	check("U2F-020", 0x6985, creation())
	check("U2F-022", 0x6985, resident(testRP, "alice"))
	check("level 2", 0x6985, with(creation(), 2, 6, "credProtect"))
	check("XCP-015", 0x6a80, with(creation(), 3, 6, "credProtect"))
	check("XCP-015", 0x6a80, with(resident(testRP, "bob"), 3, 6, "credProtect"))
	check("Ed25519", 0x6a80, with(creation(), []any{publicKeyParam(-8)}, 4))

	made := k.create(resident(testRP, "carol")) // one counter for all
	before, _ := k.assert(sign(testRP, made.id), made)
	between := k.authenticate(r.public, 3, r.handle)
	after, _ := k.assert(sign(testRP, made.id), made)
	if before.count >= between || between >= after.count {
		t.Errorf("counters %d, %d, %d", before.count, between, after.count)
	}
	k.create(resident(testRP, "dave"))
	k.ok(getAssertion, sign(testRP))
	k.u2f(u2fAPDU(3, 0, nil))
	k.refuses(notAllowed, getNextAssertion, nil) // any command ends a series
}

// A hand is a person whose touch a test can time.
type hand struct {
	touches chan simulator.Presence
	wanted  atomic.Int32 // requests under way
}

func (h *hand) presence(ctx context.Context, r simulator.PresenceRequest) simulator.Presence {
	h.wanted.Add(1)
	defer h.wanted.Add(-1)
	select {
	case p := <-h.touches:
		return p
	case <-ctx.Done():
		return simulator.PresenceNone
	}
}

// TestU2FTouch polls as platforms do: U2F-004 and U2F-007.
func TestU2FTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hand{touches: make(chan simulator.Presence)}
		k := newKey(t, extended(), func(c *simulator.Config) { c.Presence = h.presence })
		register := u2fAPDU(1, 3, registerData())
		touch := func(p simulator.Presence) {
			h.touches <- p
			synctest.Wait()
		}
		blinks := func(name string, want int32) {
			t.Helper()
			synctest.Wait()
			if n := h.wanted.Load(); n != want {
				t.Errorf("%s: %d touches asked for, want %d", name, n, want)
			}
		}
		before := time.Now()
		k.u2fRefuses("U2F-004", 0x6985, register)
		k.u2fRefuses("U2F-004", 0x6985, register)
		if waited := time.Since(before); waited > 200*time.Millisecond {
			t.Errorf("U2F-004: waited %v", waited)
		}
		blinks("between polls", 1)
		touch(simulator.PresenceTouched)
		r := k.register()
		k.u2fRefuses("MC-096: one touch, one command", 0x6985, register)

		authenticate := u2fAPDU(2, 3, authenticateData(r.handle))
		touch(simulator.PresenceTouched) // for REGISTER
		k.u2fRefuses("U2F-007, a touch for another request", 0x6985, authenticate)
		blinks("other request", 1)
		touch(simulator.PresenceTouched)
		k.authenticate(r.public, 3, r.handle)
		blinks("answered", 0)

		k.u2fRefuses("asked", 0x6985, authenticate)
		touch(simulator.PresenceTouched)
		k.clock.Advance(11 * time.Second)
		k.u2fRefuses("touched long ago", 0x6985, authenticate)
		k.u2fRefuses("asked", 0x6985, authenticate)
		touch(simulator.PresenceDeclined)
		k.u2fRefuses("declined", 0x6985, authenticate)
		k.u2fRefuses("asked", 0x6985, authenticate)
		k.clock.Advance(30 * time.Second)
		blinks("30 s", 0)
		k.u2fRefuses("asked", 0x6985, authenticate)
		blinks("asked again", 1)
		touch(simulator.PresenceTouched)
		k.PowerCycle()
		k.u2fRefuses("touched before a power cycle", 0x6985, authenticate)
		k.PowerCycle()
		blinks("power cycle", 0)

		k.u2fRefuses("asked", 0x6985, authenticate)
		go func() { h.touches <- simulator.PresenceTouched }()
		synctest.Wait()
		go k.Exchange(t.Context(), request(makeCredential, creation())) // a touch for U2F is none for CTAP2
		synctest.Wait()
		blinks("CTAP2", 1)
		touch(simulator.PresenceTouched)
		k.u2fRefuses("asked", 0x6985, authenticate)
		k.Authenticator.Close()
		blinks("closed", 0)
	})
}

// FuzzU2F sends arbitrary APDUs. Whatever comes, the answer has a status word,
// and the key goes on working.
func FuzzU2F(f *testing.F) {
	for _, apdu := range [][]byte{
		u2fAPDU(1, 3, registerData()), shortAPDU(1, 0, registerData()), u2fAPDU(3, 0, nil), {0, 3, 0, 0},
		u2fAPDU(2, 3, authenticateData(make([]byte, 32))), u2fAPDU(2, 7, authenticateData(make([]byte, 255))),
	} {
		f.Add(apdu)
	}
	f.Fuzz(func(t *testing.T, apdu []byte) {
		k := newKey(t, extended())
		if data, sw := k.u2f(apdu); sw == 0x6f00 || sw != 0x9000 && len(data) > 0 {
			t.Errorf("%x: %x, SW %04x", apdu, data, sw)
		}
		k.ok(getInfo, nil)
	})
}
