package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
)

// keeping opens the key as a program that keeps persistent tokens.
func keeping(t *testing.T, store client.TokenStore) func(*managed) {
	return func(m *managed) {
		m.options.Tokens = store
		m.open(t)
	}
}

var listOfThree = []string{"CredentialManagement 2", "CredentialManagement 3",
	"CredentialManagement 4", "CredentialManagement 5", "CredentialManagement 4"}

// TestPersistentToken: the PIN is asked for once, then lists cost getInfo and one
// exchange for each relying party and credential.
func TestPersistentToken(t *testing.T) {
	for name, store := range map[string]client.TokenStore{
		"memory": &client.MemoryTokens{},
		"file":   client.NewFileTokens(filepath.Join(t.TempDir(), "new", "tokens.json")),
	} {
		t.Run(name, func(t *testing.T) {
			m := newManaged(t, simulator.Full23(), holding(t, threePasskeys...), keeping(t, store))
			list := func(want ...string) {
				t.Helper()
				rps, err := m.Credentials(t.Context())
				if err != nil || !slices.Equal(users(rps), threePasskeys) {
					t.Fatalf("listed %q, %v", users(rps), err)
				}
				m.wantAsked(t, want...)
			}
			list(then(byPIN, then([]string{"GetInfo"}, listOfThree...)...)...) // once more, for the identifier
			list(listOfThree...)
			m.replug(t)
			list(then([]string{"GetInfo"}, listOfThree...)...)
			if len(m.person.asked) != 0 {
				t.Errorf("the PIN was asked for: %v", m.person.asked)
			}
			got, err := m.CredentialMetadata(t.Context())
			if err != nil || got.Existing != 3 {
				t.Errorf("%+v, %v", got, err)
			}
			m.wantAsked(t, "CredentialManagement 1")

			// Deleting needs more than that.
			rps, err := m.CredentialsFor(t.Context(), "b.example")
			if err != nil {
				t.Fatal(err)
			}
			m.wire.asked = nil
			if _, err := m.DeleteCredential(t.Context(), rps[0].ID); err != nil {
				t.Fatal(err)
			}
			m.wantAsked(t, then(byPIN[1:], "CredentialManagement 6")...)

			// With the PIN the token goes: it is dropped, and another asked for.
			if err := m.ChangePIN(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.forget()
			if _, err := m.Credentials(t.Context()); err != nil || len(m.person.asked) != 1 {
				t.Errorf("after the PIN was changed: %v, PIN asked for %d times", err, len(m.person.asked))
			}
			tokens, err := store.Load(t.Context(), simulator.Full23().GetInfo.AAGUID)
			if err != nil || len(tokens) != 1 {
				t.Errorf("kept: %v, %v", tokens, err)
			}
		})
	}
}

// TestPersistentTokenWithoutIdentifier: where the key does not say which it is, its
// token is found by trying.
func TestPersistentTokenWithoutIdentifier(t *testing.T) {
	nameless := simulator.Full23()
	nameless.EncIdentifier, nameless.EncCredStoreState = false, false
	store := &client.MemoryTokens{}
	m := newManaged(t, nameless, holding(t, threePasskeys...), keeping(t, store))
	for range 2 {
		if _, err := m.Credentials(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.replug(t)
	}
	if _, err := m.Credentials(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.wantAsked(t, then([]string{"GetInfo"}, listOfThree...)...)
	if _, ok, err := m.Identifier(t.Context()); ok || err != nil {
		t.Errorf("identifier: %v, %v", ok, err)
	}

	if err := newOther(t, m).ChangePIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	if _, err := m.Credentials(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.wantAsked(t, then([]string{"GetInfo", "CredentialManagement 2"}, then(byPIN[1:], then([]string{"GetInfo"}, listOfThree...)...)...)...)
	tokens, err := store.Load(t.Context(), nameless.GetInfo.AAGUID)
	if err != nil || len(tokens) != 1 {
		t.Errorf("kept: %v, %v", tokens, err)
	}
}

func TestIdentifier(t *testing.T) {
	store := &client.MemoryTokens{}
	m := newManaged(t, simulator.Full23(), holding(t, threePasskeys...), keeping(t, store))
	other := newManaged(t, simulator.Full23(), keeping(t, store))
	if _, ok, err := m.Identifier(t.Context()); ok || err != nil {
		t.Errorf("before there is a token: %v, %v", ok, err)
	}
	identifier := func(m *managed) client.Identifier {
		t.Helper()
		if _, err := m.Credentials(t.Context()); err != nil {
			t.Fatal(err)
		}
		id, ok, err := m.Identifier(t.Context())
		if !ok || err != nil || id == (client.Identifier{}) {
			t.Fatalf("%x, %v, %v", id, ok, err)
		}
		return id
	}
	first, second := identifier(m), identifier(other)
	if first == second {
		t.Error("two keys have the same identifier")
	}
	m.replug(t)
	other.replug(t)
	if identifier(m) != first || identifier(other) != second {
		t.Error("the identifier does not survive a power cycle")
	}
	if len(m.person.asked)+len(other.person.asked) != 0 {
		t.Error("two keys of one model do not share a store")
	}
	m.replug(t)
	if id, ok, err := m.Identifier(t.Context()); id != first || !ok || err != nil {
		t.Errorf("%x, %v, %v", id, ok, err)
	}
	m.wantAsked(t, "GetInfo")
}

func TestCredentialStoreState(t *testing.T) {
	m := newManaged(t, simulator.Full23(), holding(t, threePasskeys...), keeping(t, &client.MemoryTokens{}))
	if _, ok, err := m.CredentialStoreState(t.Context()); ok || err != nil {
		t.Errorf("before there is a token: %v, %v", ok, err)
	}
	rps, err := m.Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	state := func() [16]byte {
		t.Helper()
		s, ok, err := m.CredentialStoreState(t.Context())
		if !ok || err != nil {
			t.Fatalf("%v, %v", ok, err)
		}
		return s
	}
	before := state()
	m.replug(t)
	if state() != before {
		t.Error("the state changes with a power cycle")
	}
	m.wantAsked(t, "GetInfo")
	alice := rps[0].Credentials[1]
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"register", func() error { _, err := m.Register(t.Context(), registration()); return err }},
		{"update", func() error {
			return m.UpdateUser(t.Context(), alice.ID, ctap2.User{ID: alice.User.ID, Name: "another"})
		}},
		{"delete", func() error { _, err := m.DeleteCredential(t.Context(), alice.ID); return err }},
	} {
		if err := change.do(); err != nil {
			t.Fatalf("%s: %v", change.name, err)
		}
		now := state()
		if now == before {
			t.Errorf("%s leaves the state as it is", change.name)
		}
		before = now
	}
	// Another program's changes are seen.
	if _, err := newOther(t, m).Register(t.Context(), registration()); err != nil {
		t.Fatal(err)
	}
	if state() == before {
		t.Error("another program's registration is not seen")
	}
}

// TestNoTokenIsAskedFor: without a store, and of a key that has none, the token is
// one for the moment.
func TestNoTokenIsAskedFor(t *testing.T) {
	store := &client.MemoryTokens{}
	for _, m := range []*managed{
		newManaged(t, simulator.Full23()),
		newManaged(t, profile(t, "ctap-2.1"), keeping(t, store)),
	} {
		if _, err := m.Credentials(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.wantAsked(t, then(byPIN, "CredentialManagement 2")...)
		if info, err := m.Info(t.Context()); err != nil || info.EncIdentifier != nil {
			t.Errorf("encIdentifier %x, %v", info.EncIdentifier, err)
		}
	}
}

// failing is a store that does not work.
type failing struct{ client.MemoryTokens }

var errStore = errors.New("disk full")

func (*failing) Load(context.Context, ctap2.AAGUID) ([]client.PersistentToken, error) {
	return nil, errStore
}

func TestStoreFails(t *testing.T) {
	m := newManaged(t, simulator.Full23(), keeping(t, &failing{}))
	if _, err := m.Credentials(t.Context()); !errors.Is(err, errStore) {
		t.Errorf("error %v", err)
	}
	if len(m.person.asked) != 0 {
		t.Error("a PIN was asked for in vain")
	}
}

func TestTokenStores(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens.json")
	for name, store := range map[string]client.TokenStore{"memory": &client.MemoryTokens{}, "file": client.NewFileTokens(path)} {
		t.Run(name, func(t *testing.T) {
			ctx, model, another := t.Context(), ctap2.AAGUID{1}, ctap2.AAGUID{2}
			token := func(aaguid ctap2.AAGUID, id, key byte) client.PersistentToken {
				secret := make([]byte, 32)
				secret[0] = key
				return client.PersistentToken{AAGUID: aaguid, Identifier: client.Identifier{id}, Protocol: pin.Two, Token: secret}
			}
			for _, s := range []client.PersistentToken{
				token(model, 1, 10), token(model, 2, 20), token(another, 1, 30), token(model, 0, 40), token(model, 0, 50),
				token(model, 1, 11), // in place of the first
				token(model, 0, 40), // the same again
			} {
				if err := store.Save(ctx, s); err != nil {
					t.Fatal(err)
				}
				clear(s.Token) // the store has a copy
			}
			if err := store.Delete(ctx, token(model, 0, 50)); err != nil {
				t.Fatal(err)
			}
			if err := store.Delete(ctx, token(another, 0, 40)); err != nil {
				t.Fatal(err)
			}
			load := func(aaguid ctap2.AAGUID) (keys []byte) {
				tokens, err := store.Load(ctx, aaguid)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range tokens {
					if s.Protocol != pin.Two || len(s.Token) != 32 {
						t.Errorf("kept %+v", s)
					}
					keys = append(keys, s.Token[0])
					clear(s.Token) // ours to wipe
				}
				return keys
			}
			for range 2 {
				if got := load(model); !slices.Equal(got, []byte{20, 11, 40}) {
					t.Errorf("kept %v", got)
				}
			}
			if got := load(another); !slices.Equal(got, []byte{30}) {
				t.Errorf("kept of another model %v", got)
			}
			var group sync.WaitGroup
			for range 8 {
				group.Go(func() { load(model) })
				group.Go(func() { _ = store.Save(ctx, token(model, 2, 20)) })
			}
			group.Wait()
		})
	}
	stat, err := os.Stat(path)
	if err != nil || stat.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %v, %v", stat.Mode(), err)
	}
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) != 1 {
		t.Errorf("files %q, %v", left, err)
	}
	if err := os.WriteFile(path, []byte(`[{"token":"70617373`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := client.NewFileTokens(path).Load(t.Context(), ctap2.AAGUID{}); err == nil || strings.Contains(err.Error(), "7061") {
		t.Errorf("damaged file: %v", err)
	}
}

// TestTokenIsNotPrinted: a token must not get into a log.
func TestTokenIsNotPrinted(t *testing.T) {
	token := client.PersistentToken{Token: []byte("secretsecretsecretsecretsecretse")}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		for _, v := range []any{token, &token, []client.PersistentToken{token}} {
			s := fmt.Sprintf(format, v)
			if strings.Contains(s, "secret") || strings.Contains(s, "115, 101") || strings.Contains(s, "0x73") || strings.Contains(s, "736563") {
				t.Errorf("%s prints %s", format, s)
			}
		}
	}
}
