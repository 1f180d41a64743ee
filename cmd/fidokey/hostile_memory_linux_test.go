package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// hostileMemory is how much more a command may need on a hostile key than on an honest one.
const hostileMemory = 64 << 20

// A talker is a key that has no end of something.
type talker func(request, answer []byte) []byte

// about changes answers to some commands.
func about(edit func(request, answer []byte) []byte, commands ...ctap2.Command) talker {
	return func(request, answer []byte) []byte {
		if len(request) > 0 && slices.Contains(commands, ctap2.Command(request[0])) {
			return edit(request, answer)
		}
		return answer
	}
}

// with is an answer with other members.
func with(answer []byte, edit func(m map[int]any)) []byte {
	m := map[int]any{}
	if len(answer) > 1 {
		ctapcbor.Unmarshal(answer[1:], &m)
	}
	edit(m)
	body, err := ctapcbor.Marshal(m)
	if err != nil || len(body) >= longestAnswer {
		panic(fmt.Sprintf("%d bytes: %v", len(body), err))
	}
	return append([]byte{0}, body...)
}

// talkers are the keys that commands need most memory for: lists that never end, of names
// that are long and become longer when they are printed; a large-blob array of very many
// entries, or without end; and the longest answers of very many members.
func talkers() map[string]talker {
	const endless = uint64(1) << 31
	name := strings.Repeat("\x01", 3000)
	var n uint64
	next := func(size int) []byte { n++; return binary.BigEndian.AppendUint64(make([]byte, size-8), n) }
	last := map[uint64][]byte{} // the answer to each beginning
	array := append(binary.BigEndian.AppendUint32([]byte{0x9a}, 900_000), make([]byte, 900_000)...)
	hash := sha256.Sum256(array)
	array = append(array, hash[:16]...)
	many := slices.Repeat([]string{""}, 6000)
	fragments := func(from func(offset, n uint64) []byte) talker {
		return about(func(request, answer []byte) []byte {
			if request[0] == byte(ctap2.CommandGetInfo) {
				return with(answer, func(m map[int]any) { m[11] = endless })
			}
			var m map[int]any
			if ctapcbor.Unmarshal(request[1:], &m) != nil || m[1] == nil {
				return answer
			}
			n, _ := m[1].(uint64)
			offset, _ := m[3].(uint64)
			return with(nil, func(m map[int]any) { m[1] = from(offset, n) })
		}, ctap2.CommandGetInfo, ctap2.CommandLargeBlobs)
	}
	return map[string]talker{
		"relying parties without end": about(func(request, answer []byte) []byte {
			var m map[int]any
			ctapcbor.Unmarshal(request[1:], &m)
			if sub, _ := m[1].(uint64); sub != 2 && sub != 3 {
				return answer
			}
			if answer[0] == 0 {
				last[2] = answer
			}
			return with(last[2], func(m map[int]any) {
				m[3], m[4], m[5] = map[string]any{"id": name, "name": name}, next(32), endless
			})
		}, ctap2.CommandCredentialManagement),
		"passkeys with long names": about(func(request, answer []byte) []byte { // as many as are taken
			var m map[int]any
			ctapcbor.Unmarshal(request[1:], &m)
			if sub, _ := m[1].(uint64); sub != 4 && sub != 5 {
				return answer
			}
			if answer[0] == 0 {
				last[4] = answer
			}
			return with(last[4], func(m map[int]any) {
				m[6] = map[string]any{"id": []byte{1}, "name": name, "displayName": name}
				m[7], m[9] = map[string]any{"id": next(64), "type": "public-key"}, 55
			})
		}, ctap2.CommandCredentialManagement),
		"assertions without end": about(func(_, answer []byte) []byte {
			if answer[0] == 0 {
				last[0] = answer
			}
			return with(last[0], func(m map[int]any) {
				m[1], m[5] = map[string]any{"id": next(64), "type": "public-key"}, endless
				m[4] = map[string]any{"id": []byte{1}, "name": name, "displayName": name}
			})
		}, ctap2.CommandGetAssertion, ctap2.CommandGetNextAssertion),
		"array of very many": fragments(func(offset, n uint64) []byte {
			offset = min(offset, uint64(len(array)))
			return array[offset:min(offset+n, uint64(len(array)))]
		}),
		"array without end": fragments(func(_, n uint64) []byte { return make([]byte, n) }),
		"very many members": about(func(_, answer []byte) []byte {
			return with(answer, func(m map[int]any) { m[2] = many })
		}, ctap2.CommandGetInfo),
		"very many fingers": about(func(_, answer []byte) []byte {
			return with(nil, func(m map[int]any) { m[7] = slices.Repeat([]map[int]any{{1: []byte{1}}}, 1500) })
		}, ctap2.CommandBioEnrollment),
	}
}

// TestHostileMemory: what a command has to hold of what a hostile key says is little, in a
// process of its own: 64 MiB more at the most than on the same key when it is honest.
func TestHostileMemory(t *testing.T) {
	programs := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", programs+"/", ".", "./testdata/peak").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := &station{}
	device, stop, err := s.start("fingerprint", "12345678")
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	_, err = s.client().Register(t.Context(), client.Registration{
		ClientDataHash: make([]byte, 32), RP: ctap2.RP{ID: "example.com"}, User: ctap2.User{ID: []byte("id"), Name: "alice"},
		Parameters: []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}}, Discoverable: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	pin := filepath.Join(programs, "pin")
	if err := os.WriteFile(pin, []byte("12345678\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// peak returns the most memory that a call had, in bytes, and what it said.
	peak := func(args []string) (most uint64, said string) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		cmd := exec.CommandContext(ctx, filepath.Join(programs, "peak"), slices.Concat([]string{filepath.Join(programs, "fidokey")}, args, []string{"--device", device, "--timeout", "20s"})...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &out, &out, []*os.File{w}
		cmd.Run()
		w.Close()
		text, err := io.ReadAll(r)
		if _, err2 := fmt.Sscan(string(text), &most); err != nil || err2 != nil {
			t.Fatalf("%q: no peak: %v, %v: %.300s", args, err, err2, out.String())
		}
		return most << 10, out.String()
	}
	for name, calls := range map[string][]string{
		"relying parties without end": {"credentials list --pin-file " + pin},
		"passkeys with long names":    {"credentials list --pin-file " + pin, "credentials list --json --pin-file " + pin},
		"assertions without end":      {"authenticate --rp example.com --pin-file " + pin},
		"array of very many":          {"blobs list --pin-file " + pin},
		"array without end":           {"blobs list --json --pin-file " + pin},
		"very many members":           {"info", "info --json"},
		"very many fingers":           {"fingerprints list --pin-file " + pin},
	} {
		for _, call := range calls {
			args := strings.Fields(call)
			base, said := peak(args)
			talk := (func(request, answer []byte) []byte)(talkers()[name])
			s.answers.Store(&talk)
			most, hostile := peak(args)
			s.answers.Store(nil)
			t.Logf("%s: %s: %d MiB, and %d MiB on an honest key", name, call, most>>20, base>>20)
			if most > base+hostileMemory {
				t.Errorf("%s: %s needs %d MiB, and %d MiB on an honest key: %.300s", name, call, most>>20, base>>20, hostile)
			}
			if said == hostile {
				t.Errorf("%s: %s: the key is not hostile: %.300s", name, call, said)
			}
		}
	}
}
