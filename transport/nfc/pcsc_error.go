package nfc

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"

	"github.com/fidokey/fidokey/transport"
)

// pcscError is an error code of PC/SC. They are the same on all systems, the
// texts are not.
type pcscError uint32

// The codes that this package acts on.
const (
	pcscUnknownReader    pcscError = 0x80100009
	pcscTimeout          pcscError = 0x8010000a
	pcscSharingViolation pcscError = 0x8010000b
	pcscProtoMismatch    pcscError = 0x8010000f
	pcscNoService        pcscError = 0x8010001d
	pcscServiceStopped   pcscError = 0x8010001e
	pcscNoAccess         pcscError = 0x80100027
	pcscNoReaders        pcscError = 0x8010002e
	pcscReset            pcscError = 0x80100068
)

func (e pcscError) Error() string {
	if m, ok := meanings()[e]; ok {
		return fmt.Sprintf("PC/SC error %#08x, %s", uint32(e), m.name)
	}
	return fmt.Sprintf("PC/SC error %#08x", uint32(e))
}

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
	errGone    = fmt.Errorf("%w: the card was taken away", transport.ErrClosed)
	errMute    = fmt.Errorf("%w that answers: lay it on again", ErrNoCard)
	errForeign = fmt.Errorf("%w that the reader can speak to: lay it on again, or try another reader", ErrNoCard)
	errEnded   = fmt.Errorf("%w: the smart-card service ended", transport.ErrClosed)
	errEnding  = fmt.Errorf("%w: the system is shutting down, or logging this user off", transport.ErrClosed)
	errShared  = fmt.Errorf("%w: another program has the card for itself", transport.ErrBusy)
	errEarly   = errors.New("the reader is not ready yet: wait a moment, and run the command again")
	errCrowd   = errors.New("the smart-card service has too much to do: end other programs that use cards")
	errDriver  = errors.New("the reader or its driver failed: unplug the reader and plug it in again; if that does not help, take another driver")
	errMemory  = errors.New("the smart-card service is out of memory")
	errStopped = errors.New("the call was cancelled by another program or the system: run the command again")
	errRemote  = errors.New("this remote session has no smart cards: allow them in the settings of the remote desktop, or sit down at the computer itself")
	// libpcsclite says so whenever pcscd hangs up.
	errPolkit = fmt.Errorf("%w: the smart-card service hung up: polkit does not let this user reach it, or it has too many clients; 'fidokey doctor' says more", fs.ErrPermission)
	errAdmin  = fmt.Errorf("%w: Windows lets only administrators reach FIDO keys in smart-card readers", fs.ErrPermission)
)

// noService says what runs the service where there is none.
func noService() error {
	if runtime.GOOS == "linux" {
		return fmt.Errorf("%w: pcscd does not run, or has too many clients; 'fidokey doctor' says more", ErrNoService)
	}
	return ErrNoService
}

// failed says how to start a service again that is at fault.
func failed() error {
	switch runtime.GOOS {
	case "windows":
		return errors.New(`the smart-card service failed: as an administrator run 'sc stop SCardSvr' and 'sc start SCardSvr'; Wine has smart cards since version 9 only`)
	case "linux":
		return errors.New("the smart-card service failed: sudo systemctl restart pcscd.socket pcscd")
	}
	return errors.New("the smart-card service failed: restart the computer")
}

// A meaning is the name of a code, and what it means to whoever wants a key.
type meaning struct {
	name string
	err  error
}

// meanings has all codes of pcsclite.h and winerror.h, with what they mean to whoever
// wants a key; nil where that is nothing, or a fault of ours. Files, certificates and
// PINs are those of a card's own, which nobody asks for here. It is made by
// the first who asks, for hardly any command does.
var meanings = sync.OnceValue(func() map[pcscError]meaning {
	return map[pcscError]meaning{
		0x00000109:           {"ERROR_BROKEN_PIPE", errRemote}, // of Windows itself
		0x80100001:           {"SCARD_F_INTERNAL_ERROR", failed()},
		0x80100002:           {"SCARD_E_CANCELLED", errStopped},
		0x80100003:           {"SCARD_E_INVALID_HANDLE", errEnded}, // and came back, without our handles
		0x80100004:           {"SCARD_E_INVALID_PARAMETER", nil},
		0x80100005:           {"SCARD_E_INVALID_TARGET", nil},
		0x80100006:           {"SCARD_E_NO_MEMORY", errMemory},
		0x80100007:           {"SCARD_F_WAITED_TOO_LONG", failed()},
		0x80100008:           {"SCARD_E_INSUFFICIENT_BUFFER", nil},
		pcscUnknownReader:    {"SCARD_E_UNKNOWN_READER", ErrNoReader},
		pcscTimeout:          {"SCARD_E_TIMEOUT", nil},
		pcscSharingViolation: {"SCARD_E_SHARING_VIOLATION", errShared},
		0x8010000c:           {"SCARD_E_NO_SMARTCARD", ErrNoCard},
		0x8010000d:           {"SCARD_E_UNKNOWN_CARD", nil},
		0x8010000e:           {"SCARD_E_CANT_DISPOSE", nil},
		pcscProtoMismatch:    {"SCARD_E_PROTO_MISMATCH", errMute},
		0x80100010:           {"SCARD_E_NOT_READY", errEarly},
		0x80100011:           {"SCARD_E_INVALID_VALUE", nil},
		0x80100012:           {"SCARD_E_SYSTEM_CANCELLED", errEnding},
		0x80100013:           {"SCARD_F_COMM_ERROR", errEnded},
		0x80100014:           {"SCARD_F_UNKNOWN_ERROR", failed()},
		0x80100015:           {"SCARD_E_INVALID_ATR", nil},
		0x80100016:           {"SCARD_E_NOT_TRANSACTED", errGone},
		0x80100017:           {"SCARD_E_READER_UNAVAILABLE", ErrNoReader},
		0x80100018:           {"SCARD_P_SHUTDOWN", errEnding},
		0x80100019:           {"SCARD_E_PCI_TOO_SMALL", nil},
		0x8010001a:           {"SCARD_E_READER_UNSUPPORTED", errDriver},
		0x8010001b:           {"SCARD_E_DUPLICATE_READER", errDriver},
		0x8010001c:           {"SCARD_E_CARD_UNSUPPORTED", errForeign},
		pcscNoService:        {"SCARD_E_NO_SERVICE", noService()},
		pcscServiceStopped:   {"SCARD_E_SERVICE_STOPPED", noService()},
		0x8010001f:           {"SCARD_E_UNEXPECTED", errDriver}, // pcsclite means SCARD_E_UNSUPPORTED_FEATURE by it, too
		0x80100020:           {"SCARD_E_ICC_INSTALLATION", nil},
		0x80100021:           {"SCARD_E_ICC_CREATEORDER", nil},
		0x80100022:           {"SCARD_E_UNSUPPORTED_FEATURE", errDriver},
		0x80100023:           {"SCARD_E_DIR_NOT_FOUND", nil},
		0x80100024:           {"SCARD_E_FILE_NOT_FOUND", nil},
		0x80100025:           {"SCARD_E_NO_DIR", nil},
		0x80100026:           {"SCARD_E_NO_FILE", nil},
		pcscNoAccess:         {"SCARD_E_NO_ACCESS", errAdmin},
		0x80100028:           {"SCARD_E_WRITE_TOO_MANY", nil},
		0x80100029:           {"SCARD_E_BAD_SEEK", nil},
		0x8010002a:           {"SCARD_E_INVALID_CHV", nil},
		0x8010002b:           {"SCARD_E_UNKNOWN_RES_MNG", failed()},
		0x8010002c:           {"SCARD_E_NO_SUCH_CERTIFICATE", nil},
		0x8010002d:           {"SCARD_E_CERTIFICATE_UNAVAILABLE", nil},
		pcscNoReaders:        {"SCARD_E_NO_READERS_AVAILABLE", ErrNoReader},
		0x8010002f:           {"SCARD_E_COMM_DATA_LOST", errMute},
		0x80100030:           {"SCARD_E_NO_KEY_CONTAINER", nil},
		0x80100031:           {"SCARD_E_SERVER_TOO_BUSY", errCrowd},
		0x80100032:           {"SCARD_E_PIN_CACHE_EXPIRED", nil},
		0x80100033:           {"SCARD_E_NO_PIN_CACHE", nil},
		0x80100034:           {"SCARD_E_READ_ONLY_CARD", nil},
		0x80100065:           {"SCARD_W_UNSUPPORTED_CARD", errForeign},
		0x80100066:           {"SCARD_W_UNRESPONSIVE_CARD", errMute},
		0x80100067:           {"SCARD_W_UNPOWERED_CARD", errMute},
		pcscReset:            {"SCARD_W_RESET_CARD", ErrReset},
		0x80100069:           {"SCARD_W_REMOVED_CARD", errGone},
		0x8010006a:           {"SCARD_W_SECURITY_VIOLATION", errPolkit},
		0x8010006b:           {"SCARD_W_WRONG_CHV", nil},
		0x8010006c:           {"SCARD_W_CHV_BLOCKED", nil},
		0x8010006d:           {"SCARD_W_EOF", nil},
		0x8010006e:           {"SCARD_W_CANCELLED_BY_USER", errStopped},
		0x8010006f:           {"SCARD_W_CARD_NOT_AUTHENTICATED", nil},
		0x80100070:           {"SCARD_W_CACHE_ITEM_NOT_FOUND", nil},
		0x80100071:           {"SCARD_W_CACHE_ITEM_STALE", nil},
		0x80100072:           {"SCARD_W_CACHE_ITEM_TOO_BIG", nil},
	}
})

// explain adds to an error of PC/SC what it means.
func explain(err error) error {
	var code pcscError
	if errors.As(err, &code) && meanings()[code].err != nil {
		return fmt.Errorf("%w (%w)", meanings()[code].err, err)
	}
	return err
}
