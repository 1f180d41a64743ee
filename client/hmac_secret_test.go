package client_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
)

// hmacVectors are the known answers for one PIN/UV auth protocol.
type hmacVectors struct {
	PinUvAuthProtocol uint
	Authenticator     struct{ Private, CoseKeyCbor ctaptest.Hex }
	Cases             []struct {
		Name                    string
		Uv                      bool
		Salts, Output1, Output2 ctaptest.Hex
	}
	CredRandomWithUV, CredRandomWithoutUV ctaptest.Hex
}

// secretKey is a key with the authenticator's side of hmac-secret only, done
// here without package pin.
type secretKey struct {
	t          *testing.T
	v          *hmacVectors
	credRandom []byte
	salts      []byte // of the last request, decrypted
	cut        int    // bytes that are left away from the output
}

func (k *secretKey) Close() error { return nil }

func (k *secretKey) Exchange(_ context.Context, msg []byte) ([]byte, error) {
	var answer any
	switch ctap2.Command(msg[0]) {
	case ctap2.CommandGetInfo:
		answer = map[int]any{
			1: []string{"FIDO_2_1"}, 2: []string{"hmac-secret"}, 3: make([]byte, 16), 6: []uint{k.v.PinUvAuthProtocol},
		}
	case ctap2.CommandClientPIN:
		answer = map[int]any{1: cbor.RawMessage(k.v.Authenticator.CoseKeyCbor)}
	case ctap2.CommandGetAssertion:
		in := plainMap(k.t, msg[1:])[4].(map[any]any)["hmac-secret"].(map[any]any)
		data := append(make([]byte, 32), byte(ctap2.FlagUP|ctap2.FlagED), 0, 0, 0, 1)
		output, _ := cbor.Marshal(map[string]any{"hmac-secret": k.output(in)})
		answer = map[int]any{1: map[string]any{"id": []byte{1}, "type": "public-key"}, 2: append(data, output...), 3: []byte{1}, 4: map[string]any{"id": []byte{1}}}
	}
	canonical, err := cbor.CTAP2EncOptions().EncMode()
	if err != nil {
		return nil, err
	}
	raw, err := canonical.Marshal(answer)
	return append([]byte{0}, raw...), err
}

// output decrypts the salts, checks their MAC and encrypts the answer.
func (k *secretKey) output(in map[any]any) []byte {
	private, err := ecdh.P256().NewPrivateKey(k.v.Authenticator.Private)
	if err != nil {
		k.t.Fatal(err)
	}
	platform := in[uint64(1)].(map[any]any)
	public, err := ecdh.P256().NewPublicKey(slices.Concat([]byte{4}, platform[int64(-2)].([]byte), platform[int64(-3)].([]byte)))
	if err != nil {
		k.t.Fatal(err)
	}
	z, _ := private.ECDH(public)
	sum := sha256.Sum256(z)
	aesKey, hmacKey := sum[:], sum[:]
	protocol, named := in[uint64(4)]
	if k.v.PinUvAuthProtocol == 2 {
		aesKey, _ = hkdf.Key(sha256.New, z, make([]byte, 32), "CTAP2 AES key", 32)
		hmacKey, _ = hkdf.Key(sha256.New, z, make([]byte, 32), "CTAP2 HMAC key", 32)
	}
	if named != (k.v.PinUvAuthProtocol == 2) || named && protocol != uint64(2) {
		k.t.Errorf("protocol %v is named", protocol)
	}
	saltEnc := in[uint64(2)].([]byte)
	mac := hmac.New(sha256.New, hmacKey)
	mac.Write(saltEnc)
	if got := in[uint64(3)].([]byte); !bytes.HasPrefix(mac.Sum(nil), got) || len(got) != 16*int(k.v.PinUvAuthProtocol) {
		k.t.Errorf("saltAuth %x", got)
	}
	block, _ := aes.NewCipher(aesKey)
	iv := make([]byte, 16)
	if k.v.PinUvAuthProtocol == 2 {
		iv, saltEnc = saltEnc[:16], saltEnc[16:]
	}
	k.salts = make([]byte, len(saltEnc))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(k.salts, saltEnc)

	var plain []byte
	for salt := range slices.Chunk(k.salts, 32) {
		mac := hmac.New(sha256.New, k.credRandom)
		mac.Write(salt)
		plain = mac.Sum(plain)
	}
	plain = plain[:len(plain)-k.cut]
	clear(iv)
	out := make([]byte, len(plain))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, plain)
	if k.v.PinUvAuthProtocol == 2 {
		out = append(iv, out...)
	}
	return out
}

// TestHMACSecretKnownAnswers: the salts arrive as they are meant, and the outputs
// are those of another implementation.
func TestHMACSecretKnownAnswers(t *testing.T) {
	for _, name := range []string{"one", "two"} {
		var v hmacVectors
		ctaptest.Vectors(t, "hmac-secret-"+name, &v)
		for _, c := range v.Cases {
			t.Run(fmt.Sprintf("protocol %s, %s", name, c.Name), func(t *testing.T) {
				device := &secretKey{t: t, v: &v, credRandom: v.CredRandomWithoutUV}
				if c.Uv {
					device.credRandom = v.CredRandomWithUV
				}
				var findings []ctap2.Finding
				key := client.New(device, client.Options{Findings: func(f ctap2.Finding) { findings = append(findings, f) }})
				a := client.Assertion{RPID: "example.com", ClientDataHash: hash[:]}
				a.Extensions.HMACSecretSalts = slices.Collect(slices.Chunk([]byte(c.Salts), 32))
				got, err := key.Authenticate(t.Context(), a)
				if err != nil {
					t.Fatal(err)
				}
				outputs := got[0].Extensions.HMACSecretOutputs
				if !bytes.Equal(device.salts, c.Salts) || !bytes.Equal(bytes.Join(outputs, nil), slices.Concat(c.Output1, c.Output2)) {
					t.Errorf("salts %x, outputs %x", device.salts, outputs)
				}
				if len(findings) != 0 {
					t.Errorf("findings %v", findings)
				}
				// One block short: no secret, and the assertion is good.
				device.cut = 16
				got, err = key.Authenticate(t.Context(), a)
				if err != nil || got[0].Extensions.HMACSecretOutputs != nil || len(findings) != 1 || !strings.Contains(findings[0].What, "hmac-secret") || len(findings[0].Raw) == 0 {
					t.Errorf("cut: %v, %v, findings %v", got, err, findings)
				}
			})
		}
	}
}
