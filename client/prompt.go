package client

import (
	"context"
	"errors"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// A Prompt reaches the person. A nil field means that nobody can be asked.
type Prompt struct {
	// PIN asks for the key's PIN. The slice is wiped after use. An error ends
	// the flow before a try is spent.
	PIN func(ctx context.Context, r PINRequest) ([]byte, error)
	// NewPIN asks for the PIN that the key shall have. The slice is wiped after
	// use. A PIN that will not do is refused before anything is sent.
	NewPIN func(ctx context.Context, r NewPINRequest) ([]byte, error)
	// Touch says that the key waits for a touch; it is called once for each
	// command that waits, and must return at once.
	Touch func(t Touch)
	// Processing says that the key works on a command and waits for nobody; it is
	// called at most once for each command, and must return at once.
	Processing func(command ctap2.Command)
	// Sample says what the sensor made of a finger, and how many good samples are
	// still needed to enrol it; it must return at once.
	Sample func(s ctap2.SampleStatus, remaining uint)
	// Replug asks for the key to be unplugged, and then to be plugged in again; it
	// must return at once. ResetGuided needs it, and flows over NFC for which the
	// key must be laid on the reader again.
	Replug func(r Replug)
}

// A PINRequest says what a PIN is asked for.
type PINRequest struct {
	Retries pin.Retries
	RPID    string // empty where no relying party is concerned
}

// A NewPINRequest says what the key asks of a new PIN.
type NewPINRequest struct {
	MinLength  uint   // Unicode code points
	MaxLength  uint   // Unicode code points; 0: not told, then 63 bytes in UTF-8 are the limit
	Complexity bool   // the key enforces rules of its maker's (CTAP 2.2)
	PolicyURL  string // where those are written down; may be empty
}

// Touch is a key's wait for a touch.
type Touch struct {
	Command ctap2.Command
	// Long means that the finger must stay for five seconds (longTouchForReset).
	Long bool
	// Tap means that the key lies on an NFC reader: taking it off and holding it
	// there again does as well, and is all that there is for most keys.
	Tap bool
}

// Replug is what the person is to do with the key.
type Replug int

const (
	Unplug Replug = iota // take the key out, or away from the reader
	PlugIn               // put it in again; it will want a touch soon
)

func (r Replug) String() string {
	if r == PlugIn {
		return "plug in"
	}
	return "unplug"
}

var (
	// ErrPINNeeded is returned when a PIN is needed and the function in Prompt
	// that asks for it is nil.
	ErrPINNeeded = errors.New("a PIN is needed and nobody can be asked")
	// ErrLastTries is returned when fewer PIN tries are left than
	// Options.MinRetries. None was spent.
	ErrLastTries = errors.New("too few PIN tries are left to spend one")
	// ErrPINChangeNeeded is returned when the key takes its PIN for nothing but to
	// be changed (forcePINChange). No PIN was asked for.
	ErrPINChangeNeeded = errors.New("the PIN must be changed before it is good for anything else")
	// ErrNoPIN is returned when user verification is required of a key that has
	// neither a PIN nor another way to verify the user set up.
	ErrNoPIN = errors.New("the key cannot verify the user: it has no PIN")
	// ErrPINSet is returned by SetPIN for a key that has a PIN.
	ErrPINSet = errors.New("the key has a PIN already")
	// ErrPINUnsupported is returned for a key that knows no PIN at all.
	ErrPINUnsupported = errors.New("the key does not support a PIN")
)
