package simulated

import (
	"maps"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// VariantOf is a profile changed to what a word of the cases says, or nil.
func VariantOf(own *simulator.Profile, word string) *simulator.Profile {
	if shipped, err := simulator.LoadProfile("variant-" + word); err == nil && own.Name == simulator.Full23().Name {
		return shipped
	}
	p := *own
	info := &p.GetInfo
	info.Options = maps.Clone(info.Options)
	without := func(list []string, names ...string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(names, s) })
	}
	switch word {
	case "no-u2f":
		info.Versions = without(info.Versions, ctap2.VersionU2F)
	case "no-nfc-reset":
		info.TransportsForReset = []string{"usb"}
	case "no-rk":
		delete(info.Options, "rk")
		delete(info.Options, "credMgmt")
		info.RemainingDiscoverableCredentials = nil
	case "no-uv":
		for _, o := range []string{"uv", "bioEnroll", "uvBioEnroll", "uvAcfg"} {
			delete(info.Options, o)
		}
	case "no-uvnotrqd":
		delete(info.Options, "makeCredUvNotRqd")
	case "nomcga":
		info.Options["noMcGaPermissionsWithClientPin"] = true
	case "no-credmgmt":
		delete(info.Options, "credMgmt")
	case "no-largeblobs":
		delete(info.Options, "largeBlobs")
		info.Extensions = without(info.Extensions, "largeBlobKey")
		info.MaxSerializedLargeBlobArray = nil
	case "no-config":
		for _, o := range []string{"authnrCfg", "setMinPINLength", "alwaysUv", "ep", "uvAcfg"} {
			delete(info.Options, o)
		}
	case "no-ep-support":
		delete(info.Options, "ep")
	case "no-wink":
		p.NoWink = true
	case "largeblob":
		delete(info.Options, "largeBlobs")
		info.Extensions = append(without(info.Extensions, "largeBlobKey"), "largeBlob")
		info.MaxSerializedLargeBlobArray = nil
	case "preview":
		info.Versions = append(slices.Clone(info.Versions), ctap2.VersionFIDO21Pre)
		info.Options["userVerificationMgmtPreview"], info.Options["credentialMgmtPreview"] = false, true
	case "no-minpin":
		info.Extensions = without(info.Extensions, "minPinLength", "pinComplexityPolicy")
	case "certified":
		p.Attestation = simulator.AttestationSelf
		info.Certifications, info.MaxPINLength = map[string]uint{"FIDO": 1}, new(uint(20))
	default:
		return nil
	}
	return &p
}
