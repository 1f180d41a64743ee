package nfc

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fidokey/fidokey/transport"
)

const (
	busyInterval = 100 * time.Millisecond // between two tries at a card that another program has
	lookTimeout  = 2 * time.Second        // for a look at the readers
)

// countsCards: whether the system tells a card that was taken away and laid on
// again from one that was reset.
const countsCards = runtime.GOOS != "darwin"

// A Transactor is a Card that other programs may use too.
type Transactor interface {
	// Begin keeps others out until End, once they have ended theirs. The error
	// wraps ErrReset if the card was reset since the last Begin; there is a
	// transaction then, but no applet is selected.
	Begin(ctx context.Context) error
	End()
}

// CutPower takes the power of the card in a reader and gives it back: the card is as
// new. With some readers the field stays, so that a key only begins anew. Other
// programs that have the card are told that it was reset.
func CutPower(ctx context.Context, reader string) error {
	card, err := system.open(ctx, reader)
	if err != nil {
		return fmt.Errorf("%s: %w", reader, err)
	}
	defer card.Close()
	if _, err := card.do(ctx, func() ([]byte, error) { return nil, explain(card.handle.CutPower()) }); err != nil {
		return fmt.Errorf("%s: %w", reader, err)
	}
	return nil
}

// A latecomer is a Card whose Transmit leaves when ctx ends, before the card has
// answered.
type latecomer interface {
	// Late returns the answer to the command that Transmit has left.
	Late(ctx context.Context) ([]byte, error)
}

// readerCard is a card in a reader. Its goroutine owns the context and the handle;
// the methods leave jobs there.
type readerCard struct {
	service *service
	reader  string

	jobs    chan *job
	poke    chan struct{} // look at wanted
	closing chan struct{}
	close   sync.Once
	ended   chan struct{} // the goroutine has

	wanted atomic.Bool // a transaction
	late   atomic.Pointer[job]
	resets atomic.Int64 // by other programs
	told   atomic.Int64 // how many of them Begin has told of
	busy   atomic.Bool  // another program had the card for itself

	carrier string // set before Open returns

	// The rest is of the goroutine.
	context pcscContext
	handle  pcscHandle
	changes uint16
	held    bool  // a transaction
	lost    error // nothing more is sent
}

type job struct {
	run      func() ([]byte, error)
	response []byte
	err      error
	done     chan struct{}
}

func (s *service) open(ctx context.Context, reader string) (*readerCard, error) {
	c := &readerCard{
		service: s, reader: reader,
		jobs: make(chan *job), poke: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	ctx, stop := withTimeout(ctx)
	defer stop()
	opened := make(chan error, 1)
	go c.own(ctx, opened)
	select {
	case err := <-opened:
		if err != nil {
			return nil, err
		}
		return c, nil
	case <-ctx.Done():
		c.close.Do(func() { close(c.closing) })
		var below error
		if c.busy.Load() {
			below = errShared
		}
		return nil, transport.Ended(ctx, "not connected", below)
	}
}

func withTimeout(ctx context.Context) (context.Context, func()) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, DefaultTimeout)
}

// own is the goroutine.
func (c *readerCard) own(ctx context.Context, opened chan<- error) {
	defer close(c.ended)
	defer c.release()
	err := c.connect(ctx)
	opened <- err
	for err == nil {
		select {
		case j := <-c.jobs:
			j.response, j.err = j.run()
			close(j.done)
		case <-c.poke:
		case <-c.closing:
			return
		}
		if !c.wanted.Load() {
			c.endTransaction()
		}
	}
}

func (c *readerCard) connect(ctx context.Context) (err error) {
	if c.context, err = c.service.establish(); err != nil {
		return explain(err)
	}
	for {
		c.handle, err = c.context.Connect(c.reader)
		if !errors.Is(err, pcscSharingViolation) || ctx.Err() != nil {
			break
		}
		c.busy.Store(true)
		select {
		case <-time.After(busyInterval):
		case <-ctx.Done():
		}
	}
	if err != nil {
		c.handle = nil
		return explain(err)
	}
	// Not earlier: from here on PC/SC tells of a card that was taken away.
	info, err := c.service.reader(ctx, c.reader)
	if err != nil {
		return err
	}
	c.changes = info.Changes
	c.carrier = info.Transport
	if c.carrier == "" {
		c.carrier = transportNFC
	}
	return nil
}

func (c *readerCard) release() {
	c.endTransaction()
	if c.handle != nil {
		_ = c.handle.Disconnect()
	}
	if c.context != nil {
		_ = c.context.Release()
	}
}

func (c *readerCard) endTransaction() {
	if c.held {
		_ = c.handle.EndTransaction()
	}
	c.held = false
}

// do has the goroutine run a job. It returns a job that is not done when ctx ends.
func (c *readerCard) do(ctx context.Context, run func() ([]byte, error)) (*job, error) {
	if ctx.Err() != nil {
		return nil, transport.Ended(ctx, "not sent", nil)
	}
	j := &job{run: run, done: make(chan struct{})}
	select {
	case c.jobs <- j:
	case <-c.closing:
		return nil, transport.ErrClosed
	case <-ctx.Done():
		return nil, transport.Ended(ctx, "not sent", nil)
	}
	select {
	case <-j.done:
		return j, j.err
	case <-ctx.Done():
		return j, transport.Ended(ctx, "no answer", nil)
	}
}

// Transmit sends one APDU.
func (c *readerCard) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	if len(apdu) == 0 {
		return nil, fmt.Errorf("%w: empty", errAPDU)
	}
	c.late.Store(nil)
	j, err := c.do(ctx, func() ([]byte, error) { return c.transmit(apdu) })
	if err != nil {
		c.late.Store(j)
		return nil, err
	}
	return j.response, nil
}

// Late waits for the answer to an APDU that Transmit did not wait for.
func (c *readerCard) Late(ctx context.Context) ([]byte, error) {
	j := c.late.Swap(nil)
	if j == nil {
		return nil, errors.New("nothing was sent")
	}
	select {
	case <-j.done:
		return j.response, j.err
	case <-ctx.Done():
		return nil, transport.Ended(ctx, "no answer", nil)
	}
}

func (c *readerCard) transmit(apdu []byte) ([]byte, error) {
	if c.lost != nil {
		return nil, c.lost
	}
	response, err := c.handle.Transmit(apdu)
	switch {
	case err == nil && len(response) >= 2:
		return response, nil
	case err == nil: // the card left while it worked
		err = errGone
	case errors.Is(err, pcscSharingViolation), errors.Is(err, pcscNoAccess):
		return nil, explain(err) // and not sent
	case errors.Is(err, pcscReset) && c.held:
		err = errGone // in a transaction nobody else resets
	case errors.Is(err, pcscReset):
		if err := c.revive(); err != nil {
			return nil, err
		}
		return nil, ErrReset
	}
	return nil, c.lose(err)
}

// lose ends all use of the card: what comes back may be another one.
func (c *readerCard) lose(err error) error {
	c.lost = explain(err)
	if !errors.Is(c.lost, transport.ErrClosed) {
		c.lost = fmt.Errorf("%w: %w", transport.ErrClosed, c.lost)
	}
	return c.lost
}

// revive goes on with a card that another program has reset, unless it was taken
// away meanwhile, which PC/SC does not tell apart.
func (c *readerCard) revive() error {
	ctx, stop := context.WithTimeout(context.Background(), lookTimeout)
	defer stop()
	info, err := c.service.reader(ctx, c.reader)
	switch {
	case err != nil:
		return c.lose(err)
	case !countsCards || !info.Present || info.Changes != c.changes:
		return c.lose(errGone)
	}
	if err := c.handle.Reconnect(); err != nil {
		return c.lose(err)
	}
	c.resets.Add(1)
	return nil
}

// Begin begins a transaction.
func (c *readerCard) Begin(ctx context.Context) error {
	c.wanted.Store(true)
	if _, err := c.do(ctx, c.begin); err != nil {
		c.End()
		return err
	}
	if resets := c.resets.Load(); c.told.Swap(resets) != resets {
		return ErrReset
	}
	return nil
}

func (c *readerCard) begin() ([]byte, error) {
	c.endTransaction()
	for c.lost == nil {
		err := c.handle.BeginTransaction()
		switch {
		case err == nil:
			c.held = true
			return nil, nil
		case errors.Is(err, pcscReset):
			_ = c.revive()
		default:
			_ = c.lose(err)
		}
	}
	return nil, c.lost
}

// End ends the transaction, as soon as the card has answered.
func (c *readerCard) End() {
	c.wanted.Store(false)
	select {
	case c.poke <- struct{}{}:
	default:
	}
}

// Transport returns "nfc" or "smart-card".
func (c *readerCard) Transport() string { return c.carrier }

// Close leaves the card as it is.
func (c *readerCard) Close() error {
	c.close.Do(func() { close(c.closing) })
	select {
	case <-c.ended:
	case <-time.After(closeTimeout): // it goes on with an APDU
	}
	return nil
}
