package graph

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// TestMethodID: the ID of a passkey is that of the credential, in a form of its own.
func TestMethodID(t *testing.T) {
	for n := 1; n < 70; n++ {
		for _, fill := range []byte{0, 0x5a, 0xd7, 0xff} {
			credentialID := bytes.Repeat([]byte{fill}, n)
			id := EncodeMethodID(credentialID)
			if n == 16 && (len(id) != 23 || id[22] != '2') {
				t.Errorf("16 bytes are %s", id)
			}
			back, err := DecodeMethodID(id)
			if err != nil || !bytes.Equal(back, credentialID) {
				t.Errorf("%s is %x, %v", id, back, err)
			}
		}
	}
	if id := EncodeMethodID(make([]byte, 16)); id != "AAAAAAAAAAAAAAAAAAAAAA2" {
		t.Error(id)
	}
	for _, bad := range []string{
		"", "0", "1", "*", "AA*A1", "AAAAA", "AA-/", "AAB=", "AAECAw", "AAECAw1", "AAECAx2", "AAECAw==", "AAEC", "AAEC2",
	} {
		if id, err := DecodeMethodID(bad); err == nil {
			t.Errorf("%q is %x", bad, id)
		}
	}
}

// TestDecodeExcluded: every form of every credential ID has the right reading among its
// own, and is ambiguous only where it cannot be told.
func TestDecodeExcluded(t *testing.T) {
	for n := 1; n <= 256; n++ {
		for _, fill := range []int{0, 0x34, 0x35, 0x36, 0xd0, 0xfb, 0xff} {
			roundTrip(t, bytes.Repeat([]byte{byte(fill)}, n))
		}
	}
	for n := 1; n < 70; n++ {
		for fill := range 256 {
			roundTrip(t, bytes.Repeat([]byte{byte(fill)}, n))
		}
	}
	// The pair of the ambiguity: three bytes, or two with a padding digit.
	if readings, err := DecodeExcluded("AAA1"); err != nil || len(readings) != 2 || len(readings[0]) != 3 || len(readings[1]) != 2 {
		t.Errorf("AAA1: %x, %v", readings, err)
	}
	if readings, err := DecodeExcluded("AAB1"); err != nil || len(readings) != 1 {
		t.Errorf("AAB1: %x, %v", readings, err)
	}
	// The example of a real form: 32 bytes with one padding character.
	readings, err := DecodeExcluded("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh81")
	if err != nil || !contains(readings, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}) {
		t.Errorf("%x, %v", readings, err)
	}
}

// roundTrip writes a credential ID in all forms and reads it again.
func roundTrip(t *testing.T, credentialID []byte) {
	t.Helper()
	for form, id := range map[string]string{
		"base64url": base64.RawURLEncoding.EncodeToString(credentialID),
		"base64":    base64.StdEncoding.EncodeToString(credentialID),
		"counted":   EncodeMethodID(credentialID),
	} {
		readings, err := DecodeExcluded(id)
		if err != nil || !contains(readings, credentialID) || len(readings) > 2 {
			t.Fatalf("%s of %x, %s: %x, %v", form, credentialID, id, readings, err)
		}
		if len(readings) == 2 && (len(id)%4 != 0 || id[len(id)-1] != '1') {
			t.Fatalf("%s of %x is ambiguous", form, credentialID)
		}
	}
}

// TestForms: the three forms, told apart by length and last character.
func TestForms(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string // in hexadecimal
	}{
		"standard base64 with +": {"+/+/", []string{"fbffbf"}},
		"standard base64 with =": {"AAECAw==", []string{"00010203"}},
		"base64url":              {"AAECAw", []string{"00010203"}},
		"digit 0":                {"AAEC0", []string{"000102"}},
		"digit 1":                {"AAECAwQ1", []string{"000102030435", "0001020304"}},
		"digit 2":                {"AAECAw2", []string{"00010203"}},
		"ends in 1, but the digit would leave bits over": {"AAECAwR1", []string{"000102030475"}},
		"ends in 0, and has a length of base64url":       {"AAECAwQ0", []string{"000102030434"}},
	} {
		var got []string
		readings, err := DecodeExcluded(c.text)
		for _, r := range readings {
			got = append(got, hex.EncodeToString(r))
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for _, text := range []string{"", "0", "2", "AAEC1", "AAECAw=", "A,", "=", "ä", "12345", " AAECAw"} {
		if got, err := DecodeExcluded(text); err == nil {
			t.Errorf("%q: %x", text, got)
		}
	}
}

// TestExchangeIDs reads those of an exchange that another program made.
func TestExchangeIDs(t *testing.T) {
	var x struct {
		CreationOptionsResponse struct {
			PublicKey PublicKeyOptions
		}
		RegistrationRequest  struct{ PublicKeyCredential struct{ ID string } }
		RegistrationResponse Method
		Decoded              struct{ CredentialIDHex, ExcludedCredentialIDHex, UserHandleHex string }
	}
	text, err := os.ReadFile("../testdata/exchange.json")
	if err == nil {
		err = json.Unmarshal(text, &x)
	}
	if err != nil {
		t.Fatal(err)
	}
	is := func(name, want string, got []byte, err error) {
		t.Helper()
		if err != nil || hex.EncodeToString(got) != want {
			t.Errorf("%s: %x, %v", name, got, err)
		}
	}
	id, err := x.RegistrationResponse.CredentialID()
	is("method", x.Decoded.CredentialIDHex, id, err)
	requested, err := DecodeExcluded(x.RegistrationRequest.PublicKeyCredential.ID)
	is("request", x.Decoded.CredentialIDHex, requested[0], err)
	options := x.CreationOptionsResponse.PublicKey
	excluded, err := options.Excluded()
	is("excluded", x.Decoded.ExcludedCredentialIDHex, excluded[len(excluded)-1], err)
	handle, err := options.UserHandle()
	is("user handle", x.Decoded.UserHandleHex, handle, err)
	if made := EncodeMethodID(id); made != x.RegistrationResponse.ID {
		t.Error(made)
	}
}

func FuzzDecodeExcluded(f *testing.F) {
	for _, text := range []string{"AAECAw", "AAEC0", "AAECAwQ1", "AAECAw2", "AAECAw==", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		readings, err := DecodeExcluded(text)
		if (err == nil) != (len(readings) > 0) || len(readings) > 2 {
			t.Errorf("%x, %v", readings, err)
		}
		if id, err := DecodeMethodID(text); err == nil && EncodeMethodID(id) != text {
			t.Errorf("%q: %x", text, id)
		}
	})
}

func contains(list [][]byte, b []byte) bool {
	for _, one := range list {
		if bytes.Equal(one, b) {
			return true
		}
	}
	return false
}
