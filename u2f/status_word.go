package u2f

import "fmt"

// StatusWord is the last two bytes of a response (FIDO U2F Raw Message Formats,
// section 3.3). One that is not 9000 is returned as an error, be it known here or
// not.
type StatusWord uint16

const (
	ErrWrongLength StatusWord = 0x6700
	// ErrConditionsNotSatisfied means that a touch is missing; as the answer to
	// [CheckOnly] that the key handle is the key's own.
	ErrConditionsNotSatisfied StatusWord = 0x6985
	ErrCommandNotAllowed      StatusWord = 0x6986
	// ErrWrongData means that the key handle is not the key's own.
	ErrWrongData         StatusWord = 0x6a80
	ErrINSNotSupported   StatusWord = 0x6d00
	ErrClassNotSupported StatusWord = 0x6e00
	ErrOther             StatusWord = 0x6f00
)

// NoError is the one StatusWord that is never returned as an error.
const NoError StatusWord = 0x9000

var statusWordNames = map[StatusWord]string{
	NoError:                   "SW_NO_ERROR",
	ErrWrongLength:            "SW_WRONG_LENGTH",
	ErrConditionsNotSatisfied: "SW_CONDITIONS_NOT_SATISFIED",
	ErrCommandNotAllowed:      "SW_COMMAND_NOT_ALLOWED",
	ErrWrongData:              "SW_WRONG_DATA",
	ErrINSNotSupported:        "SW_INS_NOT_SUPPORTED",
	ErrClassNotSupported:      "SW_CLA_NOT_SUPPORTED",
	ErrOther:                  "SW_OTHER",
}

// String returns the specification's name, or "status word" for one without.
func (s StatusWord) String() string {
	if name, ok := statusWordNames[s]; ok {
		return name
	}
	return "status word"
}

// Error returns the name with the code in hexadecimal, as in "SW_WRONG_DATA
// (6a80)".
func (s StatusWord) Error() string { return fmt.Sprintf("%v (%04x)", s.String(), uint16(s)) }
