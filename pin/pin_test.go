package pin_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/pin"
)

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if len(want) == 0 || !bytes.Equal(got, want) {
		t.Errorf("%s:\n got %x\nwant %x", what, got, want)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func encode(t *testing.T, req ctap2.ClientPIN) []byte {
	t.Helper()
	msg, err := ctap2.Encode(req)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func encrypt(t *testing.T, s *pin.Secret, plain, iv []byte) []byte {
	t.Helper()
	if iv == nil {
		iv = make([]byte, 16) // protocol one
	}
	out, err := s.EncryptWithIV(plain, iv)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func secretOf(t *testing.T, v vectors) *pin.Secret {
	t.Helper()
	var agreement ctap2.ClientPINResponse
	if err := ctap2.Decode(t.Context(), v.GetKeyAgreement.ResponseCbor, ctap2.CommandClientPIN, &agreement); err != nil {
		t.Fatal(err)
	}
	private, err := ecdh.P256().NewPrivateKey(v.Platform.Private)
	if err != nil {
		t.Fatal(err)
	}
	_, secret, err := pin.EncapsulateWith(v.Protocol, agreement.KeyAgreement, private)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func tokenOf(t *testing.T, v vectors) *pin.Token {
	t.Helper()
	token, err := pin.OpenToken(secretOf(t, v), v.TokenWithPermissions.TokenEnc)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestCheck(t *testing.T) {
	eight := uint(8)
	for _, tt := range []struct {
		name, pin string
		info      ctap2.GetInfoResponse
		want      string // part of the error; empty: accepted
	}{
		{name: "four digits", pin: "1234"},
		{name: "three digits", pin: "123", want: "at least 4"},
		{name: "below the key's minimum", pin: "1234567", info: ctap2.GetInfoResponse{MinPINLength: &eight}, want: "at least 8"},
		{name: "above the key's maximum", pin: "123456789", info: ctap2.GetInfoResponse{MaxPINLength: &eight}, want: "at most 8"},
		{name: "length counts code points", pin: "äöüß"},
		{name: "three code points of many bytes", pin: "日本語", want: "at least 4"},
		{name: "combining marks are joined first", pin: "a\u0308o\u0308u\u0308", want: "at least 4"},
		{name: "63 bytes", pin: strings.Repeat("x", 63)},
		{name: "64 bytes", pin: strings.Repeat("x", 64), want: "at most 63"},
		{name: "zero byte at the end", pin: "12345\x00", want: "zero byte"},
		{name: "zero byte inside", pin: "12\x00345"},
		{name: "not UTF-8", pin: "1234\xff", want: "UTF-8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			typed := []byte(tt.pin)
			err := pin.Check(&tt.info, typed)
			if string(typed) != tt.pin {
				t.Errorf("the caller's PIN was changed to %q", typed)
			}
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, pin.ErrPolicy) || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			if strings.Contains(err.Error(), tt.pin) {
				t.Errorf("the PIN is in the error: %v", err)
			}
		})
	}
}

func TestNormalisation(t *testing.T) {
	composed, decomposed := "pässwörd", "pa\u0308sswo\u0308rd"
	if !bytes.Equal(pin.Hash([]byte(composed)), pin.Hash([]byte(decomposed))) {
		t.Error("two spellings of one PIN give two hashes")
	}
	if !bytes.Equal(pin.Padded([]byte(composed)), pin.Padded([]byte(decomposed))) {
		t.Error("two spellings of one PIN are sent differently")
	}
}

func TestProtocols(t *testing.T) {
	for _, tt := range []struct {
		version string
		listed  []uint
		want    []pin.Protocol
	}{
		{"FIDO_2_0", nil, []pin.Protocol{pin.One}},
		{"FIDO_2_1", nil, []pin.Protocol{pin.Two, pin.One}},
		{"FIDO_2_1", []uint{1}, []pin.Protocol{pin.One}},
		{"FIDO_2_1", []uint{2, 1}, []pin.Protocol{pin.Two, pin.One}},
		{"FIDO_2_1", []uint{1, 2, 1}, []pin.Protocol{pin.One, pin.Two}},
		{"FIDO_2_1", []uint{9, 2}, []pin.Protocol{pin.Two}},
		{"FIDO_2_1", []uint{9}, nil},
	} {
		got, err := pin.Protocols(&ctap2.GetInfoResponse{Versions: []string{tt.version}, PINUVAuthProtocols: tt.listed})
		if !slices.Equal(got, tt.want) || errors.Is(err, pin.ErrNoProtocol) != (tt.want == nil) {
			t.Errorf("%s %v: %v, %v; want %v", tt.version, tt.listed, got, err, tt.want)
		}
	}
}

// refusingDevice fails the test when anything is sent.
type refusingDevice struct{ t *testing.T }

func (d refusingDevice) Exchange(context.Context, []byte) ([]byte, error) {
	d.t.Error("something was sent to the key")
	return nil, errors.New("unexpected")
}

func (refusingDevice) Close() error { return nil }

func TestBadNewPINIsNotSent(t *testing.T) {
	dev, info := refusingDevice{t}, &ctap2.GetInfoResponse{}
	if err := pin.Set(t.Context(), dev, info, pin.One, []byte("123")); !errors.Is(err, pin.ErrPolicy) {
		t.Errorf("Set: %v", err)
	}
	if err := pin.Change(t.Context(), dev, info, pin.One, []byte("1234"), []byte("123")); !errors.Is(err, pin.ErrPolicy) {
		t.Errorf("Change: %v", err)
	}
}

// scriptedDevice answers command by command and keeps what it was asked.
type scriptedDevice struct {
	answers [][]byte
	asked   [][]byte
}

func (d *scriptedDevice) Exchange(_ context.Context, msg []byte) ([]byte, error) {
	d.asked = append(d.asked, msg)
	if len(d.answers) == 0 {
		return nil, errors.New("no answer left")
	}
	answer := d.answers[0]
	d.answers = d.answers[1:]
	return answer, nil
}

func (*scriptedDevice) Close() error { return nil }

func TestWrongPINCostsOneTry(t *testing.T) {
	var v vectors
	ctaptest.Vectors(t, "pin-protocol-two", &v)
	for _, status := range []ctap2.Status{ctap2.ErrPINInvalid, ctap2.ErrPINAuthBlocked, ctap2.ErrPINBlocked} {
		dev := &scriptedDevice{answers: [][]byte{
			v.GetKeyAgreement.ResponseCbor,
			{byte(status)},
			unhex(t, "00a20305"+"04f5"),
		}}
		info := &ctap2.GetInfoResponse{PINUVAuthProtocols: []uint{2}}
		_, err := pin.GetToken(t.Context(), dev, info, pin.One, []byte("9999"), pin.Grant{Permissions: ctap2.PermissionGA, RPID: "example.com"})
		var wrong *pin.Error
		if !errors.Is(err, status) || !errors.As(err, &wrong) {
			t.Fatalf("error %v", err)
		}
		if wrong.Retries != (pin.Retries{Left: 5, PowerCycle: true}) {
			t.Errorf("retries %+v", wrong.Retries)
		}
		// key agreement, one try, retries
		if len(dev.asked) != 3 {
			t.Errorf("%d exchanges, want 3: %x", len(dev.asked), dev.asked)
		}
		if strings.Contains(err.Error(), "9999") {
			t.Error("the PIN is in the error")
		}
	}
}

func TestMalformedAnswers(t *testing.T) {
	var v vectors
	ctaptest.Vectors(t, "pin-protocol-two", &v)
	agreement := []byte(v.GetKeyAgreement.ResponseCbor)
	for name, answers := range map[string][][]byte{
		"no key agreement":     {{0}},
		"key of a wrong type":  {unhex(t, "00a10101")},
		"point off the curve":  {append(bytes.Clone(agreement[:len(agreement)-1]), 0xd5)},
		"no token":             {agreement, {0}},
		"token cut off":        {agreement, unhex(t, "00a10241aa")},
		"token of 16 bytes":    {agreement, append(unhex(t, "00a1025820"), make([]byte, 32)...)},
		"status byte missing":  {agreement, {}},
		"answer not a map":     {agreement, unhex(t, "0001")},
		"answer is broken off": {agreement, unhex(t, "00a102")},
	} {
		t.Run(name, func(t *testing.T) {
			dev := &scriptedDevice{answers: answers}
			_, err := pin.GetToken(t.Context(), dev, &ctap2.GetInfoResponse{}, pin.Two, []byte("1234"), pin.Grant{Permissions: ctap2.PermissionGA, RPID: "example.com"})
			if !errors.Is(err, ctap2.ErrMalformed) {
				t.Fatalf("error %v", err)
			}
		})
	}
	if _, err := pin.GetRetries(t.Context(), &scriptedDevice{answers: [][]byte{{0}}}); !errors.Is(err, ctap2.ErrMalformed) {
		t.Errorf("retries: %v", err)
	}
}

func FuzzDecrypt(f *testing.F) {
	f.Add(make([]byte, 48))
	f.Add(make([]byte, 31))
	f.Fuzz(func(t *testing.T, ciphertext []byte) {
		var one, two vectors
		ctaptest.Vectors(t, "pin-protocol-one", &one)
		ctaptest.Vectors(t, "pin-protocol-two", &two)
		for _, v := range []vectors{one, two} {
			plain, err := secretOf(t, v).Decrypt(ciphertext)
			if err == nil && len(plain)%16 != 0 {
				t.Errorf("%d bytes of plaintext", len(plain))
			}
		}
	})
}
