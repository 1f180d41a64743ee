package enrol

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzReadList: what is read without an error can be enrolled, and names its rows in
// order.
func FuzzReadList(f *testing.F) {
	for _, text := range []string{
		"user,serial,aaguid\nsam@example.com,7,2fc0579f-8113-47ea-b116-bb5a8db9202a\n", "\ufeffuser;name\r\nsam@example.com;\"Sam's; key\"\r\n", "user\tserial\n\n\t\n",
		"\xff\xfeu\x00s\x00e\x00r\x00\n\x00a\x00@\x00b\x00", "user,pin\na@b,1234\n", "user,serial\na@b,1.2E+07\n", "user\n\"",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		lines, err := ReadList(text)
		if err != nil {
			return
		}
		row := 1
		for _, line := range lines {
			if err := line.Check(); err != nil || line.Row <= row || line.User == "" {
				t.Errorf("%+v after row %d: %v", line, row, err)
			}
			row = line.Row
		}
	})
}

// FuzzLedger: a ledger is read, or not touched; what is cut off is the last line at the
// most, and what is left is read in the same way.
func FuzzLedger(f *testing.F) {
	path := filepath.Join(f.TempDir(), "ledger")
	l, err := OpenLedger(path)
	if err != nil {
		f.Fatal(err)
	}
	sam := Line{User: "sam@example.com"}
	if err := l.plan([]Line{sam, {User: "kim@example.com", Serial: "8"}}); err != nil {
		f.Fatal(err)
	}
	if _, err := l.begin(sam, &Plugged{Serial: "7"}, "aaguid"); err != nil {
		f.Fatal(err)
	}
	l.Close()
	sound, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sound)
	f.Add(sound[:len(sound)-3])
	f.Add(append(sound, "{}\n"...))
	f.Add([]byte("user\nsam@example.com\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "ledger")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := OpenLedger(path)
		if err == nil {
			l.Close()
		}
		now, readErr := os.ReadFile(path)
		if readErr != nil {
			t.Fatal(readErr)
		}
		if err != nil {
			if string(now) != string(text) {
				t.Errorf("%q became %q with %v", text, now, err)
			}
			return
		}
		again, err := ReadLedger(path)
		if err != nil || again.Torn || len(again.Lines()) != len(l.Lines()) {
			t.Errorf("%q became %q: %v", text, now, err)
		}
	})
}
