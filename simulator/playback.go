package simulator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fidokey/fidokey/trace"
	"github.com/fidokey/fidokey/transport"
)

// ErrPlayback is what the errors of a [Playback] wrap that are not recorded ones:
// another request came than in the recording, or one more.
var ErrPlayback = trace.ErrDiffers

// Playback is a device that answers as a key once did. It takes the requests of
// the recording, in their order; what [trace.RedactRequest] takes out may differ,
// so a client that makes fresh keys each time can be played to. Tokens and other
// secrets that it answers are zero.
//
// It has the methods of a device on USB HID: Message, Ping, Wink and Lock.
type Playback struct {
	exchanges []trace.Exchange
	options   PlaybackOptions
	turn      chan struct{} // holds the one token of whoever asks
	next      int
	closed    bool
}

// PlaybackOptions say how a recording is played.
type PlaybackOptions struct {
	// RealTime has every exchange take the time that it took, with keepalives in
	// between. Otherwise keepalives and the answer come at once.
	RealTime bool
}

var _ transport.Device = (*Playback)(nil)

// NewPlayback plays the exchanges of a trace. It must not be changed afterwards.
func NewPlayback(t *trace.Trace, o PlaybackOptions) *Playback {
	return &Playback{exchanges: t.Exchanges, options: o, turn: make(chan struct{}, 1)}
}

// Exchange answers a CTAP2 message.
func (p *Playback) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	return p.play(ctx, trace.KindCBOR, msg)
}

// Message answers a U2F command APDU.
func (p *Playback) Message(ctx context.Context, apdu []byte) ([]byte, error) {
	return p.play(ctx, trace.KindMsg, apdu)
}

// Ping answers with what came back when it was recorded.
func (p *Playback) Ping(ctx context.Context, data []byte) ([]byte, error) {
	return p.play(ctx, trace.KindPing, data)
}

// Wink does nothing that could be seen.
func (p *Playback) Wink(ctx context.Context) error {
	_, err := p.play(ctx, trace.KindWink, nil)
	return err
}

// Lock keeps nobody off.
func (p *Playback) Lock(ctx context.Context, seconds int) error {
	_, err := p.play(ctx, trace.KindLock, []byte{byte(seconds)})
	return err
}

// Left returns how many exchanges of the recording have not been asked for.
func (p *Playback) Left() int {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	return len(p.exchanges) - p.next
}

// Close ends the playback: later calls return [transport.ErrClosed].
func (p *Playback) Close() error {
	p.turn <- struct{}{}
	defer func() { <-p.turn }()
	p.closed = true
	return nil
}

// play answers one request, if it is the one that comes next.
func (p *Playback) play(ctx context.Context, kind trace.Kind, request []byte) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("playback: not sent: %w", context.Cause(ctx))
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("playback: not sent: %w", context.Cause(ctx))
	}
	if p.closed {
		return nil, fmt.Errorf("playback: %w", transport.ErrClosed)
	}
	request = trace.RedactRequest(kind, request)
	if p.next == len(p.exchanges) {
		return nil, fmt.Errorf("playback: %w: the recording has %d exchanges, and one more came: %s %x", ErrPlayback, p.next, kind, request)
	}
	e := &p.exchanges[p.next]
	if e.Kind != kind || !bytes.Equal(e.Request, request) {
		return nil, fmt.Errorf("playback: %w: exchange %d\n is %s %x\nwant %s %x", ErrPlayback, p.next+1, kind, request, e.Kind, e.Request)
	}
	p.next++
	return p.replay(ctx, e)
}

// replay does what the key did, or is cancelled. A cancel that the recorded
// answer overtook is overtaken again.
func (p *Playback) replay(ctx context.Context, e *trace.Exchange) ([]byte, error) {
	begin := time.Now()
	for _, k := range e.Keepalives {
		p.wait(ctx, begin, k.At)
		if ctx.Err() == nil {
			transport.Report(ctx, k.Status)
		}
	}
	p.wait(ctx, begin, e.Took)
	switch answered := e.Error == ""; {
	case answered && (ctx.Err() == nil || e.Cancelled):
		return bytes.Clone(e.Response), nil
	case answered:
		return nil, fmt.Errorf("playback: %w", context.Cause(ctx))
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: %w", e.Error, context.Cause(ctx))
	case e.Cancelled:
		return nil, fmt.Errorf("%s: %w", e.Error, context.Canceled)
	case e.Closed:
		return nil, fmt.Errorf("%s: %w", e.Error, transport.ErrClosed)
	}
	return nil, errors.New(e.Error)
}

// wait waits until a time of the exchange, or until nobody wants the answer.
func (p *Playback) wait(ctx context.Context, begin time.Time, at trace.Micros) {
	if !p.options.RealTime {
		return
	}
	select {
	case <-time.After(at.Duration() - time.Since(begin)):
	case <-ctx.Done():
	}
}
