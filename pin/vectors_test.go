package pin_test

import (
	"bytes"
	"crypto/ecdh"
	"testing"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/pin"
)

type vectors struct {
	Protocol      pin.Protocol `json:"pinUvAuthProtocol"`
	Authenticator struct{ CoseKeyCbor ctaptest.Hex }
	Platform      struct{ Private, CoseKeyCbor ctaptest.Hex }
	SharedSecret  ctaptest.Hex
	SetPIN        struct {
		Pin                                                                  string
		PaddedPin, IV, NewPinEnc, PinUvAuthParam, StoredPinHash, RequestCbor ctaptest.Hex
	}
	ChangePIN struct {
		CurrentPin, NewPin                                 string
		CurrentPinHash, NewPinHash, IvNewPin, IvPinHash    ctaptest.Hex
		NewPinEnc, PinHashEnc, PinUvAuthParam, RequestCbor ctaptest.Hex
	}
	TokenWithPermissions struct {
		PinHashEnc, IV, RequestCbor, TokenPlain, TokenEnc, ResponseCbor ctaptest.Hex
		Permissions                                                     ctap2.Permissions
		RPID                                                            string
	} `json:"getPinUvAuthTokenUsingPinWithPermissions"`
	GetPinToken     struct{ RequestCbor ctaptest.Hex }
	GetKeyAgreement struct{ RequestCbor, ResponseCbor ctaptest.Hex }
	UseToken        struct{ ClientDataHash, PinUvAuthParam ctaptest.Hex }
	ShortToken16    struct{ TokenPlain, TokenEnc, ClientDataHash, PinUvAuthParam ctaptest.Hex }
}

// TestVectors goes through the whole exchange of each protocol with the keys and
// IVs of the vectors: every request must come out byte for byte.
func TestVectors(t *testing.T) {
	for _, name := range []string{"pin-protocol-one", "pin-protocol-two"} {
		t.Run(name, func(t *testing.T) {
			var v vectors
			ctaptest.Vectors(t, name, &v)

			equal(t, "getKeyAgreement request", encode(t, ctap2.ClientPIN{
				PINUVAuthProtocol: uint(v.Protocol), SubCommand: ctap2.GetKeyAgreement,
			}), v.GetKeyAgreement.RequestCbor)
			var agreement ctap2.ClientPINResponse
			if err := ctap2.Decode(t.Context(), v.GetKeyAgreement.ResponseCbor, ctap2.CommandClientPIN, &agreement); err != nil {
				t.Fatal(err)
			}
			equal(t, "authenticator key", agreement.KeyAgreement.Raw(), v.Authenticator.CoseKeyCbor)

			private, err := ecdh.P256().NewPrivateKey(v.Platform.Private)
			if err != nil {
				t.Fatal(err)
			}
			platform, secret, err := pin.EncapsulateWith(v.Protocol, agreement.KeyAgreement, private)
			if err != nil {
				t.Fatal(err)
			}
			key, err := platform.MarshalCBOR()
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "platform key", key, v.Platform.CoseKeyCbor)
			equal(t, "shared secret", secret.Bytes(), v.SharedSecret)

			testSetPIN(t, v, &platform, secret)
			testChangePIN(t, v, &platform, secret)
			testToken(t, v, &platform, secret)
		})
	}
}

func testSetPIN(t *testing.T, v vectors, platform *cose.Key, secret *pin.Secret) {
	set := v.SetPIN
	equal(t, "padded PIN", pin.Padded([]byte(set.Pin)), set.PaddedPin)
	equal(t, "PIN hash", pin.Hash([]byte(set.Pin)), set.StoredPinHash)
	newPINEnc := encrypt(t, secret, set.PaddedPin, set.IV)
	equal(t, "newPinEnc", newPINEnc, set.NewPinEnc)
	param := secret.Authenticate(newPINEnc)
	equal(t, "setPIN pinUvAuthParam", param, set.PinUvAuthParam)
	equal(t, "setPIN request", encode(t, ctap2.ClientPIN{
		PINUVAuthProtocol: uint(v.Protocol), SubCommand: ctap2.SetPIN, KeyAgreement: platform,
		PINUVAuthParam: param, NewPINEnc: newPINEnc,
	}), set.RequestCbor)
	plain, err := secret.Decrypt(set.NewPinEnc)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "decrypted newPinEnc", plain, set.PaddedPin)
}

func testChangePIN(t *testing.T, v vectors, platform *cose.Key, secret *pin.Secret) {
	change := v.ChangePIN
	equal(t, "new PIN hash", pin.Hash([]byte(change.NewPin)), change.NewPinHash)
	newPINEnc := encrypt(t, secret, pin.Padded([]byte(change.NewPin)), change.IvNewPin)
	equal(t, "changePIN newPinEnc", newPINEnc, change.NewPinEnc)
	pinHashEnc := encrypt(t, secret, pin.Hash([]byte(change.CurrentPin)), change.IvPinHash)
	equal(t, "changePIN pinHashEnc", pinHashEnc, change.PinHashEnc)
	param := secret.Authenticate(bytes.Join([][]byte{newPINEnc, pinHashEnc}, nil))
	equal(t, "changePIN pinUvAuthParam", param, change.PinUvAuthParam)
	equal(t, "changePIN request", encode(t, ctap2.ClientPIN{
		PINUVAuthProtocol: uint(v.Protocol), SubCommand: ctap2.ChangePIN, KeyAgreement: platform,
		PINUVAuthParam: param, NewPINEnc: newPINEnc, PINHashEnc: pinHashEnc,
	}), change.RequestCbor)
}

func testToken(t *testing.T, v vectors, platform *cose.Key, secret *pin.Secret) {
	get := v.TokenWithPermissions
	pinHashEnc := encrypt(t, secret, pin.Hash([]byte(v.SetPIN.Pin)), get.IV)
	equal(t, "token pinHashEnc", pinHashEnc, get.PinHashEnc)
	req := ctap2.ClientPIN{
		PINUVAuthProtocol: uint(v.Protocol), SubCommand: ctap2.GetPINToken,
		KeyAgreement: platform, PINHashEnc: pinHashEnc,
	}
	equal(t, "getPinToken request", encode(t, req), v.GetPinToken.RequestCbor)
	req.SubCommand = ctap2.GetPINUVAuthTokenUsingPINWithPermissions
	req.Permissions, req.RPID = get.Permissions, get.RPID
	equal(t, "token request", encode(t, req), get.RequestCbor)

	var resp ctap2.ClientPINResponse
	if err := ctap2.Decode(t.Context(), get.ResponseCbor, ctap2.CommandClientPIN, &resp); err != nil {
		t.Fatal(err)
	}
	token, err := pin.OpenToken(secret, resp.PINUVAuthToken)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "pinUvAuthParam", token.Authenticate(v.UseToken.ClientDataHash), v.UseToken.PinUvAuthParam)

	if short := v.ShortToken16; short.TokenEnc != nil {
		token, err := pin.OpenToken(secret, short.TokenEnc)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "pinUvAuthParam of a short token", token.Authenticate(short.ClientDataHash), short.PinUvAuthParam)
	}
}

// TestTokenAuthenticatesCommands compares the params of the management commands.
func TestTokenAuthenticatesCommands(t *testing.T) {
	var protocols [2]vectors
	ctaptest.Vectors(t, "pin-protocol-one", &protocols[0])
	ctaptest.Vectors(t, "pin-protocol-two", &protocols[1])
	var file map[string]any
	ctaptest.Vectors(t, "command-auth", &file)
	tokens := make([]*pin.Token, 2)
	for i, v := range protocols {
		tokens[i] = tokenOf(t, v)
	}
	if n := compareParams(t, tokens, file); n < 10 {
		t.Fatalf("only %d messages in the vectors", n)
	}
}

// compareParams walks the vectors for objects that have a message and its params.
func compareParams(t *testing.T, tokens []*pin.Token, node map[string]any) (n int) {
	if message, ok := node["message"].(string); ok {
		for i, member := range []string{"protocolOne", "protocolTwo"} {
			equal(t, message+" "+member, tokens[i].Authenticate(unhex(t, message)), unhex(t, node[member].(string)))
		}
		n++
	}
	for _, child := range node {
		if child, ok := child.(map[string]any); ok {
			n += compareParams(t, tokens, child)
		}
	}
	return n
}
