package simulator

import (
	"github.com/fidokey/fidokey/ctap2"
)

const extensionLargeBlobKey = "largeBlobKey"

const largeBlobKeySize = 32 // bytes

// largeBlobKeyCreation and largeBlobKeyAssertion ask for the key that opens a
// credential's part of the large-blob array, CTAP 2.1 section 12.3. The key is
// no extension output but a member of the response.
type (
	largeBlobKeyCreation  struct{}
	largeBlobKeyAssertion struct{}
)

func decodeLargeBlobKeyCreation(i item) creationInput {
	noteUnlessTrue(i)
	return largeBlobKeyCreation{}
}

func decodeLargeBlobKeyAssertion(i item) assertionInput {
	noteUnlessTrue(i)
	return largeBlobKeyAssertion{}
}

// noteUnlessTrue notes INVALID_OPTION: there is nothing that false could ask for.
func noteUnlessTrue(i item) {
	if !i.bool() {
		i.fault.note(ctap2.ErrInvalidOption)
	}
}

// check refuses a credential that is not discoverable: nobody could tell which
// parts of the array are still in use.
func (largeBlobKeyCreation) check(rk bool) error {
	if !rk {
		return ctap2.ErrInvalidOption
	}
	return nil
}

func (largeBlobKeyCreation) create(a *Authenticator, r *registration) (err error) {
	r.credential.LargeBlobKey, err = a.random(largeBlobKeySize)
	r.outputs.largeBlobKey = r.credential.LargeBlobKey
	return err
}

// assert returns the key of a credential that has one.
func (largeBlobKeyAssertion) assert(_ *Authenticator, s *signing) error {
	s.outputs.largeBlobKey = s.credential.LargeBlobKey
	return nil
}
