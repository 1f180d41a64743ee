package ctap2

import (
	"errors"

	"github.com/fxamacker/cbor/v2"
)

// MakeCredential is authenticatorMakeCredential, CTAP 2.1 section 6.1.
type MakeCredential struct {
	Reply[MakeCredentialResponse]
	ClientDataHash    []byte                 `cbor:"1,keyasint"` // 32 bytes
	RP                RP                     `cbor:"2,keyasint"`
	User              User                   `cbor:"3,keyasint"`
	PubKeyCredParams  []CredentialParameters `cbor:"4,keyasint"`
	ExcludeList       []Descriptor           `cbor:"5,keyasint,omitempty"`
	Extensions        Extensions             `cbor:"6,keyasint,omitempty"`
	Options           *Options               `cbor:"7,keyasint,omitempty"`
	PINUVAuthParam    []byte                 `cbor:"8,keyasint,omitzero"` // empty is not absent
	PINUVAuthProtocol uint                   `cbor:"9,keyasint,omitempty"`

	EnterpriseAttestation        uint     `cbor:"10,keyasint,omitempty"` // 1 or 2
	AttestationFormatsPreference []string `cbor:"11,keyasint,omitempty"`
}

// Command returns [CommandMakeCredential].
func (MakeCredential) Command() Command { return CommandMakeCredential }

// MakeCredentialResponse is the answer to [MakeCredential].
type MakeCredentialResponse struct {
	Format   string          `cbor:"1,keyasint"`
	AuthData []byte          `cbor:"2,keyasint"` // as signed; see [ParseAuthenticatorData]
	AttStmt  cbor.RawMessage `cbor:"3,keyasint,omitempty"`

	EnterpriseAttestation    bool       `cbor:"4,keyasint,omitempty"`
	LargeBlobKey             []byte     `cbor:"5,keyasint,omitempty"` // 32 bytes
	UnsignedExtensionOutputs Extensions `cbor:"6,keyasint,omitempty"`

	Rest
}

func (r *MakeCredentialResponse) check() error {
	switch {
	case r.Format == "":
		return errors.New("fmt (1) is missing")
	case len(r.AuthData) == 0:
		return errors.New("authData (2) is missing")
	case len(r.AttStmt) == 0 && r.Format != "none":
		return errors.New("attStmt (3) is missing")
	case len(r.AttStmt) > 0 && r.AttStmt[0]>>5 != 5 && r.Format != "compound":
		return errors.New("attStmt (3) is not a map")
	}
	return nil
}
