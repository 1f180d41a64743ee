package simulator

import (
	"github.com/fidokey/fidokey/ctap2"
)

const extensionLargeBlob = "largeBlob"

// The largeBlob extension of CTAP 2.3, section 12.4, stores one blob with each
// discoverable credential. It takes the place of largeBlobKey and
// authenticatorLargeBlobs: a key has the one or the other. Platforms compress
// the blob; for the key it is bytes.

// largeBlobCreation asks for room for a blob.
type largeBlobCreation struct {
	required bool // else preferred
}

func decodeLargeBlobCreation(i item) creationInput {
	m, malformed := strictMembers(i)
	defer malformed()
	support := m.must("support").text()
	if support != "required" && support != "preferred" {
		m.fault.note(ctap2.ErrInvalidCBOR)
	}
	return largeBlobCreation{required: support == "required"}
}

// strictMembers reads the input of largeBlob, of which anything wrong is
// INVALID_CBOR; malformed notes that.
func strictMembers(i item) (m members, malformed func()) {
	inner := &fault{}
	m = item{raw: i.raw, fault: inner}.members()
	return m, func() {
		if inner.err != nil {
			i.fault.note(ctap2.ErrInvalidCBOR)
		}
	}
}

// check refuses a credential that must store a blob and, not being discoverable,
// cannot.
func (in largeBlobCreation) check(rk bool) error {
	if in.required && !rk {
		return ctap2.ErrInvalidOption
	}
	return nil
}

func (largeBlobCreation) create(_ *Authenticator, r *registration) error {
	r.credential.LargeBlobSupport = r.rk
	return r.outputs.append(extensionLargeBlob, struct {
		Supported bool `cbor:"supported"`
	}{r.rk})
}

// A largeBlobAssertion reads the blob or, with write, replaces it.
type largeBlobAssertion struct {
	write        []byte // compressed; nil: read
	originalSize uint64 // before compression
}

func decodeLargeBlobAssertion(i item) assertionInput {
	m, malformed := strictMembers(i)
	defer malformed()
	in := largeBlobAssertion{write: m.at("write").bytes()}
	size := optional(m.at("originalSize"), item.uint)
	read := m.at("read").bool()
	switch {
	case in.write != nil && size != nil && !m.at("read").present():
		in.originalSize = *size
	case in.write != nil || size != nil || !read:
		m.fault.note(ctap2.ErrInvalidCBOR)
	}
	return in
}

func (in largeBlobAssertion) assert(a *Authenticator, s *signing) error {
	if in.write == nil {
		return in.read(s)
	}
	written := s.listed && s.credential.LargeBlobSupport && uint(len(in.write)) <= a.profile.maxLargeBlob()
	if written {
		updated := *s.credential
		updated.LargeBlob, updated.LargeBlobSize = in.write, in.originalSize
		s.change.put = append(s.change.put, &updated)
	}
	return s.outputs.append(extensionLargeBlob, struct {
		Written bool `cbor:"written"`
	}{written})
}

// read has no output for a credential without a blob.
func (largeBlobAssertion) read(s *signing) error {
	if s.credential.LargeBlob == nil {
		return nil
	}
	return s.outputs.append(extensionLargeBlob, struct {
		Blob         []byte `cbor:"blob"`
		OriginalSize uint64 `cbor:"originalSize"`
	}{s.credential.LargeBlob, s.credential.LargeBlobSize})
}

// maxLargeBlob is the length in bytes of the longest blob.
func (p *Profile) maxLargeBlob() uint {
	if p.MaxLargeBlob == 0 {
		return 2048
	}
	return p.MaxLargeBlob
}
