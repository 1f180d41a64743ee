package graph

import (
	"bytes"
	"encoding/base64"
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
	for _, bad := range []string{"", "1", "*", "AA*A1", "AAAAA", "AA-/", "AAB="} {
		if id, err := DecodeMethodID(bad); err == nil {
			t.Errorf("%q is %x", bad, id)
		}
	}
}

// TestDecodeExcluded: every form of every credential ID has the right reading among its
// own, and is ambiguous only where it cannot be told.
func TestDecodeExcluded(t *testing.T) {
	for n := 1; n < 70; n++ {
		for fill := range 256 {
			credentialID := bytes.Repeat([]byte{byte(fill)}, n)
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

func contains(list [][]byte, b []byte) bool {
	for _, one := range list {
		if bytes.Equal(one, b) {
			return true
		}
	}
	return false
}
