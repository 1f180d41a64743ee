package simulator

import (
	"slices"

	"github.com/fidokey/fidokey/ctap2"
)

// hidProtocol is the version of CTAPHID.
const hidProtocol = 2

var hidFirmware = [3]byte{1, 0, 0} // major, minor, build

// What INIT answers about the device (section 11.2.9.1.3).
const (
	hidCanWink = 0x01
	hidCanCBOR = 0x04
	hidNoMsg   = 0x08 // MSG is for U2F
)

// hidCapabilities follow from the profile.
func (a *Authenticator) hidCapabilities() byte {
	var capabilities byte
	if !a.profile.NoWink {
		capabilities |= hidCanWink
	}
	if slices.ContainsFunc(a.profile.GetInfo.Versions, func(v string) bool { return v != ctap2.VersionU2F }) {
		capabilities |= hidCanCBOR
	}
	if !a.profile.hasU2F() {
		capabilities |= hidNoMsg
	}
	return capabilities
}

// check says whether there is a command, and whether its message may have size
// bytes.
func (h *HID) check(cmd hidCommand, size int) hidFault {
	var known, ok bool
	capabilities := h.key.hidCapabilities()
	switch cmd {
	case hidPing:
		known, ok = true, true
	case hidMsg:
		known, ok = capabilities&hidNoMsg == 0, size > 0
	case hidCBOR:
		known, ok = capabilities&hidCanCBOR != 0, size > 0
	case hidLock:
		known, ok = true, size == 1
	case hidWink:
		known, ok = capabilities&hidCanWink != 0, size == 0
	}
	if !known {
		return hidInvalidCommand
	}
	if !ok || size > hidMaxMessage {
		return hidInvalidLength
	}
	return hidNoFault
}
