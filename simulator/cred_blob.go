package simulator

const extensionCredBlob = "credBlob"

// credBlobCreation is a blob to be stored with a discoverable credential, CTAP
// 2.1 section 12.2.
type credBlobCreation []byte

func decodeCredBlobCreation(i item) creationInput { return credBlobCreation(i.bytes()) }

// create stores the blob, or says that there is no room for it: that is no
// error.
func (blob credBlobCreation) create(a *Authenticator, r *registration) error {
	stored := r.rk && uint(len(blob)) <= a.profile.maxCredBlobLength()
	if stored {
		r.credential.CredBlob = blob
	}
	r.outputs.sign(extensionCredBlob, stored)
	return nil
}

// maxCredBlobLength is in bytes.
func (p *Profile) maxCredBlobLength() uint {
	if n := p.GetInfo.MaxCredBlobLength; n != nil {
		return *n
	}
	return 32 // the least that is allowed
}

// credBlobAssertion asks for the blob.
type credBlobAssertion struct{}

func decodeCredBlobAssertion(i item) assertionInput {
	if !i.bool() {
		return nil
	}
	return credBlobAssertion{}
}

// assert returns the blob; no blob and an empty one are the same.
func (credBlobAssertion) assert(_ *Authenticator, s *signing) error {
	blob := s.credential.CredBlob
	if blob == nil {
		blob = []byte{}
	}
	s.outputs.sign(extensionCredBlob, blob)
	return nil
}
