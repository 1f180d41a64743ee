package nfc

import (
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/transport"
)

// ErrFraming is wrapped by the error for a response that no card may give.
var ErrFraming error = transport.FramingError("broken card response")

// ErrPretender is wrapped by the error for a card that takes the selection of the
// FIDO applet and then answers nothing, as the smart-card interface of some keys
// does.
var ErrPretender = errors.New("this interface only pretends to be a FIDO key; use the key over USB, or another interface of it")

// StatusWord is SW1 and SW2, the last two bytes of each response (ISO 7816-4,
// section 5.6). One that is not 9000 is returned as an error.
type StatusWord uint16

const (
	ErrWrongLength            StatusWord = 0x6700
	ErrSecurityStatus         StatusWord = 0x6982
	ErrConditionsNotSatisfied StatusWord = 0x6985 // also: touch needed, or nothing to fetch
	ErrCommandNotAllowed      StatusWord = 0x6986
	ErrAppletNotSelected      StatusWord = 0x6999
	ErrWrongData              StatusWord = 0x6a80
	ErrFileNotFound           StatusWord = 0x6a82 // the card has no FIDO applet
	ErrIncorrectParameters    StatusWord = 0x6a86
	ErrInstruction            StatusWord = 0x6d00
	ErrClass                  StatusWord = 0x6e00
	ErrUnknown                StatusWord = 0x6f00
)

const (
	swOK     StatusWord = 0x9000
	swStatus StatusWord = 0x9100 // status update: poll for the answer

	sw1More    = 0x61 // SW2 bytes are to be fetched
	sw1WrongLe = 0x6c // SW2 is the right Le
)

var statusWordNames = map[StatusWord]string{
	swOK:                      "no error",
	swStatus:                  "status update",
	ErrWrongLength:            "wrong length",
	ErrSecurityStatus:         "security status not satisfied",
	ErrConditionsNotSatisfied: "conditions of use not satisfied",
	ErrCommandNotAllowed:      "command not allowed",
	ErrAppletNotSelected:      "applet not selected",
	ErrWrongData:              "wrong data",
	ErrFileNotFound:           "file or applet not found",
	ErrIncorrectParameters:    "incorrect parameters P1 P2",
	ErrInstruction:            "instruction not supported",
	ErrClass:                  "class not supported",
	ErrUnknown:                "no precise diagnosis",
}

// String returns ISO 7816-4's meaning, or "status word 6123" for one that has
// none here.
func (s StatusWord) String() string {
	if name, ok := statusWordNames[s]; ok {
		return name
	}
	return fmt.Sprintf("status word %04x", uint16(s))
}

// Error returns the meaning and the code in hexadecimal.
func (s StatusWord) Error() string {
	if name, ok := statusWordNames[s]; ok {
		return fmt.Sprintf("%s (status word %04x)", name, uint16(s))
	}
	return s.String()
}

// Is has an unknown instruction or class mean transport.ErrUnsupported: it is how
// a card without CTAP2 answers NFCCTAP_MSG. ErrUnknown is a transport.ErrFraming, for
// readers make it up where a card did not answer as it should.
func (s StatusWord) Is(target error) bool {
	switch target {
	case transport.ErrUnsupported:
		return s == ErrInstruction || s == ErrClass
	case transport.ErrFraming:
		return s == ErrUnknown
	}
	return false
}

func (s StatusWord) sw1() byte { return byte(s >> 8) }
func (s StatusWord) sw2() byte { return byte(s) }
