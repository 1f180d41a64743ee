package simulator

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/fidokey/fidokey/ctap2"
)

// A Clock tells the time and wakes up.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f in its own goroutine, or in the one that moves the
	// clock, when d has passed. stop prevents that if it comes in time.
	AfterFunc(d time.Duration, f func()) (stop func())
}

// systemClock is the Clock of the operating system.
type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) AfterFunc(d time.Duration, f func()) (stop func()) {
	timer := time.AfterFunc(d, f)
	return func() { timer.Stop() }
}

// Presence is what the person in front of the key did when it blinked.
type Presence int

const (
	PresenceNone     Presence = iota // nothing, until the context ended or the person left
	PresenceTouched                  // touched the key
	PresenceDeclined                 // refused, as a key with a second button allows
)

// String returns "touched", "declined" or "none".
func (p Presence) String() string {
	switch p {
	case PresenceTouched:
		return "touched"
	case PresenceDeclined:
		return "declined"
	}
	return "none"
}

// A PresenceRequest says what a touch is wanted for.
type PresenceRequest struct {
	Command ctap2.Command
	RPID    string // empty for commands that concern no relying party
}

// touchedAtOnce is the Config.Presence of a key that nobody needs to touch.
func touchedAtOnce(context.Context, PresenceRequest) Presence { return PresenceTouched }

// random returns n bytes of the source of randomness.
func (a *Authenticator) random(n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(a.config.Random, b); err != nil {
		return nil, fmt.Errorf("source of randomness: %w", err)
	}
	return b, nil
}
