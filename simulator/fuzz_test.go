package simulator_test

import (
	"bytes"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
)

// FuzzExchange sends arbitrary bytes to a key that has credentials.
// Whatever comes, the answer is a status with canonical CBOR or nothing, and the
// key goes on working.
func FuzzExchange(f *testing.F) {
	for _, seed := range requestSeeds(f) {
		f.Add(seed)
	}
	records := usedKey(f)
	f.Fuzz(func(t *testing.T, msg []byte) {
		storage := simulator.NewMemory()
		if err := storage.Commit(records); err != nil {
			t.Fatal(err)
		}
		k := &key{T: t, clock: newClock()}
		k.plugIn(storage, full23())
		k.ok(getAssertion, sign(testRP)) // a series that may be continued
		status, reply := k.send(slices.Clone(msg))
		if status == other {
			t.Errorf("internal error over %x", msg)
		}
		if status != ok && reply != nil {
			t.Errorf("status %#02x with a body", status)
		}
		k.ok(getInfo, nil)
	})
}

// usedKey returns what is in the storage of a key with two credentials.
func usedKey(f *testing.F) map[string][]byte {
	storage := simulator.NewMemory()
	a, err := simulator.New(simulator.Config{
		Storage: storage, Clock: newClock(), Random: rand.NewChaCha8([32]byte{1}), Profile: simulator.Full23(),
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, user := range []string{"alice", "bob"} {
		answer, err := a.Exchange(context.Background(), request(makeCredential, resident(testRP, user)))
		if err != nil || answer[0] != ok {
			f.Fatalf("answer %x, %v", answer, err)
		}
	}
	records, err := storage.Load()
	if err != nil {
		f.Fatal(err)
	}
	return records
}

func requestSeeds(f *testing.F) [][]byte {
	type request1 struct{ RequestCbor ctaptest.Hex }
	var messages struct {
		MakeCredential, GetAssertion, GetInfo request1
		GetNextAssertion, Reset, Selection    ctaptest.Hex
	}
	ctaptest.Vectors(f, "messages", &messages)
	seeds := [][]byte{
		messages.MakeCredential.RequestCbor, messages.GetAssertion.RequestCbor, messages.GetInfo.RequestCbor,
		messages.GetNextAssertion, messages.Reset, messages.Selection,
		request(makeCredential, creation()), request(makeCredential, resident(testRP, "alice")),
		request(getAssertion, sign(testRP)), request(getAssertion, sign(testRP, bytes.Repeat([]byte{1}, 32))),
	}
	for _, name := range []string{"pin-protocol-one", "pin-protocol-two"} {
		var v struct {
			SetPIN, ChangePIN, GetPinToken, GetKeyAgreement, GetPinUvAuthTokenUsingPinWithPermissions request1
		}
		ctaptest.Vectors(f, name, &v)
		seeds = append(seeds, v.SetPIN.RequestCbor, v.ChangePIN.RequestCbor, v.GetPinToken.RequestCbor,
			v.GetKeyAgreement.RequestCbor, v.GetPinUvAuthTokenUsingPinWithPermissions.RequestCbor)
	}
	full := fullRequests()
	for _, command := range slices.Sorted(maps.Keys(full)) {
		seeds = append(seeds, request(command, full[command]))
	}
	for sub := range 8 {
		seeds = append(seeds, request(credentialManagement, m{1: sub}), request(clientPIN, m{1: 2, 2: sub}),
			request(bioEnrollment, m{1: 1, 2: sub, 5: []byte{}}), request(config, m{1: sub}))
	}
	seeds = append(seeds, request(bioEnrollment, m{6: true}), request(config, m{1: 0xff, 2: m{1: uint64(0x6669646f6b657900)}}))
	return seeds
}
