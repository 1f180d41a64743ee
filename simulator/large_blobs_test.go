package simulator_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
)

const maxFragment = 7609 - 64

// blobArray is a valid array of n bytes. What is in it is nothing to the key.
func blobArray(n int) []byte {
	content := bytes.Repeat([]byte{0x42}, n-16)
	sum := sha256.Sum256(content)
	return append(content, sum[:16]...)
}

var noBlobs = []byte{0x80, 0x76, 0xbe, 0x8b, 0x52, 0x8d, 0x00, 0x75, 0xf7, 0xaa, 0xe9, 0x8d, 0x6f, 0xa5, 0x7a, 0x6d, 0x3c}

// fragment is a set; the first one announces a length.
func fragment(data []byte, offset, length int) m {
	params := m{2: data, 3: offset}
	if offset == 0 {
		params[4] = length
	}
	return params
}

// authorizeSet adds pinUvAuthParam to a fragment.
func (t token) authorizeSet(params m) m {
	message := append(bytes.Repeat([]byte{0xff}, 32), 0x0c, 0)
	message = binary.LittleEndian.AppendUint32(message, uint32(params[3].(int)))
	sum := sha256.Sum256(params[2].([]byte))
	return with(with(params, t.param(append(message, sum[:]...)), 5), t.protocol, 6)
}

// wantBlobs reads the whole array.
func (k *key) wantBlobs(name string, want []byte) {
	k.Helper()
	if got := k.ok(largeBlobArray, m{1: maxFragment, 3: 0})[1]; !bytes.Equal(got.([]byte), want) {
		k.Errorf("%s: array %x, want %x", name, got, want)
	}
}

func TestLargeBlobsGet(t *testing.T) {
	k := newKey(t, extended())
	k.wantBlobs("LB-002", noBlobs)
	array := blobArray(100)
	k.ok(largeBlobArray, fragment(array, 0, 100)) // LB-014
	for _, c := range []struct {
		name        string
		get, offset int
		want        []byte
	}{
		{"LB-003 nothing", 0, 0, nil},
		{"LB-011 past the end", 50, 99, array[99:]},
		{"at the end", 50, 100, nil},
		{"LB-012 slice", 33, 0, array[:33]},
		{"LB-012 slice", 33, 33, array[33:66]},
		{"LB-012 slice", 33, 66, array[66:99]},
	} {
		if got := k.ok(largeBlobArray, m{1: c.get, 3: c.offset})[1]; !bytes.Equal(got.([]byte), c.want) {
			t.Errorf("%s: %x, want %x", c.name, got, c.want)
		}
	}
	k.setPIN(testPIN)
	k.wantBlobs("LB-013", array)
	k.prompted()
}

func TestLargeBlobsRefuses(t *testing.T) {
	key := newKey(t) // LB-001
	key.refuses(invalidCommand, largeBlobArray, m{1: 17, 3: 0})
	k := newKey(t, extended())
	valid := blobArray(17)
	for _, c := range []struct {
		name   string
		params m
		want   byte
	}{
		{"LB-004 get and set", m{1: 17, 2: valid, 3: 0, 4: 17}, invalidParameter},
		{"LB-005 neither", m{3: 0}, invalidParameter},
		{"LB-006 offset missing", m{1: 17}, invalidParameter},
		{"LB-006 offset missing", m{2: valid, 4: 17}, invalidParameter},
		{"LB-007 get with length", m{1: 17, 3: 0, 4: 17}, invalidParameter},
		{"LB-008 get with param", m{1: 17, 3: 0, 5: make([]byte, 32)}, invalidParameter},
		{"LB-008 get with protocol", m{1: 17, 3: 0, 6: 2}, invalidParameter},
		{"LB-009 get too much", m{1: maxFragment + 1, 3: 0}, invalidLength},
		{"LB-010 past the end", m{1: 17, 3: 18}, invalidParameter},
		{"LB-020 no length", m{2: valid, 3: 0}, invalidParameter},
		{"LB-021 length 16", fragment(valid[:16], 0, 16), invalidParameter},
		{"LB-022 too long", fragment(valid, 0, 4097), largeBlobStorageFull},
		{"LB-023 length later", m{2: valid, 3: 17, 4: 17}, invalidParameter},
		{"LB-024 wrong offset", fragment(valid, 5, 0), invalidSeq},
		{"LB-025 overshoots", fragment(blobArray(18), 0, 17), invalidParameter},
		{"LB-026 fragment too long", fragment(make([]byte, maxFragment+1), 0, 4096), invalidLength},
		{"LB-027 wrong hash", fragment(make([]byte, 17), 0, 17), integrityFailure},
	} {
		if status, _ := k.send(request(largeBlobArray, c.params)); status != c.want {
			t.Errorf("%s: status %#02x, want %#02x", c.name, status, c.want)
		}
		k.wantBlobs(c.name, noBlobs)
	}
}

func TestLargeBlobsToken(t *testing.T) {
	k := newKey(t, extended())
	k.setPIN(testPIN)
	array := blobArray(40)
	for _, protocol := range []int{1, 2} {
		lbw := k.token(protocol, permLB, "")
		good := lbw.authorizeSet(fragment(array, 0, 40))
		k.refuses(puatRequired, largeBlobArray, fragment(array, 0, 40))                               // LB-015
		k.refuses(missingParameter, largeBlobArray, without(good, 6))                                 // LB-016
		k.refuses(invalidParameter, largeBlobArray, with(good, 99, 6))                                // step 13
		k.refuses(pinAuthInvalid, largeBlobArray, with(good, make([]byte, 32), 5))                    // LB-017
		k.refuses(pinAuthInvalid, largeBlobArray, with(good, blobArray(40)[1:], 2))                   // another fragment
		k.refuses(invalidSeq, largeBlobArray, with(without(good, 4), 1, 3))                           // step 12 before 13
		k.refuses(invalidParameter, largeBlobArray, with(without(good, 4), 0, 3))                     // step 7 before 13
		k.refuses(invalidParameter, largeBlobArray, lbw.authorizeSet(fragment(blobArray(41), 0, 40))) // step 14 after 13
		k.wantBlobs("LB-015", noBlobs)
		cm := k.token(protocol, permCM, "")
		k.refuses(pinAuthInvalid, largeBlobArray, cm.authorizeSet(fragment(array, 0, 40))) // LB-018
		lbw = k.token(protocol, permLB|permMC, testRP)
		k.create(lbw.authorize(creation())) // leaves lbw alone
		k.ok(largeBlobArray, lbw.authorizeSet(fragment(array[:30], 0, 40)))
		k.ok(largeBlobArray, lbw.authorizeSet(fragment(array[30:], 30, 0))) // LB-019
		k.wantBlobs("LB-019", array)
		k.ok(largeBlobArray, lbw.authorizeSet(fragment(noBlobs, 0, 17)))
	}
	key := newKey(t) // PIN-063: no lbw without large blobs
	key.setPIN(testPIN)
	p := key.agree(2)
	key.refuses(unauthorizedPermission, clientPIN, m{1: 2, 2: 9, 3: p.cose, 6: p.encrypt(pinHash(testPIN)), 9: permLB})
}

func TestLargeBlobsSeries(t *testing.T) {
	k := newKey(t, extended())
	array := blobArray(90)
	begin := func() { k.ok(largeBlobArray, fragment(array[:30], 0, 90)) }
	next := func(offset int) m { return fragment(array[offset:offset+30], offset, 0) }

	begin() // LB-028
	k.refuses(invalidSeq, largeBlobArray, next(60))
	k.wantBlobs("LB-029", noBlobs)
	k.ok(largeBlobArray, next(30))
	k.refuses(invalidSeq, largeBlobArray, next(30))
	k.ok(largeBlobArray, next(60))
	k.wantBlobs("LB-028", array)
	k.refuses(invalidSeq, largeBlobArray, next(60))

	wrong := func(name string, between func()) {
		t.Helper()
		k.ok(largeBlobArray, fragment(noBlobs, 0, 17))
		begin()
		between()
		if status, _ := k.send(request(largeBlobArray, next(30))); status != invalidSeq {
			t.Errorf("%s: status %#02x", name, status)
		}
		k.wantBlobs(name, noBlobs)
	}
	wrong("LB-030 other command", func() { k.ok(getInfo, nil) })
	wrong("30 s", func() { k.clock.Advance(31 * time.Second) })
	wrong("power cycle", k.PowerCycle)
	wrong("new write", func() { k.ok(largeBlobArray, fragment(array[:5], 0, 90)) })
	wrong("other channel", func() {
		if got := k.ExchangeFrom(t.Context(), 7, request(largeBlobArray, next(30))); got[0] != invalidSeq {
			t.Errorf("other channel: status %#02x", got[0])
		}
	})

	whole := blobArray(4096)
	k.ok(largeBlobArray, fragment(whole, 0, 4096))
	k.wantBlobs("LB-031", whole)
	k.Authenticator.Close()
	k.plugIn(k.storage, extended())
	k.wantBlobs("LB-032", whole)
	k.ok(reset, nil)
	k.wantBlobs("reset", noBlobs)
}

// failing is a Storage that a power cut can hit.
type failing struct {
	simulator.Storage
	fails bool
}

func (s *failing) Commit(changes map[string][]byte) error {
	if s.fails {
		return errors.New("power cut")
	}
	return s.Storage.Commit(changes)
}

// TestLargeBlobsPowerCut is LB-033.
func TestLargeBlobsPowerCut(t *testing.T) {
	for _, fails := range []bool{true, false} {
		t.Run(fmt.Sprint(fails), func(t *testing.T) {
			k := &key{T: t, clock: newClock()}
			storage := &failing{Storage: simulator.NewMemory()}
			k.plugIn(storage, extended())
			k.ok(largeBlobArray, fragment(blobArray(40), 0, 40))
			k.ok(largeBlobArray, fragment(blobArray(50)[:20], 0, 50))
			storage.fails = fails
			status, _ := k.send(request(largeBlobArray, fragment(blobArray(50)[20:], 20, 0)))
			want := blobArray(50)
			if fails {
				want = blobArray(40)
			}
			if (status == ok) == fails {
				t.Errorf("status %#02x", status)
			}
			storage.fails = false
			k.plugIn(storage, extended())
			k.wantBlobs("LB-033", want)
		})
	}
}

// TestLargeBlobsVectors writes and reads the array of the vectors with their
// requests. Their token belongs to another key, so this one has no PIN.
func TestLargeBlobsVectors(t *testing.T) {
	type part struct{ RequestCborProtocolTwo ctaptest.Hex }
	var v struct {
		SerializedLargeBlobArray, InitialSerializedLargeBlobArray ctaptest.Hex
		Write                                                     struct{ Set0, Set1 part }
		Read                                                      struct{ RequestCbor, ResponseCbor ctaptest.Hex }
	}
	ctaptest.Vectors(t, "large-blob", &v)
	k := newKey(t, extended())
	k.wantBlobs("initial", v.InitialSerializedLargeBlobArray)
	for _, msg := range []ctaptest.Hex{v.Write.Set0.RequestCborProtocolTwo, v.Write.Set1.RequestCborProtocolTwo} {
		if status, reply := k.send(msg); status != ok || reply != nil {
			t.Fatalf("write: status %#02x, %v", status, reply)
		}
	}
	k.wantBlobs("written", v.SerializedLargeBlobArray)
	if answer, err := k.Exchange(t.Context(), v.Read.RequestCbor); err != nil || !bytes.Equal(answer, v.Read.ResponseCbor) {
		t.Errorf("read: %x, %v", answer, err)
	}
}
