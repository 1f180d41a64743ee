package simulator

import (
	"maps"

	"github.com/fidokey/fidokey/ctap2"
)

// getInfo is authenticatorGetInfo, CTAP 2.1 section 6.4: what the profile says,
// with the members that change in use.
func (a *Authenticator) getInfo(*call) (*ctap2.GetInfoResponse, error) {
	info := a.profile.GetInfo
	info.Options = a.options()
	info.MaxMsgSize = a.maxMsgSize()
	if info.MinPINLength != nil {
		info.MinPINLength = new(a.minPINLength())
	}
	if info.RemainingDiscoverableCredentials != nil {
		info.RemainingDiscoverableCredentials = new(a.remaining())
	}
	return &info, nil
}

// options are those of the profile, as they are now (CTAP 2.1, section 6.4.1).
func (a *Authenticator) options() map[string]bool {
	options := maps.Clone(a.profile.GetInfo.Options)
	if a.profile.supports(ctap2.OptionClientPIN) {
		options[ctap2.OptionClientPIN] = a.protected()
	}
	return options
}

// maxMsgSize is the length in bytes of the longest request.
func (a *Authenticator) maxMsgSize() uint {
	if size := a.config.MaxMsgSize; size != 0 {
		return min(size, a.profile.GetInfo.MessageSize())
	}
	return a.profile.GetInfo.MessageSize()
}
