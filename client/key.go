package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/trace"
	"github.com/fidokey/fidokey/transport"
)

const (
	// DefaultTimeout is how long one command may take on the key, a touch
	// included.
	DefaultTimeout = 30 * time.Second
	// DefaultMinRetries is how many PIN tries must be left for one to be spent.
	DefaultMinRetries = 3
)

// Options say how a Key is spoken to.
type Options struct {
	Prompt Prompt
	// Timeout is the longest that one command may take on the key, whatever the
	// key sends in the meantime; 0 means [DefaultTimeout]. Time in which a person
	// types a PIN does not count.
	Timeout time.Duration
	// MinRetries is how many tries must be left for a PIN to be tried, else the
	// flow ends with [ErrLastTries]. 0 means [DefaultMinRetries]; 1 lets the very
	// last try be spent, after which only a reset makes the key usable.
	MinRetries uint
	// PreferPIN takes the PIN where it is set, though the key could verify the
	// user by itself: for a PIN that is at hand when no finger is.
	PreferPIN bool
	// Findings takes what the key did otherwise than the specification says and
	// was tolerated. It is called from the goroutine of the flow.
	Findings func(ctap2.Finding)
	// Tokens keeps persistent PIN/UV auth tokens, with which credentials are
	// listed without a PIN on keys of CTAP 2.2. nil keeps none, and none is asked
	// for.
	Tokens TokenStore
	// Slot is where the key is, for flows that need it to be laid on an NFC reader
	// again; they use Prompt.Replug. nil: they end in [ErrTapNeeded]. ResetGuided
	// takes a Slot of its own.
	Slot Slot
	// Trace takes every exchange with the key, without secrets; nil takes none.
	// Its Err tells whether it could be written, which no flow depends on.
	Trace *trace.Writer
}

// A Key is a security key that flows are run on, one at a time. Several Keys may
// be used at once.
type Key struct {
	dev     *watched
	options Options
	prompt  Prompt
	info    *ctap2.GetInfoResponse
	last    *ctap2.GetInfoResponse // info, as far as it was ever asked for
	// mayHaveCTAP2 means that info is that of U2F for a key which should have known
	// better. The next flow asks again: it may have been disturbed.
	mayHaveCTAP2 bool
	token        *heldToken
	protocol     pin.Protocol // that has worked; 0: not known yet
	// largeBlobKeys says of each credential that was listed whether it has one.
	largeBlobKeys map[string]bool
	// enteredPIN is kept while a flow may ask for the key to be laid on the reader
	// again.
	enteredPIN []byte
}

// New returns a Key on an open device. It sends nothing.
func New(dev transport.Device, o Options) *Key {
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	o.MinRetries = cmp.Or(o.MinRetries, DefaultMinRetries)
	k := &Key{options: o, prompt: o.Prompt}
	k.use(dev)
	return k
}

// use goes on with a device.
func (k *Key) use(dev transport.Device) {
	k.forget()
	if k.options.Trace != nil {
		dev = trace.Record(dev, k.options.Trace)
	}
	k.dev = &watched{Device: dev, options: &k.options}
}

// forget drops what is known of the key and changes with a power cycle.
func (k *Key) forget() {
	k.dropToken()
	k.info, k.protocol, k.largeBlobKeys = nil, 0, nil
}

// Close wipes what is kept of the key and closes the device.
func (k *Key) Close() error {
	k.forget()
	return k.dev.Close()
}

// Info returns what the key says of itself. It is asked once, and again after a
// flow that changed the answer. A key that speaks U2F only says nothing: for it
// the version is U2F_V2, the AAGUID zero, and Raw empty.
func (k *Key) Info(ctx context.Context) (*ctap2.GetInfoResponse, error) {
	_, info, err := k.begin(ctx)
	return info, err
}

// begin is how a flow begins: with a context that carries our ear for findings,
// and with what the key says of itself.
func (k *Key) begin(ctx context.Context) (context.Context, *ctap2.GetInfoResponse, error) {
	ctx = k.listen(ctx)
	if k.info == nil || k.mayHaveCTAP2 {
		k.mayHaveCTAP2 = false
		info, err := ctap2.Do(ctx, k.dev, ctap2.GetInfo{})
		if err != nil {
			info, err = k.infoOfU2F(ctx, err)
		}
		if err != nil {
			return ctx, nil, err
		}
		k.info, k.last = info, info
	}
	return ctx, k.info, nil
}

func (k *Key) listen(ctx context.Context) context.Context {
	if k.options.Findings == nil {
		return ctx
	}
	return transport.WithFindings(ctx, k.options.Findings)
}

// Do sends any command to the key, with its deadline, prompts and findings.
// What is known of the key is asked again afterwards.
func Do[Resp any](ctx context.Context, k *Key, req ctap2.Request[Resp]) (*Resp, error) {
	k.info = nil
	return ctap2.Do(k.listen(ctx), k.dev, req)
}

// Send sends a command of any kind, a vendor's for instance, as [ctap2.Send].
func (k *Key) Send(ctx context.Context, command ctap2.Command, params []byte) ([]byte, error) {
	k.info = nil
	return ctap2.Send(k.listen(ctx), k.dev, command, params)
}

// watched is the device with our clock and our eyes on it: every command has its
// deadline, and the first keepalive of a command that asks for a touch becomes a
// prompt.
type watched struct {
	transport.Device
	options *Options
	deaf    time.Time // until then the key may fail: see Wink
	long    bool      // the touch is a long one
}

func (w *watched) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if err := w.awaitHearing(ctx); err != nil {
		return nil, err
	}
	command, waited := ctap2.Command(msg[0]), false
	ctx, cancel := w.watch(ctx, command, &waited)
	defer cancel()
	answer, err := w.Device.Exchange(ctx, msg)
	if err != nil {
		err = unanswered(msg, err)
	}
	if err := w.tapMissing(command, answer, waited, err); err != nil {
		return nil, err
	}
	return answer, nil
}

// watch returns the context for one command. waited is set when the key waits for
// a touch.
func (w *watched) watch(ctx context.Context, command ctap2.Command, waited *bool) (context.Context, context.CancelFunc) {
	ctx, cancel := w.options.deadline(ctx)
	told := map[transport.Status]bool{}
	prompt := w.options.Prompt
	return transport.WithStatus(ctx, func(s transport.Status) {
		*waited = *waited || s == transport.StatusUPNeeded
		switch {
		case told[s]:
		case s == transport.StatusUPNeeded && prompt.Touch != nil:
			prompt.Touch(Touch{Command: command, Long: w.long, Tap: overNFC(w.Device)})
		case s == transport.StatusProcessing && prompt.Processing != nil:
			prompt.Processing(command)
		}
		told[s] = true
	}), cancel
}

// deadline returns the context for what may take Timeout.
func (o *Options) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, o.Timeout, timeoutError{o.Timeout})
}

// ended is the error of a flow whose context ended while nothing ran on the key.
func ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	if !errors.Is(cause, ctx.Err()) {
		return fmt.Errorf("%w (%w)", cause, ctx.Err())
	}
	return cause
}

// pause waits for d, or for the end of ctx, whose error it returns.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ended(ctx)
	}
}

// timeoutError is context.DeadlineExceeded with the time that has passed.
type timeoutError struct{ after time.Duration }

func (e timeoutError) Error() string { return fmt.Sprintf("not done within %v", e.after) }

func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// tolerate reports something that concerns no single answer.
func (k *Key) tolerate(format string, args ...any) {
	if k.options.Findings != nil {
		k.options.Findings(ctap2.Finding{What: fmt.Sprintf(format, args...), Where: ctap2.CommandGetInfo.String(), Raw: k.info.Raw})
	}
}
