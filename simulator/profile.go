package simulator

import (
	"slices"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

// A Profile says which key the simulator plays: what it can do, its limits, and
// what it does differently from the specification. An [Authenticator] does not
// change it.
type Profile struct {
	Name    string `json:"name"`
	Purpose string `json:"purpose"` // what to use it for, in a line
	// GetInfo is what the key says fresh from the factory. Its options and
	// extensions decide what the key can do. Members that change in use, such as
	// the option clientPin or remainingDiscoverableCredentials, give the value
	// that they start from.
	GetInfo ctap2.GetInfoResponse `json:"getInfo"`

	// UVRetries is how many fingers may fail before built-in user verification
	// is blocked, 1 to 25; 0 is 5.
	UVRetries uint `json:"uvRetries,omitempty"`
	// UVAttempts is how many fingers one command tries where the key retries by
	// itself, 1 to 5; 0 is 3.
	UVAttempts uint `json:"uvAttempts,omitempty"`
	// Fingerprints is the sensor of a key with bioEnroll.
	Fingerprints FingerprintSensor `json:"fingerprints,omitzero"`
	// AlwaysUVFixed is for a key on which alwaysUv, once on, can be turned off
	// only by reset.
	AlwaysUVFixed bool `json:"alwaysUvFixed,omitempty"`
	// MinPINLengthRPIDs are relying parties that are told about the PIN's
	// minimum length, besides those that authenticatorConfig sets.
	MinPINLengthRPIDs []string `json:"minPinLengthRPIDs,omitempty"`
	// EnterpriseAttestation is for whom a key with ep can identify itself.
	EnterpriseAttestation EnterpriseAttestation `json:"enterpriseAttestation,omitzero"`
	// EncIdentifier and EncCredStoreState add these members to getInfo once a
	// persistent token was given, on a key with perCredMgmtRO.
	EncIdentifier     bool `json:"encIdentifier,omitempty"`
	EncCredStoreState bool `json:"encCredStoreState,omitempty"`
	// ResetFirst is for a key that must be reset before any other command but
	// getInfo, ResetAnytime for one that has no time limit for it.
	ResetFirst   bool `json:"resetFirst,omitempty"`
	ResetAnytime bool `json:"resetAnytime,omitempty"`
	// NoButton leaves the key without a button that works on an NFC reader: there a
	// touch is to be laid on it again.
	NoButton bool `json:"noButton,omitempty"`
	// NoWink leaves the key without the means to make itself seen (CTAPHID_WINK).
	NoWink bool `json:"noWink,omitempty"`
	// Attestation is how the key vouches for new credentials, in the formats of
	// GetInfo.
	Attestation Attestation `json:"attestation,omitzero"`
	// CredProtect is the level of credentials for which makeCredential asks for
	// none; 0 is level 1.
	CredProtect uint `json:"credProtect,omitempty"`
	// MaxLargeBlob is the length in bytes of the longest blob that the largeBlob
	// extension stores with a credential; 0 is 2048.
	MaxLargeBlob uint `json:"maxLargeBlob,omitempty"`
	// Disputes are the answers about which keys differ; the zero value follows
	// the specification.
	Disputes Disputes `json:"disputes,omitzero"`
	// Quirks are what it does differently from the specification.
	Quirks Quirks `json:"quirks,omitzero"`
}

// A FingerprintSensor is what getFingerprintSensorInfo describes, CTAP 2.1
// section 6.7.3, and how many fingers it knows.
type FingerprintSensor struct {
	Kind         FingerprintKind `json:"kind,omitempty"`         // 0 is FingerprintTouch
	Samples      uint            `json:"samples,omitempty"`      // good ones that an enrollment takes; 0 is 4
	MaxTemplates uint            `json:"maxTemplates,omitempty"` // 0 is 5
	MaxNameBytes uint            `json:"maxNameBytes,omitempty"` // of a template's friendly name; 0 is 64
}

// FingerprintKind is how a finger meets the sensor.
type FingerprintKind uint

const (
	FingerprintTouch FingerprintKind = 1
	FingerprintSwipe FingerprintKind = 2
)

// EnterpriseAttestation says for which relying parties the attestation may
// identify the key, CTAP 2.1 section 7.1.
type EnterpriseAttestation struct {
	// RPIDs are set by the vendor; without any the key has no vendor-facilitated
	// enterprise attestation.
	RPIDs []string `json:"rpIds,omitempty"`
	// PlatformManaged leaves the choice to the platform's policy.
	PlatformManaged bool `json:"platformManaged,omitempty"`
}

// firmwareVersion is 1.0.0.
const firmwareVersion uint64 = 0x00010000

// AAGUID names the model of the simulated key.
var AAGUID = ctap2.AAGUID{0xf1, 0xd0, 0xce, 0x1f, 0x5e, 0x1f, 0x4b, 0x1d, 0x8a, 0x2c, 0x6b, 0x0d, 0x1e, 0x9a, 0x7c, 0x35}

// DefaultProfile returns a new copy of the profile of a key for which nothing
// else was asked.
func DefaultProfile() *Profile {
	return &Profile{
		Name:    "default",
		Purpose: "a CTAP 2.1 key with PIN, discoverable credentials and their management",
		GetInfo: ctap2.GetInfoResponse{
			Versions:   []string{ctap2.VersionFIDO20, ctap2.VersionFIDO21},
			Extensions: []string{extensionCredProtect, extensionHMACSecret},
			AAGUID:     AAGUID,
			Options: map[string]bool{
				ctap2.OptionPlat:             false,
				ctap2.OptionRK:               true,
				ctap2.OptionClientPIN:        false,
				ctap2.OptionUP:               true,
				ctap2.OptionPINUVAuthToken:   true,
				ctap2.OptionCredMgmt:         true,
				ctap2.OptionMakeCredUVNotRqd: true,
			},
			MaxMsgSize:                       hidMaxMsgSize,
			PINUVAuthProtocols:               []uint{2, 1},
			MaxCredentialCountInList:         new(uint(20)),
			MaxCredentialIDLength:            new(uint(maxCredentialIDLength)),
			Transports:                       []string{transportUSB},
			Algorithms:                       credentialParameters(cose.ES256, cose.EdDSA),
			MinPINLength:                     new(uint(ctap2.DefaultMinPINLength)),
			FirmwareVersion:                  new(firmwareVersion),
			RemainingDiscoverableCredentials: new(uint(100)),
			AttestationFormats:               []string{formatPacked},
			MaxPINLength:                     new(uint(ctap2.MaxPINBytes)),
		},
	}
}

// Full23 returns a new copy of the profile of a CTAP 2.3 key with all that this
// package knows.
func Full23() *Profile {
	p := DefaultProfile()
	p.Name, p.Purpose = "ctap-2.3", "all of CTAP 2.3, with a fingerprint sensor"
	p.GetInfo.AAGUID[15] = 0x23
	p.EncIdentifier, p.EncCredStoreState = true, true
	p.EnterpriseAttestation = EnterpriseAttestation{RPIDs: []string{"enterprise.example"}, PlatformManaged: true}
	info := &p.GetInfo
	info.Versions = append(info.Versions, ctap2.VersionFIDO23)
	for option, value := range map[string]bool{
		ctap2.OptionUV:              false,
		ctap2.OptionEP:              false,
		ctap2.OptionBioEnroll:       false,
		ctap2.OptionUVBioEnroll:     true,
		ctap2.OptionAuthnrCfg:       true,
		ctap2.OptionUVAcfg:          true,
		ctap2.OptionPerCredMgmtRO:   true,
		ctap2.OptionSetMinPINLength: true,
		ctap2.OptionAlwaysUV:        false,
	} {
		info.Options[option] = value
	}
	info.Transports = []string{transportUSB, transportNFC, transportSmartCard}
	info.ForcePINChange = new(false)
	info.MaxRPIDsForSetMinPINLength = new(uint(8))
	info.PreferredPlatformUVAttempts = new(uint(3))
	info.UVModality = new(uvModalityFingerprint)
	info.VendorPrototypeConfigCommands = []uint64{vendorNoOp}
	info.UVCountSinceLastPINEntry = new(uint(0))
	info.LongTouchForReset = new(false)
	info.TransportsForReset = []string{transportUSB, transportNFC, transportSmartCard}
	info.PINComplexityPolicy = new(false)
	info.PINComplexityPolicyURL = ctap2.ByteText("https://fidokey.example/pin")
	info.AuthenticatorConfigCommands = []uint{} // getInfo lists what there is
	withExtensions(p)
	return p
}

// uvModalityFingerprint is fingerprint_internal of the FIDO registry of
// predefined values, section 3.1.
const uvModalityFingerprint uint = 0x0002

// vendorNoOp is a vendorPrototype command that does nothing.
const vendorNoOp uint64 = 0x6669646f6b657900 // "fidokey" and a zero

func credentialParameters(algorithms ...cose.Algorithm) []ctap2.CredentialParameters {
	var params []ctap2.CredentialParameters
	for _, alg := range algorithms {
		params = append(params, ctap2.CredentialParameters{Algorithm: alg, Type: ctap2.PublicKeyType})
	}
	return params
}

// option returns the value that an option starts from, its default where the
// key does not list it.
func (p *Profile) option(id string) bool {
	value, _ := p.GetInfo.Option(id)
	return value
}

// supports reports whether the key lists an option at all: some are false while
// what they stand for is there, and not set up.
func (p *Profile) supports(id string) bool {
	_, present := p.GetInfo.Option(id)
	return present
}

// preview reports whether the key has the prototype of a command, from before
// CTAP 2.1.
func (p *Profile) preview(id string) bool {
	return p.GetInfo.HasVersion(ctap2.VersionFIDO21Pre) && p.supports(id)
}

// pinGivesMcGa reports whether the permissions mc and ga can be had with a PIN.
func (p *Profile) pinGivesMcGa() bool {
	return p.supports(ctap2.OptionClientPIN) && !p.option(ctap2.OptionNoMcGaWithPIN)
}

// extension reports whether the key has an extension.
func (p *Profile) extension(id string) bool { return slices.Contains(p.GetInfo.Extensions, id) }

// algorithm reports whether the key makes credentials for an algorithm.
func (p *Profile) algorithm(alg cose.Algorithm) bool {
	return slices.ContainsFunc(p.GetInfo.Algorithms, func(c ctap2.CredentialParameters) bool {
		return c.Algorithm == alg
	})
}

// maxDiscoverable is how many discoverable credentials there is room for.
func (p *Profile) maxDiscoverable() uint {
	if n := p.GetInfo.RemainingDiscoverableCredentials; n != nil {
		return *n
	}
	return 100
}
