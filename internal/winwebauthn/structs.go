package winwebauthn

import (
	"time"
	"unicode/utf16"
	"unsafe"
)

//lint:file-ignore U1000 C decides which members there are, and what fills them in is for Windows only.

// What follows has the members of webauthn.h in its order; names are without their
// Hungarian prefixes. Go and C align them alike.

type guid struct {
	data1 uint32
	data2 uint16
	data3 uint16
	data4 [8]byte
}

type rpEntityInformation struct {
	version        uint32
	id, name, icon *uint16
}

type userEntityInformation struct {
	version     uint32
	idSize      uint32
	id          *byte
	name, icon  *uint16
	displayName *uint16
}

type clientData struct {
	version uint32
	size    uint32
	json    *byte
	hashAlg *uint16
}

type coseCredentialParameter struct {
	version        uint32
	credentialType *uint16
	alg            int32
}

type coseCredentialParameters struct {
	count uint32
	list  *coseCredentialParameter
}

type credential struct {
	version        uint32
	idSize         uint32
	id             *byte
	credentialType *uint16
}

type credentials struct {
	count uint32
	list  *credential
}

type credentialEx struct {
	version        uint32
	idSize         uint32
	id             *byte
	credentialType *uint16
	transports     uint32 // 0: any
}

type credentialList struct {
	count uint32
	list  **credentialEx
}

type credProtectExtensionIn struct {
	credProtect        uint32
	requireCredProtect uint32 // BOOL
}

type extension struct {
	identifier *uint16
	size       uint32
	value      unsafe.Pointer
}

type extensions struct {
	count uint32
	list  *extension
}

// makeCredentialOptions is of version 4, whose last member is preferResidentKey.
type makeCredentialOptions struct {
	version                         uint32
	timeoutMilliseconds             uint32
	credentialList                  credentials
	extensions                      extensions
	authenticatorAttachment         uint32
	requireResidentKey              uint32 // BOOL
	userVerificationRequirement     uint32
	attestationConveyancePreference uint32
	flags                           uint32
	cancellationID                  *guid           // 2
	excludeCredentialList           *credentialList // 3
	enterpriseAttestation           uint32          // 4
	largeBlobSupport                uint32
	preferResidentKey               uint32 // BOOL
}

// getAssertionOptions is of version 4.
type getAssertionOptions struct {
	version                     uint32
	timeoutMilliseconds         uint32
	credentialList              credentials
	extensions                  extensions
	authenticatorAttachment     uint32
	userVerificationRequirement uint32
	flags                       uint32
	u2fAppID                    *uint16         // 2
	usedU2FAppID                *uint32         // BOOL
	cancellationID              *guid           // 3
	allowCredentialList         *credentialList // 4
}

// credentialAttestation is of version 3, whose last member is usedTransport.
type credentialAttestation struct {
	version               uint32
	formatType            *uint16
	authenticatorDataSize uint32
	authenticatorData     *byte
	attestationSize       uint32
	attestation           *byte
	attestationDecodeType uint32
	attestationDecode     unsafe.Pointer
	attestationObjectSize uint32
	attestationObject     *byte
	credentialIDSize      uint32
	credentialID          *byte
	extensions            extensions // 2
	usedTransport         uint32     // 3
}

// assertion is of version 1.
type assertion struct {
	version               uint32
	authenticatorDataSize uint32
	authenticatorData     *byte
	signatureSize         uint32
	signature             *byte
	credential            credential
	userIDSize            uint32
	userID                *byte
}

// wide returns a text for C.
func wide(s string) *uint16 { return &utf16.Encode([]rune(s + "\x00"))[0] }

func boolean(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

func milliseconds(d time.Duration) uint32 { return uint32(d.Milliseconds()) }

func newClientData(json []byte) *clientData {
	return &clientData{version: 1, size: uint32(len(json)), json: unsafe.SliceData(json), hashAlg: wide("SHA-256")}
}

const publicKey = "public-key"

// newCredentialList returns nil for no credentials.
func newCredentialList(ids [][]byte) *credentialList {
	if len(ids) == 0 {
		return nil
	}
	var list []*credentialEx
	for _, id := range ids {
		list = append(list, &credentialEx{version: 1, idSize: uint32(len(id)), id: unsafe.SliceData(id), credentialType: wide(publicKey)})
	}
	return &credentialList{uint32(len(list)), unsafe.SliceData(list)}
}

func (r *Registration) rp() *rpEntityInformation {
	return &rpEntityInformation{version: 1, id: wide(r.RPID), name: wide(r.RPName)}
}

func (r *Registration) user() *userEntityInformation {
	return &userEntityInformation{
		version: 1, idSize: uint32(len(r.UserID)), id: unsafe.SliceData(r.UserID),
		name: wide(r.User), displayName: wide(r.DisplayName),
	}
}

func (r *Registration) parameters() *coseCredentialParameters {
	var list []coseCredentialParameter
	for _, alg := range r.Algorithms {
		list = append(list, coseCredentialParameter{version: 1, credentialType: wide(publicKey), alg: alg})
	}
	return &coseCredentialParameters{uint32(len(list)), unsafe.SliceData(list)}
}

func (r *Registration) extensions() extensions {
	var list []extension
	if r.HMACSecret {
		value := new(uint32(1))
		list = append(list, extension{wide("hmac-secret"), uint32(unsafe.Sizeof(*value)), unsafe.Pointer(value)})
	}
	if r.CredProtect != 0 {
		value := &credProtectExtensionIn{r.CredProtect, boolean(r.EnforceCredProtect)}
		list = append(list, extension{wide("credProtect"), uint32(unsafe.Sizeof(*value)), unsafe.Pointer(value)})
	}
	return extensions{uint32(len(list)), unsafe.SliceData(list)}
}

// options are for a certain version of the API.
func (r *Registration) options(api uint32, cancellation *guid) *makeCredentialOptions {
	o := &makeCredentialOptions{
		version:                         3,
		timeoutMilliseconds:             milliseconds(r.Timeout),
		extensions:                      r.extensions(),
		authenticatorAttachment:         crossPlatform,
		requireResidentKey:              boolean(r.RequireResident),
		userVerificationRequirement:     r.UserVerification,
		attestationConveyancePreference: r.Attestation,
		cancellationID:                  cancellation,
		excludeCredentialList:           newCredentialList(r.Exclude),
	}
	if api >= 3 {
		o.version, o.preferResidentKey = 4, boolean(r.PreferResident)
	}
	return o
}

func (a *Assertion) options(cancellation *guid) *getAssertionOptions {
	return &getAssertionOptions{
		version:                     4,
		timeoutMilliseconds:         milliseconds(a.Timeout),
		authenticatorAttachment:     crossPlatform,
		userVerificationRequirement: a.UserVerification,
		cancellationID:              cancellation,
		allowCredentialList:         newCredentialList(a.Allow),
	}
}

// copied returns bytes that Windows is about to free.
func copied(b *byte, size uint32) []byte { return append([]byte(nil), unsafe.Slice(b, size)...) }

// transports are the bits of WEBAUTHN_CTAP_TRANSPORT that security keys have.
var transports = []struct {
	bit  uint32
	name string
}{{0x01, "usb"}, {0x02, "nfc"}, {0x04, "ble"}, {0x20, "hybrid"}}

func (c *credentialAttestation) result() *Attestation {
	a := &Attestation{Object: copied(c.attestationObject, c.attestationObjectSize)}
	if c.version < 3 {
		return a
	}
	for _, t := range transports {
		if c.usedTransport&t.bit != 0 {
			a.Transports = append(a.Transports, t.name)
		}
	}
	return a
}

func (a *assertion) result() *Signed {
	return &Signed{
		CredentialID:      copied(a.credential.id, a.credential.idSize),
		AuthenticatorData: copied(a.authenticatorData, a.authenticatorDataSize),
		Signature:         copied(a.signature, a.signatureSize),
		UserID:            copied(a.userID, a.userIDSize),
	}
}
