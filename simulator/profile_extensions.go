package simulator

import (
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

// withExtensions gives a profile all extensions but largeBlob, which excludes
// largeBlobKey, with the command and the members that belong to them, all
// algorithms but ML-DSA, attestation by a chain, and U2F.
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
	info.Algorithms = credentialParameters(cose.ES256, cose.EdDSA, cose.ES384, cose.ES512, cose.ES256K, cose.RS256)
	info.AttestationFormats = []string{formatPacked, formatU2F}
	p.Attestation = AttestationChain
	info.Versions = append(info.Versions, ctap2.VersionU2F)
}
