package pin_test

import (
	"testing"

	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/pin"
)

// TestDecryptMember reads what only the holder of the persistent token can.
func TestDecryptMember(t *testing.T) {
	var v struct {
		PersistentPinUvAuthToken ctaptest.Hex
		Cases                    []struct {
			Member       string
			Plain, Value ctaptest.Hex
		}
	}
	ctaptest.Vectors(t, "getinfo-encrypted", &v)
	token, err := pin.NewToken(pin.Two, v.PersistentPinUvAuthToken)
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]bool{}
	for _, c := range v.Cases {
		members[c.Member] = true
		plain, err := token.DecryptMember(c.Member, c.Value)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, c.Member, plain[:], c.Plain)
		if _, err := token.DecryptMember(c.Member, c.Value[:31]); err == nil {
			t.Errorf("%s of 31 bytes was taken", c.Member)
		}
	}
	if !members[pin.EncIdentifier] || !members[pin.EncCredStoreState] {
		t.Errorf("known answers for %v", members)
	}
}
