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

// cutBench is a key with a PIN and a credential, and a message that changes it.
func cutBench(t *testing.T, storage simulator.Storage, message func(k *key, alice created) []byte) (*key, []byte) {
	k := &key{T: t, clock: newClock()}
	k.plugIn(storage, everything())
	_, msg := changed(k, message)
	return k, msg
}

// TestPowerCut cuts power before and after every write of every command. What is
// there afterwards is what was there after some write, whole, and neither the PIN
// tries nor the counter are better than they were.
func TestPowerCut(t *testing.T) {
	for _, c := range changingCommands {
		t.Run(c.name, func(t *testing.T) {
			sound := &recording{Storage: simulator.NewMemory()}
			k, message := cutBench(t, sound, c.message)
			begin, _ := sound.Load()
			sound.states = nil
			k.send(message)
			states := append([]map[string][]byte{begin}, sound.states...)
			if len(states) < 2 {
				t.Fatal("nothing is written")
			}
			for write := range states[1:] {
				cutAndCompare(t, c.message, simulator.FaultCutBeforeWrite, write, states[write])
				cutAndCompare(t, c.message, simulator.FaultCutAfterWrite, write, states[write+1])
			}
		})
	}
}

// cutAndCompare plays the same scene with power cut at a write.
func cutAndCompare(t *testing.T, message func(k *key, alice created) []byte, kind simulator.FaultKind, write int, want map[string][]byte) {
	t.Helper()
	storage := &recording{Storage: simulator.NewMemory()}
	k, msg := cutBench(t, storage, message)
	tries := storedTries(t, storage)
	k.plague(simulator.Fault{Kind: kind, Skip: uint(write)})
	if answer, err := k.Exchange(t.Context(), msg); err == nil {
		t.Errorf("%s %d: answer %x", kind, write, answer)
	}
	k.PowerOn()
	k.ok(getInfo, nil)
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
	for _, c := range changingCommands {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key.db")
			file, err := simulator.OpenFile(path)
			if err != nil {
				t.Fatal(err)
			}
			storage := &recording{Storage: file}
			k, message := cutBench(t, storage, c.message)
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
			k.send(message)
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
