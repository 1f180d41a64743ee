package simulator

import (
	"github.com/fidokey/fidokey/ctap2"
)

// decodeRP reads a PublicKeyCredentialRpEntity.
func decodeRP(i item) ctap2.RP {
	m := i.members()
	rp := ctap2.RP{ID: m.need("id").text(), Name: m.at("name").text()}
	m.at("icon").text() // gone since CTAP 2.1, yet it was text
	return rp
}

// decodeUser reads a PublicKeyCredentialUserEntity.
func decodeUser(i item) ctap2.User {
	m := i.members()
	user := ctap2.User{
		ID:          m.need("id").bytesOf(1, 64),
		Name:        m.at("name").text(),
		DisplayName: m.at("displayName").text(),
	}
	m.at("icon").text()
	return user
}

// decodeDescriptor reads a PublicKeyCredentialDescriptor.
func decodeDescriptor(i item) ctap2.Descriptor {
	m := i.members()
	d := ctap2.Descriptor{ID: m.need("id").bytes(), Type: m.need("type").text()}
	for _, transport := range m.at("transports").list() {
		transport.text() // a hint for platforms
	}
	return d
}

// decodeDescriptors reads an allowList or excludeList.
func decodeDescriptors(i item) []ctap2.Descriptor {
	var descriptors []ctap2.Descriptor
	for _, element := range i.list() {
		descriptors = append(descriptors, decodeDescriptor(element))
	}
	return descriptors
}

// A credentialParameter is an element of pubKeyCredParams; nil members are
// absent.
type credentialParameter struct {
	algorithm *int64
	kind      *string
}

func decodeCredentialParameters(i item) []credentialParameter {
	var params []credentialParameter
	for _, element := range i.list() {
		m := element.members()
		params = append(params, credentialParameter{
			algorithm: optional(m.at("alg"), item.int),
			kind:      optional(m.at("type"), item.text),
		})
	}
	return params
}

// decodeOptions reads the options of makeCredential and getAssertion; unknown
// ones are ignored.
func decodeOptions(i item) ctap2.Options {
	m := i.members()
	return ctap2.Options{
		RK: optional(m.at("rk"), item.bool),
		UP: optional(m.at("up"), item.bool),
		UV: optional(m.at("uv"), item.bool),
	}
}

// A keyAgreementKey is the platform's COSE_Key as it came; decapsulate judges
// it. Members that are absent are zero.
type keyAgreementKey struct {
	kty, alg, crv int64
	x, y          []byte
}

func decodeKeyAgreement(i item) keyAgreementKey {
	m := i.members()
	return keyAgreementKey{
		kty: m.at(1).int(),
		alg: m.at(3).int(),
		crv: m.at(-1).int(),
		x:   m.at(-2).bytes(),
		y:   m.at(-3).bytes(),
	}
}

// option returns the value of an option, or what its absence means.
func option(value *bool, absent bool) bool {
	if value == nil {
		return absent
	}
	return *value
}
