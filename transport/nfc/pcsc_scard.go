//go:build ((cgo && (darwin || pcsc)) || windows) && !nopcsc

package nfc

import (
	"errors"
	"time"

	"github.com/ebfe/scard"
)

// Supported reports whether this build reaches smart-card readers.
func Supported() bool { return true }

func establish() (pcscContext, error) {
	c, err := scard.EstablishContext()
	if err != nil {
		return nil, code(err)
	}
	return scardContext{c}, nil
}

// code returns the number without the text, which on Windows is in the user's
// language.
func code(err error) error {
	var e scard.Error
	if errors.As(err, &e) {
		return pcscError(e)
	}
	return err
}

type scardContext struct{ c *scard.Context }

func (c scardContext) ListReaders() ([]string, error) {
	names, err := c.c.ListReaders()
	return names, code(err)
}

func (c scardContext) GetStatusChange(states []readerState, timeout time.Duration) error {
	raw := make([]scard.ReaderState, len(states))
	for i, s := range states {
		raw[i] = scard.ReaderState{Reader: s.Reader, CurrentState: scard.StateFlag(s.Current)}
	}
	err := c.c.GetStatusChange(raw, timeout)
	for i, r := range raw {
		states[i].Event, states[i].ATR = uint32(r.EventState), r.Atr
	}
	return code(err)
}

func (c scardContext) Connect(reader string) (pcscHandle, error) {
	card, err := c.c.Connect(reader, scard.ShareShared, scard.ProtocolAny)
	if err != nil {
		return nil, code(err)
	}
	return scardHandle{card}, nil
}

func (c scardContext) Release() error { return code(c.c.Release()) }

type scardHandle struct{ card *scard.Card }

func (h scardHandle) BeginTransaction() error { return code(h.card.BeginTransaction()) }
func (h scardHandle) EndTransaction() error   { return code(h.card.EndTransaction(scard.LeaveCard)) }
func (h scardHandle) Disconnect() error       { return code(h.card.Disconnect(scard.LeaveCard)) }

// Transmit sends an APDU. The library panics at an empty one, and at a handle
// without a protocol, which there may be after a Reconnect that failed.
func (h scardHandle) Transmit(apdu []byte) ([]byte, error) {
	if p := h.card.ActiveProtocol(); len(apdu) == 0 || p != scard.ProtocolT0 && p != scard.ProtocolT1 {
		return nil, pcscProtoMismatch
	}
	response, err := h.card.Transmit(apdu)
	return response, code(err)
}

// CutPower is no Disconnect with SCARD_UNPOWER_CARD, after which pcscd does not power
// the card for the next who connects.
func (h scardHandle) CutPower() error {
	return code(h.card.Reconnect(scard.ShareShared, scard.ProtocolAny, scard.UnpowerCard))
}

func (h scardHandle) Reconnect() error {
	return code(h.card.Reconnect(scard.ShareShared, scard.ProtocolAny, scard.LeaveCard))
}
