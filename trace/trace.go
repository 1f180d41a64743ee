package trace

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
)

// Version is the version of the format that is written of a [transport.Device]. One
// that is read may have members that are not known here; they are skipped.
const Version = 1

const (
	maxLine  = 1 << 20  // bytes; a message of 64 KiB and 10000 keepalives fit
	maxTrace = 32 << 20 // bytes

	maxExchanges = 50000 // for what is short on the line is long in memory

	larger = 16 // times as much may be in a trace of RunVersion
)

// ErrFormat is what the errors of [Read] wrap that are about the contents.
var ErrFormat = errors.New("not a trace")

// ErrDiffers is what errors of a playback wrap that are not recorded ones: something
// else was asked than in the recording, or more.
var ErrDiffers = errors.New("not as recorded")

// A Header is the first line.
type Header struct {
	Version int       `json:"trace"`
	Start   time.Time `json:"start"`
	Tool    string    `json:"tool,omitempty"`   // what has written it
	Device  string    `json:"device,omitempty"` // in words
	// Key is the key as in the report of a run, of RunVersion.
	Key json.RawMessage `json:"key,omitempty"`
}

// A Kind is what an exchange is, one of the constants.
type Kind string

const (
	KindCBOR Kind = "cbor" // transport.Device.Exchange
	KindMsg  Kind = "msg"  // a U2F APDU
	KindPing Kind = "ping"
	KindWink Kind = "wink"
	KindLock Kind = "lock" // the request is one byte, the seconds
)

// Micros is a time in microseconds.
type Micros int64

// Duration returns the same time.
func (m Micros) Duration() time.Duration { return time.Duration(m) * time.Microsecond }

func micros(d time.Duration) Micros { return Micros(d.Microseconds()) }

// An Exchange is every line that follows.
type Exchange struct {
	Kind       Kind        `json:"kind"`
	At         Micros      `json:"at"`   // since Header.Start
	Took       Micros      `json:"took"` // until the call returned
	Request    ctap2.Bytes `json:"request,omitempty"`
	Response   ctap2.Bytes `json:"response,omitempty"`
	Keepalives []Keepalive `json:"keepalives,omitempty"`
	// Error is the text of the transport's error, empty if there was an answer.
	Error string `json:"error,omitempty"`
	// Closed says that the error was transport.ErrClosed.
	Closed bool `json:"closed,omitempty"`
	// Cancelled says that the context had ended when the call returned, with an
	// answer or without.
	Cancelled bool `json:"cancelled,omitempty"`

	// Members of RunVersion. Reports stand one after the other in Request and in
	// Response.
	Run   *Run     `json:"run,omitempty"`
	Name  string   `json:"name,omitempty"`
	Sizes []int    `json:"sizes,omitempty"` // of reports that come in, and that go out
	Times []Micros `json:"times,omitempty"` // when each of the reports came in, since At
	// Timeout says that nothing more came until At and Took.
	Timeout bool `json:"timeout,omitempty"`
	// Redacted is where in Request the owner's secrets were.
	Redacted []Span `json:"redacted,omitempty"`
}

// A Keepalive is one keepalive message.
type Keepalive struct {
	At     Micros           `json:"at"` // since the exchange began
	Status transport.Status `json:"status"`
}

// A Trace is one that was read.
type Trace struct {
	Header
	Exchanges []Exchange
}

// Read reads a trace. It takes at most 32 MiB, in 50000 lines of at most 1 MiB; of
// [RunVersion] 16 times as much.
// With an error it returns the exchanges before it, for a program may have been
// stopped in the middle of a line.
func Read(r io.Reader) (*Trace, error) { return read(r, maxTrace, maxExchanges) }

func read(r io.Reader, most int64, exchanges int) (*Trace, error) {
	limited := &io.LimitedReader{R: r, N: most + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxLine)
	t := &Trace{}
	n := 0
	for lines.Scan() {
		var err error
		switch n++; {
		case n == 1:
			err = t.readHeader(lines.Bytes())
			if t.Version == RunVersion {
				limited.N += (larger - 1) * most
				most, exchanges = larger*most, larger*exchanges
			}
		case len(t.Exchanges) == exchanges:
			err = fmt.Errorf("more than %d exchanges", exchanges)
		default:
			err = t.readExchange(lines.Bytes())
		}
		if err != nil {
			return t, fmt.Errorf("%w: line %d: %w", ErrFormat, n, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return t, fmt.Errorf("%w: line %d is longer than %d bytes", ErrFormat, n+1, maxLine)
	case err != nil:
		return t, err
	case limited.N == 0:
		return t, fmt.Errorf("%w: longer than %d bytes", ErrFormat, most)
	case n == 0:
		return t, fmt.Errorf("%w: empty", ErrFormat)
	}
	return t, nil
}

func (t *Trace) readHeader(line []byte) error {
	if err := json.Unmarshal(line, &t.Header); err != nil {
		return err
	}
	if t.Version != Version && t.Version != RunVersion {
		return fmt.Errorf("version %d of the format, and only %d and %d are known", t.Version, Version, RunVersion)
	}
	return nil
}

func (t *Trace) readExchange(line []byte) error {
	var e Exchange
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	if e.Kind == "" {
		return errors.New("kind is missing")
	}
	if e.At < 0 || e.Took < 0 {
		return errors.New("time runs backwards")
	}
	last := Micros(0)
	for _, k := range e.Keepalives {
		if k.At < last {
			return errors.New("keepalives are out of order")
		}
		last = k.At
	}
	last = 0
	for _, at := range e.Times {
		if at < last {
			return errors.New("reports are out of order")
		}
		last = at
	}
	t.Exchanges = append(t.Exchanges, e)
	return nil
}
