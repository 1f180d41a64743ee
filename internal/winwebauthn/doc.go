// Package winwebauthn calls Windows' own WebAuthn, webauthn.dll. It reaches
// security keys that Windows keeps from programs without elevation, and talks to
// the person itself: about the PIN, the touch, and which key is meant.
//
// The C structs are those of webauthn.h in github.com/microsoft/webauthn, as far
// as API version 3 has them; Windows tells by the version in each how much of it
// there is.
package winwebauthn

import (
	"fmt"
	"time"
)

// The numbers of webauthn.h.
const (
	VerificationRequired    = 1 // WEBAUTHN_USER_VERIFICATION_REQUIREMENT_REQUIRED
	VerificationPreferred   = 2
	VerificationDiscouraged = 3

	AttestationNone   = 1 // WEBAUTHN_ATTESTATION_CONVEYANCE_PREFERENCE_NONE
	AttestationDirect = 3

	crossPlatform = 2 // WEBAUTHN_AUTHENTICATOR_ATTACHMENT_CROSS_PLATFORM
)

// Registration is what WebAuthNAuthenticatorMakeCredential is asked for.
type Registration struct {
	ClientDataJSON    []byte
	RPID, RPName      string
	UserID            []byte
	User, DisplayName string
	Algorithms        []int32 // of COSE, preferred first
	Exclude           [][]byte
	RequireResident   bool
	PreferResident    bool // since API version 3; before, the credential is not resident
	UserVerification  uint32
	Attestation       uint32
	Timeout           time.Duration

	HMACSecret         bool
	CredProtect        uint32 // 0: not asked for; since API version 2
	EnforceCredProtect bool
}

// Assertion is what WebAuthNAuthenticatorGetAssertion is asked for.
type Assertion struct {
	ClientDataJSON   []byte
	RPID             string
	Allow            [][]byte
	UserVerification uint32
	Timeout          time.Duration
}

// Attestation is a new credential.
type Attestation struct {
	Object     []byte   // attestationObject of WebAuthn
	Transports []string // the one that was used, if Windows tells it
}

// Signed is an assertion.
type Signed struct {
	CredentialID, AuthenticatorData, Signature []byte
	UserID                                     []byte // may be absent
}

// A Name is an error in the words of WebAuthn, the name of a DOMException.
type Name string

const (
	InvalidStateError Name = "InvalidStateError" // the key has an excluded credential
	NotAllowedError   Name = "NotAllowedError"   // cancelled, too late, no key, or no credential
)

func (n Name) Error() string { return string(n) }

// An Error is the failure of a call. It wraps its Name.
type Error struct {
	HRESULT uint32
	Name    Name
}

func (e *Error) Error() string {
	return fmt.Sprintf("Windows says %s (HRESULT %#08x)", e.Name, e.HRESULT)
}

func (e *Error) Unwrap() error { return e.Name }
