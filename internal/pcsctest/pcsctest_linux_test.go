package pcsctest

import (
	"os"
	"testing"
)

// TestDaemon starts pcscd with two readers, and again after a crash.
func TestDaemon(t *testing.T) {
	if missing := Missing(); missing != "" {
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	d, err := Start("one", "two")
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if len(d.Readers) != 2 || d.Readers[1].Name != "two 00 00" {
		t.Errorf("readers: %v", d.Readers)
	}
	d.Kill()
	if err := d.Restart(); err != nil {
		t.Fatal(err)
	}
}
