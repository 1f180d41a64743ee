package simulator

import (
	"slices"

	"github.com/fidokey/fidokey/ctap2"
)

// Values of the parameter enterpriseAttestation, CTAP 2.1 section 7.1.
const (
	vendorFacilitated = 1
	platformManaged   = 2
)

// enterpriseEnabled is the value of the option ep.
func (a *Authenticator) enterpriseEnabled() bool {
	return a.state.device.Enterprise || a.profile.option(ctap2.OptionEP)
}

// enterpriseAttestation is step 9 of makeCredential: whether the attestation may
// identify the key. What is asked for and not granted becomes an ordinary one.
func (a *Authenticator) enterpriseAttestation(value *uint64, rpID string) (granted bool, err error) {
	switch {
	case value == nil:
		return false, nil
	case !a.enterpriseEnabled():
		return false, ctap2.ErrInvalidParameter
	case *value != vendorFacilitated && *value != platformManaged:
		return false, ctap2.ErrInvalidOption
	}
	able := a.profile.EnterpriseAttestation
	if *value == platformManaged && able.PlatformManaged {
		return true, nil
	}
	// A key that knows only the vendor's list goes by it whatever the value.
	byVendor := *value == vendorFacilitated || !able.PlatformManaged
	return byVendor && slices.Contains(able.RPIDs, rpID), nil
}
