package nfc

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fidokey/fidokey/transport"
)

// DefaultTimeout ends each call of a Device, and Open, when the context has no
// deadline of its own.
const DefaultTimeout = 30 * time.Second

const (
	pollInterval  = 100 * time.Millisecond // between two polls for an answer
	cancelTimeout = 2 * time.Second        // from a cancel to the key's answer
	closeTimeout  = time.Second            // for the end of the session
)

// A Card transmits one APDU and returns the response with SW1 and SW2. When ctx
// ends, Transmit returns as soon as it can, with an error or with the response.
//
// Errors of a card that was taken away wrap transport.ErrClosed. A Card may be a
// [Transactor], and a transport.Carrier if it is no contactless one; a Card that wraps
// another is looked through by its method Unwrap, which returns that.
type Card interface {
	Transmit(ctx context.Context, apdu []byte) ([]byte, error)
	Close() error
}

// cardAs finds what only some cards can do, in a Card or in the one that it wraps: a
// wrapper has a method Unwrap.
func cardAs[T any](card Card) (T, bool) {
	for {
		if can, ok := card.(T); ok {
			return can, true
		}
		wrapper, ok := card.(interface{ Unwrap() Card })
		if !ok {
			var none T
			return none, false
		}
		card = wrapper.Unwrap()
	}
}

// aid is the application identifier of FIDO (CTAP 2.1, section 11.3.3).
var aid = []byte{0xa0, 0x00, 0x00, 0x06, 0x47, 0x2f, 0x00, 0x01}

// A Device is a card with the FIDO applet selected. It implements
// [transport.Device]. Calls from several goroutines wait for each other.
type Device struct {
	card    Card
	turn    transport.Turn
	closed  bool
	version string
	alive   bool // it has answered a CTAP2 message
	// halfSent means that the card waits for the rest of a chain, and would put
	// the next command behind it.
	halfSent   bool
	cancelling bool // time is up
	// unselected says why the applet must be selected before the next command.
	unselected error

	extended      bool
	messageP1     byte
	responseClass byte // of GET RESPONSE
}

// An Option changes how a Device sends its commands.
type Option func(*Device)

// ExtendedLength sends commands in APDUs of extended length instead of chains
// of short ones. All keys take them, but not all readers do.
func ExtendedLength() Option { return func(d *Device) { d.extended = true } }

// WithoutStatusUpdates tells the key not to send status updates: it answers once
// it is done, nothing is reported meanwhile, and there is no way to cancel.
func WithoutStatusUpdates() Option { return func(d *Device) { d.messageP1 = 0 } }

// Open selects the FIDO applet. The Device owns card; after an error card is
// closed.
func Open(ctx context.Context, card Card, options ...Option) (*Device, error) {
	d := &Device{card: card, turn: transport.NewTurn(), messageP1: p1StatusUpdates, responseClass: claISO}
	for _, option := range options {
		option(d)
	}
	if err := d.selectApplet(ctx); err != nil {
		card.Close()
		return nil, fmt.Errorf("select FIDO applet: %w", err)
	}
	return d, nil
}

func (d *Device) selectApplet(ctx context.Context) error {
	ctx, release, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer release()
	return d.selectFIDO(ctx)
}

// selectFIDO selects the applet, in our turn.
func (d *Device) selectFIDO(ctx context.Context) error {
	// Always short: before it there is no applet that must take extended length.
	version, sw, err := d.transmitAll(ctx, apdu{cla: claISO, ins: insSelect, p1: 4, data: aid}, apdu.short)
	if err != nil && ctx.Err() != nil {
		return transport.Ended(ctx, "no answer", err)
	}
	if err != nil {
		return err
	}
	if sw != swOK {
		return sw
	}
	d.unselected, d.halfSent = nil, false // any other command ends a chain
	d.version = string(version)
	if d.version != versionU2F && d.version != versionFIDO2 {
		tolerate(ctx, "SELECT", version, "answered with version %q", version)
	}
	return nil
}

// Transport returns what the Card says, "nfc" or "smart-card"; "nfc" if it does not.
func (d *Device) Transport() string {
	if c, ok := cardAs[transport.Carrier](d.card); ok {
		return c.Transport()
	}
	return transportNFC
}

// The answers to SELECT (CTAP 2.1, section 11.3.3).
const (
	versionU2F   = "U2F_V2"
	versionFIDO2 = "FIDO_2_0"
)

// Version returns the key's answer to the selection of the applet: "U2F_V2" if
// it speaks U2F, be it CTAP2 as well or not, and "FIDO_2_0" if it does not. The
// bytes are the key's own. Some keys say "U2F_V2" though U2F is switched off, and
// "FIDO_2_1" has been seen: authenticatorGetInfo is what counts.
func (d *Device) Version() string { return d.version }

// Exchange sends a CTAP2 command in NFCCTAP_MSG and returns the answer, which
// has at least a status byte. Status updates are passed to [transport.Report].
//
// When ctx ends, the request is cancelled with NFCCTAP_GETRESPONSE, which takes
// up to two seconds more, and two for the parts of an answer that has begun. An
// answer with status 00 that arrives in spite of it is returned without an error.
func (d *Device) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if len(msg) == 0 || len(msg) > maxData {
		return nil, fmt.Errorf("CTAP message: %w: %d bytes, not 1 to %d", ErrWrongLength, len(msg), maxData)
	}
	ctx, release, err := d.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("CTAP message: %w", err)
	}
	defer release()
	if err := d.selectAgain(ctx, msg); err != nil {
		return nil, fmt.Errorf("CTAP message: %w", err)
	}
	answer, err := d.exchange(ctx, msg)
	if err != nil {
		return nil, fmt.Errorf("CTAP message: %w", err)
	}
	return answer, nil
}

func (d *Device) exchange(ctx context.Context, msg []byte) ([]byte, error) {
	answer, sw, err := d.message(ctx, msg)
	var status transport.Status // the last
	seen := "no answer"
	for err == nil && sw == swStatus {
		if len(answer) == 0 {
			return nil, fmt.Errorf("%w: status update without a status", ErrFraming)
		}
		now := transport.Status(answer[0])
		if now != status && !now.Known() {
			tolerate(ctx, "status update", answer, "unknown %v", now)
		}
		status = now
		seen = status.LastSeen()
		transport.Report(ctx, status)
		if !pause(ctx) {
			break
		}
		answer, sw, err = d.command(ctx, apdu{cla: claCTAP, ins: insGetResponse})
	}
	switch {
	case ctx.Err() != nil && (err != nil || sw == swStatus):
		if d.unselected == nil && (d.messageP1 == p1StatusUpdates || d.halfSent) {
			answer, cancelErr := d.cancel()
			switch {
			case cancelErr == nil && answer[0] == 0:
				return answer, nil
			case cancelErr == nil:
				return nil, transport.NotDone(transport.Ended(ctx, seen, err))
			}
		}
		return nil, transport.Ended(ctx, seen, err)
	case err != nil:
		if d.halfSent && d.unselected == nil && !errors.Is(err, transport.ErrClosed) {
			_, _ = d.cancel()
		}
		return nil, err
	}
	return ctapAnswer(answer, sw)
}

// message sends a CTAP2 message. Another program, or the system, may have
// selected another applet in the meantime, as macOS does with that of PIV. The
// message was refused then, so the FIDO applet is selected and the message sent
// once more, unless it tries a PIN. What the applet knew of a series or a token is
// lost.
func (d *Device) message(ctx context.Context, msg []byte) ([]byte, StatusWord, error) {
	a := apdu{cla: claCTAP, ins: insMessage, p1: d.messageP1, data: msg}
	answer, sw, err := d.command(ctx, a)
	if refused := refusal(sw, err); d.deselected(refused) {
		if err := d.selectFIDO(ctx); err != nil {
			return nil, 0, fmt.Errorf("%w, and then SELECT: %w", refused, err)
		}
		if triesPIN(msg) {
			return nil, 0, fmt.Errorf("%w: %w", errNotTried, refused)
		}
		answer, sw, err = d.command(ctx, a)
		switch again := refusal(sw, err); {
		case again == ErrConditionsNotSatisfied && !d.alive:
			return nil, 0, fmt.Errorf("%w: %w", ErrPretender, again)
		case err == nil && !d.deselected(again):
			tolerate(ctx, "NFCCTAP_MSG", nil, "taken once the applet was selected again: %v", refused)
		}
	}
	d.alive = d.alive || err == nil && (sw == swOK || sw == swStatus)
	return answer, sw, err
}

// refusal is the status word of a command, be it in the middle of a chain.
func refusal(sw StatusWord, err error) StatusWord {
	errors.As(err, &sw)
	return sw
}

// deselected reports whether a card may refuse a message because another applet
// is selected. One that has never taken a message may know U2F only.
func (d *Device) deselected(sw StatusWord) bool {
	switch sw {
	case ErrConditionsNotSatisfied, ErrAppletNotSelected:
		return true
	case ErrInstruction, ErrClass:
		return d.alive
	}
	return false
}

// ctapAnswer checks the last response to a message. The codes of CTAP are in the
// data, with a status word of 9000.
func ctapAnswer(answer []byte, sw StatusWord) ([]byte, error) {
	if sw != swOK {
		return nil, sw
	}
	if len(answer) == 0 {
		return nil, fmt.Errorf("%w: answer without a status", ErrFraming)
	}
	return answer, nil
}

// cancel ends the running message and returns its answer, with status 00 if the key
// had done the work already (CTAP 2.1, section 11.3.7.2).
func (d *Device) cancel() ([]byte, error) {
	// Nobody is to be asked for a touch any more: statuses are not reported.
	ctx, stop := context.WithTimeout(context.Background(), cancelTimeout)
	defer stop()
	d.halfSent = false // any other command ends a chain
	d.cancelling = true
	defer func() { d.cancelling = false }()
	answer, sw, err := d.command(ctx, apdu{cla: claCTAP, ins: insGetResponse, p1: p1Cancel})
	for err == nil && sw == swStatus && pause(ctx) {
		answer, sw, err = d.command(ctx, apdu{cla: claCTAP, ins: insGetResponse})
	}
	if err != nil {
		return nil, err
	}
	return ctapAnswer(answer, sw)
}

// Message sends a U2F command APDU of any form, in the form that the Device
// uses, and returns the response APDU, whose last two bytes are the status word.
func (d *Device) Message(ctx context.Context, raw []byte) ([]byte, error) {
	command, err := parseAPDU(raw)
	if err != nil {
		return nil, fmt.Errorf("U2F message: %w", err)
	}
	ctx, release, err := d.begin(ctx)
	if err != nil {
		return nil, fmt.Errorf("U2F message: %w", err)
	}
	defer release()
	if err := d.selectAgain(ctx, nil); err != nil {
		return nil, fmt.Errorf("U2F message: %w", err)
	}
	answer, sw, err := d.command(ctx, command)
	if err != nil {
		if ctx.Err() != nil {
			err = transport.Ended(ctx, "no answer", err)
		}
		if d.halfSent && d.unselected == nil {
			_, _ = d.cancel()
		}
		return nil, fmt.Errorf("U2F message: %w", err)
	}
	return append(answer, sw.sw1(), sw.sw2()), nil
}

// Close waits for a running call, ends the session of the applet, so that it
// forgets its state, and closes the card. Later calls return
// transport.ErrClosed; closing once more does nothing.
func (d *Device) Close() error {
	defer d.turn.Wait()()
	if d.closed {
		return nil
	}
	d.closed = true
	ctx, stop := context.WithTimeout(context.Background(), closeTimeout)
	defer stop()
	// The card may be gone, and keys older than CTAP 2.1 do not know the
	// command: neither is an error.
	_, _ = d.card.Transmit(ctx, apdu{cla: claCTAP, ins: insControl, p1: p1End, le: -1}.short())
	return d.card.Close()
}

// take waits for our turn. See [transport.Turn].
func (d *Device) take(ctx context.Context) (_ context.Context, release func(), err error) {
	ctx, release, err = d.turn.Take(ctx, DefaultTimeout)
	if err == nil && d.closed {
		release()
		return nil, nil, transport.NotDone(transport.ErrClosed)
	}
	return ctx, release, err
}

// pause waits for the next poll; it reports false if ctx ends first.
func pause(ctx context.Context) bool {
	select {
	case <-time.After(pollInterval):
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}
