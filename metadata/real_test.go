package metadata_test

import (
	"os"
	"testing"
	"time"

	"github.com/fidokey/fidokey/metadata"
)

// TestRealBlob reads a BLOB of the FIDO Alliance, if FIDOKEY_METADATA_BLOB names one.
// Nothing of it is in the project, for it has terms of its own.
func TestRealBlob(t *testing.T) {
	file := os.Getenv("FIDOKEY_METADATA_BLOB")
	if file == "" {
		t.Skip("FIDOKEY_METADATA_BLOB names no BLOB")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	read := metadata.Verifier{}.Verify(data)
	if read.Blob == nil {
		t.Fatal(read.Err())
	}
	// On the day when it was new.
	v := metadata.Verifier{Now: read.Blob.NextUpdate.AddDate(0, 0, -1)}.Verify(data)
	for _, c := range v.Checks {
		t.Logf("%s: %s: %s", c.Outcome, c.Name, c.Detail)
	}
	if err := v.Err(); err != nil || len(v.Blob.Skipped) > 0 {
		t.Fatalf("%v; skipped: %+v", err, v.Blob.Skipped)
	}
	cache := metadata.Cache{Folder: t.TempDir()}
	if err := cache.Store(v, metadata.Source{At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	index, err := cache.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer index.Close()
	for _, e := range v.Blob.Entries {
		if _, err := e.Statement.Roots(); err != nil {
			t.Logf("%s: %v", e.Statement.Description, err) // crypto/x509 takes no negative serial number
		}
		for _, id := range e.IDs() {
			if found, err := index.Entry(id); err != nil || found == nil || string(found.Raw) != string(e.Raw) {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
}
