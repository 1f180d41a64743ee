package nfc

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"time"

	"github.com/fidokey/fidokey/transport"
)

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

// pcscError is an error code of PC/SC. They are the same on all systems, the
// texts are not.
type pcscError uint32

const (
	pcscUnknownReader    pcscError = 0x80100009
	pcscTimeout          pcscError = 0x8010000a
	pcscSharingViolation pcscError = 0x8010000b
	pcscNoSmartcard      pcscError = 0x8010000c
	pcscProtoMismatch    pcscError = 0x8010000f
	pcscCommError        pcscError = 0x80100013
	pcscNotTransacted    pcscError = 0x80100016
	pcscUnavailable      pcscError = 0x80100017
	pcscNoService        pcscError = 0x8010001d
	pcscServiceStopped   pcscError = 0x8010001e
	pcscNoAccess         pcscError = 0x80100027
	pcscNoReaders        pcscError = 0x8010002e
	pcscUnresponsive     pcscError = 0x80100066
	pcscUnpowered        pcscError = 0x80100067
	pcscReset            pcscError = 0x80100068
	pcscRemoved          pcscError = 0x80100069
	pcscSecurity         pcscError = 0x8010006a
)

func (e pcscError) Error() string { return fmt.Sprintf("PC/SC error %#08x", uint32(e)) }

var (
	// ErrNoService is wrapped by errors of a system whose smart-card service does
	// not run.
	ErrNoService = errors.New("the smart-card service does not answer")
	// ErrNoReader is wrapped by the error for a reader that is not there.
	ErrNoReader = errors.New("no such smart-card reader")
	// ErrNoCard is wrapped by the error for a reader without a card, or with one
	// that does not answer.
	ErrNoCard = errors.New("no card in the reader")
	// ErrReset is wrapped by the error for a command that was not sent since
	// another program had reset the card before.
	ErrReset = errors.New("another program reset the card")
)

var (
	errGone = fmt.Errorf("%w: the card was taken away", transport.ErrClosed)
	errMute = fmt.Errorf("%w that answers: lay it on again", ErrNoCard)
	// libpcsclite says so whenever pcscd hangs up.
	errPolkit = fmt.Errorf("%w: the smart-card service hung up: polkit does not let this user reach it, or it has too many clients; 'fidokey doctor' says more", fs.ErrPermission)
	errAdmin  = fmt.Errorf("%w: Windows lets only administrators reach FIDO keys in smart-card readers", fs.ErrPermission)
)

// explained says what the codes mean to whoever wants a key.
var explained = map[pcscError]error{
	pcscUnknownReader:    ErrNoReader,
	pcscUnavailable:      ErrNoReader,
	pcscSharingViolation: fmt.Errorf("%w: another program has the card for itself", transport.ErrBusy),
	pcscNoSmartcard:      ErrNoCard,
	pcscUnresponsive:     errMute,
	pcscUnpowered:        errMute,
	pcscProtoMismatch:    errMute,
	pcscCommError:        fmt.Errorf("%w: the smart-card service ended", transport.ErrClosed),
	pcscNotTransacted:    errGone,
	pcscRemoved:          errGone,
	pcscReset:            ErrReset,
	pcscNoService:        noService(),
	pcscServiceStopped:   noService(),
	pcscSecurity:         errPolkit,
	pcscNoAccess:         errAdmin,
}

func noService() error {
	if runtime.GOOS == "linux" {
		return fmt.Errorf("%w: pcscd does not run, or has too many clients; 'fidokey doctor' says more", ErrNoService)
	}
	return ErrNoService
}

// explain adds to an error of PC/SC what it means.
func explain(err error) error {
	var code pcscError
	if errors.As(err, &code) && explained[code] != nil {
		return fmt.Errorf("%w (%w)", explained[code], err)
	}
	return err
}
