package simulator

import (
	"github.com/fidokey/fidokey/ctap2"
)

const extensionUVM = "uvm"

// Values of the FIDO Registry of Predefined Values, section 3.
const (
	userVerifyPresenceInternal    = 0x00000001
	userVerifyFingerprintInternal = 0x00000002
	userVerifyNone                = 0x00000200
	userVerifyPasscodeExternal    = 0x00000800 // a PIN that the platform has collected

	keyProtectionSoftware     = 0x0001
	matcherProtectionSoftware = 0x0001
)

// The uvm extension (WebAuthn Level 2, section 10.3) says how the user was
// verified: up to three entries of method, key protection and matcher
// protection. This key always has one.
type (
	uvmCreation  struct{}
	uvmAssertion struct{}
)

func decodeUVMCreation(i item) creationInput {
	if !i.bool() {
		return nil
	}
	return uvmCreation{}
}

func (uvmCreation) create(_ *Authenticator, r *registration) error {
	r.outputs.sign(extensionUVM, uvmEntries(r.flags, r.finger))
	return nil
}

func decodeUVMAssertion(i item) assertionInput {
	if !i.bool() {
		return nil
	}
	return uvmAssertion{}
}

func (uvmAssertion) assert(_ *Authenticator, s *signing) error {
	s.outputs.sign(extensionUVM, uvmEntries(s.flags, s.finger))
	return nil
}

// uvmEntries follow from the flags of the authenticator data, and from what set
// them: a finger for this very request, or a token, which is taken for a PIN's.
func uvmEntries(flags ctap2.Flags, finger bool) [][]uint {
	method := uint(userVerifyNone)
	switch {
	case finger:
		method = userVerifyFingerprintInternal
	case flags&ctap2.FlagUV != 0:
		method = userVerifyPasscodeExternal
	case flags&ctap2.FlagUP != 0:
		method = userVerifyPresenceInternal
	}
	return [][]uint{{method, keyProtectionSoftware, matcherProtectionSoftware}}
}
