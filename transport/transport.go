// Package transport says what a conversation with one authenticator is, whatever
// carries it. It imports nothing of ours.
//
// The USB HID and the NFC transports, and the simulator, implement [Device]; the
// package ctap2 speaks through it.
package transport

import (
	"context"
	"errors"
	"fmt"
)

// A Device is one open conversation with one authenticator. It carries one
// exchange at a time; its methods may be called from several goroutines, which
// then wait for each other.
type Device interface {
	// Exchange sends a CTAP2 command byte with its CBOR and returns the status
	// byte with its CBOR (CTAP 2.1, section 8).
	//
	// When ctx ends, Exchange cancels the work on the key, drains the answer
	// and returns an error that wraps context.Cause(ctx). An answer that came
	// through in spite of the cancel is returned without an error: a credential
	// may have been made.
	Exchange(ctx context.Context, msg []byte) ([]byte, error)
	Close() error
}

var (
	// ErrClosed is returned by a Device after Close, or when the authenticator
	// was unplugged.
	ErrClosed = errors.New("device closed")
	// ErrUnsupported is returned for something that the device, or this build of
	// the program, cannot do.
	ErrUnsupported = errors.New("not supported")
	// ErrMalformed is wrapped by errors about an answer that came through whole
	// and is not what the specification says it is.
	ErrMalformed = errors.New("malformed answer")
	// ErrBusy is returned when another program used the authenticator for as
	// long as the context allowed to wait. Nothing of ours was done.
	ErrBusy = errors.New("device busy")
	// ErrFraming is what the error of a Device is, by [errors.Is], for bytes that no
	// authenticator may send: it, or what carries it, is broken or was disturbed.
	ErrFraming = errors.New("broken message")
	// ErrNotDone is what the error of an Exchange is, by [errors.Is], where the
	// authenticator has not done what the message says: it was not sent, or the
	// authenticator refused it below CTAP2, or confirmed that it was cancelled. Of
	// a message without an answer nobody knows.
	ErrNotDone = errors.New("not done")
)

// A FramingError is an [ErrFraming] with words of its own.
type FramingError string

func (e FramingError) Error() string        { return string(e) }
func (e FramingError) Is(target error) bool { return target == ErrFraming }

// NotDone makes an error one that is [ErrNotDone]; its text stays.
func NotDone(err error) error { return notDone{err} }

type notDone struct{ error }

func (e notDone) Unwrap() error        { return e.error }
func (e notDone) Is(target error) bool { return target == ErrNotDone }

// Carrier is implemented by a Device that knows what carries it.
type Carrier interface {
	// Transport returns the name that getInfo has for it: "usb", "nfc", ...
	// (WebAuthn Level 3, section 5.8.4).
	Transport() string
}

// Status is the status of a keepalive message (CTAP 2.1, section 11.2.9.1.7).
type Status byte

const (
	StatusProcessing Status = 1 // the authenticator is still working
	StatusUPNeeded   Status = 2 // the authenticator waits for user presence
)

func (s Status) String() string {
	switch s {
	case StatusProcessing:
		return "processing"
	case StatusUPNeeded:
		return "waiting for a touch"
	}
	return fmt.Sprintf("status %#02x", byte(s))
}

// Known reports whether the specification has this status.
func (s Status) Known() bool { return s == StatusProcessing || s == StatusUPNeeded }

// LastSeen words a status for the error of a call that ended meanwhile.
func (s Status) LastSeen() string {
	if s == StatusProcessing {
		return "still processing"
	}
	return s.String()
}

type statusKey struct{}

// WithStatus returns a context with which a Device reports each keepalive to f.
// It rides in the context, as hooks do in net/http/httptrace, so that commands
// need no parameter for it. f must not block.
func WithStatus(ctx context.Context, f func(Status)) context.Context {
	return context.WithValue(ctx, statusKey{}, f)
}

// Report calls the function given to [WithStatus], if any. Devices call it.
func Report(ctx context.Context, s Status) {
	if f, ok := ctx.Value(statusKey{}).(func(Status)); ok {
		f(s)
	}
}
