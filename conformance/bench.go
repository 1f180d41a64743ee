package conformance

import (
	"context"
	"time"

	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

// A Bench holds the key and moves the world around it. Functions that are nil
// are what the bench cannot do; cases that need them are not applicable.
type Bench struct {
	// Port opens the HID door. It is called again after PowerCycle and Become,
	// when reports of the Port before fail.
	Port func() (hid.Port, error)
	// Card puts the key on a reader; called again like Port.
	Card func() (nfc.Card, error)
	// PowerCycle unplugs the key and plugs it in again, and takes it out of the
	// field and puts it back.
	PowerCycle func(ctx context.Context) error
	// Touch says how the person behaves from now on. Without it there is one
	// who touches the key whenever it blinks, unless Unattended says that there
	// is nobody.
	Touch func(Touch)
	// Blink is called when the key waits for the person to touch it; nil needs
	// not be told.
	Blink func(c *Case)
	// Unattended is a key that nobody touches: a case ends as not applicable when
	// the key asks for a touch.
	Unattended bool
	// Finger says which finger touches the sensor from now on.
	Finger func(Finger)
	// Wait lets time pass; nil waits in real time.
	Wait func(ctx context.Context, d time.Duration)
	// Become turns the key into a variant, one of the words of cases.txt, fresh
	// from the factory. The empty word turns it back.
	Become func(variant string) error
	// CutPower cuts the power at the n-th write to the key's store from now on,
	// 1 being the next: before the write takes effect, or right after it. The
	// case calls PowerCycle next. n = 0 withdraws that.
	CutPower func(n int, written bool)

	// Release says that the key may be reset and its PIN locked. Without it
	// only cases run that leave a fresh key as it was.
	Release bool
	// PIN is set on a key that is not released; empty: none.
	PIN string
	// EnterpriseRPID is on the key's own list for enterprise attestation.
	EnterpriseRPID string
	// AAGUID is what the metadata statement says, 16 bytes or nil.
	AAGUID []byte
	// Endurance is how many rounds the long cases take; 0 is what their text
	// says.
	Endurance int

	conclude func(f func() []byte) []byte // nil: f is called
}

// concluded is what follows from an answer with a token of the key's owner, which a
// recording has not: it has this, or what it is the same as.
func (b *Bench) concluded(f func() []byte) []byte {
	if b.conclude == nil {
		return f()
	}
	return b.conclude(f)
}

func (b *Bench) wait(ctx context.Context, d time.Duration) {
	if b.Wait != nil {
		b.Wait(ctx, d)
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// Touch is how the person behaves when the key blinks.
type Touch int

const (
	TouchAlways  Touch = iota // touches shortly, again and again
	TouchNever                // does nothing
	TouchOnce                 // touches the next time, and never after
	TouchDecline              // refuses, on a key that can be refused
	TouchLong                 // holds the key for more than five seconds
)

// Finger is what lies on the fingerprint sensor. 0 and above number fingers that
// can be told apart.
type Finger int

const (
	FingerFirst    Finger = 0  // a finger that gets enrolled first
	FingerSecond   Finger = 1  // another one
	FingerStranger Finger = -1 // one that is never enrolled
	FingerPoor     Finger = -2 // the first finger, laid on badly
	FingerNone     Finger = -3 // nothing
)
