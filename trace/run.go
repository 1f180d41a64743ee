package trace

import (
	"sync"

	"github.com/fidokey/fidokey/ctap2"
)

// RunVersion is the version of the format for a run of package conformance, which
// speaks in reports and APDUs. Who knows [Version] only refuses it.
const RunVersion = 2

// Kinds of version 2. All calls that a run made are in a trace, in their order.
const (
	KindRun    Kind = "run"    // a run begins, and with it the time anew: Run
	KindCase   Kind = "case"   // a case begins: Name
	KindOpen   Kind = "open"   // the HID port, with reports of Sizes
	KindReport Kind = "report" // reports that went out, and then those that came in
	KindUnsent Kind = "unsent" // a report that could not go out
	KindCard   Kind = "card"   // the key is put on a reader
	KindAPDU   Kind = "apdu"
	KindClose  Kind = "close"  // what was opened last
	KindPower  Kind = "power"  // unplugged and plugged in again
	KindBecome Kind = "become" // the key plays the variant Name
	KindWait   Kind = "wait"
	// KindConcluded is what follows from an answer with a token that is redacted,
	// under a key that is in nothing that is kept: what is the same is the same here.
	KindConcluded Kind = "concluded"
)

// A Run is what a run of package conformance stands on besides the answers.
type Run struct {
	Seed  string   `json:"seed"`
	Cases []string `json:"cases"`
	// Can names what the bench could do: port, card, power, touch, finger, become,
	// cutPower.
	Can        []string    `json:"can,omitempty"`
	Released   bool        `json:"released,omitempty"` // the key could be reset
	PIN        bool        `json:"pin,omitempty"`      // of the key was known
	Unattended bool        `json:"unattended,omitempty"`
	Strict     bool        `json:"strict,omitempty"`
	Endurance  int         `json:"endurance,omitempty"`
	EPRPID     string      `json:"enterpriseRpId,omitempty"`
	AAGUID     ctap2.Bytes `json:"aaguid,omitempty"`
}

// A Span is a number of bytes: where they begin, and how many.
type Span [2]int

// Of a key in use the owner's secrets are these. The credentials that a run sees
// are its own, and so are their secrets.
var ownersRequests = sync.OnceValue(func() map[ctap2.Command]*rule {
	return map[ctap2.Command]*rule{
		ctap2.CommandMakeCredential:              members(map[any]*rule{8: secret}), // pinUvAuthParam
		ctap2.CommandGetAssertion:                members(map[any]*rule{6: secret}),
		ctap2.CommandClientPIN:                   clientPINRequest,
		ctap2.CommandBioEnrollment:               members(map[any]*rule{5: secret}),
		ctap2.CommandBioEnrollmentPreview:        members(map[any]*rule{5: secret}),
		ctap2.CommandLargeBlobs:                  members(map[any]*rule{5: secret}),
		ctap2.CommandConfig:                      members(map[any]*rule{4: secret}),
		ctap2.CommandCredentialManagement:        members(map[any]*rule{4: secret}),
		ctap2.CommandCredentialManagementPreview: members(map[any]*rule{4: secret}),
	}
})

var ownersResponses = sync.OnceValue(func() map[ctap2.Command]*rule {
	return map[ctap2.Command]*rule{
		ctap2.CommandClientPIN:                   clientPINResponse,
		ctap2.CommandCredentialManagement:        members(map[any]*rule{11: secret}), // largeBlobKey
		ctap2.CommandCredentialManagementPreview: members(map[any]*rule{11: secret}),
	}
})

// HideRequest overwrites, in a message of CTAP2, what is a secret of the key's owner
// and returns where that is.
func HideRequest(message []byte) []Span {
	if len(message) == 0 {
		return nil
	}
	r := ownersRequests()[ctap2.Command(message[0])]
	if r == nil {
		r = members(nil) // has none, or is a part of a message
	}
	return hide(message, r)
}

// HideResponse does the same for the answer to a command.
func HideResponse(command byte, message []byte) []Span {
	return hide(message, ownersResponses()[ctap2.Command(command)])
}

// hide leaves of a message that cannot be read the first byte.
func hide(message []byte, r *rule) []Span {
	if len(message) < 2 || r == nil {
		return nil
	}
	body := message[1:]
	w := walker{data: body}
	if body[0]>>5 != majorMap || w.item(r, maxNesting) != nil || w.at != len(body) {
		clear(body)
		return []Span{{1, len(body)}}
	}
	for i := range w.cleared {
		w.cleared[i][0]++
	}
	return w.cleared
}
