package ctap2

import (
	"crypto/sha256"
	"encoding/binary"
)

// LargeBlobs is authenticatorLargeBlobs, CTAP 2.1 section 6.10: it reads or
// writes a fragment of the serialized large-blob array. Either Get or Set is
// there.
type LargeBlobs struct {
	Reply[LargeBlobsResponse]
	Get               *uint  `cbor:"1,keyasint,omitempty"` // bytes to read
	Set               []byte `cbor:"2,keyasint,omitempty"`
	Offset            uint   `cbor:"3,keyasint"`
	Length            uint   `cbor:"4,keyasint,omitempty"` // of the whole array, with Set at offset 0 only
	PINUVAuthParam    []byte `cbor:"5,keyasint,omitempty"` // over AuthMessage, with Set
	PINUVAuthProtocol uint   `cbor:"6,keyasint,omitempty"`
}

// Command returns [CommandLargeBlobs].
func (LargeBlobs) Command() Command { return CommandLargeBlobs }

// AuthMessage returns what PINUVAuthParam authenticates.
func (l LargeBlobs) AuthMessage() []byte {
	message := commandPrefix(CommandLargeBlobs, 0)
	message = binary.LittleEndian.AppendUint32(message, uint32(l.Offset))
	sum := sha256.Sum256(l.Set)
	return append(message, sum[:]...)
}

// LargeBlobsResponse is the answer to [LargeBlobs].
type LargeBlobsResponse struct {
	Config []byte `cbor:"1,keyasint,omitempty"` // the fragment, with Get

	Rest
}

// LargeBlobsOverhead is how many bytes of maxMsgSize a fragment leaves to the
// rest of the message (CTAP 2.1, section 6.10.2).
const LargeBlobsOverhead = 64
