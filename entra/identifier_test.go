package entra_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"testing"

	"github.com/fidokey/fidokey/entra"
)

// TestReadings: the three encodings, told apart by length and last character.
func TestReadings(t *testing.T) {
	tests := []struct {
		name, text string
		want       []string // in hexadecimal
	}{
		{"standard base64 with +", "+/+/", []string{"fbffbf"}},
		{"standard base64 with =", "AAECAw==", []string{"00010203"}},
		{"base64url", "AAECAw", []string{"00010203"}},
		{"digit 0", "AAEC0", []string{"000102"}},
		{"digit 1", "AAECAwQ1", []string{"000102030435", "0001020304"}},
		{"digit 2", "AAECAw2", []string{"00010203"}},
		{"ends in 1, but the digit would leave bits over", "AAECAwR1", []string{"000102030475"}},
		{"ends in 0, and has a length of base64url", "AAECAwQ0", []string{"000102030434"}},
		{"with a space", " AAECAw\n", []string{"00010203"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := entra.Readings(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(test.want) {
				t.Fatalf("%x", got)
			}
			for i, want := range test.want {
				if hex.EncodeToString(got[i]) != want {
					t.Errorf("%x, not %v", got, test.want)
				}
			}
		})
	}
	for _, text := range []string{"", "0", "2", "AAEC1", "AAECAw=", "A,", "=", "ä", "12345"} {
		if got, err := entra.Readings(text); err == nil {
			t.Errorf("%q: %x", text, got)
		}
	}
}

// TestEveryLength: an ID of any length and content is among the readings of each of
// its encodings, and the method ID leads back to it and nothing else.
func TestEveryLength(t *testing.T) {
	for size := 1; size <= 256; size++ {
		for _, fill := range []byte{0, 0x34, 0x35, 0x36, 0xd0, 0xfb, 0xff} {
			id := bytes.Repeat([]byte{fill}, size)
			method := entra.MethodID(id)
			for _, text := range []string{method, base64.RawURLEncoding.EncodeToString(id), base64.StdEncoding.EncodeToString(id)} {
				readings, err := entra.Readings(text)
				if err != nil {
					t.Fatalf("%q: %v", text, err)
				}
				found := false
				for _, r := range readings {
					found = found || bytes.Equal(r, id)
				}
				if !found {
					t.Errorf("%q: %x", text, readings)
				}
			}
			if back, err := entra.ParseMethodID(method); err != nil || !bytes.Equal(back, id) {
				t.Errorf("%q: %x, %v", method, back, err)
			}
		}
	}
}

func TestMethodID(t *testing.T) {
	if got := entra.MethodID(make([]byte, 16)); got != "AAAAAAAAAAAAAAAAAAAAAA2" {
		t.Error(got)
	}
	for _, text := range []string{"", "0", "AAECAw", "AAECAw1", "AAECAx2", "AAECAw==", "AAEC", "AAEC2"} {
		if got, err := entra.ParseMethodID(text); err == nil {
			t.Errorf("%q: %x", text, got)
		}
	}
}

func TestUserHandle(t *testing.T) {
	user := bytes.Repeat([]byte{7}, 32)
	guid, _ := hex.DecodeString("11111111222233438444555555555555")
	h, ok := entra.ParseUserHandle(append(append([]byte("OF:"), guid...), user...))
	if !ok || h.Tenant != "11111111-2222-4333-8444-555555555555" || h.Personal || !bytes.Equal(h.User, user) {
		t.Errorf("%+v, %t", h, ok)
	}
	if h.String() != "Entra, tenant 11111111-2222-4333-8444-555555555555 (probable)" {
		t.Error(h)
	}
	h, ok = entra.ParseUserHandle(append([]byte("MF:"), user...))
	if !ok || !h.Personal || h.Tenant != "" || h.String() != "a personal Microsoft account" {
		t.Errorf("%+v, %t", h, ok)
	}
	for _, b := range [][]byte{nil, []byte("OF:"), append([]byte("OF:"), user...), make([]byte, 51), append([]byte("MF:"), make([]byte, 48)...)} {
		if h, ok := entra.ParseUserHandle(b); ok {
			t.Errorf("%x: %+v", b, h)
		}
	}
}

func FuzzReadings(f *testing.F) {
	for _, text := range []string{"AAECAw", "AAEC0", "AAECAwQ1", "AAECAw2", "AAECAw==", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		readings, err := entra.Readings(text)
		if (err == nil) != (len(readings) > 0) || len(readings) > 2 {
			t.Errorf("%x, %v", readings, err)
		}
	})
}
