package simulator

import (
	"bytes"
	"crypto/ecdh"
	"testing"

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
				a, err := New(Config{})
				if err != nil {
					t.Fatal(err)
				}
				defer a.Close()
				for _, p := range a.session.protocols {
					if p.private, err = ecdh.P256().NewPrivateKey(v.Authenticator.Private); err != nil {
						t.Fatal(err)
					}
				}
				m, fault := decodeParams(c.ExtensionInputCbor)
				input := decodeHMACSecret(m.must(extensionHMACSecret))
				if fault.err != nil {
					t.Fatal(fault.err)
				}
				salts, err := a.openHMACSecret(&input, true)
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
		level := decodeCredProtect(m.must(extensionCredProtect))
		var key keyMaterial
		outputs := map[string]any{}
		createCredProtect(level, &key, outputs)
		if fault.err != nil || key.CredProtect != c.Level {
			t.Errorf("level %d, %v, want %d", key.CredProtect, fault.err, c.Level)
		}
		data, err := authenticatorData(rpIDHash{}, 0, 0, nil, outputs)
		if err != nil || !bytes.HasSuffix(data, c.AuthDataOutputCbor) || len(data) != 37+len(c.AuthDataOutputCbor) {
			t.Errorf("output %x, %v", data[37:], err)
		}
	}
}
