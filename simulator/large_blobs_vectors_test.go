package simulator

import (
	"bytes"
	"testing"

	"github.com/fidokey/fidokey/internal/ctaptest"
)

// TestLargeBlobsMessageVectors: the message that a token authenticates.
func TestLargeBlobsMessageVectors(t *testing.T) {
	type fragment struct{ Message, ProtocolOne, ProtocolTwo, RequestCborProtocolTwo ctaptest.Hex }
	var v struct {
		Write struct {
			Set0, Set1     fragment
			PinUvAuthToken ctaptest.Hex
		}
	}
	ctaptest.Vectors(t, "large-blob", &v)
	for _, f := range []fragment{v.Write.Set0, v.Write.Set1} {
		req, err := decodeLargeBlobs(f.RequestCborProtocolTwo[1:])
		if err != nil || !bytes.Equal(req.message(), f.Message) {
			t.Errorf("message %x, %v, want %x", req.message(), err, f.Message)
		}
		if !verify(protocolOne{}, v.Write.PinUvAuthToken, req.message(), f.ProtocolOne) ||
			!verify(protocolTwo{}, v.Write.PinUvAuthToken, req.message(), f.ProtocolTwo) {
			t.Error("pinUvAuthParam does not verify")
		}
	}
}
