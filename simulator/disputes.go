package simulator

import "github.com/fidokey/fidokey/ctap2"

// Disputes are answers about which keys and test tools differ. A field that is
// zero means the answer of CTAP 2.1 and later, which its comment names first;
// then come the answers that are seen elsewhere.
type Disputes struct {
	// PIN/UV auth protocols and clientPIN.

	UnknownProtocol    ctap2.Status // PIN/UV auth protocol that the key does not have: INVALID_PARAMETER; PIN_AUTH_INVALID
	SetPINAgain        ctap2.Status // setPIN when a PIN is set: PIN_AUTH_INVALID; NOT_ALLOWED
	NewPINSize         ctap2.Status // padded PIN is not 64 bytes: INVALID_PARAMETER; PIN_POLICY_VIOLATION
	TokenWithoutPIN    ctap2.Status // token asked for with no PIN set: PIN_NOT_SET; PUAT_REQUIRED
	TokenWhileForced   ctap2.Status // getPinToken while a PIN change is forced: PIN_INVALID; PIN_POLICY_VIOLATION
	PermissionsForced  ctap2.Status // token with permissions while a PIN change is forced: PIN_POLICY_VIOLATION; PIN_INVALID
	UnknownPermissions ctap2.Status // permission bits without a meaning: ignored; UNAUTHORIZED_PERMISSION, INVALID_PARAMETER

	// makeCredential and getAssertion.

	WhichKey            ctap2.Status // empty pinUvAuthParam when a PIN is set: PIN_INVALID; PIN_AUTH_INVALID
	ParamUnprotected    ctap2.Status // pinUvAuthParam on a key that is not protected: not verified; PIN_NOT_SET, PIN_AUTH_INVALID, INVALID_OPTION
	AlwaysUVUnprotected ctap2.Status // alwaysUv on a key that is not protected: PUAT_REQUIRED; PIN_NOT_SET
	IncompleteAlgorithm ctap2.Status // element of pubKeyCredParams without alg or type: INVALID_CBOR; MISSING_PARAMETER, CBOR_UNEXPECTED_TYPE
	RKInGetAssertion    ctap2.Status // option rk in getAssertion: UNSUPPORTED_OPTION; INVALID_OPTION
	TouchTimeout        ctap2.Status // nobody touched the key: OPERATION_DENIED; USER_ACTION_TIMEOUT
	TouchTimeoutNFC     ctap2.Status // the same through a card's field: as TouchTimeout; UP_REQUIRED
}
