package ctap2

import (
	"github.com/fidokey/fidokey/cose"
)

// CredentialSubCommand is a subcommand of authenticatorCredentialManagement, CTAP
// 2.1 section 6.8.
type CredentialSubCommand uint

const (
	GetCredsMetadata                      CredentialSubCommand = 0x01
	EnumerateRPsBegin                     CredentialSubCommand = 0x02
	EnumerateRPsGetNextRP                 CredentialSubCommand = 0x03
	EnumerateCredentialsBegin             CredentialSubCommand = 0x04
	EnumerateCredentialsGetNextCredential CredentialSubCommand = 0x05
	DeleteCredential                      CredentialSubCommand = 0x06
	UpdateUserInformation                 CredentialSubCommand = 0x07 // not in the preview
)

// CredentialManagement is authenticatorCredentialManagement, CTAP 2.1 section
// 6.8. The two GetNext subcommands must follow their Begin directly.
type CredentialManagement struct {
	Reply[CredentialManagementResponse]
	Preview bool `cbor:"-"` // send it as the prototype of FIDO_2_1_PRE

	SubCommand        CredentialSubCommand        `cbor:"1,keyasint"`
	Params            *CredentialManagementParams `cbor:"2,keyasint,omitempty"`
	PINUVAuthProtocol uint                        `cbor:"3,keyasint,omitempty"`
	PINUVAuthParam    []byte                      `cbor:"4,keyasint,omitempty"` // over AuthMessage
}

// CredentialManagementParams are the subCommandParams.
type CredentialManagementParams struct {
	RPIDHash     []byte      `cbor:"1,keyasint,omitempty"` // 32 bytes
	CredentialID *Descriptor `cbor:"2,keyasint,omitempty"`
	User         *User       `cbor:"3,keyasint,omitempty"`
}

// Command returns [CommandCredentialManagement], or the prototype of it.
func (c CredentialManagement) Command() Command {
	if c.Preview {
		return CommandCredentialManagementPreview
	}
	return CommandCredentialManagement
}

// AuthMessage returns what PINUVAuthParam authenticates.
func (c CredentialManagement) AuthMessage() ([]byte, error) {
	return withParams([]byte{byte(c.SubCommand)}, c.Params)
}

// CredentialManagementResponse is the answer to [CredentialManagement]; which
// members are there depends on the subcommand.
type CredentialManagementResponse struct {
	ExistingResidentCredentialsCount             *uint `cbor:"1,keyasint,omitempty"`
	MaxPossibleRemainingResidentCredentialsCount *uint `cbor:"2,keyasint,omitempty"`

	RP       *RP    `cbor:"3,keyasint,omitempty"`
	RPIDHash []byte `cbor:"4,keyasint,omitempty"` // 32 bytes
	TotalRPs *uint  `cbor:"5,keyasint,omitempty"`

	User              *User       `cbor:"6,keyasint,omitempty"`
	CredentialID      *Descriptor `cbor:"7,keyasint,omitempty"`
	PublicKey         *cose.Key   `cbor:"8,keyasint,omitempty"`
	TotalCredentials  *uint       `cbor:"9,keyasint,omitempty"`
	CredProtect       uint        `cbor:"10,keyasint,omitempty"` // 1 to 3
	LargeBlobKey      []byte      `cbor:"11,keyasint,omitempty"` // 32 bytes
	ThirdPartyPayment *bool       `cbor:"12,keyasint,omitempty"` // CTAP 2.2

	Rest
}
