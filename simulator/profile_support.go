package simulator

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
)

// What a profile can ask for. Whoever adds a feature adds its name here.
var (
	supportedVersions = []string{
		ctap2.VersionU2F, ctap2.VersionFIDO20, ctap2.VersionFIDO21Pre, ctap2.VersionFIDO21, ctap2.VersionFIDO23,
	}
	supportedOptions = []string{
		ctap2.OptionPlat, ctap2.OptionRK, ctap2.OptionClientPIN, ctap2.OptionUP, ctap2.OptionUV,
		ctap2.OptionPINUVAuthToken, ctap2.OptionNoMcGaWithPIN, ctap2.OptionLargeBlobs, ctap2.OptionEP,
		ctap2.OptionBioEnroll, ctap2.OptionUVMgmtPreview, ctap2.OptionUVBioEnroll, ctap2.OptionAuthnrCfg,
		ctap2.OptionUVAcfg, ctap2.OptionCredMgmt, ctap2.OptionCredMgmtPreview, ctap2.OptionPerCredMgmtRO,
		ctap2.OptionSetMinPINLength, ctap2.OptionMakeCredUVNotRqd, ctap2.OptionAlwaysUV,
	}
	supportedExtensions = extensionNames()
	supportedFormats    = []string{formatPacked, formatU2F}
	supportedAlgorithms = slices.Collect(maps.Keys(signingAlgorithms))
	supportedTransports = []string{transportUSB, transportNFC, transportSmartCard}
)

// check makes sure that the simulator can play the profile.
func (p *Profile) check() error {
	info := &p.GetInfo
	var errs []error
	if p.Name == "" || p.Purpose == "" {
		errs = append(errs, errors.New("name or purpose is missing"))
	}
	if len(info.Versions) == 0 {
		errs = append(errs, errors.New("getInfo.versions is missing"))
	}
	if size := info.MaxMsgSize; size != 0 && size < ctap2.DefaultMaxMsgSize {
		errs = append(errs, fmt.Errorf("getInfo.maxMsgSize %d is less than %d", size, ctap2.DefaultMaxMsgSize))
	}
	for _, number := range info.PINUVAuthProtocols {
		if pinProtocols[number] == nil {
			errs = append(errs, fmt.Errorf("getInfo.pinUvAuthProtocols %d: the simulator does not have it", number))
		}
	}
	if !slices.Contains([]Attestation{"", AttestationSelf, AttestationNone, AttestationChain}, p.Attestation) {
		errs = append(errs, fmt.Errorf("attestation %q is not self, none or chain", p.Attestation))
	}
	if p.extension(extensionLargeBlob) && (p.extension(extensionLargeBlobKey) || p.option(ctap2.OptionLargeBlobs)) {
		errs = append(errs, errors.New("largeBlob excludes largeBlobKey and the option largeBlobs"))
	}
	for _, fault := range unsupported(info) {
		errs = append(errs, fmt.Errorf("getInfo.%s: the simulator does not have it; quirks.getInfo can claim it", fault))
	}
	return errors.Join(append(errs, p.Quirks.check())...)
}

// unsupported lists what the simulator does not have, as "options uv".
func unsupported(info *ctap2.GetInfoResponse) []string {
	var missing []string
	compare := func(member string, names []string, known []string) {
		for _, name := range names {
			if !slices.Contains(known, name) {
				missing = append(missing, member+" "+name)
			}
		}
	}
	compare("versions", info.Versions, supportedVersions)
	compare("extensions", info.Extensions, supportedExtensions)
	for name := range info.Options {
		compare("options", []string{name}, supportedOptions)
	}
	slices.Sort(missing)
	compare("transports", info.Transports, supportedTransports)
	compare("attestationFormats", info.AttestationFormats, supportedFormats)
	for _, alg := range info.Algorithms {
		if !slices.Contains(supportedAlgorithms, alg.Algorithm) {
			missing = append(missing, "algorithms "+alg.Algorithm.String())
		}
	}
	return missing
}

// speaksCTAP2 is false for a key of the U2F age.
func (p *Profile) speaksCTAP2() bool {
	return slices.ContainsFunc(p.GetInfo.Versions, func(v string) bool { return v != ctap2.VersionU2F })
}
