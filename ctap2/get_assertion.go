package ctap2

import "errors"

// GetAssertion is authenticatorGetAssertion, CTAP 2.1 section 6.2.
type GetAssertion struct {
	Reply[GetAssertionResponse]
	RPID              string       `cbor:"1,keyasint"`
	ClientDataHash    []byte       `cbor:"2,keyasint"` // 32 bytes
	AllowList         []Descriptor `cbor:"3,keyasint,omitempty"`
	Extensions        Extensions   `cbor:"4,keyasint,omitempty"`
	Options           *Options     `cbor:"5,keyasint,omitempty"`
	PINUVAuthParam    []byte       `cbor:"6,keyasint,omitzero"` // empty is not absent
	PINUVAuthProtocol uint         `cbor:"7,keyasint,omitempty"`
}

// Command returns [CommandGetAssertion].
func (GetAssertion) Command() Command { return CommandGetAssertion }

// GetNextAssertion is authenticatorGetNextAssertion, CTAP 2.1 section 6.3. It
// must follow a [GetAssertion] directly; the key forgets its list when any
// other command arrives.
type GetNextAssertion struct {
	Reply[GetAssertionResponse]
}

// Command returns [CommandGetNextAssertion].
func (GetNextAssertion) Command() Command { return CommandGetNextAssertion }

// GetAssertionResponse is the answer to [GetAssertion] and [GetNextAssertion].
type GetAssertionResponse struct {
	// Credential is nil from CTAP 2.0 keys when the allow list had one entry.
	Credential *Descriptor `cbor:"1,keyasint,omitempty"`
	AuthData   []byte      `cbor:"2,keyasint"` // as signed; see [ParseAuthenticatorData]
	Signature  []byte      `cbor:"3,keyasint"`
	User       *User       `cbor:"4,keyasint,omitempty"`
	// NumberOfCredentials is 0 when the member is absent, which means one.
	NumberOfCredentials uint `cbor:"5,keyasint,omitempty"`

	UserSelected             bool       `cbor:"6,keyasint,omitempty"`
	LargeBlobKey             []byte     `cbor:"7,keyasint,omitempty"` // 32 bytes
	UnsignedExtensionOutputs Extensions `cbor:"8,keyasint,omitempty"`

	Rest
}

func (r *GetAssertionResponse) check() error {
	switch {
	case r.Credential != nil && len(r.Credential.ID) == 0:
		return errors.New("credential (1) has no id")
	case len(r.AuthData) == 0:
		return errors.New("authData (2) is missing")
	case len(r.Signature) == 0:
		return errors.New("signature (3) is missing")
	}
	return nil
}
