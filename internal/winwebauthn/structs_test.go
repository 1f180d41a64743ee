package winwebauthn

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf16"
	"unsafe"
)

// header has the members of webauthn.h, up to the version that is used here.
var header = map[string]string{
	"WEBAUTHN_RP_ENTITY_INFORMATION":      "DWORD dwVersion; PCWSTR pwszId; PCWSTR pwszName; PCWSTR pwszIcon",
	"WEBAUTHN_USER_ENTITY_INFORMATION":    "DWORD dwVersion; DWORD cbId; PBYTE pbId; PCWSTR pwszName; PCWSTR pwszIcon; PCWSTR pwszDisplayName",
	"WEBAUTHN_CLIENT_DATA":                "DWORD dwVersion; DWORD cbClientDataJSON; PBYTE pbClientDataJSON; LPCWSTR pwszHashAlgId",
	"WEBAUTHN_COSE_CREDENTIAL_PARAMETER":  "DWORD dwVersion; LPCWSTR pwszCredentialType; LONG lAlg",
	"WEBAUTHN_COSE_CREDENTIAL_PARAMETERS": "DWORD cCredentialParameters; PWEBAUTHN_COSE_CREDENTIAL_PARAMETER pCredentialParameters",
	"WEBAUTHN_CREDENTIAL":                 "DWORD dwVersion; DWORD cbId; PBYTE pbId; LPCWSTR pwszCredentialType",
	"WEBAUTHN_CREDENTIALS":                "DWORD cCredentials; PWEBAUTHN_CREDENTIAL pCredentials",
	"WEBAUTHN_CREDENTIAL_EX":              "DWORD dwVersion; DWORD cbId; PBYTE pbId; LPCWSTR pwszCredentialType; DWORD dwTransports",
	"WEBAUTHN_CREDENTIAL_LIST":            "DWORD cCredentials; PWEBAUTHN_CREDENTIAL_EX *ppCredentials",
	"WEBAUTHN_CRED_PROTECT_EXTENSION_IN":  "DWORD dwCredProtect; BOOL bRequireCredProtect",
	"WEBAUTHN_EXTENSION":                  "LPCWSTR pwszExtensionIdentifier; DWORD cbExtension; PVOID pvExtension",
	"WEBAUTHN_EXTENSIONS":                 "DWORD cExtensions; PWEBAUTHN_EXTENSION pExtensions",
	"WEBAUTHN_AUTHENTICATOR_MAKE_CREDENTIAL_OPTIONS": "DWORD dwVersion; DWORD dwTimeoutMilliseconds; WEBAUTHN_CREDENTIALS CredentialList; " +
		"WEBAUTHN_EXTENSIONS Extensions; DWORD dwAuthenticatorAttachment; BOOL bRequireResidentKey; DWORD dwUserVerificationRequirement; " +
		"DWORD dwAttestationConveyancePreference; DWORD dwFlags; GUID *pCancellationId; PWEBAUTHN_CREDENTIAL_LIST pExcludeCredentialList; " +
		"DWORD dwEnterpriseAttestation; DWORD dwLargeBlobSupport; BOOL bPreferResidentKey",
	"WEBAUTHN_AUTHENTICATOR_GET_ASSERTION_OPTIONS": "DWORD dwVersion; DWORD dwTimeoutMilliseconds; WEBAUTHN_CREDENTIALS CredentialList; " +
		"WEBAUTHN_EXTENSIONS Extensions; DWORD dwAuthenticatorAttachment; DWORD dwUserVerificationRequirement; DWORD dwFlags; " +
		"PCWSTR pwszU2fAppId; BOOL *pbU2fAppId; GUID *pCancellationId; PWEBAUTHN_CREDENTIAL_LIST pAllowCredentialList",
	"WEBAUTHN_CREDENTIAL_ATTESTATION": "DWORD dwVersion; PCWSTR pwszFormatType; DWORD cbAuthenticatorData; PBYTE pbAuthenticatorData; " +
		"DWORD cbAttestation; PBYTE pbAttestation; DWORD dwAttestationDecodeType; PVOID pvAttestationDecode; " +
		"DWORD cbAttestationObject; PBYTE pbAttestationObject; DWORD cbCredentialId; PBYTE pbCredentialId; " +
		"WEBAUTHN_EXTENSIONS Extensions; DWORD dwUsedTransport",
	"WEBAUTHN_ASSERTION": "DWORD dwVersion; DWORD cbAuthenticatorData; PBYTE pbAuthenticatorData; DWORD cbSignature; PBYTE pbSignature; " +
		"WEBAUTHN_CREDENTIAL Credential; DWORD cbUserId; PBYTE pbUserId",
}

// layoutOf lays a C struct out as 64-bit compilers do: each member at the next
// multiple of its alignment, the whole rounded up to the widest of them.
func layoutOf(name string) (offsets []uintptr, size, align uintptr) {
	roundUp := func(n, to uintptr) uintptr { return (n + to - 1) / to * to }
	for member := range strings.SplitSeq(header[name], "; ") {
		kind, rest, _ := strings.Cut(member, " ")
		width, alignment := uintptr(8), uintptr(8) // a pointer
		switch {
		case strings.HasPrefix(rest, "*"):
		case kind == "DWORD" || kind == "BOOL" || kind == "LONG":
			width, alignment = 4, 4
		case strings.HasPrefix(kind, "WEBAUTHN_"):
			_, width, alignment = layoutOf(kind)
		}
		size = roundUp(size, alignment)
		offsets = append(offsets, size)
		size, align = size+width, max(align, alignment)
	}
	return offsets, roundUp(size, align), align
}

func TestLayout(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the layouts are those of 64-bit systems")
	}
	structs := map[string]any{
		"WEBAUTHN_RP_ENTITY_INFORMATION":                 rpEntityInformation{},
		"WEBAUTHN_USER_ENTITY_INFORMATION":               userEntityInformation{},
		"WEBAUTHN_CLIENT_DATA":                           clientData{},
		"WEBAUTHN_COSE_CREDENTIAL_PARAMETER":             coseCredentialParameter{},
		"WEBAUTHN_COSE_CREDENTIAL_PARAMETERS":            coseCredentialParameters{},
		"WEBAUTHN_CREDENTIAL":                            credential{},
		"WEBAUTHN_CREDENTIALS":                           credentials{},
		"WEBAUTHN_CREDENTIAL_EX":                         credentialEx{},
		"WEBAUTHN_CREDENTIAL_LIST":                       credentialList{},
		"WEBAUTHN_CRED_PROTECT_EXTENSION_IN":             credProtectExtensionIn{},
		"WEBAUTHN_EXTENSION":                             extension{},
		"WEBAUTHN_EXTENSIONS":                            extensions{},
		"WEBAUTHN_AUTHENTICATOR_MAKE_CREDENTIAL_OPTIONS": makeCredentialOptions{},
		"WEBAUTHN_AUTHENTICATOR_GET_ASSERTION_OPTIONS":   getAssertionOptions{},
		"WEBAUTHN_CREDENTIAL_ATTESTATION":                credentialAttestation{},
		"WEBAUTHN_ASSERTION":                             assertion{},
	}
	if len(structs) != len(header) {
		t.Errorf("%d structs, and %d in the header", len(structs), len(header))
	}
	for name, ours := range structs {
		offsets, size, _ := layoutOf(name)
		s := reflect.TypeOf(ours)
		if s.Size() != size || s.NumField() != len(offsets) {
			t.Errorf("%s: %d bytes and %d members, want %d and %d", name, s.Size(), s.NumField(), size, len(offsets))
			continue
		}
		for i, want := range offsets {
			if f := s.Field(i); f.Offset != want {
				t.Errorf("%s: %s is at %d, want %d", name, f.Name, f.Offset, want)
			}
		}
	}
	if size := unsafe.Sizeof(guid{}); size != 16 {
		t.Errorf("GUID: %d bytes", size)
	}
}

// TestLayoutSizes holds layoutOf to what a C compiler makes of the header.
func TestLayoutSizes(t *testing.T) {
	for name, want := range map[string]uintptr{
		"WEBAUTHN_RP_ENTITY_INFORMATION":                 32,
		"WEBAUTHN_USER_ENTITY_INFORMATION":               40,
		"WEBAUTHN_CLIENT_DATA":                           24,
		"WEBAUTHN_COSE_CREDENTIAL_PARAMETER":             24,
		"WEBAUTHN_COSE_CREDENTIAL_PARAMETERS":            16,
		"WEBAUTHN_CREDENTIAL":                            24,
		"WEBAUTHN_CREDENTIALS":                           16,
		"WEBAUTHN_CREDENTIAL_EX":                         32,
		"WEBAUTHN_CREDENTIAL_LIST":                       16,
		"WEBAUTHN_CRED_PROTECT_EXTENSION_IN":             8,
		"WEBAUTHN_EXTENSION":                             24,
		"WEBAUTHN_EXTENSIONS":                            16,
		"WEBAUTHN_AUTHENTICATOR_MAKE_CREDENTIAL_OPTIONS": 96,
		"WEBAUTHN_AUTHENTICATOR_GET_ASSERTION_OPTIONS":   88,
		"WEBAUTHN_CREDENTIAL_ATTESTATION":                120,
		"WEBAUTHN_ASSERTION":                             72,
	} {
		if _, size, _ := layoutOf(name); size != want {
			t.Errorf("%s: %d bytes, want %d", name, size, want)
		}
	}
}

func text(p *uint16) string {
	var units []uint16
	for ; *p != 0; p = (*uint16)(unsafe.Add(unsafe.Pointer(p), 2)) {
		units = append(units, *p)
	}
	return string(utf16.Decode(units))
}

func TestRegistrationOptions(t *testing.T) {
	r := Registration{
		ClientDataJSON: []byte("{}"), RPID: "example.com", RPName: "Example", UserID: []byte{1, 2}, User: "zoë", DisplayName: "Zoë 🔑",
		Algorithms: []int32{-7, -257}, Exclude: [][]byte{{3}, {4, 5}}, RequireResident: true, PreferResident: true,
		UserVerification: VerificationRequired, Attestation: AttestationDirect, Timeout: 90 * time.Second,
		HMACSecret: true, CredProtect: 3, EnforceCredProtect: true,
	}
	if rp := r.rp(); text(rp.id) != "example.com" || text(rp.name) != "Example" || rp.icon != nil || rp.version != 1 {
		t.Errorf("RP: %+v", rp)
	}
	if u := r.user(); text(u.name) != "zoë" || text(u.displayName) != "Zoë 🔑" || !bytes.Equal(unsafe.Slice(u.id, u.idSize), r.UserID) {
		t.Errorf("user: %+v", u)
	}
	p := r.parameters()
	if list := unsafe.Slice(p.list, p.count); len(list) != 2 || list[1].alg != -257 || text(list[1].credentialType) != publicKey {
		t.Errorf("parameters: %+v", list)
	}
	id := &guid{data1: 1}
	o := r.options(3, id)
	if o.version != 4 || o.preferResidentKey != 1 || o.requireResidentKey != 1 || o.timeoutMilliseconds != 90000 || o.cancellationID != id ||
		o.authenticatorAttachment != crossPlatform || o.userVerificationRequirement != VerificationRequired || o.attestationConveyancePreference != AttestationDirect {
		t.Errorf("options: %+v", o)
	}
	if old := r.options(2, nil); old.version != 3 || old.preferResidentKey != 0 {
		t.Errorf("options for API version 2: %+v", old)
	}
	excluded := unsafe.Slice(o.excludeCredentialList.list, o.excludeCredentialList.count)
	if len(excluded) != 2 || !bytes.Equal(unsafe.Slice(excluded[1].id, excluded[1].idSize), []byte{4, 5}) {
		t.Errorf("exclude list: %+v", excluded)
	}
	list := unsafe.Slice(o.extensions.list, o.extensions.count)
	if len(list) != 2 || text(list[0].identifier) != "hmac-secret" || list[0].size != 4 || *(*uint32)(list[0].value) != 1 {
		t.Fatalf("extensions: %+v", list)
	}
	if text(list[1].identifier) != "credProtect" || list[1].size != 8 || *(*credProtectExtensionIn)(list[1].value) != (credProtectExtensionIn{3, 1}) {
		t.Errorf("credProtect: %+v", list[1])
	}
	if o := new(Registration).options(3, nil); o.excludeCredentialList != nil || o.extensions.count != 0 {
		t.Errorf("options of nothing: %+v", o)
	}
}

func TestResults(t *testing.T) {
	object := []byte("object")
	c := credentialAttestation{version: 3, attestationObject: &object[0], attestationObjectSize: 6, usedTransport: 0x21}
	a := c.result()
	object[0] = 'X' // Windows frees it
	if string(a.Object) != "object" || !reflect.DeepEqual(a.Transports, []string{"usb", "hybrid"}) {
		t.Errorf("attestation: %q", a)
	}
	if c.version = 2; c.result().Transports != nil {
		t.Error("version 2 has no transport")
	}
	id, data, signature := []byte("id"), []byte("data"), []byte("signature")
	s := (&assertion{
		version: 1, authenticatorData: &data[0], authenticatorDataSize: 4, signature: &signature[0], signatureSize: 9,
		credential: credential{id: &id[0], idSize: 2},
	}).result()
	if string(s.CredentialID) != "id" || string(s.AuthenticatorData) != "data" || string(s.Signature) != "signature" || s.UserID != nil {
		t.Errorf("assertion: %q", s)
	}
}
