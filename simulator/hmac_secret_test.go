package simulator

import (
	"bytes"
	"crypto/ecdh"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/internal/ctaptest"
)

type hmacSecretVectors struct {
	PinUvAuthProtocol                     uint
	Authenticator                         struct{ Private ctaptest.Hex }
	CredRandomWithUV, CredRandomWithoutUV ctaptest.Hex
	Cases                                 []struct {
		Name                                      string
		UV                                        bool
		ExtensionInputCbor, ResponseIv, OutputEnc ctaptest.Hex
	}
	HmacSecretMc struct{ MakeCredentialExtensionsCbor, AuthenticatorDataExtensionsCbor ctaptest.Hex }
}

// TestHMACSecretVectors decodes the inputs of the vectors and must come to their
// outputs, byte for byte, with their IVs.
func TestHMACSecretVectors(t *testing.T) {
	for _, name := range []string{"hmac-secret-one", "hmac-secret-two"} {
		var v hmacSecretVectors
		ctaptest.Vectors(t, name, &v)
		if len(v.Cases) != 4 {
			t.Fatalf("%s: %d cases", name, len(v.Cases))
		}
		for _, c := range v.Cases {
			t.Run(name+", "+c.Name, func(t *testing.T) {
				a := vectorKey(t, v)
				m, fault := decodeParams(c.ExtensionInputCbor)
				input := decodeHMACSecret(m.must(extensionHMACSecret))
				if fault.err != nil {
					t.Fatal(fault.err)
				}
				salts, err := a.openHMACSecret(&input)
				if err != nil {
					t.Fatal(err)
				}
				a.config.Random = bytes.NewReader(c.ResponseIv)
				made := &credential{keyMaterial: keyMaterial{CredRandomWithUV: v.CredRandomWithUV, CredRandomWithoutUV: v.CredRandomWithoutUV}}
				output, err := a.hmacSecretOutput(salts, made, c.UV)
				if err != nil || !bytes.Equal(output, c.OutputEnc) {
					t.Errorf("output %x, %v, want %x", output, err, c.OutputEnc)
				}
			})
		}
	}
}

// TestHMACSecretMCVectors is the same for hmac-secret-mc.
func TestHMACSecretMCVectors(t *testing.T) {
	for _, name := range []string{"hmac-secret-one", "hmac-secret-two"} {
		var v hmacSecretVectors
		ctaptest.Vectors(t, name, &v)
		a := vectorKey(t, v)
		m, fault := decodeParams(v.HmacSecretMc.MakeCredentialExtensionsCbor)
		input := decodeHMACSecretMC(m.must(extensionHMACSecretMC))
		if fault.err != nil {
			t.Fatal(fault.err)
		}
		a.config.Random = bytes.NewReader(v.Cases[2].ResponseIv)
		r := &registration{creation: &creation{flags: ctap2.FlagUV}, credential: &credential{keyMaterial: keyMaterial{
			CredRandomWithUV: v.CredRandomWithUV, CredRandomWithoutUV: v.CredRandomWithoutUV,
		}}}
		r.outputs.sign(extensionHMACSecret, true)
		if err := input.create(a, r); err != nil {
			t.Fatal(err)
		}
		got, err := ctapcbor.Marshal(r.outputs.signed)
		if err != nil || !bytes.Equal(got, v.HmacSecretMc.AuthenticatorDataExtensionsCbor) {
			t.Errorf("%s: output %x, %v", name, got, err)
		}
	}
}

// vectorKey is an Authenticator with the key agreement key of the vectors.
func vectorKey(t *testing.T, v hmacSecretVectors) *Authenticator {
	t.Helper()
	a, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	for _, p := range a.session.protocols {
		if p.private, err = ecdh.P256().NewPrivateKey(v.Authenticator.Private); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// TestCredProtectVectors reads the inputs and writes the outputs of the vectors.
func TestCredProtectVectors(t *testing.T) {
	var v struct {
		CredProtect []struct {
			Level                                       uint
			MakeCredentialInputCbor, AuthDataOutputCbor ctaptest.Hex
		}
	}
	ctaptest.Vectors(t, "extensions", &v)
	if len(v.CredProtect) != 3 {
		t.Fatalf("%d levels", len(v.CredProtect))
	}
	for _, c := range v.CredProtect {
		m, fault := decodeParams(c.MakeCredentialInputCbor)
		r := &registration{credential: &credential{}}
		err := decodeCredProtect(m.must(extensionCredProtect)).create(nil, r)
		if fault.err != nil || err != nil || r.credential.CredProtect != c.Level {
			t.Errorf("level %d, %v, want %d", r.credential.CredProtect, fault.err, c.Level)
		}
		data, err := authenticatorData(rpIDHash{}, 0, 0, nil, r.outputs.signed)
		if err != nil || !bytes.HasSuffix(data, c.AuthDataOutputCbor) || len(data) != 37+len(c.AuthDataOutputCbor) {
			t.Errorf("output %x, %v", data[37:], err)
		}
	}
}
