package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/fidokey/fidokey/internal/mdstest"
)

var metadataAuthority = sync.OnceValues(func() (*mdstest.Authority, error) { return mdstest.New(mdstest.Options{}) })

// blobCmd is "blob FILE NO [NEXT-UPDATE]" of the scripts: it writes a signed BLOB of
// some models, and its root beside it in root.pem. One of the models is the
// simulator, another is revoked, and one entry is broken.
func blobCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: blob FILE NO [NEXT-UPDATE]")
	}
	no, err := strconv.Atoi(args[1])
	ts.Check(err)
	b := mdstest.Blob{No: no, Entries: append(mdstest.Entries(8), map[string]any{"aaguid": 7})}
	if len(args) == 3 {
		b.NextUpdate = args[2]
	}
	b.Entries[0].(map[string]any)["aaguid"] = "f1d0ce1f-5e1f-4b1d-8a2c-6b0d1e9a7c35"
	b.Entries[0].(map[string]any)["metadataStatement"].(map[string]any)["description"] = "Simulator in metadata"
	revoked := b.Entries[1].(map[string]any)
	mdstest.Status(revoked, "ATTESTATION_KEY_COMPROMISE", "2025-01-02")
	mdstest.Status(revoked, "REVOKED", "2999-01-01")
	a, err := metadataAuthority()
	ts.Check(err)
	data, err := a.Sign(b.JSON())
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("root.pem"), a.RootPEM(), 0o600))
}

// serveCmd is "serve FOLDER" of the scripts: a web server, whose address is in $URL.
// It answers with ETags, as mds3.fidoalliance.org does.
func serveCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve FOLDER")
	}
	folder := ts.MkAbs(args[0])
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, err := os.ReadFile(filepath.Join(folder, filepath.Base(r.URL.Path)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf("\"%x\"", sha256.Sum256(data)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(data))
	}))
	ts.Defer(server.Close)
	ts.Setenv("URL", server.URL)
}

// TestStoredName: looking up a name without metadata leaves no trace.
func TestStoredName(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", folder)
	if name, ok := storedName("f1d0ce1f-5e1f-4b1d-8a2c-6b0d1e9a7c35"); ok {
		t.Errorf("%q", name)
	}
	if files, err := os.ReadDir(folder); err != nil || len(files) > 0 {
		t.Errorf("%v, %v", files, err)
	}
}
