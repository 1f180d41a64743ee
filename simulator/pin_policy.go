package simulator

import (
	"slices"

	"github.com/fidokey/fidokey/ctap2"
)

// minPINLength is the shortest PIN that may be set, in Unicode code points.
func (a *Authenticator) minPINLength() uint {
	return a.profile.minPINLength(&a.state.device)
}

func (p *Profile) minPINLength(d *device) uint {
	return max(d.MinPINLength, p.GetInfo.MinPINCodePoints())
}

// tellsPINPolicyTo reports whether a relying party is told about the PIN's
// minimum length and complexity (CTAP 2.1, section 12.4).
func (a *Authenticator) tellsPINPolicyTo(rpID string) bool {
	return slices.Contains(a.profile.MinPINLengthRPIDs, rpID) ||
		slices.Contains(a.state.device.MinPINLengthRPIDs, rpID)
}

// maxPINLength is the longest PIN that may be set, in Unicode code points.
func (p *Profile) maxPINLength() uint {
	if most := p.GetInfo.MaxPINLength; most != nil {
		return *most
	}
	return ctap2.MaxPINBytes
}

// complexPIN is the rule of the complexity policy: a PIN is not one character
// repeated, nor a row in which each character follows the one before, up or
// down (1234, dcba).
func complexPIN(pin []rune) bool {
	for step := rune(-1); step <= 1; step++ {
		row := len(pin) > 1
		for i := 1; i < len(pin); i++ {
			row = row && pin[i]-pin[i-1] == step
		}
		if row {
			return false
		}
	}
	return true
}

// pinComplexityPolicy reports whether the policy is enforced.
func (a *Authenticator) pinComplexityPolicy() bool {
	factory := a.profile.GetInfo.PINComplexityPolicy
	return a.state.device.PINComplexityPolicy || factory != nil && *factory
}
