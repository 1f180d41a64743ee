package trace_test

import (
	"bytes"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/trace"
)

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRedactRequest compares by hand what stays.
func TestRedactRequest(t *testing.T) {
	for _, tt := range []struct{ name, request, want string }{
		{"getInfo", "04", "04"},
		{"nothing", "", ""},
		{"retries", "06 a2 0101 0201", "06 a2 0101 0201"},
		{"token", "06 a5 0102 0205 03a5 0102 033818 2001 2142aaaa 2242bbbb 0642cccc 0a6165",
			"06 a5 0102 0205 03a5 0102 033818 2001 21420000 22420000 06420000 0a6165"},
		{"set PIN", "06 a4 0101 0203 0442aaaa 0543bbbbbb", "06 a4 0101 0203 04420000 0543000000"},
		{"numbers in long form", "06 a2 180205 190006 42cccc", "06 a2 180205 190006 420000"},
		{"in pieces", "06 bf 0205 06 5f 41cc 42dddd ff ff", "06 bf 0205 06 5f 4100 420000 ff ff"},
		{"twice", "06 a2 0642cccc 0642dddd", "06 a2 06420000 06420000"},
		{"unknown member", "06 a2 0205 18ff42cccc", "06 a2 0205 18ff420000"},
		{"as text", "06 a1 0662 6162", "06 a1 0662 0000"},
		{"tagged", "06 a1 06c242cccc", "06 a1 06c2420000"},
		{"cut off", "06 a2 0205 0642cc", "06 00 0000 000000"},
		{"bytes after the map", "06 a1 0205 42cccc", "06 00 0000 000000"},
		{"no map", "06 42cccc", "06 000000"},
		{"reserved form", "06 a1 06 5c", "06 00 00 00"},
		{"deep", "06" + strings.Repeat("a106", 17) + "00", "06" + strings.Repeat("0000", 17) + "00"},
		{"getInfo with something", "04 42aaaa", "04 42aaaa"},
		{"makeCredential", "01 a3 0142aaaa 06a2 6b686d61632d736563726574f5 6163 42dddd 0842cccc",
			"01 a3 0142aaaa 06a2 6b686d61632d736563726574f5 6163 42dddd 08420000"},
		{"credBlob", "01 a1 06a1 6863726564426c6f62 42bbbb", "01 a1 06a1 6863726564426c6f62 420000"},
		{"empty pinUvAuthParam", "01 a1 0840", "01 a1 0840"},
		{"hmac-secret", "02 a2 04a1 6b686d61632d736563726574 a4 01a1 2142aaaa 0242bbbb 0342cccc 0402 0642dddd",
			"02 a2 04a1 6b686d61632d736563726574 a4 01a1 21420000 02420000 03420000 0402 06420000"},
		{"largeBlob", "02 a1 04a1 696c61726765426c6f62 a2 657772697465 42bbbb 6c6f726967696e616c53697a6501",
			"02 a1 04a1 696c61726765426c6f62 a2 657772697465 420000 6c6f726967696e616c53697a6501"},
		{"bioEnrollment", "09 a2 03a1 0142aaaa 0542cccc", "09 a2 03a1 0142aaaa 05420000"},
		{"bioEnrollment, preview", "40 a1 0542cccc", "40 a1 05420000"},
		{"credentialManagement", "0a a2 02a1 0142aaaa 0442cccc", "0a a2 02a1 0142aaaa 04420000"},
		{"credentialManagement, preview", "41 a1 0442cccc", "41 a1 04420000"},
		{"largeBlobs", "0c a2 0242aaaa 0542cccc", "0c a2 0242aaaa 05420000"},
		{"config", "0d a3 0103 02a1 0281 6165 0442cccc", "0d a3 0103 02a1 0281 6165 04420000"},
		{"config, a vendor's", "0d a2 0118ff 02a2 0118ff 0242cccc", "0d a2 0118ff 02a2 0118ff 02420000"},
		{"a vendor's", "50 a1 0142cccc", "50 00 00000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			request := unhex(t, tt.request)
			before := slices.Clone(request)
			got := trace.RedactRequest(trace.KindCBOR, request)
			if want := unhex(t, tt.want); !bytes.Equal(got, want) {
				t.Errorf("%x\nwant %x", got, want)
			}
			if !bytes.Equal(request, before) {
				t.Error("the request itself has changed")
			}
			if again := trace.RedactRequest(trace.KindCBOR, got); !bytes.Equal(again, got) {
				t.Errorf("a second time: %x", again)
			}
		})
	}
}

func TestRedactResponse(t *testing.T) {
	plain := strings.Repeat("aa", 32)
	authData := func(flags, rest string) string {
		b := plain + flags + "00000001" + rest
		return "58" + hex.EncodeToString([]byte{byte(len(strings.ReplaceAll(b, " ", "")) / 2)}) + b
	}
	credential := strings.Repeat("bb", 16) + "0002cccc a101 02"
	const credBlob = "6863726564426c6f62"
	for _, tt := range []struct{ name, request, response, want string }{
		{"nothing", "06", "", ""},
		{"a status", "06", "31", "31"},
		{"token", "06", "00 a1 0242aaaa", "00 a1 02420000"},
		{"keyAgreement", "06", "00 a1 01a1 2142aaaa", "00 a1 01a1 2142aaaa"},
		{"cut off", "06", "00 a1 0242aa", "00 00 000000"},
		{"getInfo cut off", "04", "00 a1 0242aa", "00 a1 0242aa"},
		{"makeCredential", "01", "00 a3 0160 02" + authData("41", credential) + "0542aaaa",
			"00 a3 0160 02" + authData("41", credential) + "05420000"},
		{"getAssertion", "02", "00 a2 02" + authData("01", "") + "0742aaaa", "00 a2 02" + authData("01", "") + "07420000"},
		{"unsigned outputs", "02", "00 a1 08a1 696c61726765426c6f62 a1 64626c6f62 42aaaa", "00 a1 08a1 696c61726765426c6f62 a1 64626c6f62 420000"},
		{"next assertion", "08", "00 a1 0742aaaa", "00 a1 07420000"},
		{"credBlob, signed", "02", "00 a1 02" + authData("81", "a2 6161 41aa"+credBlob+"42aaaa"), "00 a1 02" + authData("81", "a2 6161 41aa"+credBlob+"420000")},
		{"with a credential", "01", "00 a1 02" + authData("c1", credential+"a1"+credBlob+"42aaaa"), "00 a1 02" + authData("c1", credential+"a1"+credBlob+"420000")},
		{"authData too long", "02", "00 a1 02" + authData("01", "42aaaa"), "00 a1 02" + authData("01", "000000")},
		{"credential cut off", "01", "00 a1 02" + authData("41", strings.Repeat("bb", 16)+"0004cccc"), "00 a1 02" + authData("41", strings.Repeat("00", 20))},
		{"credentialManagement", "0a", "00 a2 0442aaaa 0b42cccc", "00 a2 0442aaaa 0b420000"},
		{"large blobs", "0c", "00 a1 0142aaaa", "00 a1 0142aaaa"},
		{"a vendor's", "50", "f1 42aaaa", "f1 000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := trace.RedactResponse(trace.KindCBOR, unhex(t, tt.request), unhex(t, tt.response))
			if want := unhex(t, tt.want); !bytes.Equal(got, want) {
				t.Errorf("%x\nwant %x", got, want)
			}
		})
	}
}

func TestRedactAPDU(t *testing.T) {
	register := unhex(t, "00010000 000002 aaaa 0000")
	if got := trace.RedactRequest(trace.KindMsg, register); !bytes.Equal(got, register) {
		t.Errorf("REGISTER: %x", got)
	}
	if got := trace.RedactResponse(trace.KindMsg, register, unhex(t, "05aa9000")); !bytes.Equal(got, unhex(t, "05aa9000")) {
		t.Errorf("REGISTER's answer: %x", got)
	}
	vendor := unhex(t, "00c00102 000002 aaaa")
	if got := trace.RedactRequest(trace.KindMsg, vendor); !bytes.Equal(got, unhex(t, "00c00102 000000 0000")) {
		t.Errorf("a vendor's: %x", got)
	}
	if got := trace.RedactResponse(trace.KindMsg, vendor, unhex(t, "aaaa9000")); !bytes.Equal(got, unhex(t, "00009000")) {
		t.Errorf("a vendor's answer: %x", got)
	}
	for _, short := range []string{"", "00", "0001"} {
		trace.RedactRequest(trace.KindMsg, unhex(t, short))
		trace.RedactResponse(trace.KindMsg, unhex(t, short), unhex(t, short))
	}
}

// TestVectorsAreRedacted looks for the secrets of a whole exchange that another
// implementation has computed.
func TestVectorsAreRedacted(t *testing.T) {
	for _, name := range []string{"pin-protocol-one", "pin-protocol-two"} {
		var v struct {
			Platform  struct{ X, Y ctaptest.Hex }
			SetPIN    struct{ NewPinEnc, PinUvAuthParam, RequestCbor ctaptest.Hex }
			ChangePIN struct{ NewPinEnc, PinHashEnc, PinUvAuthParam, RequestCbor ctaptest.Hex }
			Token     struct{ PinHashEnc, TokenEnc, RequestCbor, ResponseCbor ctaptest.Hex } `json:"getPinUvAuthTokenUsingPinWithPermissions"`
		}
		ctaptest.Vectors(t, name, &v)
		secrets := [][]byte{v.Platform.X, v.Platform.Y, v.SetPIN.NewPinEnc, v.SetPIN.PinUvAuthParam,
			v.ChangePIN.NewPinEnc, v.ChangePIN.PinHashEnc, v.ChangePIN.PinUvAuthParam, v.Token.PinHashEnc, v.Token.TokenEnc}
		request := []byte{byte(ctap2.CommandClientPIN)}
		for _, message := range [][]byte{v.SetPIN.RequestCbor, v.ChangePIN.RequestCbor, v.Token.RequestCbor, v.Token.ResponseCbor} {
			found := 0
			redacted := trace.RedactRequest(trace.KindCBOR, message)
			if message[0] == 0 {
				redacted = trace.RedactResponse(trace.KindCBOR, request, message)
			}
			for i, secret := range secrets {
				if len(secret) < 16 {
					t.Fatalf("%s: secret %d is missing", name, i)
				}
				if bytes.Contains(message, secret) {
					found++
				}
				if bytes.Contains(redacted, secret) {
					t.Errorf("%s: secret %d is in %x", name, i, redacted)
				}
			}
			if found == 0 {
				t.Errorf("%s: no secret in %x, which proves nothing", name, message)
			}
		}
	}
}

// FuzzRedact: nothing but the contents changes, and the bytes of a string that
// stands for a secret never stay.
func FuzzRedact(f *testing.F) {
	f.Add([]byte{6, 0xa1, 6, 0x42, 1, 2}, []byte{0, 0xa1, 2, 0x42, 1, 2})
	f.Add([]byte{1, 0xa1, 8, 0x5f, 0x41, 1, 0xff}, []byte{0, 0xbf, 0xff})
	f.Fuzz(func(t *testing.T, request, response []byte) {
		for _, kind := range []trace.Kind{trace.KindCBOR, trace.KindMsg, trace.KindPing} {
			req := trace.RedactRequest(kind, request)
			resp := trace.RedactResponse(kind, request, response)
			if len(req) != len(request) || len(resp) != len(response) {
				t.Fatal("the length has changed")
			}
			for _, pair := range [][2][]byte{{request, req}, {response, resp}} {
				for i := range pair[0] {
					if pair[1][i] != pair[0][i] && pair[1][i] != 0 {
						t.Fatalf("byte %d has become %#02x", i, pair[1][i])
					}
				}
			}
			if again := trace.RedactRequest(kind, req); !bytes.Equal(again, req) {
				t.Fatalf("once %x, twice %x", req, again)
			}
		}
	})
}
