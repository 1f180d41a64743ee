package simulator

import (
	"bytes"
	"crypto/ecdh"
	"testing"

	"github.com/fidokey/fidokey/internal/ctaptest"
)

// pinVectors is the part of pin-protocol-one and -two that an authenticator
// computes.
type pinVectors struct {
	Authenticator struct{ Private ctaptest.Hex }
	Platform      struct{ CoseKeyCbor ctaptest.Hex }
	EcdhZ         ctaptest.Hex
	SharedSecret  ctaptest.Hex
	SetPIN        struct {
		PaddedPin, NewPinEnc, PinUvAuthParam, StoredPinHash ctaptest.Hex
	}
	ChangePIN struct {
		NewPinUtf8, NewPinEnc, PinHashEnc, CurrentPinHash, NewPinHash, PinUvAuthParam ctaptest.Hex
	}
	GetPinUvAuthTokenUsingPinWithPermissions struct {
		PinHashEnc, TokenPlain, TokenIv, TokenEnc ctaptest.Hex
	}
	UseToken struct{ ClientDataHash, PinUvAuthParam ctaptest.Hex }
}

func TestPINProtocolVectors(t *testing.T) {
	key := &Authenticator{profile: DefaultProfile(), state: &state{}}
	for name, p := range map[string]pinProtocol{
		"pin-protocol-one": protocolOne{},
		"pin-protocol-two": protocolTwo{},
	} {
		t.Run(name, func(t *testing.T) {
			var v pinVectors
			ctaptest.Vectors(t, name, &v)
			private, err := ecdh.P256().NewPrivateKey(v.Authenticator.Private)
			if err != nil {
				t.Fatal(err)
			}
			platform := decodeKeyAgreement(item{raw: v.Platform.CoseKeyCbor, fault: &fault{}})
			secret, err := sharedSecret(p, private, platform)
			if err != nil || !bytes.Equal(secret, v.SharedSecret) {
				t.Fatalf("shared secret %x, %v", secret, err)
			}

			if !verify(p, secret, v.SetPIN.NewPinEnc, v.SetPIN.PinUvAuthParam) {
				t.Error("setPIN: MAC")
			}
			if padded, err := p.decrypt(secret, v.SetPIN.NewPinEnc); err != nil || !bytes.Equal(padded, v.SetPIN.PaddedPin) {
				t.Errorf("setPIN: %x, %v", padded, err)
			}
			pin, err := key.decryptNewPIN(p, secret, v.SetPIN.NewPinEnc)
			if err != nil {
				t.Fatal(err)
			}
			var d device
			d.setPIN(pin)
			if !bytes.Equal(d.PINHash, v.SetPIN.StoredPinHash) || d.PINLength != 4 {
				t.Errorf("setPIN: stored %+v", d)
			}

			if message := append(v.ChangePIN.NewPinEnc, v.ChangePIN.PinHashEnc...); !verify(p, secret, message, v.ChangePIN.PinUvAuthParam) {
				t.Error("changePIN: MAC")
			}
			if pin, err := key.decryptNewPIN(p, secret, v.ChangePIN.NewPinEnc); err != nil || !bytes.Equal(pin, v.ChangePIN.NewPinUtf8) {
				t.Errorf("changePIN: PIN %q, %v", pin, err)
			}
			for _, enc := range [][]byte{v.ChangePIN.PinHashEnc, v.GetPinUvAuthTokenUsingPinWithPermissions.PinHashEnc} {
				if hash, err := p.decrypt(secret, enc); err != nil || !bytes.Equal(hash, v.ChangePIN.CurrentPinHash) {
					t.Errorf("PIN hash %x, %v", hash, err)
				}
			}

			token := v.GetPinUvAuthTokenUsingPinWithPermissions
			if len(token.TokenIv) != p.ivSize() {
				t.Fatalf("IV of %d bytes", p.ivSize())
			}
			if enc, err := p.encrypt(secret, token.TokenIv, token.TokenPlain); err != nil || !bytes.Equal(enc, token.TokenEnc) {
				t.Errorf("token %x, %v", enc, err)
			}
			if !verify(p, token.TokenPlain, v.UseToken.ClientDataHash, v.UseToken.PinUvAuthParam) {
				t.Error("pinUvAuthParam")
			}
		})
	}
}

// TestCommandAuthVectors checks what the management commands are authenticated
// with, from the request as it comes.
func TestCommandAuthVectors(t *testing.T) {
	type vectors map[string]struct {
		SubCommandParamsCbor, Message, ProtocolOne, ProtocolTwo ctaptest.Hex
	}
	var v struct {
		PinUvAuthToken                                           ctaptest.Hex
		CredentialManagement, BioEnrollment, AuthenticatorConfig vectors
	}
	ctaptest.Vectors(t, "command-auth", &v)
	for _, command := range []struct {
		vectors vectors
		head    int // bytes of the message before the subcommand
		sub     byte
		message func(params []byte) ([]byte, error)
	}{
		{v.CredentialManagement, 0, 1, func(params []byte) ([]byte, error) {
			req, err := decodeCredentialManagement(params)
			return req.message(), err
		}},
		{v.BioEnrollment, 1, 2, func(params []byte) ([]byte, error) {
			req, err := decodeBioEnrollment(params)
			return req.message(), err
		}},
		{v.AuthenticatorConfig, 33, 1, func(params []byte) ([]byte, error) {
			req, err := decodeConfig(params)
			return req.message(), err
		}},
	} {
		if len(command.vectors) == 0 {
			t.Error("no vectors")
		}
		for name, c := range command.vectors {
			// {sub: subcommand, sub+1: subCommandParams}
			request := []byte{0xa1, command.sub, c.Message[command.head]}
			if c.SubCommandParamsCbor != nil {
				request = append([]byte{0xa2, command.sub, c.Message[command.head], command.sub + 1}, c.SubCommandParamsCbor...)
			}
			message, err := command.message(request)
			if err != nil || !verify(protocolOne{}, v.PinUvAuthToken, message, c.ProtocolOne) ||
				!verify(protocolTwo{}, v.PinUvAuthToken, message, c.ProtocolTwo) {
				t.Errorf("%s: message %x, %v", name, message, err)
			}
		}
	}
}
