package conformance

import (
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/fidokey/fidokey/ctap2"
)

// An expectation is what the words of a case say about the status of an answer.
type expectation struct {
	right    []ctap2.Status // the first is the one the specification prefers
	seen     []ctap2.Status // what some keys do: a warning
	anyError bool           // any error is right
	record   bool           // the report says which it was
}

// The statuses that cases name outside their text.
const (
	success = ctap2.StatusOK

	eUnexpectedType    = ctap2.ErrCBORUnexpectedType
	eInvalidCBOR       = ctap2.ErrInvalidCBOR
	eMissing           = ctap2.ErrMissingParameter
	eInvalidParameter  = ctap2.ErrInvalidParameter
	eInvalidLength     = ctap2.ErrInvalidLength
	eInvalidOption     = ctap2.ErrInvalidOption
	eNoCredentials     = ctap2.ErrNoCredentials
	eNotAllowed        = ctap2.ErrNotAllowed
	ePINAuthInvalid    = ctap2.ErrPINAuthInvalid
	ePINAuthBlocked    = ctap2.ErrPINAuthBlocked
	ePINBlocked        = ctap2.ErrPINBlocked
	ePINInvalid        = ctap2.ErrPINInvalid
	ePolicy            = ctap2.ErrPINPolicyViolation
	ePUATRequired      = ctap2.ErrPUATRequired
	eKeyStoreFull      = ctap2.ErrKeyStoreFull
	eDenied            = ctap2.ErrOperationDenied
	eTimeout           = ctap2.ErrUserActionTimeout
	eInvalidSubcommand = ctap2.ErrInvalidSubcommand
	eInvalidCommand    = ctap2.ErrInvalidCommand
	eCancel            = ctap2.ErrKeepaliveCancel
	eUVBlocked         = ctap2.ErrUVBlocked
	eUVInvalid         = ctap2.ErrUVInvalid
	eUPRequired        = ctap2.ErrUPRequired
)

var (
	statusWord  = lazily(`\b(OK|ignored|handled|[A-Z0-9]+_[A-Z0-9_]+|TIMEOUT|OTHER)\b`)
	parenthesis = lazily(`\(([^)]*)\)`)
	someError   = lazily(`\b(an|another|a clean) error\b`)
)

// lazily compiles an expression when it is needed first.
func lazily(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}

// statusByWord has the statuses by their names in cases.txt.
var statusByWord = sync.OnceValue(func() map[string]ctap2.Status {
	words := map[string]ctap2.Status{"OK": ctap2.StatusOK, "ignored": ctap2.StatusOK, "handled": ctap2.StatusOK}
	for s := range 256 {
		name := ctap2.Status(s).String()
		for _, prefix := range []string{"CTAP1_ERR_", "CTAP2_ERR_"} {
			if word, ok := strings.CutPrefix(name, prefix); ok {
				words[word] = ctap2.Status(s)
			}
		}
	}
	return words
})

func statusesIn(text string) []ctap2.Status {
	var found []ctap2.Status
	for _, word := range statusWord().FindAllString(text, -1) {
		if s, ok := statusByWord()[word]; ok && !slices.Contains(found, s) {
			found = append(found, s)
		}
	}
	return found
}

// expect reads the expected text of a case up to the first semicolon; what
// follows speaks of something else than the status. old is a key of CTAP 2.0.
func expect(text string, old bool) expectation {
	var e expectation
	main := parenthesis().ReplaceAllStringFunc(text, func(p string) string {
		words := statusesIn(p)
		switch {
		case strings.Contains(p, "ignore"):
			e.seen = append(e.seen, ctap2.StatusOK)
		case strings.Contains(p, "CBOR error"):
			e.seen = append(e.seen, ctap2.ErrInvalidCBOR, ctap2.ErrCBORUnexpectedType)
		case strings.Contains(p, "2.0") && !old, strings.Contains(p, "seen"), strings.Contains(p, "warning"):
			e.seen = append(e.seen, words...)
		default:
			e.right = append(e.right, words...)
		}
		return ""
	})
	e.record = strings.Contains(text, "record")
	main, _, _ = strings.Cut(main, ";")
	e.right = append(statusesIn(main), e.right...)
	e.anyError = someError().MatchString(main)
	if len(e.right) == 0 && !e.anyError {
		e.right = []ctap2.Status{ctap2.StatusOK} // the words speak of the answer
	}
	return e
}

// accepts says whether a status is right, and whether only just.
func (e expectation) accepts(s ctap2.Status) (right, warn bool) {
	switch {
	case slices.Contains(e.right, s), e.anyError && s != ctap2.StatusOK:
		return true, false
	case slices.Contains(e.seen, s):
		return true, true
	}
	return false, false
}
