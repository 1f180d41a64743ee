package simulator_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/fidokey/fidokey/simulator"
)

// recording is a Storage that keeps what it was after each commit.
type recording struct {
	simulator.Storage
	states []map[string][]byte
	after  func() // called after each commit; may be nil
}

func (r *recording) Commit(changes map[string][]byte) error {
	err := r.Storage.Commit(changes)
	records, _ := r.Storage.Load()
	r.states = append(r.states, records)
	if r.after != nil {
		r.after()
	}
	return err
}

// A cutCommand is a command during which power is cut.
type cutCommand struct {
	name    string
	message func(k *key, alice created) []byte
	profile string // "": everything
	u2f     bool
}

// cutCommands are changingCommands and those that come to other keys: without a PIN, with
// U2F, with blobs beside the credentials.
func cutCommands() (all []cutCommand) {
	for _, c := range changingCommands {
		all = append(all, cutCommand{name: c.name, message: c.message})
	}
	return append(all,
		cutCommand{name: "setPIN", message: func(k *key, _ created) []byte {
			k.ok(reset, nil)
			return request(clientPIN, k.agree(2).setPINParams(padded(testPIN)))
		}},
		cutCommand{name: "wrong finger", message: func(k *key, _ created) []byte {
			k.lay(wrongFinger)
			return request(makeCredential, with(creation(), true, uvTrue...))
		}},
		cutCommand{name: "write a blob beside the credential", profile: "variant-largeblob", message: func(k *key, _ created) []byte {
			made := k.create(with(resident("blobs.example", "bob"), m{"support": "required"}, 6, "largeBlob"))
			return request(getAssertion, with(sign("blobs.example", made.id), m{"write": []byte{1, 2}, "originalSize": 2}, 4, "largeBlob"))
		}},
		cutCommand{name: "sign with U2F", profile: "u2f", u2f: true, message: func(k *key, _ created) []byte {
			answer, _ := k.u2f(u2fAPDU(1, 0, registerData()))
			return u2fAPDU(2, 3, authenticateData(answer[67:][:answer[66]]))
		}},
	)
}

// bench is a key with a PIN and a credential, and a message that changes it.
func (c cutCommand) bench(t *testing.T, storage simulator.Storage) (*key, []byte) {
	t.Helper()
	k := &key{T: t, clock: newClock()}
	if c.profile == "" {
		k.plugIn(storage, everything())
		_, msg := changed(k, c.message)
		return k, msg
	}
	profile, err := simulator.LoadProfile(c.profile)
	if err != nil {
		t.Fatal(err)
	}
	k.plugIn(storage, func(c *simulator.Config) { c.Profile = profile })
	return k, c.message(k, created{})
}

func (c cutCommand) send(k *key, msg []byte) ([]byte, error) {
	if c.u2f {
		return k.Message(k.Context(), msg)
	}
	return k.Exchange(k.Context(), msg)
}

// TestPowerCut cuts power before and after every write of every command. What is
// there afterwards is what was there after some write, whole, and neither the PIN
// tries nor the counter are better than they were.
func TestPowerCut(t *testing.T) {
	for _, c := range cutCommands() {
		t.Run(c.name, func(t *testing.T) {
			sound := &recording{Storage: simulator.NewMemory()}
			k, message := c.bench(t, sound)
			begin, _ := sound.Load()
			sound.states = nil
			if answer, err := c.send(k, message); err != nil {
				t.Fatalf("%x, %v", answer, err)
			}
			states := append([]map[string][]byte{begin}, sound.states...)
			if len(states) < 2 {
				t.Fatal("nothing is written")
			}
			for write := range states[1:] {
				c.cutAndCompare(t, simulator.FaultCutBeforeWrite, write, states[write])
				c.cutAndCompare(t, simulator.FaultCutAfterWrite, write, states[write+1])
			}
		})
	}
}

// cutAndCompare plays the same scene with power cut at a write.
func (c cutCommand) cutAndCompare(t *testing.T, kind simulator.FaultKind, write int, want map[string][]byte) {
	t.Helper()
	storage := &recording{Storage: simulator.NewMemory()}
	k, msg := c.bench(t, storage)
	tries := storedTries(t, storage)
	k.plague(simulator.Fault{Kind: kind, Skip: uint(write)})
	if answer, err := c.send(k, msg); err == nil {
		t.Errorf("%s %d: answer %x", kind, write, answer)
	}
	k.PowerOn()
	if c.u2f {
		k.u2f(u2fAPDU(3, 0, nil))
	} else {
		k.ok(getInfo, nil)
	}
	got, _ := storage.Load()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s %d: a state that never was", kind, write)
	}
	if after := storedTries(t, storage); after > tries {
		t.Errorf("%s %d: %d tries, before %d", kind, write, after, tries)
	}
}

// storedTries reads the PIN tries from the stored record.
func storedTries(t *testing.T, s simulator.Storage) uint64 {
	t.Helper()
	records, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	var device map[int]any
	if err := decMode.Unmarshal(records["device"], &device); err != nil {
		t.Fatal(err)
	}
	return device[4].(uint64)
}

// TestWrongPINCostsThroughPowerCuts: who cuts power to save a try saves none.
func TestWrongPINCostsThroughPowerCuts(t *testing.T) {
	k := newKey(t)
	k.setPIN(testPIN)
	for want := uint64(7); want > 0; want-- {
		msg := request(clientPIN, k.agree(2).tokenParams("0000"))
		k.plague(simulator.Fault{Kind: simulator.FaultCutAfterWrite})
		if answer, err := k.Exchange(t.Context(), msg); err == nil {
			t.Fatalf("answer %x", answer)
		}
		k.PowerOn()
		if n := k.retries(); n != want {
			t.Fatalf("%d tries, want %d", n, want)
		}
	}
}

// TestTornFile cuts power in the middle of every write to a real file: bbolt
// writes pages of data first and then the page that makes them count.
func TestTornFile(t *testing.T) {
	for _, c := range cutCommands() {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key.db")
			file, err := simulator.OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			storage := &recording{Storage: file}
			k, message := c.bench(t, storage)
			copyFile := func() []byte {
				data, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				return data
			}
			before, _ := file.Load()
			images := [][]byte{copyFile()}
			storage.states = []map[string][]byte{before}
			storage.after = func() { images = append(images, copyFile()) }
			if answer, err := c.send(k, message); err != nil {
				t.Fatalf("%x, %v", answer, err)
			}
			k.Close()
			for i := range images[1:] {
				torn(t, images[i], images[i+1], storage.states[i], storage.states[i+1])
			}
		})
	}
}

// torn writes the difference of two files page by page, and opens what is there
// in between.
func torn(t *testing.T, from, to []byte, before, after map[string][]byte) {
	t.Helper()
	page := os.Getpagesize()
	image := append(bytes.Clone(from), make([]byte, max(0, len(to)-len(from)))...)
	write := func(at int) bool {
		changed := !bytes.Equal(image[at:at+page], to[at:at+page])
		copy(image[at:at+page], to[at:at+page])
		return changed
	}
	const metaPages = 2
	for at := metaPages * page; at < len(to); at += page {
		if write(at) {
			expectFile(t, image, before, fmt.Sprintf("page %d written", at/page))
		}
	}
	for at := 0; at < metaPages*page; at += page {
		if bytes.Equal(image[at:at+page], to[at:at+page]) {
			continue
		}
		half := at + 40 // within the page's header, before its checksum
		copy(image[at:half], to[at:half])
		if !bytes.Equal(image[at:at+page], to[at:at+page]) {
			expectFile(t, image, before, "half of the last page written")
		}
		write(at)
		expectFile(t, image, after, "all written")
	}
}

func expectFile(t *testing.T, image []byte, want map[string][]byte, when string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "torn.db")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := simulator.OpenFile(path)
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	defer s.Close()
	if got, err := s.Load(); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s: a state that never was: %v", when, err)
	}
}

// TestPowerCutAtFirst cuts power after each of the writes by which a key comes to be: the
// next time it is there all the same.
func TestPowerCutAtFirst(t *testing.T) {
	storage := &recording{Storage: simulator.NewMemory()}
	k := &key{T: t, clock: newClock()}
	k.plugIn(storage, everything())
	k.ok(makeCredential, resident(testRP, "alice"))
	if len(storage.states) < 3 {
		t.Fatalf("%d writes", len(storage.states))
	}
	for _, state := range storage.states {
		half := simulator.NewMemory()
		if err := half.Commit(state); err != nil {
			t.Fatal(err)
		}
		k.plugIn(half, everything())
		k.ok(makeCredential, resident(testRP, "alice"))
	}
}

// TestNewFile: a new file is made under another name, of which nothing stays; what a power
// cut has left of an earlier one hinders nobody.
func TestNewFile(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "key.db.new1"), []byte("half of a page"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, "key.db")
	for range 2 {
		s, err := simulator.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadDir(folder)
		if err != nil || len(before) != 2 || before[0].Name() != "key.db" {
			t.Errorf("%v, %v", before, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
