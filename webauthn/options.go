package webauthn

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
)

// The words of residentKey, userVerification and largeBlob.support.
const (
	required    = "required"
	preferred   = "preferred"
	discouraged = "discouraged"
)

// The words of CreationOptions.Attestation (WebAuthn Level 3, section 5.4.7).
const (
	AttestationNone       = "none"
	AttestationIndirect   = "indirect"
	AttestationDirect     = "direct"
	AttestationEnterprise = "enterprise"
)

// CreationOptions is a PublicKeyCredentialCreationOptionsJSON (WebAuthn Level 3,
// section 5.1.9): what a relying party wants of a new credential. Words that are
// not known count as if they were not there.
type CreationOptions struct {
	RP                     RPEntity               `json:"rp"`
	User                   UserEntity             `json:"user"`
	Challenge              Base64URL              `json:"challenge"`
	PubKeyCredParams       []CredentialParameters `json:"pubKeyCredParams"`
	Timeout                uint                   `json:"timeout,omitempty"` // milliseconds
	ExcludeCredentials     CredentialList         `json:"excludeCredentials,omitempty"`
	AuthenticatorSelection AuthenticatorSelection `json:"authenticatorSelection,omitzero"`
	Hints                  []string               `json:"hints,omitempty"`
	Attestation            string                 `json:"attestation,omitempty"`
	AttestationFormats     []string               `json:"attestationFormats,omitempty"`
	Extensions             ExtensionInputs        `json:"extensions,omitzero"`
}

// RequestOptions is a PublicKeyCredentialRequestOptionsJSON (WebAuthn Level 3,
// section 5.1.10): what a relying party wants of a sign-in.
type RequestOptions struct {
	Challenge        Base64URL       `json:"challenge"`
	Timeout          uint            `json:"timeout,omitempty"` // milliseconds
	RPID             string          `json:"rpId,omitempty"`
	AllowCredentials CredentialList  `json:"allowCredentials,omitempty"`
	UserVerification string          `json:"userVerification,omitempty"`
	Hints            []string        `json:"hints,omitempty"`
	Extensions       ExtensionInputs `json:"extensions,omitzero"`
}

// RPEntity is a PublicKeyCredentialRpEntity. Without an ID the origin's host is
// meant.
type RPEntity struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name"`
}

// UserEntity is a PublicKeyCredentialUserEntityJSON.
type UserEntity struct {
	ID          Base64URL `json:"id"`
	Name        string    `json:"name"`
	DisplayName string    `json:"displayName"`
}

// CredentialParameters is a PublicKeyCredentialParameters.
type CredentialParameters struct {
	Type      string         `json:"type"`
	Algorithm cose.Algorithm `json:"alg"`
}

// AuthenticatorSelection is an AuthenticatorSelectionCriteria.
type AuthenticatorSelection struct {
	AuthenticatorAttachment string `json:"authenticatorAttachment,omitempty"`
	ResidentKey             string `json:"residentKey,omitempty"`
	RequireResidentKey      bool   `json:"requireResidentKey,omitempty"` // where there is no ResidentKey
	UserVerification        string `json:"userVerification,omitempty"`
}

// CredentialDescriptor is a PublicKeyCredentialDescriptorJSON.
type CredentialDescriptor struct {
	Type       string    `json:"type"`
	ID         Base64URL `json:"id"`
	Transports []string  `json:"transports,omitempty"`
}

// CredentialList names credentials. Read from JSON, it takes the IDs in any of the
// encodings that servers send. One text may be two IDs, and then both are in the
// list: the one too many is of no credential.
type CredentialList []CredentialDescriptor

// UnmarshalJSON reads an array of PublicKeyCredentialDescriptorJSON.
func (l *CredentialList) UnmarshalJSON(text []byte) error {
	var entries []struct {
		Type       string   `json:"type"`
		ID         string   `json:"id"`
		Transports []string `json:"transports"`
	}
	if err := json.Unmarshal(text, &entries); err != nil {
		return err
	}
	*l = nil
	for _, entry := range entries {
		ids, err := credentialIDs(entry.ID)
		if err != nil {
			return err
		}
		for _, id := range ids {
			*l = append(*l, CredentialDescriptor{entry.Type, id, entry.Transports})
		}
	}
	return nil
}

// credentialIDs returns what a text may stand for. Beside base64url there is
// standard base64, and Microsoft's form of base64url, in which a digit at the end
// says how many signs of padding were left out.
func credentialIDs(text string) ([]Base64URL, error) {
	plain, err := decodeBase64(text)
	end := len(text) - 1
	if end < 1 || strings.ContainsAny(text, "+/=") {
		return []Base64URL{plain}, err
	}
	short, noShort := base64.RawURLEncoding.Strict().DecodeString(text[:end])
	switch {
	case noShort != nil:
	case len(text)%4 == 1 && text[end] == '0', len(text)%4 == 3 && text[end] == '2':
		return []Base64URL{short}, nil // as base64url it would be too long by a bit or two
	case len(text)%4 == 0 && text[end] == '1':
		return []Base64URL{plain, short}, err
	}
	return []Base64URL{plain}, err
}

// decodeBase64 reads base64url and standard base64, padded and not.
func decodeBase64(text string) (Base64URL, error) {
	text = strings.TrimRight(text, "=")
	if strings.ContainsAny(text, "+/") {
		return base64.RawStdEncoding.DecodeString(text)
	}
	return base64.RawURLEncoding.DecodeString(text)
}

// ExtensionInputs is an AuthenticationExtensionsClientInputsJSON (WebAuthn Level 3,
// section 10; CTAP 2.3, section 12). A nil field was not there.
type ExtensionInputs struct {
	AppID        *string `json:"appid,omitempty"`
	AppIDExclude *string `json:"appidExclude,omitempty"`
	CredProps    bool    `json:"credProps,omitempty"`

	CredentialProtectionPolicy        string `json:"credentialProtectionPolicy,omitempty"`
	EnforceCredentialProtectionPolicy bool   `json:"enforceCredentialProtectionPolicy,omitempty"`

	CredBlob            Base64URL        `json:"credBlob,omitzero"`
	GetCredBlob         bool             `json:"getCredBlob,omitempty"`
	MinPINLength        bool             `json:"minPinLength,omitempty"`
	PINComplexityPolicy bool             `json:"pinComplexityPolicy,omitempty"`
	HMACCreateSecret    bool             `json:"hmacCreateSecret,omitempty"`
	HMACGetSecret       *HMACSecretSalts `json:"hmacGetSecret,omitempty"`
	PRF                 *PRFInputs       `json:"prf,omitempty"`
	LargeBlob           *LargeBlobInputs `json:"largeBlob,omitempty"`
	ThirdPartyPayment   bool             `json:"thirdPartyPayment,omitempty"`
	UVM                 bool             `json:"uvm,omitempty"`
}

// HMACSecretSalts is an HMACGetSecretInput.
type HMACSecretSalts struct {
	Salt1 Base64URL `json:"salt1"`
	Salt2 Base64URL `json:"salt2,omitzero"`
}

// PRFInputs is an AuthenticationExtensionsPRFInputsJSON. The keys of
// EvalByCredential are credential IDs in base64url.
type PRFInputs struct {
	Eval             *PRFValues           `json:"eval,omitempty"`
	EvalByCredential map[string]PRFValues `json:"evalByCredential,omitzero"`
}

// PRFValues is an AuthenticationExtensionsPRFValuesJSON.
type PRFValues struct {
	First  Base64URL `json:"first"`
	Second Base64URL `json:"second,omitzero"`
}

// LargeBlobInputs is an AuthenticationExtensionsLargeBlobInputsJSON.
type LargeBlobInputs struct {
	Support *string   `json:"support,omitempty"`
	Read    *bool     `json:"read,omitempty"`
	Write   Base64URL `json:"write,omitzero"`
}

// ParseCreationOptions reads the options of a registration as servers send them:
// bare, in the member "publicKey", or as Microsoft Graph has them.
func ParseCreationOptions(text []byte) (*CreationOptions, error) {
	o, err := parseOptions[CreationOptions](text, "rp", "user", "challenge")
	switch {
	case err != nil:
		return nil, err
	case o.User.ID == nil:
		return nil, missing("user.id")
	case o.PubKeyCredParams == nil:
		o.PubKeyCredParams = []CredentialParameters{}
	}
	return o, nil
}

// ParseRequestOptions reads the options of a sign-in, as [ParseCreationOptions].
func ParseRequestOptions(text []byte) (*RequestOptions, error) {
	return parseOptions[RequestOptions](text, "challenge")
}

func parseOptions[T any](text []byte, needed ...string) (*T, error) {
	members, text, err := unwrap(text)
	if err != nil {
		return nil, err
	}
	for _, name := range needed {
		if value := members[name]; value == nil || string(value) == "null" {
			return nil, missing(name)
		}
	}
	o := new(T)
	return o, json.Unmarshal(text, o)
}

// maxWrapped is in how many objects the options may be: each is read anew.
const maxWrapped = 3

// unwrap returns the object with the options, and its members.
func unwrap(text []byte) (members map[string]json.RawMessage, inner []byte, err error) {
	for wrapped := 0; ; wrapped++ {
		members = nil
		if err := json.Unmarshal(text, &members); err != nil {
			return nil, nil, err
		}
		switch {
		case members["challenge"] != nil || wrapped == maxWrapped:
			return members, text, nil
		case members["publicKey"] != nil:
			text = members["publicKey"]
		case members["value"] != nil: // samples of Graph
			text = members["value"]
		default:
			return members, text, nil
		}
	}
}

func missing(member string) error {
	return &Error{"TypeError", fmt.Sprintf("the member %s is missing", member)}
}

// Error is why a client refuses what a page asks for, before a key is reached.
type Error struct {
	Name   string // of the DOMException, or TypeError
	Reason string
}

func (e *Error) Error() string { return e.Reason + " (" + e.Name + ")" }

func refuse(name, format string, args ...any) error {
	return &Error{name, fmt.Sprintf(format, args...)}
}

// descriptors are the credentials of a list that a key may have: entries of types
// that are not known are left out. Transports are no reason to leave one out; they
// were told long ago, and a key may have come to another reader.
func (l CredentialList) descriptors() (list []ctap2.Descriptor) {
	for _, d := range l {
		if d.Type == ctap2.PublicKeyType {
			list = append(list, ctap2.Descriptor{ID: d.ID, Type: d.Type})
		}
	}
	return list
}
