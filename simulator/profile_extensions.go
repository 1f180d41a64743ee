package simulator

import (
	"github.com/fidokey/fidokey/ctap2"
)

// withExtensions gives a profile all extensions but largeBlob, which excludes
// largeBlobKey, with the command and the members that belong to them.
func withExtensions(p *Profile) {
	info := &p.GetInfo
	info.Extensions = []string{
		extensionCredBlob, extensionCredProtect, extensionHMACSecret, extensionHMACSecretMC,
		extensionLargeBlobKey, extensionMinPINLength, extensionPINComplexityPolicy,
		extensionThirdPartyPayment, extensionUVM,
	}
	info.Options[ctap2.OptionLargeBlobs] = true
	info.MaxSerializedLargeBlobArray = new(uint(4096))
	info.MaxCredBlobLength = new(uint(64))
	info.PINComplexityPolicy = new(false)
}
