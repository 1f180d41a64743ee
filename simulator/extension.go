package simulator

import (
	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/internal/ctapcbor"
)

// An extension is one of those that a profile can list (CTAP 2.1, section 12).
// Each has its file, where decoding an input is one thing and acting on it
// another.
type extension struct {
	id string
	// create and assert read the input of makeCredential and of getAssertion; nil
	// where the extension has none. They return nil for an input that asks for
	// nothing.
	create func(i item) creationInput
	assert func(i item) assertionInput
}

// extensions are in the order in which they are processed: hmac-secret-mc uses
// what hmac-secret has made.
var extensions = []extension{
	{extensionCredProtect, decodeCredProtect, nil},
	{extensionCredBlob, decodeCredBlobCreation, decodeCredBlobAssertion},
	{extensionLargeBlobKey, decodeLargeBlobKeyCreation, decodeLargeBlobKeyAssertion},
	{extensionLargeBlob, decodeLargeBlobCreation, decodeLargeBlobAssertion},
	{extensionMinPINLength, decodeMinPINLength, nil},
	{extensionPINComplexityPolicy, decodePINComplexityPolicy, nil},
	{extensionHMACSecret, decodeHMACSecretCreation, decodeHMACSecretAssertion},
	{extensionHMACSecretMC, decodeHMACSecretMC, nil},
	{extensionThirdPartyPayment, decodeThirdPartyPaymentCreation, decodeThirdPartyPaymentAssertion},
	{extensionUVM, decodeUVMCreation, decodeUVMAssertion},
}

// A creationInput is what one extension of makeCredential asks for.
type creationInput interface {
	// create is its part of step 15.
	create(a *Authenticator, r *registration) error
}

// A creationCheck is a creationInput that does not go with every request. check
// says so before anybody is asked for a touch.
type creationCheck interface {
	check(rk bool) error
}

// A registration is a credential in the making, from step 15 of makeCredential
// on.
type registration struct {
	*creation
	rpID       string
	credential *credential
	outputs    outputs
}

// An assertionInput is what one extension of getAssertion asks for.
type assertionInput interface {
	// assert is its part of step 10, for one credential.
	assert(a *Authenticator, s *signing) error
}

// An assertionCheck is an assertionInput that must be looked at once before the
// first credential of a series.
type assertionCheck interface {
	check(a *Authenticator, s *assertion) error
}

// A signing is one answer of getAssertion or getNextAssertion in the making.
type signing struct {
	*assertion
	credential *credential
	outputs    outputs
	change     change // committed before the answer leaves
}

// outputs are what extensions answer.
type outputs struct {
	signed       map[string]any             // in the authenticator data
	unsigned     map[string]cbor.RawMessage // beside it (CTAP 2.2)
	largeBlobKey []byte                     // a response member of its own
}

// sign adds an output to the authenticator data.
func (o *outputs) sign(id string, output any) {
	if o.signed == nil {
		o.signed = map[string]any{}
	}
	o.signed[id] = output
}

// append adds an output beside the authenticator data.
func (o *outputs) append(id string, output any) error {
	encoded, err := ctapcbor.Marshal(output)
	if err != nil {
		return err
	}
	if o.unsigned == nil {
		o.unsigned = map[string]cbor.RawMessage{}
	}
	o.unsigned[id] = encoded
	return nil
}

// decodeCreationInputs reads the inputs of makeCredential. What the key does not
// list it does not look at.
func (p *Profile) decodeCreationInputs(i item) []creationInput {
	var inputs []creationInput
	m := i.members()
	for _, e := range extensions {
		if input := m.at(e.id); e.create != nil && input.present() && p.extension(e.id) {
			if decoded := e.create(input); decoded != nil {
				inputs = append(inputs, decoded)
			}
		}
	}
	return inputs
}

// decodeAssertionInputs is decodeCreationInputs for getAssertion.
func (p *Profile) decodeAssertionInputs(i item) []assertionInput {
	var inputs []assertionInput
	m := i.members()
	for _, e := range extensions {
		if input := m.at(e.id); e.assert != nil && input.present() && p.extension(e.id) {
			if decoded := e.assert(input); decoded != nil {
				inputs = append(inputs, decoded)
			}
		}
	}
	return inputs
}

// checkCreationInputs refuses inputs that do not go with the option rk.
func checkCreationInputs(inputs []creationInput, rk bool) error {
	for _, input := range inputs {
		if c, ok := input.(creationCheck); ok {
			if err := c.check(rk); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkAssertionInputs begins step 10 of getAssertion.
func (a *Authenticator) checkAssertionInputs(s *assertion) error {
	for _, input := range s.extensions {
		if c, ok := input.(assertionCheck); ok {
			if err := c.check(a, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// extensionNames are those that a profile can list.
func extensionNames() []string {
	var names []string
	for _, e := range extensions {
		names = append(names, e.id)
	}
	return names
}
