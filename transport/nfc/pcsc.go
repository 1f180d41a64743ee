package nfc

import "time"

// A pcscContext is one client of the system's smart-card service. One goroutine
// owns it and all that is made of it: a second call while one is under way stops
// every PC/SC call of the process (libpcsclite 1.9.9 takes a global lock while it
// waits for that of the context).
type pcscContext interface {
	ListReaders() ([]string, error)
	// GetStatusChange waits until a reader is not in the state that is Current.
	GetStatusChange(states []readerState, timeout time.Duration) error
	// Connect shares the card with other programs.
	Connect(reader string) (pcscHandle, error)
	Release() error
}

// A pcscHandle is a connection to a card. Nothing ends a Transmit but the card.
type pcscHandle interface {
	BeginTransaction() error
	EndTransaction() error
	Transmit(apdu []byte) ([]byte, error)
	// Reconnect goes on with a card that was reset, as it is.
	Reconnect() error
	// Disconnect leaves the card as it is.
	Disconnect() error
	// CutPower takes the card's power and gives it back.
	CutPower() error
}

// readerState is SCARD_READERSTATE.
type readerState struct {
	Reader         string
	Current, Event uint32
	ATR            []byte
}

// Bits of a reader's state. The upper half counts cards that came and went.
const (
	stateChanged   = 0x0002
	stateUnknown   = 0x0004
	statePresent   = 0x0020
	stateExclusive = 0x0080
	stateMute      = 0x0200
)
