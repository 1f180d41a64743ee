package ctap2

import (
	"github.com/fidokey/fidokey/cose"
)

// PINSubCommand is a subcommand of authenticatorClientPIN, CTAP 2.1 section
// 6.5.5.
type PINSubCommand uint

const (
	GetPINRetries                            PINSubCommand = 0x01
	GetKeyAgreement                          PINSubCommand = 0x02
	SetPIN                                   PINSubCommand = 0x03
	ChangePIN                                PINSubCommand = 0x04
	GetPINToken                              PINSubCommand = 0x05
	GetPINUVAuthTokenUsingUVWithPermissions  PINSubCommand = 0x06
	GetUVRetries                             PINSubCommand = 0x07
	GetPINUVAuthTokenUsingPINWithPermissions PINSubCommand = 0x09
)

// Permissions are what a PIN/UV auth token may be used for (CTAP 2.1, section
// 6.5.5.7).
type Permissions uint

const (
	PermissionMC   Permissions = 0x01 // authenticatorMakeCredential; needs an RP ID
	PermissionGA   Permissions = 0x02 // authenticatorGetAssertion; needs an RP ID
	PermissionCM   Permissions = 0x04 // authenticatorCredentialManagement
	PermissionBE   Permissions = 0x08 // authenticatorBioEnrollment
	PermissionLBW  Permissions = 0x10 // authenticatorLargeBlobs, write
	PermissionACFG Permissions = 0x20 // authenticatorConfig
	PermissionPCMR Permissions = 0x40 // persistent, read-only credential management (CTAP 2.2)
)

// ClientPIN is authenticatorClientPIN, CTAP 2.1 section 6.5.
type ClientPIN struct {
	Reply[ClientPINResponse]
	PINUVAuthProtocol uint          `cbor:"1,keyasint,omitempty"`
	SubCommand        PINSubCommand `cbor:"2,keyasint"`
	KeyAgreement      *cose.Key     `cbor:"3,keyasint,omitempty"`
	PINUVAuthParam    []byte        `cbor:"4,keyasint,omitempty"`
	NewPINEnc         []byte        `cbor:"5,keyasint,omitempty"`
	PINHashEnc        []byte        `cbor:"6,keyasint,omitempty"`
	Permissions       Permissions   `cbor:"9,keyasint,omitempty"`
	RPID              string        `cbor:"10,keyasint,omitempty"`
}

// Command returns [CommandClientPIN].
func (ClientPIN) Command() Command { return CommandClientPIN }

// ClientPINResponse is the answer to [ClientPIN]; which members are there
// depends on the subcommand.
type ClientPINResponse struct {
	KeyAgreement   *cose.Key `cbor:"1,keyasint,omitempty"`
	PINUVAuthToken []byte    `cbor:"2,keyasint,omitempty"` // encrypted
	PINRetries     *uint     `cbor:"3,keyasint,omitempty"`
	// PowerCycleState true means that the key takes no PIN until it was
	// unplugged.
	PowerCycleState *bool `cbor:"4,keyasint,omitempty"`
	UVRetries       *uint `cbor:"5,keyasint,omitempty"`

	Rest
}
