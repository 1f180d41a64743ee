package simulator

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
)

// Config is the world that an [Authenticator] lives in. The zero value is a
// new key in memory that is touched whenever it asks.
type Config struct {
	// Storage is what survives power-off; nil is a new [NewMemory]. It belongs
	// to the Authenticator as soon as New succeeded.
	Storage Storage
	// Clock measures the time limits; nil is the system's.
	Clock Clock
	// Random gives every key, ID, nonce and IV; nil is crypto/rand. The same
	// bytes from Random and the same requests give the same answers.
	Random io.Reader
	// Presence asks the person for a touch, and returns when there is an answer
	// or when ctx ends, which is the time limit or a cancel. nil touches at
	// once. It may call PowerCycle, but neither Exchange nor Close.
	Presence func(ctx context.Context, r PresenceRequest) Presence
	// Finger asks the person to lay a finger on the sensor, under the same rules
	// as Presence. nil gives a good sample of [DefaultFinger] at once.
	Finger func(ctx context.Context, r FingerRequest) Sample
	// Profile is the key to be played; nil is [DefaultProfile].
	Profile *Profile
	// Attestation signs in place of the generated chain for a profile with
	// [AttestationChain], and EnterpriseAttestation where enterprise attestation
	// is granted.
	Attestation, EnterpriseAttestation *AttestationKey
	// MaxMsgSize lowers the length in bytes of the longest request to what a
	// door can carry; 0 leaves it to the profile. Less than 1024 is not allowed.
	MaxMsgSize uint
	// Answers, unless nil, says what leaves the key in place of an answer, of CTAP2
	// or U2F, so that a test can play a hostile one. It may take its time, and lets
	// go when ctx ends. Faults and counters stand behind it.
	Answers func(ctx context.Context, request, answer []byte) []byte
}

const hidMaxMsgSize = 7609 // one initialization and 128 continuation packets

// How a request reaches the key, as getInfo names it (CTAP 2.2, section 6.4).
const (
	transportUSB       = "usb"
	transportNFC       = "nfc"
	transportSmartCard = "smart-card" // with contacts
)

// withDefaults fills in what was left open.
func (c Config) withDefaults() (Config, error) {
	if c.Storage == nil {
		c.Storage = NewMemory()
	}
	if c.Clock == nil {
		c.Clock = systemClock{}
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Presence == nil {
		c.Presence = touchedAtOnce
	}
	if c.Finger == nil {
		c.Finger = goodSample
	}
	if c.Profile == nil {
		c.Profile = DefaultProfile()
	}
	if c.MaxMsgSize != 0 && c.MaxMsgSize < ctap2.DefaultMaxMsgSize {
		return c, fmt.Errorf("simulator: MaxMsgSize is %d, at least %d needed", c.MaxMsgSize, ctap2.DefaultMaxMsgSize)
	}
	return c, nil
}

// An Authenticator is one simulated security key. It works on one command at a
// time; others wait for their turn.
type Authenticator struct {
	config  Config
	profile *Profile
	turn    chan struct{} // holds the one token of whoever works

	// What the command at work uses.
	state   *state
	session *session

	// What steers the key: see steer.go.
	faults        *Faults
	counters      *counters
	noResetWindow atomic.Bool

	mu        sync.Mutex // guards what follows
	interrupt context.CancelCauseFunc
	cycled    *time.Time // when power was cut, until the next command
	power     power
	polled    *polledTouch // what the key blinks for between U2F commands, or nil
	closed    bool
}

var _ transport.Device = (*Authenticator)(nil)

// New returns a key that was plugged in just now. It has the credentials and
// the PIN that are in the storage.
func New(c Config) (*Authenticator, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &Authenticator{config: c, profile: c.Profile, turn: make(chan struct{}, 1)}
	a.power.changed = make(chan struct{})
	a.counters = newCounters()
	a.faults = newFaults(c.Clock, a.counters, a.PowerOff)
	if err := a.loadState(); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	if err := a.powerUp(c.Clock.Now()); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	return a, nil
}

// Close ends the command that waits for a touch, if any, and closes the
// storage.
func (a *Authenticator) Close() error {
	a.mu.Lock()
	wasClosed := a.closed
	a.closed = true
	if a.interrupt != nil {
		a.interrupt(transport.ErrClosed)
	}
	a.mu.Unlock()
	if wasClosed {
		return nil
	}
	a.turn <- struct{}{}
	defer func() { <-a.turn }()
	a.dropTouch()
	return a.config.Storage.Close()
}

// Exchange takes one request, a command byte with its CBOR, and returns the
// status byte with its CBOR. When ctx ends while the key waits for a touch, the
// command is cancelled and the error wraps context.Cause(ctx).
func (a *Authenticator) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	answer, err := a.serve(ctx, origin{transport: transportUSB}, msg)
	if err == nil && ctx.Err() != nil && len(answer) > 0 && answer[0] == byte(ctap2.ErrKeepaliveCancel) {
		return nil, fmt.Errorf("simulator: %w", context.Cause(ctx))
	}
	return answer, err
}

// exchange is Exchange for the doors, which can give no other answer than
// bytes.
func (a *Authenticator) exchange(ctx context.Context, from origin, msg []byte) []byte {
	answer, err := a.serve(ctx, from, msg)
	switch {
	case err == nil:
		return answer
	case ctx.Err() != nil:
		return []byte{byte(ctap2.ErrKeepaliveCancel)}
	}
	return []byte{byte(ctap2.ErrOther)}
}

// An origin is where a request came from. A series of messages cannot be
// continued from another one.
type origin struct {
	door      any    // one value for each door; nil for Exchange
	channel   uint32 // HID channel, 0 elsewhere
	transport string // transportUSB, transportNFC or transportSmartCard
	tap       *tap   // of a card; nil elsewhere
}

// serve answers one request of CTAP2.
func (a *Authenticator) serve(ctx context.Context, from origin, msg []byte) ([]byte, error) {
	return a.inTurn(ctx, func(ctx context.Context) []byte { return a.steered(ctx, from, msg) })
}

// inTurn waits for its turn and works on one request.
func (a *Authenticator) inTurn(ctx context.Context, work func(ctx context.Context) []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("simulator: %w", context.Cause(ctx))
	}
	select {
	case a.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("simulator: %w", context.Cause(ctx))
	}
	defer func() { <-a.turn }()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := a.begin(cancel); err != nil {
		return nil, fmt.Errorf("simulator: %w", err)
	}
	defer a.end()
	answer := work(ctx)
	if on, _ := a.Powered(); !on {
		return nil, fmt.Errorf("simulator: %w", errPowerOff)
	}
	return answer, nil
}

// begin registers the command at work, so that PowerCycle and Close can end it,
// and makes up for a PowerCycle since the last command.
func (a *Authenticator) begin(interrupt context.CancelCauseFunc) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return transport.ErrClosed
	}
	if a.power.off {
		return errPowerOff
	}
	if a.cycled != nil {
		if err := a.loadState(); err != nil { // a write may have come through unnoticed
			return err
		}
		if err := a.powerUp(*a.cycled); err != nil {
			return err
		}
		a.cycled = nil
	}
	a.interrupt = interrupt
	return nil
}

func (a *Authenticator) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.interrupt = nil
}
