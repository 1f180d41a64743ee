package nfc

import (
	"context"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/transport"
)

// errNotTried is wrapped by the error for a message that was not sent again.
var errNotTried = transport.NotDone(errors.New("the applet had to be selected again, which voids what the PIN was encrypted with; it was not tried, try again"))

// begin waits for our turn, within the program and on the card.
func (d *Device) begin(ctx context.Context) (_ context.Context, end func(), err error) {
	ctx, release, err := d.take(ctx)
	if err != nil {
		return nil, nil, err
	}
	card, ok := cardAs[Transactor](d.card)
	if !ok {
		return ctx, release, nil
	}
	err = card.Begin(ctx)
	switch {
	case errors.Is(err, ErrReset):
		d.unselected = err
	case err != nil && ctx.Err() != nil:
		defer release()
		below := d.unselected // it may still be at the command before
		if below == nil {
			below = fmt.Errorf("%w: another program uses the card", transport.ErrBusy)
		}
		return nil, nil, transport.Ended(ctx, "not sent", below)
	case err != nil:
		release()
		return nil, nil, err
	}
	return ctx, func() { card.End(); release() }, nil
}

// selectAgain selects the applet if it is not, before msg is sent, which is empty
// for U2F.
func (d *Device) selectAgain(ctx context.Context, msg []byte) error {
	reason := d.unselected
	if reason == nil {
		return nil
	}
	if err := d.selectFIDO(ctx); err != nil {
		return fmt.Errorf("%w, and then SELECT: %w", reason, err)
	}
	if triesPIN(msg) {
		return fmt.Errorf("%w: %w", errNotTried, reason)
	}
	tolerate(ctx, "NFCCTAP_MSG", nil, "sent after the applet was selected again: %v", reason)
	return nil
}

// Subcommands of authenticatorClientPIN that encrypt nothing (CTAP 2.1, section
// 6.5.5).
const (
	commandClientPIN = 0x06
	getPINRetries    = 1
	getKeyAgreement  = 2
	getUVRetries     = 7
)

// triesPIN reports whether a message has a PIN, or asks for a token, by a secret
// shared with the applet. Once that has another secret it takes any PIN for wrong.
func triesPIN(msg []byte) bool {
	if len(msg) == 0 || msg[0] != commandClientPIN {
		return false
	}
	var request struct {
		SubCommand int `cbor:"2,keyasint"`
	}
	if err := ctapcbor.Unmarshal(msg[1:], &request); err != nil {
		return true
	}
	switch request.SubCommand {
	case getPINRetries, getKeyAgreement, getUVRetries:
		return false
	}
	return true
}
