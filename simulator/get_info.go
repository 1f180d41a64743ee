package simulator

import (
	"maps"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
)

// getInfo is authenticatorGetInfo, CTAP 2.1 section 6.4: what the profile says,
// with the members that change in use.
func (a *Authenticator) getInfo(*call) (*ctap2.GetInfoResponse, error) {
	info := a.profile.GetInfo
	info.Versions = a.versions()
	info.Options = a.options()
	info.MaxMsgSize = a.maxMsgSize()
	d := &a.state.device
	if info.ForcePINChange != nil || d.ForcePINChange {
		info.ForcePINChange = &d.ForcePINChange
	}
	if info.MinPINLength != nil {
		info.MinPINLength = new(a.minPINLength())
	}
	if info.RemainingDiscoverableCredentials != nil {
		info.RemainingDiscoverableCredentials = new(a.remaining())
	}
	if info.UVCountSinceLastPINEntry != nil {
		info.UVCountSinceLastPINEntry = &d.UVSincePIN
	}
	if info.LongTouchForReset != nil {
		info.LongTouchForReset = new(a.longTouchForReset())
	}
	if info.PINComplexityPolicy != nil {
		info.PINComplexityPolicy = new(a.pinComplexityPolicy())
	}
	if info.AuthenticatorConfigCommands != nil {
		info.AuthenticatorConfigCommands = a.profile.configCommands()
	}
	if err := a.identify(&info); err != nil {
		return nil, err
	}
	return &info, nil
}

// versions are those of the profile; U2F is not always allowed.
func (a *Authenticator) versions() []string {
	return slices.DeleteFunc(slices.Clone(a.profile.GetInfo.Versions), func(v string) bool {
		return v == ctap2.VersionU2F && !a.u2fAllowed()
	})
}

// options are those that the profile lists, as they are now (CTAP 2.1, section
// 6.4.1).
func (a *Authenticator) options() map[string]bool {
	options := maps.Clone(a.profile.GetInfo.Options)
	for id, value := range map[string]bool{
		ctap2.OptionClientPIN:        a.pinSet(),
		ctap2.OptionUV:               a.uvReady(),
		ctap2.OptionEP:               a.enterpriseEnabled(),
		ctap2.OptionBioEnroll:        len(a.state.device.Templates) > 0,
		ctap2.OptionUVMgmtPreview:    len(a.state.device.Templates) > 0,
		ctap2.OptionAlwaysUV:         a.alwaysUV(),
		ctap2.OptionMakeCredUVNotRqd: a.makeCredUVNotRqd(),
	} {
		if a.profile.supports(id) {
			options[id] = value
		}
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
