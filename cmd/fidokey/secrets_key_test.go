package main

import (
	"context"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/simulator"
)

// A watchedKey is a simulated key all of whose secrets a leakTest learns: what it draws
// from its source of randomness, and what it agrees on with a program.
type watchedKey struct {
	l *leakTest

	mu      sync.Mutex
	private map[string]*ecdh.PrivateKey // for key agreement, by the x coordinate of the public key
	agreed  map[uint64]*ecdh.PrivateKey // that which the key showed last, by PIN/UV auth protocol
}

// plugWatched plugs in such a key, and returns its --device.
func (l *leakTest) plugWatched() (device string) {
	l.Helper()
	w := &watchedKey{l: l, private: map[string]*ecdh.PrivateKey{}, agreed: map[uint64]*ecdh.PrivateKey{}}
	key, err := simulator.New(simulator.Config{Profile: simulator.Full23(), Random: w, Answers: w.answers})
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { key.Close() })
	s := &station{key: key}
	address, stop, err := s.serve(func(ctx context.Context, ready func(net.Addr)) error {
		return simulator.ServeTCP(ctx, key, simulator.DoorConfig{Address: "127.0.0.1:0", Ready: ready})
	})
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(stop)
	return "tcp:" + address
}

const agreementKey = "a private key for key agreement"

// drawn says what a function of the simulator draws 32 bytes for.
var drawn = map[string]string{
	"(*Authenticator).newDevice":       "the master key",
	"(*Authenticator).newKey":          "the private key of a credential",
	"(*Authenticator).attestationSeed": "the private key of the attestation",
	"(*Authenticator).regenerate":      agreementKey,
	"(*Authenticator).resetTokens":     "a PIN/UV auth token",
	"(*Authenticator).persistentToken": "a persistent token",
	"hmacSecretCreation.create":        "the CredRandom of a credential",
	"largeBlobKeyCreation.create":      "a large-blob key",
}

// Read is the source of randomness. Who asks tells which of it is a secret.
func (w *watchedKey) Read(b []byte) (int, error) {
	n, err := rand.Read(b)
	callers := make([]uintptr, 12)
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers)])
	for more := n == 32; more; {
		var frame runtime.Frame
		frame, more = frames.Next()
		_, function, _ := strings.Cut(filepath.Base(frame.Function), ".")
		what, ok := drawn[function]
		if !ok {
			continue
		}
		w.l.keep(what, b)
		if what == agreementKey {
			w.remember(b)
		}
		break
	}
	return n, err
}

func (w *watchedKey) remember(scalar []byte) {
	private, err := ecdh.P256().NewPrivateKey(scalar)
	if err != nil {
		return // and the key draws again
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.private[string(private.PublicKey().Bytes()[1:33])] = private
}

// answers sees all requests with their answers, and computes the shared secrets. With
// two protocols at once it knows one or two secrets more than there are.
func (w *watchedKey) answers(_ context.Context, request, answer []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	const clientPIN, getKeyAgreement = 6, 2
	if len(request) > 1 && request[0] == clientPIN {
		var r struct {
			Protocol   uint64 `cbor:"1,keyasint"`
			SubCommand uint64 `cbor:"2,keyasint"`
		}
		if ctapcbor.Unmarshal(request[1:], &r) == nil && r.SubCommand == getKeyAgreement && len(answer) > 1 {
			eachCOSEKey(answer[1:], func(x, _ []byte) { w.agreed[r.Protocol] = w.private[string(x)] })
		}
	}
	if len(request) > 1 {
		eachCOSEKey(request[1:], w.agree)
	}
	return answer
}

// eachCOSEKey calls do with every key on a curve that is in a message.
func eachCOSEKey(message []byte, do func(x, y []byte)) {
	var v any
	if ctapcbor.Unmarshal(message, &v) != nil {
		return // U2F
	}
	var look func(v any)
	look = func(v any) {
		m, ok := v.(map[any]any)
		if !ok {
			return
		}
		x, hasX := m[int64(-2)].([]byte)
		y, hasY := m[int64(-3)].([]byte)
		if hasX && hasY {
			do(x, y)
		}
		for _, member := range m {
			look(member)
		}
	}
	look(v)
}

// agree computes what the key has in common with a program, by the two protocols (CTAP
// 2.1, sections 6.5.6 and 6.5.7).
func (w *watchedKey) agree(x, y []byte) {
	public, err := ecdh.P256().NewPublicKey(fmt.Appendf(nil, "\x04%s%s", x, y))
	if err != nil {
		return
	}
	for protocol, private := range w.agreed {
		z, err := private.ECDH(public)
		if err != nil {
			w.l.Error(err)
			return
		}
		w.l.keep("a point of key agreement", z)
		if protocol == 1 {
			secret := sha256.Sum256(z)
			w.l.keep("a shared secret of protocol one", secret[:])
			continue
		}
		for _, name := range []string{"CTAP2 HMAC key", "CTAP2 AES key"} {
			secret, err := hkdf.Key(sha256.New, z, make([]byte, 32), name, 32)
			if err != nil {
				w.l.Error(err)
			}
			w.l.keep("a shared secret of protocol two", secret)
		}
	}
}

// stored learns the secrets of a simulated key that the program has in a file: its own
// simulator, and that of 'simulator run'.
func (l *leakTest) stored(file string) {
	l.Helper()
	storage, err := simulator.OpenFile(filepath.Join(l.dir, file))
	if err != nil {
		l.Fatal(err)
	}
	defer storage.Close()
	records, err := storage.Load()
	if err != nil {
		l.Fatal(err)
	}
	secret := map[string]map[uint64]string{ // by the members of the records
		"device":     {1: "master key", 2: "hash of the PIN", 27: "persistent token"},
		"credential": {2: "private key of a credential", 4: "CredRandom", 5: "CredRandom", 13: "large-blob key"},
	}
	for name, record := range records {
		kind, _, _ := strings.Cut(name, "/")
		if kind == "attestation" {
			l.keep("private key of the attestation in "+file, record)
		}
		var members map[uint64]any
		if secret[kind] == nil {
			continue
		}
		if err := ctapcbor.Unmarshal(record, &members); err != nil {
			l.Fatal(err)
		}
		for number, what := range secret[kind] {
			if value, ok := members[number].([]byte); ok && len(value) > 0 {
				l.keep(what+" in "+file, value)
			}
		}
	}
}
