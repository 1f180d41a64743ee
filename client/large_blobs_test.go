package client_test

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
)

// store puts an array on a key without a PIN, as another program would.
func (b *bench) store(t *testing.T, array []byte) {
	t.Helper()
	for offset := 0; offset < len(array); offset += 900 {
		req := ctap2.LargeBlobs{Set: array[offset:min(offset+900, len(array))], Offset: uint(offset)}
		if offset == 0 {
			req.Length = uint(len(array))
		}
		if _, err := client.Do(t.Context(), b.Key, req); err != nil {
			t.Fatal(err)
		}
	}
}

// serialized returns an array of entries in CBOR.
func serialized(t *testing.T, entries ...any) []byte {
	t.Helper()
	array, err := cbor.Marshal(append([]any{}, entries...))
	if err != nil {
		t.Fatal(err)
	}
	return withHash(array)
}

func withHash(array []byte) []byte {
	sum := sha256.Sum256(array)
	return append(array, sum[:16]...)
}

// sealed returns an entry that holds compressed, and claims a size.
func sealed(t *testing.T, key, compressed []byte, size uint64) cbor.RawMessage {
	t.Helper()
	return sealedEntry(key, compressed, size)
}

func sealedEntry(key, compressed []byte, size uint64) cbor.RawMessage {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	gcm, _ := cipher.NewGCM(block)
	nonce := make([]byte, 12)
	rand.Read(nonce)
	entry, _ := cbor.Marshal(map[int]any{
		1: gcm.Seal(nil, nonce, compressed, binary.LittleEndian.AppendUint64([]byte("blob"), size)), 2: nonce, 3: size,
	})
	return entry
}

func deflated(blob []byte) []byte {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, flate.BestSpeed)
	w.Write(blob)
	w.Close()
	return out.Bytes()
}

func key32(fill byte) []byte { return bytes.Repeat([]byte{fill}, 32) }

// TestLargeBlobKnownAnswers reads the arrays of another implementation.
func TestLargeBlobKnownAnswers(t *testing.T) {
	var v struct {
		LargeBlobKey, Plaintext, SerializedLargeBlobArray, InitialSerializedLargeBlobArray ctaptest.Hex
		StoredBlockCase                                                                    struct{ Plaintext, SerializedLargeBlobArray ctaptest.Hex }
	}
	ctaptest.Vectors(t, "large-blob", &v)
	b := newBench(t, simulator.Config{Profile: simulator.Full23()})
	array, err := b.LargeBlobs(t.Context(), nil)
	if err != nil || !bytes.Equal(array.Raw, v.InitialSerializedLargeBlobArray) || len(array.Entries) != 0 || array.Corrupt != nil {
		t.Errorf("new key: %+v, %v", array, err)
	}
	for _, c := range []struct{ array, blob []byte }{
		{v.SerializedLargeBlobArray, v.Plaintext}, {v.StoredBlockCase.SerializedLargeBlobArray, v.StoredBlockCase.Plaintext},
	} {
		b.store(t, c.array)
		if blob, err := b.LargeBlob(t.Context(), v.LargeBlobKey); err != nil || !bytes.Equal(blob, c.blob) {
			t.Errorf("%q, %v", blob, err)
		}
		if _, err := b.LargeBlob(t.Context(), key32(1)); !errors.Is(err, client.ErrNoLargeBlob) {
			t.Errorf("another key: %v", err)
		}
	}
	if _, err := b.LargeBlob(t.Context(), []byte("short")); err == nil {
		t.Error("a key of 5 bytes was taken")
	}
	// Ours is one of three members, and deleting the last entry gives the array
	// that the key began with.
	if _, err := b.SetLargeBlob(t.Context(), v.LargeBlobKey, []byte("another"), false); err != nil {
		t.Fatal(err)
	}
	if array, err = b.LargeBlobs(t.Context(), nil); err != nil || len(array.Entries) != 1 || !array.Entries[0].WellFormed || array.Entries[0].OrigSize != 7 {
		t.Errorf("%+v, %v", array, err)
	}
	if _, err := b.DeleteLargeBlob(t.Context(), v.LargeBlobKey, false); err != nil {
		t.Error(err)
	}
	if array, err = b.LargeBlobs(t.Context(), nil); err != nil || !bytes.Equal(array.Raw, v.InitialSerializedLargeBlobArray) {
		t.Errorf("%+v, %v", array, err)
	}
}

// TestLargeBlobFlows goes through all that changes the array, on a key with a
// PIN: what is not concerned stays byte for byte, what changes nothing writes
// nothing, and a dry run says the same and writes nothing.
func TestLargeBlobFlows(t *testing.T) {
	b, _ := tappedProfile(t, simulator.Full23())
	alice, bob := []byte("for alice"), bytes.Repeat([]byte("for bob "), 100)
	// Another program's entry, of which we know nothing, and one with a member
	// more than we know, which nobody here opens.
	foreign := cbor.RawMessage{0x63, 'a', 'b', 'c'}
	newer := cbor.RawMessage(slices.Concat([]byte{0xa4, 0x01, 0x50}, make([]byte, 16), []byte{0x02, 0x4c}, make([]byte, 12), []byte{0x03, 0x01, 0x04, 0x01}))
	orphan := sealed(t, key32(9), deflated([]byte("gone")), 4)
	b.store(t, serialized(t, foreign, orphan, newer))
	b.mustSetPIN(t)

	steps := []struct {
		name    string
		change  func(dryRun bool) (*client.LargeBlobPlan, error)
		entries int // after
		changed bool
		written bool
	}{
		{"set", func(dry bool) (*client.LargeBlobPlan, error) {
			return b.SetLargeBlob(t.Context(), key32(1), alice, dry)
		}, 4, true, true},
		{"set another", func(dry bool) (*client.LargeBlobPlan, error) { return b.SetLargeBlob(t.Context(), key32(2), bob, dry) }, 5, true, true},
		{"set the same", func(dry bool) (*client.LargeBlobPlan, error) { return b.SetLargeBlob(t.Context(), key32(2), bob, dry) }, 5, false, false},
		{"replace", func(dry bool) (*client.LargeBlobPlan, error) { return b.SetLargeBlob(t.Context(), key32(1), bob, dry) }, 5, true, true},
		{"repair a sound one", func(dry bool) (*client.LargeBlobPlan, error) { return b.RepairLargeBlobs(t.Context(), dry) }, 5, false, false},
		{"collect", func(dry bool) (*client.LargeBlobPlan, error) {
			return b.CollectLargeBlobs(t.Context(), []client.LargeBlobCredential{{LargeBlobKey: key32(1)}, {LargeBlobKey: key32(2)}, {}}, true, dry)
		}, 4, true, true},
		{"delete", func(dry bool) (*client.LargeBlobPlan, error) { return b.DeleteLargeBlob(t.Context(), key32(2), dry) }, 3, true, true},
	}
	for _, s := range steps {
		before, err := b.LargeBlobs(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		b.wire.asked = nil
		plan, err := s.change(true)
		if err != nil || plan.Written || plan.Changed != s.changed || plan.After.Entries != s.entries || plan.Before.Entries != len(before.Entries) || plan.Before.Bytes != uint(len(before.Raw)) {
			t.Errorf("%s, dry: %+v, %v", s.name, plan, err)
		}
		if want := map[string]int{"LargeBlobs": 1}; !maps.Equal(tally(b.wire.asked), want) {
			t.Errorf("%s, dry: asked %v", s.name, b.wire.asked)
		}
		done, err := s.change(false)
		if err != nil || done.Written != s.written || done.After != plan.After {
			t.Errorf("%s: %+v, %v, planned %+v", s.name, done, err, plan)
		}
		after, err := b.LargeBlobs(t.Context(), nil)
		if err != nil || uint(len(after.Raw)) != done.After.Bytes || len(after.Entries) != s.entries {
			t.Errorf("%s: %+v, %v", s.name, after, err)
		}
		for _, kept := range []cbor.RawMessage{foreign, newer} {
			if !slices.ContainsFunc(after.Entries, func(e client.LargeBlobEntry) bool { return bytes.Equal(e.Raw, kept) && !e.WellFormed }) {
				t.Errorf("%s: entry %x is gone", s.name, kept)
			}
		}
	}
	if len(b.person.asked) != 1 {
		t.Errorf("PIN asked for %d times", len(b.person.asked))
	}
	array, err := b.LargeBlobs(t.Context(), []client.LargeBlobCredential{{RPID: "example.com", ID: []byte{7}, LargeBlobKey: key32(1)}})
	if err != nil || array.Orphans() != 0 {
		t.Fatal(array, err)
	}
	i := slices.IndexFunc(array.Entries, func(e client.LargeBlobEntry) bool { return e.Credential != nil })
	if i < 0 || array.Entries[i].Credential.RPID != "example.com" || !bytes.Equal(array.Entries[i].Blob, bob) {
		t.Errorf("%+v", array)
	}
	if array, _ = b.LargeBlobs(t.Context(), nil); array.Orphans() != 1 {
		t.Errorf("%d orphans without the list", array.Orphans())
	}
	b.wire.asked = nil
	if _, err := b.CollectLargeBlobs(t.Context(), nil, false, true); !errors.Is(err, client.ErrCredentialsIncomplete) {
		t.Errorf("incomplete: %v", err)
	}
	if _, err := b.CollectLargeBlobs(t.Context(), []client.LargeBlobCredential{{LargeBlobKey: []byte{1}}}, true, true); !errors.Is(err, client.ErrCredentialsIncomplete) {
		t.Errorf("a strange key: %v", err)
	}
	if _, err := b.DeleteLargeBlob(t.Context(), key32(2), false); !errors.Is(err, client.ErrNoLargeBlob) {
		t.Errorf("delete again: %v", err)
	}
	if tally(b.wire.asked)["LargeBlobs"] != 1 {
		t.Errorf("asked %v", b.wire.asked)
	}
}

// TestLargeBlobExchanges: what each flow costs, and that fragments are as long as
// they may be.
func TestLargeBlobExchanges(t *testing.T) {
	p := simulator.Full23()
	p.GetInfo.MaxMsgSize = 1024
	b, ear := tappedProfile(t, p)
	b.mustSetPIN(t)
	noise := make([]byte, 2500)
	rand.Read(noise)
	plan, err := b.SetLargeBlob(t.Context(), key32(1), noise, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"authenticatorGetInfo", "authenticatorLargeBlobs", "authenticatorClientPIN 1", "authenticatorClientPIN 2", "authenticatorClientPIN 9",
		"authenticatorLargeBlobs", "authenticatorLargeBlobs", "authenticatorLargeBlobs",
	}
	if !slices.Equal(b.wire.asked, want) {
		t.Errorf("asked %q\n want %q", b.wire.asked, want)
	}
	if token := ear.lastPIN(t, 9); token[9] != uint64(ctap2.PermissionLBW) || token[10] != nil {
		t.Errorf("token asked for with %v for %v", token[9], token[10])
	}
	for i, msg := range ear.sent[len(ear.sent)-3:] {
		m := plainMap(t, msg[1:])
		if (m[4] != nil) != (i == 0) || m[3] != uint64(960*i) || len(m[5].([]byte)) != 32 || i < 2 && len(m[2].([]byte)) != 960 {
			t.Errorf("fragment %d: length %v, offset %v, %d bytes", i, m[4], m[3], len(m[2].([]byte)))
		}
	}
	b.wire.asked = nil
	if blob, err := b.LargeBlob(t.Context(), key32(1)); err != nil || !bytes.Equal(blob, noise) {
		t.Errorf("%d bytes, %v", len(blob), err)
	}
	if n := tally(b.wire.asked)["LargeBlobs"]; n != 3 {
		t.Errorf("%d reads", n)
	}

	// Full: told with the sizes, before anything is written.
	b.wire.asked = nil
	var full *client.LargeBlobStorageError
	_, err = b.SetLargeBlob(t.Context(), key32(2), noise, false)
	if !errors.As(err, &full) || !errors.Is(err, ctap2.ErrLargeBlobStorageFull) || full.Capacity != 4096 || full.Needed <= 4096 || full.Needed < plan.After.Bytes+2500 {
		t.Errorf("full: %v", err)
	}
	if want := map[string]int{"LargeBlobs": 3}; !maps.Equal(tally(b.wire.asked), want) {
		t.Errorf("asked %v", b.wire.asked)
	}
}

// TestLargeBlobsWholeFragments: an array as long as fragments are ends with an
// empty one, or with a refusal.
func TestLargeBlobsWholeFragments(t *testing.T) {
	for _, refuses := range []bool{false, true} {
		p := simulator.Full23()
		p.GetInfo.MaxMsgSize = 1024
		b, ear := tappedProfile(t, p)
		findings := b.noting()
		array := serialized(t, make([]byte, 2*960-1-3-16))
		if len(array) != 2*960 {
			t.Fatalf("%d bytes", len(array))
		}
		b.store(t, array)
		ear.before = func(msg []byte) []byte {
			if ctap2.Command(msg[0]) == ctap2.CommandLargeBlobs && refuses && plainMap(t, msg[1:])[3] == uint64(2*960) {
				return []byte{byte(ctap2.ErrInvalidParameter)}
			}
			return nil
		}
		b.wire.asked = nil
		got, err := b.LargeBlobs(t.Context(), nil)
		if err != nil || got.Corrupt != nil || !bytes.Equal(got.Raw, array) || tally(b.wire.asked)["LargeBlobs"] != 3 {
			t.Errorf("%v, asked %v", err, b.wire.asked)
		}
		if (len(*findings) == 1) != refuses {
			t.Errorf("findings %v", *findings)
		}
	}
}

// TestCorruptLargeBlobs: what cannot be read is empty and reported, nothing but a
// repair writes it, and a repair does.
func TestCorruptLargeBlobs(t *testing.T) {
	for name, answer := range map[string][]byte{
		"empty": {}, "short": {0x80, 1, 2}, "no array": serialized(t)[1:], "cut off": serialized(t, sealed(t, key32(1), deflated(nil), 0))[:40],
	} {
		b, ear := tappedProfile(t, simulator.Full23())
		findings := b.noting()
		wrote := false
		ear.before = func(msg []byte) []byte {
			if ctap2.Command(msg[0]) != ctap2.CommandLargeBlobs {
				return nil
			}
			if plainMap(t, msg[1:])[2] != nil {
				wrote = true
				return nil
			}
			raw, _ := cbor.Marshal(map[int]any{1: answer})
			return append([]byte{0}, raw...)
		}
		array, err := b.LargeBlobs(t.Context(), nil)
		if err != nil || !errors.Is(array.Corrupt, client.ErrLargeBlobsCorrupt) || len(array.Entries) != 0 || len(*findings) != 1 {
			t.Errorf("%s: %+v, %v, findings %v", name, array, err, *findings)
		}
		for flow, err := range map[string]error{
			"get":     second(b.LargeBlob(t.Context(), key32(1))),
			"set":     second(b.SetLargeBlob(t.Context(), key32(1), nil, false)),
			"delete":  second(b.DeleteLargeBlob(t.Context(), key32(1), false)),
			"collect": second(b.CollectLargeBlobs(t.Context(), nil, true, false)),
		} {
			if !errors.Is(err, client.ErrLargeBlobsCorrupt) {
				t.Errorf("%s, %s: %v", name, flow, err)
			}
		}
		if plan, err := b.RepairLargeBlobs(t.Context(), true); err != nil || !plan.Changed || plan.After != (client.LargeBlobUse{Bytes: 17}) || wrote {
			t.Errorf("%s, dry: %+v, %v, wrote %v", name, plan, err, wrote)
		}
		if plan, err := b.RepairLargeBlobs(t.Context(), false); err != nil || !plan.Written || !wrote {
			t.Errorf("%s: %+v, %v", name, plan, err)
		}
	}
	// A key that never gives out what it has.
	b, _ := tapped(t, "quirk-corrupt-large-blobs")
	if array, err := b.LargeBlobs(t.Context(), nil); err != nil || array.Corrupt == nil {
		t.Errorf("quirk: %+v, %v", array, err)
	}
}

func second[T any](_ T, err error) error { return err }

// TestHostileLargeBlobs: entries that lie about their size, and keys that never
// stop.
func TestHostileLargeBlobs(t *testing.T) {
	b, ear := tappedProfile(t, simulator.Full23())
	zeroes := deflated(make([]byte, 1<<20))
	for name, entry := range map[string]cbor.RawMessage{
		"claims less":         sealed(t, key32(1), zeroes, 10),
		"claims more":         sealed(t, key32(1), deflated([]byte("x")), 10),
		"claims an exabyte":   sealed(t, key32(1), zeroes, 1<<60),
		"claims the most":     sealed(t, key32(1), zeroes, 1<<64-1),
		"is too long":         sealed(t, key32(1), deflated(make([]byte, 2<<20)), 2<<20),
		"is not compressed":   sealed(t, key32(1), []byte{0xff, 0xff}, 2),
		"is cut off":          sealed(t, key32(1), zeroes[:len(zeroes)-5], 1<<20),
		"has nothing at all":  sealed(t, key32(1), nil, 5),
		"has only the length": sealed(t, key32(1), nil, 1<<20),
	} {
		b.store(t, serialized(t, entry))
		if blob, err := b.LargeBlob(t.Context(), key32(1)); !errors.Is(err, ctap2.ErrMalformed) || blob != nil {
			t.Errorf("%s: %d bytes, %v", name, len(blob), err)
		}
		credentials := []client.LargeBlobCredential{{LargeBlobKey: key32(1)}}
		array, err := b.LargeBlobs(t.Context(), credentials)
		if err != nil || array.Entries[0].Err == nil || array.Entries[0].Credential == nil {
			t.Errorf("%s: %+v, %v", name, array, err)
		}
		// It is the credential's all the same.
		if plan, err := b.CollectLargeBlobs(t.Context(), credentials, true, false); err != nil || plan.Changed {
			t.Errorf("%s: %+v, %v", name, plan, err)
		}
		if plan, err := b.DeleteLargeBlob(t.Context(), key32(1), false); err != nil || plan.After.Entries != 0 {
			t.Errorf("%s: %+v, %v", name, plan, err)
		}
	}
	for name, size := range map[string]int{"endless": 7609 - 64, "longer than asked": 8000} {
		ear.before = func(msg []byte) []byte {
			if ctap2.Command(msg[0]) != ctap2.CommandLargeBlobs {
				return nil
			}
			raw, _ := cbor.Marshal(map[int]any{1: make([]byte, size)})
			return append([]byte{0}, raw...)
		}
		b.wire.asked = nil
		if _, err := b.LargeBlobs(t.Context(), nil); !errors.Is(err, ctap2.ErrMalformed) || len(b.wire.asked) > 200 {
			t.Errorf("%s: %v after %d", name, err, len(b.wire.asked))
		}
	}
}

// TestLargeBlobWithHeader reads what old programs write, and says so.
func TestLargeBlobWithHeader(t *testing.T) {
	b := newBench(t, simulator.Config{Profile: simulator.Full23()})
	findings := b.noting()
	blob := []byte("with the header of zlib")
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	w.Write(blob)
	w.Close()
	b.store(t, serialized(t, sealed(t, key32(1), out.Bytes(), uint64(len(blob)))))
	got, err := b.LargeBlob(t.Context(), key32(1))
	if err != nil || !bytes.Equal(got, blob) {
		t.Errorf("%q, %v", got, err)
	}
	if len(*findings) != 1 || !strings.Contains((*findings)[0].What, "zlib header") {
		t.Errorf("findings %v", *findings)
	}
}

// TestAssertionLargeBlob writes and reads the blob of a credential both ways: in
// the array under its largeBlobKey, and with the credential (CTAP 2.3).
func TestAssertionLargeBlob(t *testing.T) {
	for profile, exchanges := range map[string][2]map[string]int{
		"ctap-2.3":          {{"ClientPIN 1": 1, "ClientPIN 2": 1, "ClientPIN 9": 1, "GetAssertion": 1, "LargeBlobs": 2}, {"GetAssertion": 1, "LargeBlobs": 1}},
		"ctap-2.1":          {{"ClientPIN 1": 1, "ClientPIN 2": 1, "ClientPIN 9": 1, "GetAssertion": 1, "LargeBlobs": 2}, {"GetAssertion": 1, "LargeBlobs": 1}},
		"variant-largeblob": {{"GetAssertion": 1}, {"GetAssertion": 1}},
	} {
		t.Run(profile, func(t *testing.T) {
			b, ear := tapped(t, profile)
			b.mustSetPIN(t)
			r := registration()
			r.Extensions.LargeBlob = client.LargeBlobRequired
			made := mustRegister(t, b, r)
			if !*made.Extensions.LargeBlob {
				t.Error("not supported")
			}
			r.User.ID, r.Extensions.LargeBlob = []byte{2}, ""
			without := mustRegister(t, b, r)
			if without.Extensions.LargeBlob != nil {
				t.Error("not asked for, and told")
			}
			blob := []byte(strings.Repeat("a certificate ", 50))
			a := client.Assertion{
				RPID: "example.com", ClientDataHash: hash[:], Allow: []ctap2.Descriptor{descriptor(made)}, UserVerification: client.Discouraged,
				Extensions: client.AssertionExtensions{WriteLargeBlob: blob},
			}
			authenticate := func() *client.LargeBlobResult {
				t.Helper()
				got, err := b.Authenticate(t.Context(), a)
				if err != nil || got[0].Extensions.LargeBlob == nil {
					t.Fatalf("%+v, %v", got, err)
				}
				return got[0].Extensions.LargeBlob
			}
			if _, err := b.Info(t.Context()); err != nil {
				t.Fatal(err)
			}
			b.wire.asked, b.person.asked = nil, nil
			if result := authenticate(); !result.Written || result.Err != nil {
				t.Errorf("write: %+v", result)
			}
			if _, verified := ear.last(t, ctap2.CommandGetAssertion)[6]; verified {
				t.Error("the user was verified for an assertion that discourages it")
			}
			if counts := tally(b.wire.asked); !maps.Equal(counts, exchanges[0]) {
				t.Errorf("write: asked %v", counts)
			}
			a.Extensions = client.AssertionExtensions{ReadLargeBlob: true}
			b.wire.asked = nil
			if result := authenticate(); !bytes.Equal(result.Blob, blob) || result.Err != nil {
				t.Errorf("read: %+v", result)
			}
			if counts := tally(b.wire.asked); !maps.Equal(counts, exchanges[1]) {
				t.Errorf("read: asked %v", counts)
			}
			// With user verification one token is for the signature and the writing.
			a.UserVerification, a.Extensions = client.Required, client.AssertionExtensions{WriteLargeBlob: blob[1:]}
			b.wire.asked = nil
			if result := authenticate(); !result.Written || tally(b.wire.asked)["ClientPIN 9"] != 1 {
				t.Errorf("write, verified: %+v, asked %v", result, b.wire.asked)
			}
			a.Extensions.WriteLargeBlob = blob
			authenticate()
			a.Extensions = client.AssertionExtensions{ReadLargeBlob: true}
			// All credentials at once, of which one has none.
			a.Allow, a.UserVerification = nil, client.Preferred
			all, err := b.Authenticate(t.Context(), a)
			if err != nil || len(all) != 2 || all[0].Extensions.LargeBlob.Blob != nil || !bytes.Equal(all[1].Extensions.LargeBlob.Blob, blob) {
				t.Errorf("all: %v, %v", all, err)
			}
			// A credential without room says so, and signs.
			a.Allow = []ctap2.Descriptor{descriptor(without)}
			a.Extensions = client.AssertionExtensions{WriteLargeBlob: blob}
			if result := authenticate(); result.Written || result.Err == nil {
				t.Errorf("without room: %+v", result)
			}
		})
	}
}

func TestNoLargeBlobs(t *testing.T) {
	for _, profile := range []string{"variant-no-largeblobs", "variant-largeblob", "ctap-2.0"} {
		b, _ := tapped(t, profile)
		if _, err := b.LargeBlobs(t.Context(), nil); !errors.Is(err, client.ErrNoLargeBlobs) || len(b.wire.asked) != 1 {
			t.Errorf("%s: %v, asked %q", profile, err, b.wire.asked)
		}
		r := registration()
		r.Extensions.LargeBlob = client.LargeBlobPreferred
		r.Discoverable = false
		if made := mustRegister(t, b, r); *made.Extensions.LargeBlob || !slices.Contains(made.Extensions.NotSent, "largeBlob") {
			t.Errorf("%s: %+v", profile, made.Extensions)
		}
		r.Extensions.LargeBlob = client.LargeBlobRequired
		if _, err := b.Register(t.Context(), r); !errors.Is(err, client.ErrExtensionUnsupported) {
			t.Errorf("%s, required: %v", profile, err)
		}
	}
}
