package u2f_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
	"github.com/fidokey/fidokey/u2f"
)

var (
	_ u2f.Messenger = (*hid.Device)(nil)
	_ u2f.Messenger = (*nfc.Device)(nil)
)

type vectors struct {
	ApplicationParameter, ChallengeParameterRegister     ctaptest.Hex
	KeyHandle, PublicKeyUncompressed, AttestationCertDer ctaptest.Hex
	Register                                             struct{ RequestExtendedApdu, Signature, Response ctaptest.Hex }
	Authenticate                                         struct {
		Control                                                      u2f.Control
		Counter                                                      uint32
		RequestExtendedApdu, ChallengeParameter, Signature, Response ctaptest.Hex
	}
	Version struct{ RequestExtendedApdu, ResponseOk ctaptest.Hex }
}

func load(tb testing.TB) vectors {
	var v vectors
	ctaptest.Vectors(tb, "u2f", &v)
	return v
}

// script answers each APDU with what stands in it, in hexadecimal, and notes what
// was asked.
type script struct {
	answers map[string]string
	asked   []string
}

func (s *script) Message(_ context.Context, apdu []byte) ([]byte, error) {
	s.asked = append(s.asked, hex.EncodeToString(apdu))
	answer, ok := s.answers[hex.EncodeToString(apdu)]
	if !ok {
		answer = s.answers[""]
	}
	return hex.DecodeString(answer)
}

// says answers everything alike.
func says(answer string) *script { return &script{answers: map[string]string{"": answer}} }

func TestKnownAnswers(t *testing.T) {
	v := load(t)
	key := &script{answers: map[string]string{
		hex.EncodeToString(v.Register.RequestExtendedApdu):     hex.EncodeToString(v.Register.Response),
		hex.EncodeToString(v.Authenticate.RequestExtendedApdu): hex.EncodeToString(v.Authenticate.Response),
		hex.EncodeToString(v.Version.RequestExtendedApdu):      hex.EncodeToString(v.Version.ResponseOk),
		"": "6f00",
	}}
	application := [32]byte(v.ApplicationParameter)
	made, err := u2f.Do(t.Context(), key, u2f.Register{Challenge: [32]byte(v.ChallengeParameterRegister), Application: application})
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2][]byte{
		"public key":  {made.PublicKey, v.PublicKeyUncompressed},
		"key handle":  {made.KeyHandle, v.KeyHandle},
		"certificate": {made.Certificate, v.AttestationCertDer},
		"signature":   {made.Signature, v.Register.Signature},
		"raw":         {made.Raw, v.Register.Response[:len(v.Register.Response)-2]},
	} {
		if !bytes.Equal(pair[0], pair[1]) {
			t.Errorf("%s %x", name, pair[0])
		}
	}
	signed, err := u2f.Do(t.Context(), key, u2f.Authenticate{
		Control: v.Authenticate.Control, Challenge: [32]byte(v.Authenticate.ChallengeParameter), Application: application, KeyHandle: v.KeyHandle,
	})
	if err != nil {
		t.Fatal(err)
	}
	if signed.UserPresence != 1 || signed.Counter != v.Authenticate.Counter || !bytes.Equal(signed.Signature, v.Authenticate.Signature) || len(signed.Raw) != 5+len(signed.Signature) {
		t.Errorf("%+v", signed)
	}
	version, err := u2f.Do(t.Context(), key, u2f.Version{})
	if err != nil || version.Version != u2f.V2 {
		t.Errorf("%+v, %v", version, err)
	}
}

// TestTwoFramings: a command without data that a key finds too short or too long
// is sent in the other form, once.
func TestTwoFramings(t *testing.T) {
	const bare, withLc = "00030000000000", "000300000000000000"
	var found []string
	ctx := transport.WithFindings(t.Context(), func(f transport.Finding) { found = append(found, f.What) })
	key := &script{answers: map[string]string{bare: "6700", withLc: "5532465f56329000"}}
	if v, err := u2f.Do(ctx, key, u2f.Version{}); err != nil || v.Version != u2f.V2 {
		t.Errorf("%v, %v", v, err)
	}
	if len(found) != 1 || !slices.Equal(key.asked, []string{bare, withLc}) {
		t.Errorf("findings %q, asked %q", found, key.asked)
	}
	for answer, asked := range map[string]int{"6700": 2, "6d00": 1, "5532465f56329000": 1} {
		key := says(answer)
		u2f.Do(ctx, key, u2f.Version{})
		if len(key.asked) != asked {
			t.Errorf("%s: asked %q", answer, key.asked)
		}
	}
	key = says("6700")
	if _, err := u2f.Do(ctx, key, u2f.Register{}); !errors.Is(err, u2f.ErrWrongLength) || len(key.asked) != 1 {
		t.Errorf("with data: %v, asked %q", err, key.asked)
	}
	if len(found) != 1 {
		t.Errorf("findings %q", found)
	}
}

func TestStatusWords(t *testing.T) {
	for answer, want := range map[string]u2f.StatusWord{
		"6700": u2f.ErrWrongLength, "6985": u2f.ErrConditionsNotSatisfied, "6a80": u2f.ErrWrongData,
		"6d00": u2f.ErrINSNotSupported, "6e00": u2f.ErrClassNotSupported, "6986": u2f.ErrCommandNotAllowed, "f123": 0xf123,
	} {
		_, err := u2f.Do(t.Context(), says(answer), u2f.Register{})
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "U2F_REGISTER") || !strings.Contains(err.Error(), answer) {
			t.Errorf("%s: %v", answer, err)
		}
	}
}

func TestMalformed(t *testing.T) {
	v := load(t)
	register := v.Register.Response[:len(v.Register.Response)-2]
	change := func(at int, to byte) []byte {
		b := bytes.Clone(register)
		b[at] = to
		return b
	}
	certificate := 67 + len(v.KeyHandle)
	for name, answer := range map[string][]byte{
		"empty":                   {},
		"cut off in the key":      register[:60],
		"another first byte":      change(0, 4),
		"compressed point":        change(1, 2),
		"no key handle":           change(66, 0),
		"key handle cut off":      register[:80],
		"certificate cut off":     register[:certificate+100],
		"certificate is a SET":    change(certificate, 0x31),
		"no signature":            register[:certificate+len(v.AttestationCertDer)],
		"certificate is too long": change(certificate+2, 0xff),
	} {
		_, err := u2f.Do(t.Context(), says(hex.EncodeToString(answer)+"9000"), u2f.Register{})
		if !errors.Is(err, u2f.ErrMalformed) {
			t.Errorf("registration, %s: %v", name, err)
		}
	}
	for _, answer := range []string{"", "90", "9000", "010000002a9000"} {
		if _, err := u2f.Do(t.Context(), says(answer), u2f.Authenticate{KeyHandle: []byte{1}}); !errors.Is(err, u2f.ErrMalformed) {
			t.Errorf("authentication, %q: %v", answer, err)
		}
	}
	key := says("9000")
	if _, err := u2f.Do(t.Context(), key, u2f.Authenticate{KeyHandle: make([]byte, 256)}); err == nil || len(key.asked) > 0 {
		t.Errorf("key handle of 256 bytes: %v, asked %q", err, key.asked)
	}
}

// TestTransports speaks through reports and through a card.
func TestTransports(t *testing.T) {
	keys := map[string]u2f.Messenger{}
	for _, name := range []string{"hid", "nfc"} {
		p, err := simulator.LoadProfile("u2f")
		if err != nil {
			t.Fatal(err)
		}
		a, err := simulator.New(simulator.Config{Profile: p})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		var dev interface {
			transport.Device
			u2f.Messenger
		}
		if name == "hid" {
			dev, err = hid.Open(t.Context(), simulator.NewHID(a).Port())
		} else {
			dev, err = nfc.Open(t.Context(), simulator.NewCard(a))
		}
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		keys[name] = dev
	}
	for name, key := range keys {
		if v, err := u2f.Do(t.Context(), key, u2f.Version{}); err != nil || v.Version != u2f.V2 {
			t.Errorf("%s: %v, %v", name, v, err)
		}
		made, err := u2f.Do(t.Context(), key, u2f.Register{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		check := u2f.Authenticate{Control: u2f.CheckOnly, KeyHandle: made.KeyHandle}
		if _, err := u2f.Do(t.Context(), key, check); !errors.Is(err, u2f.ErrConditionsNotSatisfied) {
			t.Errorf("%s: known handle: %v", name, err)
		}
		check.Application[0] = 1
		if _, err := u2f.Do(t.Context(), key, check); !errors.Is(err, u2f.ErrWrongData) {
			t.Errorf("%s: unknown handle: %v", name, err)
		}
		// Both framings of a command without data reach the key.
		for _, apdu := range []string{"\x00\x03\x00\x00\x00\x00\x00", "\x00\x03\x00\x00\x00\x00\x00\x00\x00"} {
			if answer, err := key.Message(t.Context(), []byte(apdu)); err != nil || string(answer) != "U2F_V2\x90\x00" {
				t.Errorf("%s, %x: %q, %v", name, apdu, answer, err)
			}
		}
	}
}

// FuzzAnswers: what is parsed is made of the bytes that came, all of them.
func FuzzAnswers(f *testing.F) {
	v := load(f)
	f.Add([]byte(v.Register.Response))
	f.Add([]byte(v.Authenticate.Response))
	f.Add([]byte(v.Version.ResponseOk))
	f.Add([]byte{0x69, 0x85})
	f.Fuzz(func(t *testing.T, answer []byte) {
		key := says(hex.EncodeToString(answer))
		if r, err := u2f.Do(t.Context(), key, u2f.Register{}); err == nil {
			all := slices.Concat([]byte{5}, r.PublicKey, []byte{byte(len(r.KeyHandle))}, r.KeyHandle, r.Certificate, r.Signature, []byte{0x90, 0})
			if !bytes.Equal(all, answer) {
				t.Errorf("%+v", r)
			}
		}
		if r, err := u2f.Do(t.Context(), key, u2f.Authenticate{}); err == nil && len(r.Signature) != len(answer)-7 {
			t.Errorf("%+v", r)
		}
	})
}
