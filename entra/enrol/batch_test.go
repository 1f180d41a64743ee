package enrol

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
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
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

// A hall has a tenant, keys, and a ledger that outlives the programs that work there.
type hall struct {
	*testing.T
	tenant   *entratest.Tenant
	keys     []*simKey
	identity *age.X25519Identity
	path     string // of the ledger
	aaguid   string
	lines    []Line
	crash    *crash
	fate     fate    // of what is not synced when it crashes
	unsynced bool    // something was not when it did
	diesWith *simKey // the program does, when this key has no power any more
	last     []Event
	change   func(*Batch)
}

type simKey struct {
	*simulator.Authenticator
	serial  string
	storage simulator.Storage
	wrong   int // PINs that it was given
}

func (k *simKey) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	answer, err := k.Authenticator.Exchange(ctx, msg)
	if len(answer) > 0 && ctap2.Status(answer[0]) == ctap2.ErrPINInvalid {
		k.wrong++
	}
	return answer, err
}

// A fate is what a crash makes of what was written to the ledger and not synced.
type fate int

const (
	kept   fate = iota // the program was killed; the system writes it all
	lost               // power was cut, here and below
	torn               // the first half is there
	zeroed             // the file is as long as it would be, and no more
)

// A platter is the disk below a ledger. What is synced is there for ever.
type platter struct {
	*os.File
	h     *hall
	cache []byte
}

func (p *platter) Write(text []byte) (int, error) {
	if err := p.h.crash.step(); err != nil {
		return 0, err
	}
	p.cache = append(p.cache, text...)
	return len(text), nil
}

func (p *platter) Sync() error {
	if err := p.h.crash.step(); err != nil {
		return err
	}
	if err := p.flush(); err != nil {
		return err
	}
	return p.h.crash.step()
}

func (p *platter) flush() error {
	_, err := p.File.Write(p.cache)
	p.cache = nil
	return err
}

func (p *platter) Close() error {
	if p.h.crash.dead {
		p.h.unsynced = len(p.cache) > 0
		switch p.h.fate {
		case lost:
			p.cache = nil
		case torn:
			p.cache = p.cache[:len(p.cache)/2]
		case zeroed:
			clear(p.cache)
		}
	}
	return errors.Join(p.flush(), p.File.Close())
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

func (c *crash) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
}

// dying is a key as a program sees it that may end.
type dying struct {
	transport.Device
	crash *crash
	fatal bool // it dies with the key
}

func (d dying) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if err := d.crash.step(); err != nil {
		return nil, err
	}
	answer, err := d.Device.Exchange(ctx, msg)
	if d.fatal && errors.Is(err, transport.ErrClosed) {
		d.crash.kill()
	}
	if e := d.crash.step(); e != nil {
		return nil, e
	}
	return answer, err
}

func (dying) Close() error { return nil } // the key stays plugged in

// Do makes the hall a policy.Transporter, with the tenant at the other end.
func (h *hall) Do(r *http.Request) (*http.Response, error) {
	if err := errors.Join(context.Cause(r.Context()), h.crash.step()); err != nil {
		return nil, err
	}
	answer := httptest.NewRecorder()
	request := r.Clone(r.Context())
	if r.Body == nil {
		request.Body = http.NoBody
	}
	h.tenant.ServeHTTP(answer, request)
	if err := errors.Join(context.Cause(r.Context()), h.crash.step()); err != nil {
		return nil, err
	}
	return answer.Result(), nil
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

// These cost time, and are the same for all halls.
var (
	anIdentity = sync.OnceValues(age.GenerateX25519Identity)
	profiles   sync.Map
)

func loadProfile(name string) (*simulator.Profile, error) {
	load, _ := profiles.LoadOrStore(name, sync.OnceValues(func() (*simulator.Profile, error) { return simulator.LoadProfile(name) }))
	return load.(func() (*simulator.Profile, error))()
}

// newHall has users and as many keys, which have serial numbers or not.
func newHall(t *testing.T, profile string, users, keys int, serials bool) *hall {
	t.Helper()
	h := &hall{T: t, path: filepath.Join(t.TempDir(), "ledger.jsonl"), crash: &crash{after: -1}}
	var err error
	if h.identity, err = anIdentity(); err != nil {
		t.Fatal(err)
	}
	p, err := loadProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	h.aaguid = p.GetInfo.AAGUID.String()
	for i := range keys {
		k := &simKey{storage: simulator.NewMemory()}
		if k.Authenticator, err = simulator.New(simulator.Config{Profile: p, Storage: k.storage}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Authenticator.Close() })
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
			k.PowerOn()
			key := client.New(dying{k, h.crash, h.diesWith == k}, client.Options{Prompt: prompt})
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
	h.crash, h.last, h.unsynced = &crash{after: after}, nil, false
	ledger, err := openLedgerOn(h.path, func(f *os.File) disk { return &platter{File: f, h: h} }, h.identity.Recipient())
	if h.crash.dead {
		return nil, err
	}
	if err != nil {
		h.Fatal(err)
	}
	defer ledger.Close()
	credential, err := graph.SignIn{Token: "token"}.Credential()
	if err != nil {
		h.Fatal(err)
	}
	g, err := graph.New(credential, graph.Options{Cloud: graph.Cloud{Graph: "https://graph.example"}, Transport: h, Retry: policy.RetryOptions{MaxRetries: -1}})
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
	key := client.New(dying{Device: k, crash: &crash{after: -1}}, client.Options{MinRetries: 1, Prompt: client.Prompt{
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

// cut is what power being cut does besides ending the program: the keys have none either.
func (h *hall) cut() {
	if h.fate == kept {
		return
	}
	for _, k := range h.keys {
		k.PowerOff()
		k.PowerOn()
	}
}

// reported is how things must be right after a crash: whatever is on a key or in the
// tenant can be found with what is in the ledger, and no try of a PIN is spent.
func (h *hall) reported() error {
	h.Helper()
	var attempts []Attempt
	l, err := ReadLedger(h.path)
	if err == nil {
		attempts = l.Attempts(func(a *Attempt) bool { return a.Method != "" || a.Unsettled() || a.PIN != nil })
	}
	told := func(k *simKey, id []byte) bool {
		return slices.ContainsFunc(attempts, func(a Attempt) bool {
			return (a.Method != "" || a.Unsettled()) && (k == nil || a.Serial == k.serial) && (bytes.Equal(a.CredentialID, id) || k != nil && a.CredentialID == nil)
		})
	}
	for i, k := range h.keys {
		records, err := k.storage.Load()
		if err != nil {
			return err
		}
		for name := range records {
			if id, is := strings.CutPrefix(name, "credential/"); is {
				if raw, err := hex.DecodeString(id); err != nil || !told(k, raw) {
					return fmt.Errorf("key %d has %s, of which the ledger does not know", i, id)
				}
			}
		}
		var device struct {
			PINHash []byte `cbor:"2,keyasint"`
			Tries   uint   `cbor:"4,keyasint"`
		}
		if err := ctapcbor.Unmarshal(records["device"], &device); err != nil {
			return err
		}
		if device.Tries != 8 {
			return fmt.Errorf("key %d has %d tries left", i, device.Tries)
		}
		if len(device.PINHash) > 0 && !slices.ContainsFunc(attempts, func(a Attempt) bool {
			pin, err := a.Decrypt(h.identity)
			sum := sha256.Sum256(pin)
			return err == nil && a.Serial == k.serial && bytes.Equal(sum[:16], device.PINHash)
		}) {
			return fmt.Errorf("key %d has a PIN that is not in the ledger", i)
		}
	}
	for _, line := range h.lines {
		for _, id := range h.tenant.Registered(line.User) {
			if !told(nil, id) {
				return fmt.Errorf("%s has %x, of which the ledger does not know", line.User, id)
			}
		}
	}
	return nil
}

// fates are what may become of a crash: one is tried, and the others if something was not
// synced then.
func fates(turn int) []fate {
	if turn%2 == 0 {
		return []fate{kept, lost, torn, zeroed}
	}
	return []fate{lost, torn, zeroed, kept}
}

// TestCrashes ends the program before and after each step of an enrolment: each write of
// the ledger and its way to the disk, each exchange with the key and each request of
// Graph. It is killed, or power is cut for it and the keys. All that is half done then is
// in the ledger; and the next run, to which the keys come in any order, makes the best of
// it.
func TestCrashes(t *testing.T) {
	sample := ctaptest.Sample(t, 7)
	for n, c := range []struct {
		name    string
		serials bool
		order   []int
	}{
		{"serial numbers", true, []int{0, 1, 2}}, {"serial numbers, another key first", true, []int{2, 1, 0}},
		{"none", false, []int{0, 1, 2}}, {"none, another key first", false, []int{2, 1, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			points, unsynced := 0, 0
			for after, over := n%sample, false; !over; after += sample {
				for _, fate := range fates(after + n) {
					h := newHall(t, "ctap-2.3", 2, 3, c.serials)
					h.fate = fate
					h.run(after, h.plug(0, 1, 2))
					if over = !h.crash.dead; over {
						points = after
						break
					}
					h.cut()
					again := h.unsynced
					h.resume(fmt.Sprintf("after %d steps, fate %d", after, fate), c.order)
					if !again {
						break
					}
					unsynced++
				}
			}
			t.Logf("%d steps, %d times something was not synced", points, unsynced)
			if points < 80 || unsynced*sample < 20 {
				t.Errorf("there are %d steps only, and %d times something was not synced", points, unsynced)
			}
		})
	}
}

// resume is what comes after a crash: nothing is hidden, and another run makes all good.
func (h *hall) resume(when string, order []int) {
	h.Helper()
	if err := h.reported(); err != nil {
		text, _ := os.ReadFile(h.path)
		h.Fatalf("%s: %v\n%s", when, err, text)
	}
	if outcomes, err := h.run(-1, h.plug(order...)); err != nil {
		h.Fatalf("%s: %v, %v", when, outcomes, err)
	}
	if err := h.check(); err != nil {
		text, _ := os.ReadFile(h.path)
		h.Fatalf("%s: %v\n%s\n%v", when, err, text, h.last)
	}
	for i, k := range h.keys {
		if k.serial != "" && k.wrong > 0 {
			h.Fatalf("%s: key %d was given %d wrong PINs", when, i, k.wrong)
		}
	}
}

// TestPowerCutOfKey cuts power before and after each write of a key: of the key alone,
// which is plugged in again while the program runs or for another run; or of everything,
// with the ledger.
func TestPowerCutOfKey(t *testing.T) {
	for _, kind := range []simulator.FaultKind{simulator.FaultCutBeforeWrite, simulator.FaultCutAfterWrite} {
		for _, together := range []bool{false, true} {
			cuts := 0
			for ; ; cuts++ {
				h := newHall(t, "ctap-2.3", 2, 3, true)
				h.fate = lost
				if err := h.keys[0].Faults().Add(simulator.Fault{Kind: kind, Skip: uint(cuts)}); err != nil {
					t.Fatal(err)
				}
				if together {
					h.diesWith = h.keys[0]
				}
				h.run(-1, h.plug(0, 1, 0, 2))
				if len(h.keys[0].Faults().Pending()) > 0 {
					break
				}
				h.diesWith = nil
				h.cut()
				when := fmt.Sprintf("%s %d, together %v", kind, cuts, together)
				if _, err := h.run(-1, h.plug(2, 1, 0)); err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				if err := h.check(); err != nil {
					text, _ := os.ReadFile(h.path)
					t.Fatalf("%s: %v\n%s\n%v", when, err, text, h.last)
				}
				if h.keys[0].wrong > 0 {
					t.Fatalf("%s: %d wrong PINs", when, h.keys[0].wrong)
				}
			}
			if cuts < 4 {
				t.Errorf("%s: there are %d writes only", kind, cuts)
			}
		}
	}
}
