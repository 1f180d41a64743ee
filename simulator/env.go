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
	PresenceNone      Presence = iota // nothing, until the context ended or the person left
	PresenceTouched                   // touched the key
	PresenceDeclined                  // refused, as a key with a second button allows
	PresenceLongTouch                 // touched it for 5 s or more; does for any touch
)

// String returns "touched", "declined", "long" or "none".
func (p Presence) String() string {
	switch p {
	case PresenceTouched:
		return "touched"
	case PresenceDeclined:
		return "declined"
	case PresenceLongTouch:
		return "long"
	}
	return "none"
}

// A PresenceRequest says what a touch is wanted for.
type PresenceRequest struct {
	Command ctap2.Command
	RPID    string // empty for commands that concern no relying party
	Long    bool   // a long touch is wanted
	U2F     bool   // Command is what a U2F command comes to; RPID is not known
}

// A FingerRequest says what a finger on the sensor is wanted for.
type FingerRequest struct {
	Command ctap2.Command
	RPID    string // empty for commands that concern no relying party
	U2F     bool   // see PresenceRequest
}

// A Sample is what the fingerprint sensor saw.
type Sample struct {
	Finger  string // names the finger: samples with the same name match
	Quality SampleQuality
}

// SampleQuality is a lastEnrollSampleStatus, CTAP 2.1 section 6.7.4. Only good
// samples can be recognized.
type SampleQuality uint

const (
	SampleGood         SampleQuality = 0x00
	SampleTooHigh      SampleQuality = 0x01
	SampleTooLow       SampleQuality = 0x02
	SampleTooLeft      SampleQuality = 0x03
	SampleTooRight     SampleQuality = 0x04
	SampleTooFast      SampleQuality = 0x05
	SampleTooSlow      SampleQuality = 0x06
	SamplePoorQuality  SampleQuality = 0x07
	SampleTooSkewed    SampleQuality = 0x08
	SampleTooShort     SampleQuality = 0x09
	SampleMergeFailure SampleQuality = 0x0a
	SampleExists       SampleQuality = 0x0b
	SampleDatabaseFull SampleQuality = 0x0c
	SampleNoActivity   SampleQuality = 0x0d // no finger came
	SampleNoTransition SampleQuality = 0x0e // the finger was not lifted
)

// DefaultFinger is whose finger lies on the sensor without a Config.Finger.
const DefaultFinger = "default"

// goodSample is the Config.Finger of a key that always sees the same finger.
func goodSample(context.Context, FingerRequest) Sample { return Sample{Finger: DefaultFinger} }

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
