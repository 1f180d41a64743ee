package simulator

import "slices"

// minPINLength is the shortest PIN that may be set, in Unicode code points.
func (a *Authenticator) minPINLength() uint {
	return max(a.state.device.MinPINLength, a.profile.GetInfo.MinPINCodePoints())
}

// tellsPINPolicyTo reports whether a relying party is told about the PIN's
// minimum length and complexity (CTAP 2.1, section 12.4).
func (a *Authenticator) tellsPINPolicyTo(rpID string) bool {
	return slices.Contains(a.state.device.MinPINLengthRPIDs, rpID)
}

// pinComplexityPolicy reports whether the policy is enforced.
func (a *Authenticator) pinComplexityPolicy() bool {
	factory := a.profile.GetInfo.PINComplexityPolicy
	return a.state.device.PINComplexityPolicy || factory != nil && *factory
}
