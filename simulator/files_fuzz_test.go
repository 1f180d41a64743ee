package simulator_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/fidokey/fidokey/simulator"
)

// FuzzParseProfile: a profile that is taken makes a key that answers.
func FuzzParseProfile(f *testing.F) {
	files, err := filepath.Glob("profiles/*.yaml")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte("base: ctap-2.3\ngetInfo: {maxMsgSize: 18446744073709551615}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		profile, err := simulator.ParseProfile(text)
		if (err == nil) != (profile != nil) {
			t.Fatalf("%+v, %v", profile, err)
		}
		var path *fs.PathError
		if errors.As(err, &path) {
			t.Errorf("a file is opened: %v", err)
		}
		if err != nil {
			return
		}
		a, err := simulator.New(simulator.Config{Profile: profile, Clock: newClock()})
		if err != nil {
			return // the pieces do not fit, which New says
		}
		defer a.Close()
		if answer, err := a.Exchange(t.Context(), []byte{getInfo}); err != nil || len(answer) == 0 {
			t.Errorf("getInfo: %x, %v", answer, err)
		}
	})
}

// FuzzRestore: a snapshot is taken or not; the key works on in either case, and what was
// taken is what the next snapshot has.
func FuzzRestore(f *testing.F) {
	a, err := simulator.New(simulator.Config{Clock: newClock()})
	if err != nil {
		f.Fatal(err)
	}
	if answer, err := a.Exchange(f.Context(), request(makeCredential, resident(testRP, "alice"))); err != nil || answer[0] != ok {
		f.Fatal(answer, err)
	}
	sound, err := a.Snapshot(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound)
	f.Add(sound[:len(sound)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := simulator.New(simulator.Config{Clock: newClock()})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		before, err := a.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		restored := a.Restore(t.Context(), data)
		after, err := a.Snapshot(t.Context())
		if err != nil || restored != nil && !bytes.Equal(before, after) {
			t.Errorf("after %v the state is another one, %v", restored, err)
		}
		for _, msg := range [][]byte{{getInfo}, request(getAssertion, sign(testRP)), request(makeCredential, resident(testRP, "bob"))} {
			if answer, err := a.Exchange(t.Context(), msg); err != nil || len(answer) == 0 {
				t.Errorf("%x: %x, %v", msg, answer, err)
			}
		}
	})
}

// FuzzVPCD is a driver that sends anything to a card.
func FuzzVPCD(f *testing.F) {
	f.Add([]byte{0, 1, 1, 0, 1, 4, 0, 1, 0})
	f.Add(append([]byte{0, 1, 1, 0, 13}, "\x00\xa4\x04\x00\x08\xa0\x00\x00\x06\x47\x2f\x00\x01"...))
	f.Add([]byte{0, 0})
	f.Add([]byte{0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, sent []byte) {
		ours, drivers := net.Pipe()
		go func() {
			drivers.Write(sent)
			drivers.Close()
		}()
		defer ours.Close()
		for at := 0; ; {
			message, err := simulator.ReadVPCD(ours)
			if err != nil {
				return
			}
			size := int(binary.BigEndian.Uint16(sent[at:]))
			if at += 2; len(message) != size || !bytes.Equal(message, sent[at:at+size]) {
				t.Fatalf("message %x at %d of %x", message, at, sent)
			}
			at += size
		}
	})
}

// FuzzProfileFromMetadata: whatever a statement says of a model, what is made of it is a
// key that answers, and a file that is read again, or an error.
func FuzzProfileFromMetadata(f *testing.F) {
	f.Add([]byte(statement))
	f.Add([]byte(u2fStatement))
	f.Add(blobOf(f, statement, u2fStatement))
	f.Add([]byte(`{"description":"\u0000","authenticatorGetInfo":{"versions":[],"maxMsgSize":18446744073709551615,"algorithms":[null],"options":null}}`))
	f.Add([]byte("e30.e30."))
	f.Fuzz(func(t *testing.T, data []byte) {
		profile, _, err := simulator.ProfileFromMetadata(data, acme)
		if err != nil {
			return
		}
		text, err := profile.YAML()
		if err == nil {
			_, err = simulator.ParseProfile(text)
		}
		if err != nil {
			t.Errorf("%s is written as %s, which is not read again: %v", data, text, err)
		}
		a, err := simulator.New(simulator.Config{Profile: profile, Clock: newClock()})
		if err != nil {
			t.Fatalf("%s is taken, and makes no key: %v", data, err)
		}
		defer a.Close()
		if answer, err := a.Exchange(t.Context(), []byte{getInfo}); err != nil || len(answer) == 0 {
			t.Errorf("getInfo: %x, %v", answer, err)
		}
	})
}
