package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/entra/enrol"
	"github.com/fidokey/fidokey/entra/entratest"
	"github.com/fidokey/fidokey/simulator"
)

// A hall is a tenant with many users, and a key for each of them.
type hall struct {
	*testing.T
	dir    string
	tenant *entratest.Tenant
	keys   []*simulator.Authenticator
	device string // all of them
	who    *age.X25519Identity
}

func newHall(t *testing.T, users int) *hall {
	t.Helper()
	h := &hall{T: t, dir: t.TempDir()}
	var err error
	if h.who, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	list := "\ufeffUser;Name\r\n"
	for i := range users {
		list += fmt.Sprintf("%s;Blue key\r\n", userN(i))
	}
	for name, text := range map[string]string{"users.csv": list, "identity": h.who.String(), "recipients": h.who.Recipient().String()} {
		if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if h.tenant, err = entratest.New(entratest.Config{
		Users: entratest.MakeUsers(users), Tokens: []entratest.Token{{Value: "token", Scopes: entratest.Everything}},
	}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h.tenant)
	t.Cleanup(server.Close)
	t.Setenv(graphRootVariable, server.URL)
	t.Setenv(graphTokenVariable, "token")
	profile, err := simulator.LoadProfile("ctap-2.3")
	if err != nil {
		t.Fatal(err)
	}
	var devices []string
	for range users {
		devices = append(devices, h.plug(profile))
	}
	h.device = strings.Join(devices, ",")
	return h
}

func userN(i int) string { return fmt.Sprintf("user%d@example.onmicrosoft.com", i+1) }

// plug plugs another key in.
func (h *hall) plug(profile *simulator.Profile) (device string) {
	h.Helper()
	s := &station{}
	var err error
	if s.key, err = simulator.New(simulator.Config{Profile: profile}); err != nil {
		h.Fatal(err)
	}
	address, stop, err := s.serve(func(ctx context.Context, ready func(net.Addr)) error {
		return simulator.ServeTCP(ctx, s.key, simulator.DoorConfig{Address: "127.0.0.1:0", Ready: ready})
	})
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { stop(); s.key.Close() })
	h.keys = append(h.keys, s.key)
	return "tcp:" + address
}

func (h *hall) ledger() string { return filepath.Join(h.dir, "users.csv.ledger.jsonl") }

// start starts the enrolment, or goes on with it.
func (h *hall) start(said *bytes.Buffer, args ...string) *exec.Cmd {
	h.Helper()
	call := exec.Command("fidokey", append([]string{
		"entra", "register", "--csv", "users.csv", "--pin-random", "--recipients-file", "recipients", "--identity", "identity", "--device", h.device,
	}, args...)...)
	said.Reset()
	call.Dir, call.Stdout, call.Stderr = h.dir, said, said
	if err := call.Start(); err != nil {
		h.Fatal(err)
	}
	return call
}

// killAt kills a program as soon as the ledger has so many bytes; nothing is asked of it.
func (h *hall) killAt(call *exec.Cmd, size int64) {
	h.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Millisecond) {
		if info, err := os.Stat(h.ledger()); err == nil && info.Size() >= size {
			break
		}
		if time.Now().After(deadline) {
			h.Fatalf("the ledger does not get to %d bytes", size)
		}
	}
	call.Process.Kill()
	if err := call.Wait(); err == nil {
		h.Fatal("it was done before")
	}
}

// check is how things are in the end.
func (h *hall) check() {
	h.Helper()
	l, err := enrol.ReadLedger(h.ledger())
	if err != nil {
		h.Fatal(err)
	}
	pins := map[string][]byte{} // by credential
	for _, line := range l.Lines() {
		ids, a := h.tenant.Registered(line.User), l.Registered(line.ID())
		if len(ids) != 1 || a == nil || !bytes.Equal(ids[0], a.CredentialID) || pins[string(ids[0])] != nil {
			h.Errorf("%s has the passkeys %x, by the ledger %+v", line.User, ids, a)
			continue
		}
		if pins[string(ids[0])], err = a.Decrypt(h.who); err != nil {
			h.Error(err)
		}
	}
	if len(pins) != len(h.keys) {
		h.Errorf("there are %d credentials", len(pins))
	}
	for _, a := range l.LeftOver() { // a PIN may never have come to its key
		if a.Unsettled() {
			h.Errorf("left over: attempt %d", a.Number)
		}
	}
	for i, key := range h.keys {
		h.checkKey(i, key, pins)
	}
}

// checkKey: a key has one passkey, that of its user, and its PIN is what the ledger says.
func (h *hall) checkKey(i int, sim *simulator.Authenticator, pins map[string][]byte) {
	h.Helper()
	var pin []byte
	key := client.New(sim, client.Options{Prompt: client.Prompt{
		PIN: func(context.Context, client.PINRequest) ([]byte, error) { return bytes.Clone(pin), nil },
	}})
	state, err := key.PINState(h.Context())
	if err != nil || !state.Set || state.Retries.Left != 8 {
		h.Errorf("key %d: %+v, %v", i, state, err)
		return
	}
	signedIn, err := key.Authenticate(h.Context(), client.Assertion{RPID: entratest.RPID, ClientDataHash: make([]byte, 32), UserVerification: client.Discouraged})
	if err != nil || len(signedIn) != 1 {
		h.Errorf("key %d: %v, %v", i, signedIn, err)
		return
	}
	pin = pins[string(signedIn[0].Credential.ID)]
	stored, err := key.CredentialsFor(h.Context(), entratest.RPID)
	if err != nil || len(stored) != 1 || pins[string(stored[0].ID)] == nil {
		h.Errorf("key %d: %+v, %v", i, stored, err)
	}
}

// TestFiveHundredUsers: a tenant that throttles, eight stations, and a program that is
// killed in the middle, twice, and started again.
func TestFiveHundredUsers(t *testing.T) {
	const users = 500
	h := newHall(t, users)
	h.tenant.Switch(func(s *entratest.Switches) { s.ThrottleEvery, s.ThrottleBatchEvery, s.RetryAfter = 211, 90, 1 })
	const perUser = 1500 // bytes of the ledger, at least
	for run := range 2 {
		begun := time.Now()
		var said bytes.Buffer
		at := int64(users*perUser*(1+run)/3) + rand.Int64N(20*perUser)
		h.killAt(h.start(&said, "--stations", "8"), at)
		t.Logf("killed at %d bytes after %v; %d users are registered", at, time.Since(begun), h.tenant.Count("register"))
	}
	begun := time.Now()
	var said bytes.Buffer
	if err := h.start(&said, "--stations", "8").Wait(); err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	t.Logf("the last run took %v; the tenant has throttled %d requests", time.Since(begun), h.tenant.Count("throttled"))
	h.check()
	if h.tenant.Count("throttled") == 0 {
		t.Error("it has not throttled")
	}
}

// TestPluggedKeys: each key is handed out once, to one station, as long as it stays
// plugged in; one that came just now is given time to start.
func TestPluggedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys, err := newPluggedKeys(t.Context(), &env{}, false)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		there := []string{"a", "b"}
		plug := func(paths ...string) {
			mu.Lock()
			defer mu.Unlock()
			there = paths
		}
		keys.system = func(context.Context) (places []place, err error) {
			mu.Lock()
			defer mu.Unlock()
			for _, path := range there {
				places = append(places, place{device: deviceInfo{Path: path}})
			}
			return places, nil
		}
		next := func(wait bool) string {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			key, err := keys.Next(ctx, wait)
			if err != nil || key == nil {
				return ""
			}
			return key.Path
		}
		if got := next(true) + next(true) + next(false); got != "ab" {
			t.Errorf("at the beginning %q", got)
		}
		begun := time.Now()
		time.AfterFunc(time.Second, func() { plug("a", "b", "c") })
		if got := next(true); got != "c" || time.Since(begun) < time.Second+settleTime {
			t.Errorf("%q after %v", got, time.Since(begun))
		}
		plug("b", "c")
		if got := next(true); got != "" {
			t.Errorf("%q is there twice", got)
		}
		plug("a", "b", "c")
		if got := next(true); got != "a" {
			t.Errorf("plugged in again: %q", got)
		}
		keys.finite = true
		if key, err := keys.Next(t.Context(), true); key != nil || err != nil {
			t.Errorf("no more come: %v, %v", key, err)
		}
		keys.e.global.device = "b,nowhere"
		if got, err := keys.chosen([]place{{device: deviceInfo{Path: "a"}}, {device: deviceInfo{Path: "b"}}}); err != nil || len(got) != 1 || got[0].device.Path != "b" {
			t.Errorf("named: %v, %v", got, err)
		}
		if _, err := newPluggedKeys(t.Context(), &env{global: globalOptions{device: "simulator,1"}}, false); err == nil {
			t.Error("a software key and another")
		}
	})
}
