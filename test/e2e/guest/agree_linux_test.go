package guest

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

//go:embed agree.py
var agreePython string

// stranger asks python-fido2 what it sees on the key, or has it change something.
func stranger(t *testing.T, k *key, script, what string, input []byte) string {
	t.Helper()
	return strings.TrimSpace(python(t, script, k.node, what, hex.EncodeToString(input)))
}

// TestAgree has our client and python-fido2 do things by turns with one key: what
// one writes the other reads, and both get the same secrets.
func TestAgree(t *testing.T) {
	script := write(t, "agree.py", agreePython)
	k := plugProfile(t, "ctap-2.3")
	hash := sha256.Sum256([]byte("client data"))
	sees := func(what string, input []byte, want string) {
		t.Helper()
		if got := stranger(t, k, script, what, input); got != want {
			t.Errorf("%s: python-fido2 has %s, we %s", what, got, want)
		}
	}
	quoted := func(b []byte) string { return fmt.Sprintf("%q", hex.EncodeToString(b)) }

	// Before there is a PIN, so that the stranger's assertions need none.
	salts := [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}
	var id []byte
	var keyFile string
	ourselves(t, k, func(ctx context.Context, key *client.Key) error {
		made, err := key.Register(ctx, client.Registration{
			ClientDataHash: hash[:], RP: ctap2.RP{ID: "example.com"}, Discoverable: true,
			User:       ctap2.User{ID: []byte("alice"), Name: "alice", DisplayName: "Alice"},
			Parameters: []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}},
			Extensions: client.RegistrationExtensions{CredBlob: []byte("note"), HMACSecret: true, LargeBlob: client.LargeBlobRequired},
		})
		if err == nil {
			id, keyFile = made.Data.Credential.ID, write(t, "key", b64.EncodeToString(made.LargeBlobKey)+"\n")
		}
		return err
	})
	sees("cred_blob", nil, quoted([]byte("note")))
	for _, salts := range [][][]byte{salts[:1], salts} {
		var secrets []byte
		ourselves(t, k, func(ctx context.Context, key *client.Key) error {
			signed, err := key.Authenticate(ctx, client.Assertion{
				ClientDataHash: hash[:], RPID: "example.com", UserVerification: client.Discouraged,
				Extensions: client.AssertionExtensions{HMACSecretSalts: salts},
			})
			if err == nil {
				secrets = slices.Concat(signed[0].Extensions.HMACSecretOutputs...)
			}
			return err
		})
		if len(secrets) != 32*len(salts) {
			t.Errorf("secrets of %d bytes", len(secrets))
		}
		sees("hmac_secret", slices.Concat(salts...), quoted(secrets))
	}

	k.setPIN(somePIN)
	largeBlob := func(e client.AssertionExtensions) (blob []byte) {
		t.Helper()
		ourselves(t, k, func(ctx context.Context, key *client.Key) error {
			signed, err := key.Authenticate(ctx, client.Assertion{
				ClientDataHash: hash[:], RPID: "example.com", Allow: []ctap2.Descriptor{{ID: id, Type: ctap2.PublicKeyType}}, Extensions: e,
			})
			if err != nil {
				return err
			}
			blob = signed[0].Extensions.LargeBlob.Blob
			return signed[0].Extensions.LargeBlob.Err
		})
		return blob
	}
	long := bytes.Repeat([]byte("what we write "), 300)
	largeBlob(client.AssertionExtensions{WriteLargeBlob: long})
	// libfido2 reads it. This python-fido2 cannot: it takes blobs with a zlib
	// header only, which CTAP has none of, and writes such ones.
	file := filepath.Join(t.TempDir(), "blob")
	run(t, "", "fido2-token", "-G", "-b", "-k", keyFile, file, k.node)
	if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, long) {
		t.Errorf("libfido2 reads %q, %v", got, err)
	}
	if err := os.WriteFile(file, []byte("what libfido2 writes"), 0o600); err != nil {
		t.Fatal(err)
	}
	k.withPIN(somePIN, "fido2-token", "-S", "-b", "-k", keyFile, file, k.node)
	if got := largeBlob(client.AssertionExtensions{ReadLargeBlob: true}); string(got) != "what libfido2 writes" {
		t.Errorf("of libfido2 we read %q", got)
	}
	theirs := bytes.Repeat([]byte("what they write "), 20)
	sees("blob_write", theirs, "null")
	if got := largeBlob(client.AssertionExtensions{ReadLargeBlob: true}); !bytes.Equal(got, theirs) {
		t.Errorf("we read %q", got)
	}
	sees("blob_delete", nil, "null")
	if got := largeBlob(client.AssertionExtensions{ReadLargeBlob: true}); got != nil {
		t.Errorf("deleted, and we read %q", got)
	}

	manage(t, k, script, id)
}

// manage renames and deletes credentials, enrols a finger and configures, and has
// the stranger look.
func manage(t *testing.T, k *key, script string, id []byte) {
	listed := func() (all [][]string) {
		t.Helper()
		if err := json.Unmarshal([]byte(stranger(t, k, script, "credentials", nil)), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	ourselves(t, k, func(ctx context.Context, key *client.Key) error {
		return key.UpdateUser(ctx, id, ctap2.User{ID: []byte("alice"), Name: "alicia", DisplayName: "Alicia Ñ"})
	})
	want := [][]string{{"example.com", "alicia", "Alicia Ñ", hex.EncodeToString(id)}}
	if got := listed(); !reflect.DeepEqual(got, want) {
		t.Errorf("renamed: they list %q", got)
	}
	ourselves(t, k, func(ctx context.Context, key *client.Key) error {
		rps, err := key.Credentials(ctx)
		if err == nil && (len(rps) != 1 || rps[0].ID != "example.com" || !bytes.Equal(rps[0].Credentials[0].ID, id)) {
			err = fmt.Errorf("we list %+v", rps)
		}
		return err
	})
	ourselves(t, k, func(ctx context.Context, key *client.Key) error { _, err := key.DeleteCredential(ctx, id); return err })
	if got := listed(); len(got) != 0 {
		t.Errorf("deleted: they list %q", got)
	}
	ourselves(t, k, func(ctx context.Context, key *client.Key) error {
		_, err := key.EnrollFingerprint(ctx, client.Enrollment{Name: "left thumb"})
		return err
	})
	if got := stranger(t, k, script, "fingerprints", nil); got != `["left thumb"]` {
		t.Errorf("enrolled: they list %s", got)
	}
	ourselves(t, k, func(ctx context.Context, key *client.Key) error {
		all, err := key.Fingerprints(ctx)
		if err != nil {
			return err
		}
		return key.RemoveFingerprint(ctx, all[0].ID)
	})
	ourselves(t, k, func(ctx context.Context, key *client.Key) error { return key.SetAlwaysUV(ctx, true) })
	ourselves(t, k, func(ctx context.Context, key *client.Key) error {
		return key.SetMinPINLength(ctx, client.MinPINLength{Length: 6, ForceChange: true})
	})
	var options map[string]any
	if err := json.Unmarshal([]byte(stranger(t, k, script, "options", nil)), &options); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"alwaysUv": true, "bioEnroll": false, "minPINLength": 6.0, "forcePINChange": true} {
		if options[name] != want {
			t.Errorf("%s: they see %v, want %v", name, options[name], want)
		}
	}
}
