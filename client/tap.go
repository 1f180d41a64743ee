package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
)

// ErrTapNeeded is returned where a key in an NFC reader wants to be laid on it
// again. That counts as a touch, but only once and not for long (CTAP 2.1, section
// 11.3.5), and most such keys have nothing to be touched. Nothing was made and
// nothing signed. With [Options.Slot] the person is asked to do it, and the flow
// runs again.
var ErrTapNeeded = errors.New("the key must be taken off the reader and held there again")

// maxTaps is how often a flow asks the person for that.
const maxTaps = 3

// withTaps runs a flow that leaves nothing behind unless it succeeds, and again
// each time that the key was laid on the reader again. The PIN is asked for once:
// what is kept of it has been found right.
func withTaps[R any](ctx context.Context, k *Key, flow func() (R, error)) (R, error) {
	defer k.forgetPIN()
	r, err := flow()
	for range maxTaps {
		if k.options.Slot == nil || k.prompt.Replug == nil || !errors.Is(err, ErrTapNeeded) {
			break
		}
		if failed := k.tapAgain(ctx, errors.Is(err, transport.ErrClosed)); failed != nil {
			return r, fmt.Errorf("%w, and then: %w", err, failed)
		}
		r, err = flow()
	}
	return r, err
}

// tapAgain has the person lay the key on the reader again.
func (k *Key) tapAgain(ctx context.Context, gone bool) error {
	before := k.last
	if err := k.replug(ctx, k.options.Slot, gone); err != nil {
		return err
	}
	_, after, err := k.begin(ctx)
	if err != nil {
		return fmt.Errorf("key laid on the reader: %w", err)
	}
	if before != nil && !sameKey(before, after) {
		k.Close()
		return ErrOtherKey
	}
	return nil
}

// keepPIN keeps a PIN that the key took, for as long as the flow runs, if the key
// may lose its power meanwhile.
func (k *Key) keepPIN(entered []byte) {
	if k.options.Slot != nil && overNFC(k.dev.Device) {
		k.forgetPIN()
		k.enteredPIN = append([]byte(nil), entered...)
	}
}

func (k *Key) forgetPIN() {
	clear(k.enteredPIN)
	k.enteredPIN = nil
}

// overNFC reports whether the key lies in the field of a reader.
func overNFC(dev transport.Device) bool {
	carrier, ok := transport.As[transport.Carrier](dev)
	return ok && carrier.Transport() == "nfc"
}

// tapMissing returns ErrTapNeeded for a command that asks for user presence and
// had none over NFC: the key says so, or it was taken away while it waited.
func (w *watched) tapMissing(command ctap2.Command, answer []byte, waited bool, err error) error {
	switch command {
	case ctap2.CommandMakeCredential, ctap2.CommandGetAssertion, ctap2.CommandSelection:
	default:
		return err
	}
	if err != nil {
		if waited && errors.Is(err, transport.ErrClosed) && overNFC(w.Device) {
			return fmt.Errorf("%w: %w", ErrTapNeeded, err)
		}
		return err
	}
	if len(answer) == 0 {
		return nil // ctap2 says what is wrong with it
	}
	switch status := ctap2.Status(answer[0]); status {
	case ctap2.ErrUPRequired, ctap2.ErrOperationDenied, ctap2.ErrUserActionTimeout, ctap2.ErrActionTimeout:
		if overNFC(w.Device) {
			return fmt.Errorf("%w: %w", ErrTapNeeded, &ctap2.Error{Command: command, Status: status})
		}
	}
	return nil
}
