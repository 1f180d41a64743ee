package client

import (
	"context"
	"fmt"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
)

// DefaultTimeout is how long one command may take on the key, a touch included.
const DefaultTimeout = 30 * time.Second

// Options say how a Key is spoken to.
type Options struct {
	Prompt Prompt
	// Timeout is the longest that one command may take on the key, whatever the
	// key sends in the meantime; 0 means [DefaultTimeout]. Time in which a person
	// types a PIN does not count.
	Timeout time.Duration
}

// A Key is a security key that flows are run on, one at a time.
type Key struct {
	dev    transport.Device
	prompt Prompt
	info   *ctap2.GetInfoResponse
}

// New returns a Key on an open device. It sends nothing.
func New(dev transport.Device, o Options) *Key {
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	return &Key{dev: &watched{Device: dev, timeout: o.Timeout, touch: o.Prompt.Touch}, prompt: o.Prompt}
}

// Close closes the device.
func (k *Key) Close() error { return k.dev.Close() }

// Info returns what the key says of itself. It is asked once, and again after a
// flow that changed the answer.
func (k *Key) Info(ctx context.Context) (*ctap2.GetInfoResponse, error) {
	if k.info == nil {
		info, err := ctap2.Do(ctx, k.dev, ctap2.GetInfo{})
		if err != nil {
			return nil, err
		}
		k.info = info
	}
	return k.info, nil
}

// Select waits until the person touches this key (CTAP 2.1, section 6.9).
func (k *Key) Select(ctx context.Context) error {
	_, err := ctap2.Do(ctx, k.dev, ctap2.Selection{})
	return err
}

// Reset destroys every credential and the PIN (CTAP 2.1, section 6.6). Most keys
// take it only within 10 seconds after they were plugged in.
func (k *Key) Reset(ctx context.Context) error {
	k.info = nil
	_, err := ctap2.Do(ctx, k.dev, ctap2.Reset{})
	return err
}

// watched is the device with our clock and our eyes on it: every command has its
// deadline, and the first keepalive of a command that asks for a touch becomes a
// prompt.
type watched struct {
	transport.Device
	timeout time.Duration
	touch   func(Touch)
}

func (w *watched) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, w.timeout, timeoutError{w.timeout})
	defer cancel()
	told := false
	ctx = transport.WithStatus(ctx, func(s transport.Status) {
		if s == transport.StatusUPNeeded && !told && w.touch != nil {
			told = true
			w.touch(Touch{Command: ctap2.Command(msg[0])})
		}
	})
	return w.Device.Exchange(ctx, msg)
}

// timeoutError is context.DeadlineExceeded with the time that has passed.
type timeoutError struct{ after time.Duration }

func (e timeoutError) Error() string { return fmt.Sprintf("not done within %v", e.after) }

func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }
