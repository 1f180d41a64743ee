package enrol

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
)

func openLedger(t *testing.T, path string, to ...age.Recipient) *Ledger {
	t.Helper()
	l, err := OpenLedger(path, to...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// TestLedger: one process at a time; what a crash left of the last line is cut off and
// told; any other damage is not touched.
func TestLedger(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	l := openLedger(t, path)
	sam := Line{User: "sam@example.com"}
	if err := l.plan([]Line{sam}); err != nil {
		t.Fatal(err)
	}
	n, err := l.begin(sam, &Plugged{Serial: "7"}, "aaguid")
	if err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if _, err := OpenLedger(path); !errors.Is(err, ErrLedgerInUse) {
		t.Errorf("a second process: %v", err)
	}
	if read, err := ReadLedger(path); err != nil || len(read.Lines()) != 1 || read.append(Entry{}) == nil {
		t.Errorf("reading meanwhile: %v", err)
	}
	l.Close()
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, tail := range []string{`{"event":"pinSet","line":"`, "\x00\x00\x00\x00", "\x00\x00\n", `{"event":"pinSet","attempt":1}`} {
		if err := os.WriteFile(path, append(sound[:len(sound):len(sound)], tail...), 0o600); err != nil {
			t.Fatal(err)
		}
		l := openLedger(t, path)
		text, err := os.ReadFile(path)
		if err != nil || string(text) != string(sound) || !l.Torn {
			t.Errorf("%q: torn: %v, %v\n%s", tail, l.Torn, err, text)
		}
		l.Close()
	}
	first, rest, _ := strings.Cut(string(sound), "\n")
	for text, says := range map[string]string{
		first + "\n" + strings.Replace(rest, "{", "[", 1): "line 2 is damaged",
		rest:                            "no ledger",
		"user,pin\nsam@example.com,1\n": "no ledger",
		strings.Replace(string(sound), `"version":1`, `"version":2`, 1):          "newer one",
		strings.Replace(string(sound), "sam@", "eve@", 1):                        "not what was planned",
		first + "\n" + `{"event":"pinSet","attempt":3}` + "\n" + rest:            "no attempt 3",
		string(sound) + `{"event":"key","line":"x","attempt":2}` + "\n" + "{}\n": "was not planned",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenLedger(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
		if after, _ := os.ReadFile(path); string(after) != text {
			t.Errorf("%q is touched:\n%s", text, after)
		}
	}
}

// A fullDisk writes nothing.
type fullDisk struct{ err error }

func (d fullDisk) Write(text []byte) (int, error) { return len(text), d.err }
func (d fullDisk) Sync() error                    { return d.err }
func (fullDisk) Close() error                     { return nil }

// TestLedgerFails: where nothing can be written any more nothing goes on.
func TestLedgerFails(t *testing.T) {
	l := openLedger(t, filepath.Join(t.TempDir(), "ledger"))
	full := errors.New("no space left")
	l.file = fullDisk{full}
	for range 2 {
		if err := l.plan([]Line{{User: "sam@example.com"}}); !errors.Is(err, ErrLedger) || !errors.Is(err, full) {
			t.Error(err)
		}
		l.file = fullDisk{} // what is in the file is not known all the same
	}
	if len(l.Lines()) != 0 {
		t.Error("it is planned")
	}
}

// TestChangedList: who has a passkey by the ledger is not registered again under another
// name.
func TestChangedList(t *testing.T) {
	l := openLedger(t, filepath.Join(t.TempDir(), "ledger"))
	sam := Line{Row: 2, User: "sam@example.com", Name: "blue"}
	alex := Line{Row: 3, User: "alex@example.com", Name: "bleu"}
	if err := l.plan([]Line{sam, alex}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []Line{sam, alex} {
		if _, err := l.begin(line, &Plugged{}, "aaguid"); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.append(Entry{Event: EventRegistered, Attempt: 1, Method: "id"}); err != nil {
		t.Fatal(err)
	}
	renamed := sam
	renamed.Name, alex.Name = "green", "blue"
	if err := l.plan([]Line{renamed, alex}); err == nil || !strings.Contains(err.Error(), `line 2: the ledger has sam@example.com with name "blue"`) || strings.Contains(err.Error(), "alex") {
		t.Error(err)
	}
	if err := l.plan([]Line{alex}); err != nil {
		t.Errorf("without sam: %v", err)
	}
	if err := l.plan([]Line{sam, renamed, alex}); err != nil {
		t.Errorf("a second key: %v", err)
	}
}

// TestEncrypt: a PIN can be read by each recipient, and by nobody else.
func TestEncrypt(t *testing.T) {
	var who []*age.X25519Identity
	var to []age.Recipient
	for range 3 {
		i, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		who, to = append(who, i), append(to, i.Recipient())
	}
	l := openLedger(t, filepath.Join(t.TempDir(), "ledger"), to[:2]...)
	text, err := l.encrypt([]byte("83041796"))
	if err != nil {
		t.Fatal(err)
	}
	for i, identity := range who {
		pin, err := (&Attempt{PIN: text, PINAt: 9}).Decrypt(identity)
		if i < 2 && string(pin) != "83041796" || i == 2 && (err == nil || !strings.Contains(err.Error(), "line 9")) {
			t.Errorf("%d: %s, %v", i, pin, err)
		}
	}
}

// TestLostPlan cuts power while many lines are planned: any of the blocks may be missing.
// Nobody relied on the lines, so they are planned again, and what was on the disk before
// is there. A hole in front of anything else is left alone.
func TestLostPlan(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	var lines []Line
	for i := range 30 {
		lines = append(lines, Line{Row: i + 2, User: userN(i)})
	}
	l := openLedger(t, path)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.plan(lines); err != nil {
		t.Fatal(err)
	}
	l.Close()
	planned, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const block = 512
	try := func(what string, image []byte, sound bool) {
		t.Helper()
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := OpenLedger(path)
		if err != nil {
			if after, _ := os.ReadFile(path); sound || !bytes.Equal(after, image) {
				t.Errorf("%s: %v", what, err)
			}
			return
		}
		defer l.Close()
		if !sound {
			t.Errorf("%s: it is opened", what)
			return
		}
		if err := l.plan(lines); err != nil || len(l.Lines()) != len(lines) {
			t.Errorf("%s: %v, %d lines", what, err, len(l.Lines()))
		}
		if again, err := ReadLedger(path); err != nil || again.Torn || len(again.Lines()) != len(lines) {
			t.Errorf("%s: read again: %v", what, err)
		}
	}
	for at := len(before); at < len(planned); at += block - at%block {
		hole := bytes.Clone(planned)
		end := min(at+block-at%block, len(hole))
		clear(hole[at:end])
		what := fmt.Sprintf("%d to %d", at, end)
		try(what, hole, true)
		try("all up to "+what, planned[:at], true)
		clear(hole[at:])
		try("nothing from "+what, hole, true)
		if end == len(planned) {
			break
		}
		later := append(bytes.Clone(planned), `{"event":"key","line":"`+lines[0].ID()+`","attempt":1}`+"\n"...)
		clear(later[at:end])
		try(what+", and an attempt", later, false)
	}
	for n := range before {
		try(fmt.Sprintf("%d zeros", n), make([]byte, n), true)
	}
	try("many zeros", make([]byte, 1<<20), false)
}
