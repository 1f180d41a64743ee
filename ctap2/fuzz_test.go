package ctap2_test

import (
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
)

// FuzzDecode reads each answer as every response that there is.
func FuzzDecode(f *testing.F) {
	var messages messageVectors
	var none struct{ MakeCredentialResponse ctaptest.Hex }
	var pin struct {
		GetKeyAgreement struct{ ResponseCbor ctaptest.Hex }
	}
	ctaptest.Vectors(f, "messages", &messages)
	ctaptest.Vectors(f, "attestation-none", &none)
	ctaptest.Vectors(f, "pin-protocol-two", &pin)
	for _, answer := range []ctaptest.Hex{messages.GetInfo.ResponseCbor, messages.GetAssertion.DiscoverableResponseCbor,
		none.MakeCredentialResponse, pin.GetKeyAgreement.ResponseCbor, {0x31}, {}} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		info := new(ctap2.GetInfoResponse)
		if ctap2.Decode(t.Context(), answer, ctap2.CommandGetInfo, info) == nil && len(info.Versions) == 0 {
			t.Error("getInfo without versions is taken")
		}
		made := new(ctap2.MakeCredentialResponse)
		if ctap2.Decode(t.Context(), answer, ctap2.CommandMakeCredential, made) == nil {
			ctap2.ParseAuthenticatorData(made.AuthData)
		}
		ctap2.Decode(t.Context(), answer, ctap2.CommandGetAssertion, new(ctap2.GetAssertionResponse))
		ctap2.Decode(t.Context(), answer, ctap2.CommandClientPIN, new(ctap2.ClientPINResponse))
	})
}

func FuzzParseAuthenticatorData(f *testing.F) {
	var v struct{ AuthData ctaptest.Hex }
	ctaptest.Vectors(f, "attestation-none", &v)
	f.Add([]byte(v.AuthData))
	f.Fuzz(func(t *testing.T, b []byte) {
		data, err := ctap2.ParseAuthenticatorData(b)
		if err == nil && (data.Flags&ctap2.FlagAT != 0) != (data.Credential != nil) {
			t.Error("flag AT and the credential data disagree")
		}
	})
}
