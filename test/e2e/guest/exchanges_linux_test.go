package guest

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
)

//go:embed exchanges.py
var exchangesPython string

const (
	somePIN        = "123456"
	controlAddress = "127.0.0.1:8700"
	controlToken   = "not a secret in a test"
)

// A task is one thing that people do with a key, done by strangers and by us.
type task struct {
	name string
	// asks means that a PIN is spent: before that we read how many tries are
	// left, which they do not.
	asks       bool
	noPIN      bool // the key has no PIN before
	credential bool // and it has a credential
	ours       func(ctx context.Context, key *client.Key) error
	libfido    func(t *testing.T, k *key) // nil: it cannot, or not with this key
	python     string                     // the function in exchanges.py
}

var tasks = []task{
	{
		name:    "info",
		ours:    func(ctx context.Context, key *client.Key) error { _, err := key.PINState(ctx); return err },
		libfido: func(t *testing.T, k *key) { run(t, "", "fido2-token", "-I", k.node) },
		python:  "info",
	},
	{
		name: "pin set", noPIN: true,
		ours:    func(ctx context.Context, key *client.Key) error { return key.SetPIN(ctx) },
		libfido: func(_ *testing.T, k *key) { k.setPIN(somePIN) },
		python:  "pin_set",
	},
	{
		name: "pin change", asks: true,
		ours: func(ctx context.Context, key *client.Key) error { return key.ChangePIN(ctx) },
		libfido: func(t *testing.T, k *key) {
			tty := onTerminal(t, "fido2-token", "-C", k.node)
			tty.expect("Enter current PIN")
			tty.enter(somePIN)
			tty.expect("Enter new PIN")
			tty.enter(somePIN)
			tty.expect("again")
			tty.enter(somePIN)
			tty.succeed()
		},
		python: "pin_change",
	},
	{
		name: "register", asks: true,
		ours: func(ctx context.Context, key *client.Key) error {
			_, err := key.Register(ctx, client.Registration{
				ClientDataHash: make([]byte, 32), RP: ctap2.RP{ID: "example.com"}, User: ctap2.User{ID: []byte("alice"), Name: "alice"},
				Parameters:   []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}},
				Discoverable: true, UserVerification: client.Required,
			})
			return err
		},
		libfido: func(_ *testing.T, k *key) { k.makeResident("example.com", "alice", somePIN) },
		python:  "register",
	},
	{
		name: "authenticate", asks: true, credential: true,
		ours: func(ctx context.Context, key *client.Key) error {
			_, err := key.Authenticate(ctx, client.Assertion{
				ClientDataHash: make([]byte, 32), RPID: "example.com", UserVerification: client.Required,
			})
			return err
		},
		libfido: func(t *testing.T, k *key) {
			input := write(t, "input", param(clientDataHash, "example.com"))
			k.withPIN(somePIN, "fido2-assert", "-G", "-r", "-v", "-i", input, "-o", filepath.Join(t.TempDir(), "output"), k.node)
		},
		python: "authenticate",
	},
	{
		name: "credentials metadata", asks: true, credential: true,
		ours:   func(ctx context.Context, key *client.Key) error { _, err := key.CredentialMetadata(ctx); return err },
		python: "credentials_metadata",
	},
	{
		name: "credentials list", asks: true, credential: true,
		ours:   func(ctx context.Context, key *client.Key) error { _, err := key.Credentials(ctx); return err },
		python: "credentials_list",
	},
	{
		name: "fingerprints list", asks: true,
		ours:   func(ctx context.Context, key *client.Key) error { _, err := key.Fingerprints(ctx); return err },
		python: "fingerprints_list",
	},
	{
		name: "large blob set", asks: true,
		ours: func(ctx context.Context, key *client.Key) error {
			_, err := key.SetLargeBlob(ctx, make([]byte, 32), []byte("blob"), false)
			return err
		},
		python: "blobs_set",
	},
	{
		name: "large blob get",
		ours: func(ctx context.Context, key *client.Key) error {
			if _, err := key.LargeBlob(ctx, make([]byte, 32)); !errors.Is(err, client.ErrNoLargeBlob) {
				return fmt.Errorf("a blob on an empty key: %w", err)
			}
			return nil
		},
		python: "blobs_get",
	},
	{
		name: "minimum PIN length", asks: true,
		ours: func(ctx context.Context, key *client.Key) error {
			return key.SetMinPINLength(ctx, client.MinPINLength{Length: 5})
		},
		libfido: func(_ *testing.T, k *key) { k.withPIN(somePIN, "fido2-token", "-S", "-l", "5", k.node) },
		python:  "min_length",
	},
}

// TestExchanges counts the CBOR messages of each task at the simulator. Strangers
// must not need fewer of them than we do, but for the one that asks how many
// tries are left before a PIN is spent.
func TestExchanges(t *testing.T) {
	script := write(t, "exchanges.py", exchangesPython)
	for _, task := range tasks {
		t.Run(task.name, func(t *testing.T) {
			counts := map[string]uint64{}
			for name, do := range map[string]func(*testing.T, *key){
				"fidokey":      func(t *testing.T, k *key) { ourselves(t, k, task.ours) },
				"python-fido2": func(t *testing.T, k *key) { python(t, script, k.node, task.python) },
				"libfido2":     task.libfido,
			} {
				if do != nil {
					t.Run(name, func(t *testing.T) { counts[name] = task.count(t, do) })
				}
			}
			t.Logf("CBOR messages for %q: %v", task.name, counts)
			ours := counts["fidokey"]
			if task.asks {
				ours--
			}
			for name, n := range counts {
				if n < ours {
					t.Errorf("%s does with fewer", name)
				}
			}
		})
	}
}

// count does a task on a fresh key and returns how many CBOR messages it took.
func (task *task) count(t *testing.T, do func(*testing.T, *key)) (messages uint64) {
	token := write(t, "token", controlToken)
	k := plugState(t, "auto", ":memory:", "--profile", "ctap-2.3", "--control", controlAddress, "--control-token-file", token)
	if !task.noPIN {
		k.setPIN(somePIN)
	}
	if task.credential {
		k.makeResident("example.com", "alice", somePIN)
	}
	control(t, http.MethodDelete, nil)
	do(t, k)
	var counts simulator.Counts
	control(t, http.MethodGet, &counts)
	for name, n := range counts.Commands {
		if !strings.HasPrefix(name, "u2f") {
			messages += n
		}
	}

	return messages
}

// control reads the simulator's counters, or sets them to zero.
func control(t *testing.T, method string, answer any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, "http://"+controlAddress+"/v1/counters", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+controlToken)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		t.Fatal(response.Status)
	}
	if answer != nil {
		if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
			t.Fatal(err)
		}
	}
}

// ourselves does a task with our client on the same node.
func ourselves(t *testing.T, k *key, do func(context.Context, *client.Key) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	port, err := hid.OpenPath("", k.node)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := hid.Open(ctx, port)
	if err != nil {
		t.Fatal(err)
	}
	key := client.New(dev, client.Options{Prompt: client.Prompt{
		PIN:    func(context.Context, client.PINRequest) ([]byte, error) { return []byte(somePIN), nil },
		NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return []byte(somePIN), nil },
	}})
	defer key.Close()
	if err := do(ctx, key); err != nil {
		t.Fatal(err)
	}
}
