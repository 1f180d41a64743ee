package simulator

import (
	"cmp"
	"errors"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// Disputes are answers about which keys and test tools differ. A field that is
// zero means the answer of CTAP 2.1 and later, which its comment names first;
// then come the answers that are seen elsewhere.
type Disputes struct {
	// PIN/UV auth protocols and clientPIN.

	UnknownProtocol    ctap2.Status // PIN/UV auth protocol that the key does not have: INVALID_PARAMETER; PIN_AUTH_INVALID
	SetPINAgain        ctap2.Status // setPIN when a PIN is set: PIN_AUTH_INVALID; NOT_ALLOWED
	NewPINSize         ctap2.Status // padded PIN is not 64 bytes: INVALID_PARAMETER; PIN_POLICY_VIOLATION
	RetriesWithoutPIN  ctap2.Status // PIN retries asked for with no PIN set: their number; PIN_NOT_SET
	TokenWithoutPIN    ctap2.Status // token asked for with no PIN set: PIN_NOT_SET; PUAT_REQUIRED
	TokenWhileForced   ctap2.Status // getPinToken while a PIN change is forced: PIN_INVALID; PIN_POLICY_VIOLATION
	PermissionsForced  ctap2.Status // token with permissions while a PIN change is forced: PIN_POLICY_VIOLATION; PIN_INVALID
	UnknownPermissions ctap2.Status // permission bits without a meaning: ignored; UNAUTHORIZED_PERMISSION, INVALID_PARAMETER

	// makeCredential and getAssertion.

	WhichKey            ctap2.Status // empty pinUvAuthParam when a PIN is set: PIN_INVALID; PIN_AUTH_INVALID
	ParamUnprotected    ctap2.Status // pinUvAuthParam on a key that is not protected: not verified; PIN_NOT_SET, PIN_AUTH_INVALID, INVALID_OPTION
	AlwaysUVUnprotected ctap2.Status // alwaysUv on a key that is not protected: PUAT_REQUIRED; PIN_NOT_SET
	MissingMember       ctap2.Status // member of rp, user or a descriptor is missing: MISSING_PARAMETER; INVALID_CBOR, CBOR_UNEXPECTED_TYPE
	WrongLength         ctap2.Status // clientDataHash or user.id of a wrong length: INVALID_LENGTH; INVALID_PARAMETER, LIMIT_EXCEEDED, INVALID_CBOR
	IncompleteAlgorithm ctap2.Status // element of pubKeyCredParams without alg or type: INVALID_CBOR; MISSING_PARAMETER, CBOR_UNEXPECTED_TYPE
	RKInGetAssertion    ctap2.Status // option rk in getAssertion: UNSUPPORTED_OPTION; INVALID_OPTION
	TouchTimeout        ctap2.Status // nobody touched the key: OPERATION_DENIED; USER_ACTION_TIMEOUT
	TouchTimeoutNFC     ctap2.Status // the same through a card's field: as TouchTimeout; UP_REQUIRED

	SaltLength         ctap2.Status // hmac-secret salts of a wrong length: INVALID_PARAMETER; INVALID_LENGTH
	TellCredProtect    bool         // credProtect not asked for: no output; true: the level that it has
	EmptyNoneStatement bool         // only "none" preferred: attStmt is left out; true: it is an empty map
	U2FApart           bool         // credential of CTAP2 used over U2F: allowed, but for credProtect 3; true: SW 6A80
	LenientCBOR        bool         // request that is not canonical CBOR: INVALID_CBOR; true: read as if it were

	// authenticatorConfig, reset, credentialManagement and bioEnrollment.

	UnknownConfigCommand   ctap2.Status // subcommand of authenticatorConfig that the key does not have: INVALID_SUBCOMMAND; INVALID_PARAMETER
	AlwaysUVOffUnprotected ctap2.Status // alwaysUv off again on a key that is not protected: OK; PUAT_REQUIRED
	MinPINLengthTooLong    ctap2.Status // minimum PIN length above the maximum: PIN_POLICY_VIOLATION; INVALID_PARAMETER
	ResetTransport         ctap2.Status // reset over a transport that is not for it: OPERATION_DENIED; NOT_ALLOWED, INVALID_COMMAND
	EmptyEnumerateRPs      bool         // enumerateRPsBegin on an empty key: NO_CREDENTIALS; true: OK with totalRPs 0
	EmptyTemplateName      bool         // fingerprint without a name: templateFriendlyName is left out; true: it is empty
	PreviewUpdates         bool         // updateUserInformation by the preview command: INVALID_SUBCOMMAND; true: as by the other

	// Series of messages.

	SeriesGoesOn    bool // another command or channel between the parts of a series ends it; true: it does not
	EnumerationLast bool // a pause of 30 s ends an enumeration of credential management; true: it does not
}

// canonical makes params what a decoder takes, if the key is lenient. What is no
// CBOR at all stays as it is. A pinUvAuthParam is compared with the canonical
// form of what it authenticates, too.
func (d *Disputes) canonical(params []byte) []byte {
	if !d.LenientCBOR {
		return params
	}
	var anything any
	if ctapcbor.Unmarshal(params, &anything) != nil {
		return params
	}
	again, err := ctapcbor.Marshal(anything)
	if err != nil {
		return params
	}
	return again
}

// What a decoder finds wrong where there is no one answer to it.
var (
	errMissingMember = errors.New("a member of an entity is missing")
	errWrongLength   = errors.New("a byte string is too short or too long")
)

// status returns what the key says about an error of a decoder.
func (d *Disputes) status(err error) error {
	switch {
	case errors.Is(err, errMissingMember):
		return cmp.Or(d.MissingMember, ctap2.ErrMissingParameter)
	case errors.Is(err, errWrongLength):
		return cmp.Or(d.WrongLength, ctap2.ErrInvalidLength)
	}
	return err
}
