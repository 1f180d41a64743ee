package client_test

import (
	"bytes"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// TestHolds finds a credential in a list longer than a request, without a person; what is
// protected is not found.
func TestHolds(t *testing.T) {
	b := newBench(t, simulator.Config{})
	b.mustSetPIN(t)
	open, err := b.Register(t.Context(), registration())
	if err != nil {
		t.Fatal(err)
	}
	r := registration()
	r.User.ID, r.Extensions.CredProtect = []byte{2}, client.UserVerificationRequired
	protected, err := b.Register(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	var list []ctap2.Descriptor
	for i := range 30 {
		list = append(list, ctap2.Descriptor{ID: bytes.Repeat([]byte{byte(i)}, 32)})
	}
	pins, touches := len(b.person.asked), len(b.person.touches)
	for _, c := range []struct {
		id, want []byte
	}{{nil, nil}, {open.Data.Credential.ID, open.Data.Credential.ID}, {protected.Data.Credential.ID, nil}} {
		asked := append(list[:30:30], ctap2.Descriptor{ID: c.id})
		got, err := b.Holds(t.Context(), "example.com", asked)
		if err != nil || (got == nil) != (c.want == nil) || got != nil && !bytes.Equal(got.ID, c.want) {
			t.Errorf("%x: %v, %v", c.id, got, err)
		}
	}
	if len(b.person.asked) != pins || len(b.person.touches) != touches {
		t.Error("somebody was asked")
	}
}
