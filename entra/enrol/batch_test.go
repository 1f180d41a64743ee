package enrol

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra/entratest"
	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

// A hall has a tenant, keys, and a ledger that outlives the programs that work there.
type hall struct {
	*testing.T
	tenant   *entratest.Tenant
	server   *httptest.Server
	keys     []*simKey
	identity *age.X25519Identity
	path     string // of the ledger
	aaguid   string
	lines    []Line
	crash    *crash
	last     []Event
	change   func(*Batch)
}

type simKey struct {
	*simulator.Authenticator
	serial string
}

// crash ends a program at one of its steps: from then on nothing of it gets out.
type crash struct {
	mu     sync.Mutex
	after  int // steps; less than 0: never
	dead   bool
	points int

	interrupt context.CancelFunc // Ctrl-C
}

var errDead = errors.New("the program is not there any more")

func (c *crash) step() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.points++
	c.dead = c.dead || c.points-1 == c.after
	if c.dead {
		return errDead
	}
	return nil
}

// dying is a key as a program sees it that may end.
type dying struct {
	transport.Device
	crash *crash
}

func (d dying) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if err := d.crash.step(); err != nil {
		return nil, err
	}
	answer, err := d.Device.Exchange(ctx, msg)
	if e := d.crash.step(); e != nil {
		return nil, e
	}
	return answer, err
}

func (dying) Close() error { return nil } // the key stays plugged in

// Do makes crash a policy.Transporter.
func (c *crash) Do(r *http.Request) (*http.Response, error) {
	if err := c.step(); err != nil {
		return nil, err
	}
	if r.Body != nil { // a copy, for who tries again rewinds the body, which may still be on its way
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(text))
	}
	response, err := http.DefaultClient.Do(r)
	if e := c.step(); e != nil {
		if err == nil {
			response.Body.Close()
		}
		return nil, e
	}
	return response, err
}

// pile hands out keys, each once.
type pile struct {
	mu   sync.Mutex
	keys []*Plugged
}

func (p *pile) Next(ctx context.Context, wait bool) (*Plugged, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.keys) == 0 || ctx.Err() != nil {
		return nil, nil
	}
	k := p.keys[0]
	p.keys = p.keys[1:]
	return k, nil
}

// newHall has users and as many keys, which have serial numbers or not.
func newHall(t *testing.T, profile string, users, keys int, serials bool) *hall {
	t.Helper()
	h := &hall{T: t, path: filepath.Join(t.TempDir(), "ledger.jsonl"), crash: &crash{after: -1}}
	var err error
	if h.identity, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	p, err := simulator.LoadProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	h.aaguid = p.GetInfo.AAGUID.String()
	for i := range keys {
		sim, err := simulator.New(simulator.Config{Profile: p})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sim.Close() })
		k := &simKey{Authenticator: sim}
		if serials {
			k.serial = fmt.Sprint(1000 + i)
		}
		h.keys = append(h.keys, k)
	}
	h.tenant, err = entratest.New(entratest.Config{
		Users: entratest.MakeUsers(users), Tokens: []entratest.Token{{Value: "token", Scopes: entratest.Everything}},
		Models: map[string]entratest.Model{p.GetInfo.AAGUID.String(): {Name: "Simulated key", Roots: []*x509.Certificate{}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	h.server = httptest.NewServer(h.tenant)
	t.Cleanup(h.server.Close)
	for i := range users {
		h.lines = append(h.lines, Line{Row: i + 2, User: userN(i), Name: "Blue key"})
	}
	return h
}

func userN(i int) string { return fmt.Sprintf("user%d@example.onmicrosoft.com", i+1) }

// plug makes a pile of keys, in an order.
func (h *hall) plug(order ...int) *pile {
	p := &pile{}
	for _, i := range order {
		k := h.keys[i]
		p.keys = append(p.keys, &Plugged{Path: fmt.Sprint("key ", i), Serial: k.serial, Open: func(_ context.Context, prompt client.Prompt) (*client.Key, func() error, error) {
			key := client.New(dying{k, h.crash}, client.Options{Prompt: prompt})
			return key, key.Close, nil
		}})
	}
	return p
}

func (h *hall) all() (order []int) {
	for i := range h.keys {
		order = append(order, i)
	}
	return order
}

// run is one run of a program, which ends before a step if after is not less than 0.
func (h *hall) run(after int, keys Keys) ([]Outcome, error) {
	h.Helper()
	h.crash, h.last = &crash{after: after}, nil
	ledger, err := OpenLedger(h.path, h.identity.Recipient())
	if err != nil {
		h.Fatal(err)
	}
	defer ledger.Close()
	write := ledger.write
	ledger.write = func(text []byte) error {
		if err := h.crash.step(); err != nil {
			return err
		}
		if err := h.crash.step(); err != nil {
			write(text[:len(text)/2])
			return err
		}
		if err := write(text); err != nil {
			return err
		}
		return h.crash.step()
	}
	credential, err := graph.SignIn{Token: "token"}.Credential()
	if err != nil {
		h.Fatal(err)
	}
	g, err := graph.New(credential, graph.Options{Cloud: graph.Cloud{Graph: h.server.URL}, Transport: h.crash, Retry: policy.RetryOptions{MaxRetries: -1}})
	if err != nil {
		h.Fatal(err)
	}
	b := &Batch{
		Graph: g, Ledger: ledger, Lines: h.lines, Keys: keys, RandomPIN: DefaultRandomPIN, Identities: []age.Identity{h.identity},
		ReadBack: time.Nanosecond, Notify: func(e Event) { h.last = append(h.last, e) },
	}
	if h.change != nil {
		h.change(b)
	}
	ctx, interrupt := context.WithCancel(h.Context())
	defer interrupt()
	h.crash.interrupt = interrupt
	return b.Run(ctx)
}

func statuses(outcomes []Outcome) map[Status]int {
	n := map[Status]int{}
	for _, o := range outcomes {
		n[o.Status]++
	}
	return n
}

// pins are those of a key by the ledger: for one without serial number, of all attempts.
func (h *hall) pins(l *Ledger, k *simKey) (pins []string) {
	h.Helper()
	for _, a := range l.Attempts(func(a *Attempt) bool { return a.Serial == k.serial && a.PIN != nil }) {
		pin, err := a.Decrypt(h.identity)
		if err != nil {
			h.Fatal(err)
		}
		pins = append(pins, string(pin))
	}
	if k.serial != "" && pins != nil {
		pins = pins[len(pins)-1:]
	}
	return pins
}

// check is how things must be in the end: each user has one passkey, each key at most
// that, and the ledger has its PIN, of which no try was spent.
func (h *hall) check() error {
	h.Helper()
	l, err := ReadLedger(h.path)
	if err != nil {
		return err
	}
	registered := map[string]bool{}
	for _, line := range h.lines {
		ids := h.tenant.Registered(line.User)
		if len(ids) != 1 {
			return fmt.Errorf("%s has %d passkeys", line.User, len(ids))
		}
		registered[string(ids[0])] = true
		if a := l.Registered(line.ID()); a == nil || string(a.CredentialID) != string(ids[0]) {
			return fmt.Errorf("the ledger has %+v of %s", a, line.User)
		}
	}
	if len(registered) != len(h.lines) {
		return fmt.Errorf("%d credentials for %d lines", len(registered), len(h.lines))
	}
	onKeys := 0
	for i, k := range h.keys {
		n, err := h.checkKey(l, k, registered)
		if err != nil {
			return fmt.Errorf("key %d: %w", i, err)
		}
		onKeys += n
	}
	if onKeys != len(registered) {
		return fmt.Errorf("%d credentials are on keys, %d in the tenant", onKeys, len(registered))
	}
	return nil
}

func (h *hall) checkKey(l *Ledger, k *simKey, registered map[string]bool) (onKey int, err error) {
	pin := ""
	key := client.New(dying{k, &crash{after: -1}}, client.Options{MinRetries: 1, Prompt: client.Prompt{
		PIN: func(context.Context, client.PINRequest) ([]byte, error) { return []byte(pin), nil },
	}})
	state, err := key.PINState(h.Context())
	if err != nil || !state.Set {
		return 0, err
	}
	if state.Retries.Left != 8 && k.serial != "" {
		return 0, fmt.Errorf("%v", state.Retries)
	}
	err = errors.New("the ledger has no PIN of it")
	for _, pin = range h.pins(l, k) {
		if err = key.VerifyPIN(h.Context()); err == nil {
			break
		}
		k.PowerCycle()
	}
	if err != nil {
		return 0, err
	}
	stored, err := key.CredentialsFor(h.Context(), entratest.RPID)
	for _, c := range stored {
		if !registered[string(c.ID)] {
			return 0, fmt.Errorf("the tenant does not know %x", c.ID)
		}
	}
	return len(stored), err
}

// TestBatch: users, keys, PINs and names, at several stations.
func TestBatch(t *testing.T) {
	h := newHall(t, "ctap-2.3", 7, 8, true)
	h.lines[2].Serial, h.lines[3].AAGUID, h.lines[4].Name = "1007", h.aaguid, ""
	h.change = func(b *Batch) {
		b.Stations, b.ForceChange = 3, false
		b.Name = func(ctap2.AAGUID) string { return "its model" }
	}
	outcomes, err := h.run(-1, h.plug(h.all()...))
	if err != nil || statuses(outcomes)[Registered] != 7 {
		t.Fatalf("%v, %v", outcomes, err)
	}
	if err := h.check(); err != nil {
		t.Error(err)
	}
	if a := outcomes[2].Attempt; a.Serial != "1007" {
		t.Errorf("%+v", a)
	}
	info, err := os.Stat(h.path)
	if err != nil || info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(h.path)
	if err != nil {
		t.Fatal(err)
	}
	l, _ := ReadLedger(h.path)
	for _, k := range h.keys {
		for _, pin := range h.pins(l, k) {
			if strings.Contains(string(text), pin) || len(pin) != DefaultRandomPIN {
				t.Errorf("%q is in the ledger", pin)
			}
		}
	}
	posts := h.tenant.Count("register")
	outcomes, err = h.run(-1, h.plug(h.all()...))
	if err != nil || statuses(outcomes)[Before] != 7 || h.tenant.Count("register") != posts || len(h.last) != 0 {
		t.Errorf("again: %v, %v, %v", outcomes, err, h.last)
	}
}

// TestCrashes ends the program before and after each step of an enrolment: each write of
// the ledger, also in its middle, each exchange with the key and each request of Graph.
// The next run, to which the keys come in any order, makes the best of it.
func TestCrashes(t *testing.T) {
	for name, c := range map[string]struct {
		serials bool
		order   []int
	}{
		"serial numbers": {true, []int{0, 1, 2}}, "serial numbers, another key first": {true, []int{2, 1, 0}},
		"none": {false, []int{0, 1, 2}}, "none, another key first": {false, []int{2, 1, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			points := 0
			for after := 0; ; after++ {
				h := newHall(t, "ctap-2.3", 2, 3, c.serials)
				h.run(after, h.plug(0, 1, 2))
				if !h.crash.dead {
					points = after
					break
				}
				if outcomes, err := h.run(-1, h.plug(c.order...)); err != nil {
					t.Fatalf("after %d steps: %v, %v", after, outcomes, err)
				}
				if err := h.check(); err != nil {
					text, _ := os.ReadFile(h.path)
					t.Fatalf("after %d steps: %v\n%s\n%v", after, err, text, h.last)
				}
			}
			t.Logf("%d steps", points)
			if points < 80 {
				t.Errorf("there are %d steps only", points)
			}
		})
	}
}
