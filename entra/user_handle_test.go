package entra_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/fidokey/fidokey/entra"
)

func TestUserHandle(t *testing.T) {
	user := bytes.Repeat([]byte{7}, 32)
	guid, _ := hex.DecodeString("11111111222233438444555555555555")
	h, ok := entra.ParseUserHandle(append(append([]byte("OF:"), guid...), user...))
	if !ok || h.Tenant != "11111111-2222-4333-8444-555555555555" || h.Personal || !bytes.Equal(h.User, user) {
		t.Errorf("%+v, %t", h, ok)
	}
	if h.String() != "Entra, tenant 11111111-2222-4333-8444-555555555555 (probable)" {
		t.Error(h)
	}
	h, ok = entra.ParseUserHandle(append([]byte("MF:"), user...))
	if !ok || !h.Personal || h.Tenant != "" || h.String() != "a personal Microsoft account" {
		t.Errorf("%+v, %t", h, ok)
	}
	for _, b := range [][]byte{nil, []byte("OF:"), append([]byte("OF:"), user...), make([]byte, 51), append([]byte("MF:"), make([]byte, 48)...)} {
		if h, ok := entra.ParseUserHandle(b); ok {
			t.Errorf("%x: %+v", b, h)
		}
	}
}
