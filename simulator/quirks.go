package simulator

import (
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

// Quirks are ways in which keys in the field differ from the specification, or
// from each other where it is silent. The zero value is a key without any. The
// profiles named quirk-... have one each.
type Quirks struct {
	// GetInfo is put in place of what getInfo would say, by the number of the
	// member; a map is merged. OmitMembers are left out.
	GetInfo     map[int64]any `json:"getInfo,omitempty"`
	OmitMembers []int64       `json:"omitMembers,omitempty"`

	// The encoding of answers.

	UnsortedMaps          bool           `json:"unsortedMaps,omitempty"`          // maps run backwards
	CutNames              uint           `json:"cutNames,omitempty"`              // bytes; names are cut off there, in the middle of a code point too
	OmitNames             bool           `json:"omitNames,omitempty"`             // users have neither name nor displayName
	OmitUser              bool           `json:"omitUser,omitempty"`              // of an assertion that is the only one
	OmitCredential        bool           `json:"omitCredential,omitempty"`        // of an assertion, when the allowList has one entry
	OmitPowerCycleState   bool           `json:"omitPowerCycleState,omitempty"`   // of getPINRetries
	OmitTotals            bool           `json:"omitTotals,omitempty"`            // totalRPs and totalCredentials
	NoRPs                 EmptyAnswer    `json:"noRPs,omitempty"`                 // enumerateRPsBegin on an empty key
	CorruptLargeBlobs     bool           `json:"corruptLargeBlobs,omitempty"`     // the last byte of a fragment is another
	KeyAgreementAlgorithm cose.Algorithm `json:"keyAgreementAlgorithm,omitempty"` // in the key's COSE_Key, in place of -25
	Statuses              []StatusQuirk  `json:"statuses,omitempty"`              // the first that fits

	// What is refused without need.

	RefuseTransports        bool             `json:"refuseTransports,omitempty"`        // in descriptors: INVALID_CBOR
	RefuseEmptyLists        bool             `json:"refuseEmptyLists,omitempty"`        // allowList, excludeList: INVALID_CBOR
	RefuseUP                bool             `json:"refuseUP,omitempty"`                // option in makeCredential: INVALID_OPTION
	RefuseUVWithToken       bool             `json:"refuseUVWithToken,omitempty"`       // option beside pinUvAuthParam: INVALID_OPTION
	RefuseUnknownExtensions bool             `json:"refuseUnknownExtensions,omitempty"` // UNSUPPORTED_EXTENSION
	RefuseUnknownAlgorithms bool             `json:"refuseUnknownAlgorithms,omitempty"` // one in the list: UNSUPPORTED_ALGORITHM
	RefuseAlgorithms        []cose.Algorithm `json:"refuseAlgorithms,omitempty"`        // though getInfo lists them

	// PIN, presence and discoverable credentials.

	FailingPINProtocols   []uint64 `json:"failingPINProtocols,omitempty"`   // PIN_AUTH_INVALID, at no cost, for all but key agreement
	WhichKeyNeedsProtocol bool     `json:"whichKeyNeedsProtocol,omitempty"` // empty pinUvAuthParam without protocol 1: MISSING_PARAMETER, at once
	WhichKeyCostsTry      bool     `json:"whichKeyCostsTry,omitempty"`      // empty pinUvAuthParam takes a PIN try
	HangPINRetries        bool     `json:"hangPINRetries,omitempty"`        // getPINRetries never ends while there is no PIN
	TokenDiesWithOtherRP  bool     `json:"tokenDiesWithOtherRP,omitempty"`  // any request for another RP ID voids tokens
	AllDiscoverable       bool     `json:"allDiscoverable,omitempty"`       // whatever rk says
	ResetWindow           uint     `json:"resetWindow,omitempty"`           // seconds after power-up, in place of 10

	// U2F and the card.

	U2FUnknownHandle uint16 `json:"u2fUnknownHandle,omitempty"` // status word for a foreign key handle, in place of 6A80
	U2FNeedsLc       bool   `json:"u2fNeedsLc,omitempty"`       // a command without data must say so: WRONG_LENGTH
	SelectSaysU2F    bool   `json:"selectSaysU2F,omitempty"`    // the card answers SELECT with U2F_V2, U2F or not
	CardUnusable     bool   `json:"cardUnusable,omitempty"`     // the card answers SELECT, and everything else with 6985

	// HID.

	Capabilities   *uint8 `json:"capabilities,omitempty"`   // claimed in the answer to INIT
	SilentWink     bool   `json:"silentWink,omitempty"`     // WINK gets no answer
	BusyAfterWink  uint   `json:"busyAfterWink,omitempty"`  // milliseconds in which other messages fail
	NoKeepalive    bool   `json:"noKeepalive,omitempty"`    // none is ever sent
	ForeignReports bool   `json:"foreignReports,omitempty"` // a stale INIT answer and another channel's packet come before each answer
	ReportSize     uint   `json:"reportSize,omitempty"`     // bytes, 8 to 64
	AnyChannel     bool   `json:"anyChannel,omitempty"`     // channels that INIT never handed out work too
}

// An EmptyAnswer is what comes in place of NO_CREDENTIALS.
type EmptyAnswer string

const (
	EmptyBody  EmptyAnswer = "empty" // OK and nothing more
	EmptyTotal EmptyAnswer = "zero"  // OK and a total of 0
)

// A StatusQuirk gives a status byte for another.
type StatusQuirk struct {
	Command    ctap2.Command `json:"command,omitempty"`    // 0: any
	SubCommand uint64        `json:"subCommand,omitempty"` // 0: any
	From       *ctap2.Status `json:"from,omitempty"`       // absent: any, and the command has no effect
	To         ctap2.Status  `json:"to"`
}

func (q *Quirks) check() error {
	var errs []error
	if q.ReportSize != 0 && (q.ReportSize < 8 || q.ReportSize > hidReportSize) {
		errs = append(errs, fmt.Errorf("quirks.reportSize %d: must be 8 to %d", q.ReportSize, hidReportSize))
	}
	if q.NoRPs != "" && q.NoRPs != EmptyBody && q.NoRPs != EmptyTotal {
		errs = append(errs, fmt.Errorf("quirks.noRPs %q: must be %s or %s", q.NoRPs, EmptyBody, EmptyTotal))
	}
	if q.CutNames > maxNameSize {
		errs = append(errs, fmt.Errorf("quirks.cutNames %d: names have at most %d bytes", q.CutNames, maxNameSize))
	}
	return errors.Join(errs...)
}
