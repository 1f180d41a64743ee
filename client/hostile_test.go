package client_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
)

// hostile answers each command with what the test says, and getInfo with a plain
// key without PIN.
type hostile struct {
	t       *testing.T
	answers map[ctap2.Command]string
	asked   int
}

const plainInfo = "00a301816846" + "49444f5f325f30" + "0350" + "00000000000000000000000000000000" + "04a162726bf5"

func (h *hostile) Exchange(_ context.Context, msg []byte) ([]byte, error) {
	if h.asked++; h.asked > 50 {
		h.t.Fatal("the client does not stop asking")
	}
	answer, ok := h.answers[ctap2.Command(msg[0])]
	if !ok {
		answer = plainInfo
	}
	raw, err := hex.DecodeString(answer)
	if err != nil {
		h.t.Fatal(err)
	}
	return raw, nil
}

func (*hostile) Close() error { return nil }

func TestHostileAnswers(t *testing.T) {
	var v struct {
		GetAssertion struct{ DiscoverableResponseCbor, AuthData ctaptest.Hex }
	}
	ctaptest.Vectors(t, "messages", &v)
	twoAccounts := hex.EncodeToString(v.GetAssertion.DiscoverableResponseCbor)
	manyAccounts := twoAccounts[:len(twoAccounts)-2] + "1affffffff"
	noCredential := "00a3" + "025825" + hex.EncodeToString(v.GetAssertion.AuthData) + "034100" + "0502"
	for name, answers := range map[string]map[ctap2.Command]string{
		"getInfo cut off":                      {ctap2.CommandGetInfo: plainInfo[:40]},
		"getInfo is a list":                    {ctap2.CommandGetInfo: "0080"},
		"getInfo is empty":                     {ctap2.CommandGetInfo: ""},
		"assertion is empty":                   {ctap2.CommandGetAssertion: "00"},
		"assertion has a wrong type":           {ctap2.CommandGetAssertion: "00a10101"},
		"assertion names no credential":        {ctap2.CommandGetAssertion: noCredential},
		"second assertion repeats the first":   {ctap2.CommandGetAssertion: twoAccounts, ctap2.CommandGetNextAssertion: twoAccounts},
		"4294967295 times the same credential": {ctap2.CommandGetAssertion: manyAccounts, ctap2.CommandGetNextAssertion: manyAccounts},
		"second assertion is empty":            {ctap2.CommandGetAssertion: twoAccounts, ctap2.CommandGetNextAssertion: "00"},
	} {
		t.Run(name, func(t *testing.T) {
			key := client.New(&hostile{t: t, answers: answers}, client.Options{})
			_, err := key.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:]})
			if !errors.Is(err, ctap2.ErrMalformed) {
				t.Errorf("error %v", err)
			}
		})
	}
	// A CTAP 2.0 key leaves the credential out when the allow list has one entry.
	key := client.New(&hostile{t: t, answers: map[ctap2.Command]string{ctap2.CommandGetAssertion: noCredential}}, client.Options{})
	id := []byte("the only one")
	got, err := key.Authenticate(t.Context(), client.Assertion{
		RPID: "example.com", ClientDataHash: hash[:], Allow: []ctap2.Descriptor{{ID: id, Type: ctap2.PublicKeyType}},
	})
	if err != nil || len(got) != 1 || !bytes.Equal(got[0].Credential.ID, id) {
		t.Errorf("%v, %v", got, err)
	}
}
