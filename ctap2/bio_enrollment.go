package ctap2

import "fmt"

// BioSubCommand is a subcommand of authenticatorBioEnrollment, CTAP 2.1 section
// 6.7.
type BioSubCommand uint

const (
	EnrollBegin              BioSubCommand = 0x01
	EnrollCaptureNextSample  BioSubCommand = 0x02
	CancelCurrentEnrollment  BioSubCommand = 0x03
	EnumerateEnrollments     BioSubCommand = 0x04
	SetFriendlyName          BioSubCommand = 0x05
	RemoveEnrollment         BioSubCommand = 0x06
	GetFingerprintSensorInfo BioSubCommand = 0x07
)

// ModalityFingerprint is the one modality that there is.
const ModalityFingerprint = 1

// BioEnrollment is authenticatorBioEnrollment, CTAP 2.1 section 6.7.
type BioEnrollment struct {
	Reply[BioEnrollmentResponse]
	Preview bool `cbor:"-"` // send it as the prototype of FIDO_2_1_PRE

	Modality          uint                 `cbor:"1,keyasint,omitempty"`
	SubCommand        BioSubCommand        `cbor:"2,keyasint,omitempty"`
	Params            *BioEnrollmentParams `cbor:"3,keyasint,omitempty"`
	PINUVAuthProtocol uint                 `cbor:"4,keyasint,omitempty"`
	PINUVAuthParam    []byte               `cbor:"5,keyasint,omitempty"` // over AuthMessage
	GetModality       bool                 `cbor:"6,keyasint,omitempty"`
}

// BioEnrollmentParams are the subCommandParams.
type BioEnrollmentParams struct {
	TemplateID           []byte  `cbor:"1,keyasint,omitempty"`
	TemplateFriendlyName *string `cbor:"2,keyasint,omitempty"`
	TimeoutMilliseconds  uint    `cbor:"3,keyasint,omitempty"`
}

// Command returns [CommandBioEnrollment], or the prototype of it.
func (b BioEnrollment) Command() Command {
	if b.Preview {
		return CommandBioEnrollmentPreview
	}
	return CommandBioEnrollment
}

// AuthMessage returns what PINUVAuthParam authenticates.
func (b BioEnrollment) AuthMessage() ([]byte, error) {
	return withParams([]byte{byte(b.Modality), byte(b.SubCommand)}, b.Params)
}

// BioEnrollmentResponse is the answer to [BioEnrollment]; which members are there
// depends on the subcommand.
type BioEnrollmentResponse struct {
	Modality                           *uint            `cbor:"1,keyasint,omitempty"`
	FingerprintKind                    *FingerprintKind `cbor:"2,keyasint,omitempty"`
	MaxCaptureSamplesRequiredForEnroll *uint            `cbor:"3,keyasint,omitempty"`
	TemplateID                         []byte           `cbor:"4,keyasint,omitempty"`
	LastEnrollSampleStatus             *SampleStatus    `cbor:"5,keyasint,omitempty"`
	RemainingSamples                   *uint            `cbor:"6,keyasint,omitempty"`
	TemplateInfos                      []TemplateInfo   `cbor:"7,keyasint,omitempty"`
	MaxTemplateFriendlyName            *uint            `cbor:"8,keyasint,omitempty"` // bytes

	Rest
}

// TemplateInfo is an enrolled fingerprint.
type TemplateInfo struct {
	TemplateID           []byte `cbor:"1,keyasint"`
	TemplateFriendlyName string `cbor:"2,keyasint,omitempty"`
}

// FingerprintKind is how a sensor takes a finger.
type FingerprintKind uint

const (
	FingerprintTouch FingerprintKind = 1
	FingerprintSwipe FingerprintKind = 2
)

// String returns "touch" or "swipe".
func (k FingerprintKind) String() string {
	switch k {
	case FingerprintTouch:
		return "touch"
	case FingerprintSwipe:
		return "swipe"
	}
	return fmt.Sprintf("fingerprint kind %d", uint(k))
}

// SampleStatus is what the sensor says of a sample (CTAP 2.1, section 6.7.4).
type SampleStatus uint

const (
	SampleGood                     SampleStatus = 0x00
	SampleTooHigh                  SampleStatus = 0x01
	SampleTooLow                   SampleStatus = 0x02
	SampleTooLeft                  SampleStatus = 0x03
	SampleTooRight                 SampleStatus = 0x04
	SampleTooFast                  SampleStatus = 0x05
	SampleTooSlow                  SampleStatus = 0x06
	SamplePoorQuality              SampleStatus = 0x07
	SampleTooSkewed                SampleStatus = 0x08
	SampleTooShort                 SampleStatus = 0x09
	SampleMergeFailure             SampleStatus = 0x0a
	SampleExists                   SampleStatus = 0x0b
	SampleDatabaseFull             SampleStatus = 0x0c
	SampleNoUserActivity           SampleStatus = 0x0d
	SampleNoUserPresenceTransition SampleStatus = 0x0e
)

var sampleStatusNames = [...]string{
	"good", "too high", "too low", "too left", "too right", "too fast", "too slow", "poor quality", "too skewed",
	"too short", "merge failure", "exists", "database full", "no user activity", "no user presence transition",
}

// String returns the name, as in "too high".
func (s SampleStatus) String() string {
	if int(s) < len(sampleStatusNames) {
		return sampleStatusNames[s]
	}
	return fmt.Sprintf("sample status %#02x", uint(s))
}
