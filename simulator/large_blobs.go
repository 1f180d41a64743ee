package simulator

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
)

const (
	largeBlobHashSize = 16         // at the end of the array, of its SHA-256
	minLargeBlobArray = 17         // bytes: an empty CBOR array and its hash
	messageOverhead   = 64         // of maxMsgSize, for what is not the fragment
	minLargeBlobSpace = uint(1024) // bytes that every key with large blobs has
	largeBlobsPrefix  = "\x0c\x00" // command and a zero, in the authenticated message
)

// initialLargeBlobs is the array of a new key: no blobs, and the hash of that.
func initialLargeBlobs() []byte {
	sum := sha256.Sum256([]byte{0x80})
	return append([]byte{0x80}, sum[:largeBlobHashSize]...)
}

// largeBlobsRequest is a decoded authenticatorLargeBlobs; nil members are absent.
type largeBlobsRequest struct {
	get            *uint64
	set            []byte
	offset         *uint64
	length         *uint64
	pinUVAuthParam []byte
	protocol       *uint64
}

func decodeLargeBlobs(params []byte) (*largeBlobsRequest, error) {
	m, fault := decodeParams(params)
	req := &largeBlobsRequest{
		get:            optional(m.at(1), item.uint),
		set:            m.at(2).bytes(),
		offset:         optional(m.at(3), item.uint),
		length:         optional(m.at(4), item.uint),
		pinUVAuthParam: m.at(5).bytes(),
		protocol:       optional(m.at(6), item.uint),
	}
	return req, fault.err
}

type largeBlobsResponse struct {
	Config []byte `cbor:"1,keyasint"`
}

// largeBlobs is authenticatorLargeBlobs, CTAP 2.1 section 6.10.2. The array is
// bytes for the key, but for the hash at its end.
func (a *Authenticator) largeBlobs(c *call, req *largeBlobsRequest) (*largeBlobsResponse, error) {
	write := a.unfinishedWrite(c)
	if req.offset == nil || (req.get == nil) == (req.set == nil) {
		return nil, ctap2.ErrInvalidParameter
	}
	if req.get != nil {
		return a.getLargeBlobs(req)
	}
	return nil, a.setLargeBlobs(c, req, write)
}

// getLargeBlobs reads up to get bytes. Past the end there is nothing.
func (a *Authenticator) getLargeBlobs(req *largeBlobsRequest) (*largeBlobsResponse, error) {
	if req.length != nil || req.pinUVAuthParam != nil || req.protocol != nil {
		return nil, ctap2.ErrInvalidParameter
	}
	if *req.get > a.maxFragment() {
		return nil, ctap2.ErrInvalidLength
	}
	array := a.state.largeBlobs
	if *req.offset > uint64(len(array)) {
		return nil, ctap2.ErrInvalidParameter
	}
	rest := array[*req.offset:]
	return &largeBlobsResponse{Config: rest[:min(*req.get, uint64(len(rest)))]}, nil
}

// maxFragment is maxFragmentLength, in bytes.
func (a *Authenticator) maxFragment() uint64 { return uint64(a.maxMsgSize() - messageOverhead) }

// A largeBlobWrite is an array on its way in.
type largeBlobWrite struct {
	expected uint64 // length of the whole
	have     []byte
}

// unfinishedWrite returns the write that may be continued, or nil. What is wrong
// with this request does not end it.
func (a *Authenticator) unfinishedWrite(c *call) *largeBlobWrite {
	s, err := a.continued(c)
	if err != nil || s.largeBlobs == nil {
		return nil
	}
	a.keep(c, s)
	return s.largeBlobs
}

// setLargeBlobs takes one fragment.
func (a *Authenticator) setLargeBlobs(c *call, req *largeBlobsRequest, write *largeBlobWrite) error {
	offset, size := *req.offset, uint64(len(req.set))
	if size > a.maxFragment() {
		return ctap2.ErrInvalidLength
	}
	// The first fragment announces the length of the whole; the next one goes
	// where the last has ended.
	var err error
	if offset == 0 {
		write, err = a.beginWrite(req.length)
	} else {
		err = write.goesOn(offset, req.length)
	}
	if err != nil {
		return err
	}
	if offset == 0 {
		a.session.series = nil // the one before is given up
	}
	token, err := a.authorizeWrite(req)
	if err != nil {
		return err
	}
	if size > write.expected-offset {
		return ctap2.ErrInvalidParameter
	}
	write = &largeBlobWrite{expected: write.expected, have: slices.Concat(write.have, req.set)}
	if uint64(len(write.have)) < write.expected {
		a.keep(c, &series{token: token, largeBlobs: write})
		return nil
	}
	a.session.series = nil
	return a.finishWrite(write.have)
}

func (a *Authenticator) beginWrite(length *uint64) (*largeBlobWrite, error) {
	switch {
	case length == nil:
		return nil, ctap2.ErrInvalidParameter
	case *length > uint64(a.profile.largeBlobSpace()):
		return nil, ctap2.ErrLargeBlobStorageFull
	case *length < minLargeBlobArray:
		return nil, ctap2.ErrInvalidParameter
	}
	return &largeBlobWrite{expected: *length}, nil
}

// goesOn checks a later fragment; w is nil when there was no first one.
func (w *largeBlobWrite) goesOn(offset uint64, length *uint64) error {
	if length != nil {
		return ctap2.ErrInvalidParameter
	}
	if w == nil || offset != uint64(len(w.have)) {
		return ctap2.ErrInvalidSeq
	}
	return nil
}

// largeBlobSpace is the length in bytes of the longest array.
func (p *Profile) largeBlobSpace() uint {
	if n := p.GetInfo.MaxSerializedLargeBlobArray; n != nil {
		return max(*n, minLargeBlobSpace)
	}
	return minLargeBlobSpace
}

// authorizeWrite checks the token of a protected key, and returns it.
func (a *Authenticator) authorizeWrite(req *largeBlobsRequest) (*pinUVAuthToken, error) {
	if !a.protected() && !a.options()[ctap2.OptionAlwaysUV] {
		return nil, nil
	}
	if req.pinUVAuthParam == nil {
		return nil, ctap2.ErrPUATRequired
	}
	p, err := a.pinUVAuthProtocol(req.protocol)
	if err != nil {
		return nil, err
	}
	if !p.authorizes(req.message(), req.pinUVAuthParam, ctap2.PermissionLBW) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	return &p.token, nil
}

// message is what pinUvAuthParam authenticates.
func (req *largeBlobsRequest) message() []byte {
	message := append(bytes.Repeat([]byte{0xff}, 32), largeBlobsPrefix...)
	message = binary.LittleEndian.AppendUint32(message, uint32(*req.offset))
	sum := sha256.Sum256(req.set)
	return append(message, sum[:]...)
}

// finishWrite puts a whole array in the place of the old one.
func (a *Authenticator) finishWrite(array []byte) error {
	content, hash := array[:len(array)-largeBlobHashSize], array[len(array)-largeBlobHashSize:]
	sum := sha256.Sum256(content)
	if !bytes.Equal(hash, sum[:largeBlobHashSize]) {
		return ctap2.ErrIntegrityFailure
	}
	return a.state.commit(change{device: a.state.device, largeBlobs: array})
}
