package simulator

import (
	"bytes"
	"slices"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
)

type u2fVectors struct {
	ApplicationParameter, ChallengeParameterRegister ctaptest.Hex
	KeyHandle, CredentialPrivate                     ctaptest.Hex
	PublicKeyUncompressed                            ctaptest.Hex
	Register                                         struct {
		RequestExtendedApdu, RequestShortApdu, SignatureBase ctaptest.Hex
	}
	Authenticate struct{ RequestExtendedApdu, Response ctaptest.Hex }
	Version      struct{ RequestExtendedApdu, ResponseOk ctaptest.Hex }
	AsCtap2      struct{ FidoU2fAuthData ctaptest.Hex }
}

// TestU2FVectors plays the key of the vectors, byte for byte.
func TestU2FVectors(t *testing.T) {
	var v u2fVectors
	ctaptest.Vectors(t, "u2f", &v)
	p := DefaultProfile()
	withExtensions(p)
	a, err := New(Config{Profile: p})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	c := &credential{
		keyMaterial: keyMaterial{Algorithm: -7, Seed: v.CredentialPrivate, CredProtect: 1},
		ID:          v.KeyHandle, RPIDHash: rpIDHash(v.ApplicationParameter),
	}

	// Registration, over U2F and as CTAP2 reports it.
	for _, apdu := range [][]byte{v.Register.RequestExtendedApdu, v.Register.RequestShortApdu} {
		cmd, sw := decodeAPDU(apdu)
		want := slices.Concat(v.ChallengeParameterRegister, v.ApplicationParameter)
		if sw != swOK || cmd.ins != u2fRegister || !bytes.Equal(cmd.data, want) {
			t.Errorf("REGISTER: %+v, SW %04x", cmd, sw)
		}
	}
	point, err := c.publicPoint()
	if err != nil || !bytes.Equal(point, v.PublicKeyUncompressed) {
		t.Errorf("public key %x, %v", point, err)
	}
	if base := u2fRegistrationBase(c, v.ChallengeParameterRegister, point); !bytes.Equal(base, v.Register.SignatureBase) {
		t.Errorf("signature base %x", base)
	}
	r := &registration{creation: &creation{alg: -7, rpIDHash: c.RPIDHash, flags: ctap2.FlagUP}, credential: c}
	resp, err := a.attest(r, &makeCredentialRequest{clientDataHash: v.ChallengeParameterRegister, attestationFormats: []string{formatU2F}})
	if err != nil || resp.Format != formatU2F || !bytes.Equal(resp.AuthData, v.AsCtap2.FidoU2fAuthData) {
		t.Errorf("%+v, %v", resp, err)
	}

	// Authentication: the counter was 41.
	device := a.state.device
	device.SignCount = 41
	if err := a.state.commit(change{device: device, put: []*credential{c}}); err != nil {
		t.Fatal(err)
	}
	for request, want := range map[string]ctaptest.Hex{
		string(v.Authenticate.RequestExtendedApdu): v.Authenticate.Response,
		string(v.Version.RequestExtendedApdu):      v.Version.ResponseOk,
	} {
		if got, err := a.Message(t.Context(), []byte(request)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%x: %x, %v, want %x", request, got, err, want)
		}
	}
}
