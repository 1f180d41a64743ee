package simulator_test

import (
	"bytes"
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

// Command bytes.
const (
	makeCredential       = 0x01
	getAssertion         = 0x02
	getInfo              = 0x04
	clientPIN            = 0x06
	reset                = 0x07
	getNextAssertion     = 0x08
	bioEnrollment        = 0x09
	credentialManagement = 0x0a
	largeBlobArray       = 0x0c
	selection            = 0x0b
	config               = 0x0d
)

// Status bytes.
const (
	ok                     = 0x00
	invalidCommand         = 0x01
	invalidParameter       = 0x02
	invalidLength          = 0x03
	invalidSeq             = 0x04
	unexpectedType         = 0x11
	invalidCBOR            = 0x12
	missingParameter       = 0x14
	limitExceeded          = 0x15
	fpDatabaseFull         = 0x17
	largeBlobStorageFull   = 0x18
	credentialExcluded     = 0x19
	unsupportedAlgorithm   = 0x26
	operationDenied        = 0x27
	keyStoreFull           = 0x28
	unsupportedOption      = 0x2b
	invalidOption          = 0x2c
	keepaliveCancel        = 0x2d
	noCredentials          = 0x2e
	userActionTimeout      = 0x2f
	notAllowed             = 0x30
	pinInvalid             = 0x31
	pinBlocked             = 0x32
	pinAuthInvalid         = 0x33
	pinAuthBlocked         = 0x34
	pinNotSet              = 0x35
	puatRequired           = 0x36
	pinPolicyViolation     = 0x37
	requestTooLarge        = 0x39
	upRequired             = 0x3b
	uvBlocked              = 0x3c
	integrityFailure       = 0x3d
	invalidSubcommand      = 0x3e
	uvInvalid              = 0x3f
	unauthorizedPermission = 0x40
	other                  = 0x7f
)

// m is a CBOR map as a test writes it and reads it.
type m = map[any]any

var (
	encMode, _ = cbor.CTAP2EncOptions().EncMode()
	decMode, _ = cbor.DecOptions{DefaultMapType: nil}.DecMode()
)

func encode(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// request is a command byte with its parameters; nil are none.
func request(command byte, params any) []byte {
	if params == nil {
		return []byte{command}
	}
	return append([]byte{command}, encode(params)...)
}

// withRoomFor limits the discoverable credentials.
func withRoomFor(n uint) func(c *simulator.Config) {
	return func(c *simulator.Config) {
		c.Profile = simulator.DefaultProfile()
		c.Profile.GetInfo.RemainingDiscoverableCredentials = &n
	}
}

// fakeClock is moved by hand.
type fakeClock struct {
	mu     sync.Mutex
	now    time.Time
	timers map[*fakeTimer]bool
}

type fakeTimer struct {
	at time.Time
	f  func()
}

func newClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), timers: map[*fakeTimer]bool{}}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) AfterFunc(d time.Duration, f func()) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &fakeTimer{c.now.Add(d), f}
	c.timers[t] = true
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.timers, t)
	}
}

// Advance moves the clock and runs what is due.
func (c *fakeClock) Advance(d time.Duration) {
	c.mu.Lock()
	c.now = c.now.Add(d)
	var due []*fakeTimer
	for t := range c.timers {
		if !t.at.After(c.now) {
			due = append(due, t)
			delete(c.timers, t)
		}
	}
	c.mu.Unlock()
	for _, t := range due {
		t.f()
	}
}

// A key is an Authenticator with its world.
type key struct {
	*testing.T
	*simulator.Authenticator
	overNFC bool                    // requests come through a card's field
	through func(msg []byte) []byte // requests go through another door
	clock   *fakeClock
	storage simulator.Storage
	// touch decides what the person does; nil touches at once.
	touch func(ctx context.Context) simulator.Presence
	// finger decides what the sensor sees; nil is a good sample of DefaultFinger.
	finger  func(ctx context.Context) simulator.Sample
	lives   byte // how often it was plugged in
	prompts []simulator.PresenceRequest
	fingers []simulator.FingerRequest
	reports []transport.Status
}

// newKey returns a key out of the box. Its randomness is the same in each run.
func newKey(t *testing.T, options ...func(*simulator.Config)) *key {
	t.Helper()
	k := &key{T: t, clock: newClock()}
	k.plugIn(simulator.NewMemory(), options...)
	return k
}

// plugIn starts an Authenticator on a storage.
func (k *key) plugIn(s simulator.Storage, options ...func(*simulator.Config)) {
	k.Helper()
	k.storage = s
	k.lives++
	config := simulator.Config{
		Storage: s,
		Clock:   k.clock,
		Random:  rand.NewChaCha8([32]byte{k.lives}),
		Presence: func(ctx context.Context, r simulator.PresenceRequest) simulator.Presence {
			k.prompts = append(k.prompts, r)
			if k.touch == nil {
				return simulator.PresenceTouched
			}
			return k.touch(ctx)
		},
		Finger: func(ctx context.Context, r simulator.FingerRequest) simulator.Sample {
			k.fingers = append(k.fingers, r)
			if k.finger == nil {
				return rightFinger
			}
			return k.finger(ctx)
		},
	}
	for _, set := range options {
		set(&config)
	}
	a, err := simulator.New(config)
	if err != nil {
		k.Fatal(err)
	}
	k.Authenticator = a
	k.Cleanup(func() { a.Close() })
}

// send exchanges one message and checks the form of the answer.
func (k *key) send(msg []byte) (status byte, reply map[int]any) {
	k.Helper()
	if k.through != nil {
		return k.read(k.through(msg))
	}
	ctx := transport.WithStatus(k.Context(), func(s transport.Status) { k.reports = append(k.reports, s) })
	if k.overNFC {
		return k.read(k.ExchangeOverNFC(ctx, msg))
	}
	answer, err := k.Exchange(ctx, msg)
	if err != nil {
		k.Fatalf("%x: %v", msg, err)
	}
	return k.read(answer)
}

func (k *key) read(answer []byte) (status byte, reply map[int]any) {
	k.Helper()
	if len(answer) == 0 {
		k.Fatal("no status byte")
	}
	status, body := answer[0], answer[1:]
	if len(body) == 0 {
		return status, nil
	}
	if status != ok {
		k.Fatalf("status %#02x with a body: %x", status, body)
	}
	if err := decMode.Unmarshal(body, &reply); err != nil {
		k.Fatalf("answer %x: %v", answer, err)
	}
	if again := encode(reply); !bytes.Equal(again, body) {
		k.Errorf("answer is not canonical:\n got %x\nwant %x", body, again)
	}
	return status, reply
}

// ok exchanges a message that must succeed.
func (k *key) ok(command byte, params any) map[int]any {
	k.Helper()
	status, reply := k.send(request(command, params))
	if status != ok {
		k.Fatalf("command %#02x: status %#02x, want OK", command, status)
	}
	return reply
}

// refuses exchanges a message that must end in a status.
func (k *key) refuses(want byte, command byte, params any) {
	k.Helper()
	if status, _ := k.send(request(command, params)); status != want {
		k.Fatalf("command %#02x: status %#02x, want %#02x", command, status, want)
	}
}

// prompted returns how often the key asked for a touch since the last call.
func (k *key) prompted() int {
	n := len(k.prompts)
	if len(k.reports) != n {
		k.Errorf("%d touches wanted, %d keepalives", n, len(k.reports))
	}
	k.prompts, k.reports = nil, nil
	return n
}

// nobody is a touch that never comes: the clock runs until the key gives up.
func (k *key) nobody(ctx context.Context) simulator.Presence {
	k.clock.Advance(29 * time.Second)
	if ctx.Err() != nil {
		k.Error("key gave up within 29 s")
	}
	k.clock.Advance(time.Second)
	<-ctx.Done()
	return simulator.PresenceNone
}

func declined(context.Context) simulator.Presence { return simulator.PresenceDeclined }

// gone is what edit takes for "leave it out".
type gone struct{}

// edit returns a copy of v in which the element at path is another.
func edit(v, element any, path ...any) any {
	if len(path) == 0 {
		return element
	}
	switch v := v.(type) {
	case m:
		c := maps.Clone(v)
		c[path[0]] = edit(v[path[0]], element, path[1:]...)
		if c[path[0]] == (gone{}) {
			delete(c, path[0])
		}
		return c
	case []any:
		c := slices.Clone(v)
		i := path[0].(int)
		c[i] = edit(v[i], element, path[1:]...)
		return c
	case nil:
		return edit(m{}, element, path...)
	}
	panic("no such path")
}

// with is edit on a request.
func with(params m, element any, path ...any) m { return edit(params, element, path...).(m) }

func without(params m, path ...any) m { return with(params, gone{}, path...) }
