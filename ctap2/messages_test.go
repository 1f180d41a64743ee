package ctap2_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
)

type messageVectors struct {
	MakeCredential struct{ ClientDataHash, RequestCbor ctaptest.Hex }
	GetAssertion   struct {
		ClientDataHash, RequestCbor, AuthData, Signature, CredentialPublicCose ctaptest.Hex
		ResponseCbor, DiscoverableResponseCbor                                 ctaptest.Hex
	}
	GetInfo                            struct{ RequestCbor, ResponseCbor ctaptest.Hex }
	GetNextAssertion, Reset, Selection ctaptest.Hex
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func checkEncoding[R any](t *testing.T, req ctap2.Request[R], want []byte) {
	t.Helper()
	got, err := ctap2.Encode(req)
	if err != nil || len(want) == 0 || !bytes.Equal(got, want) {
		t.Errorf("%v:\n got %x, %v\nwant %x", req.Command(), got, err, want)
	}
}

var (
	credentialID = "7b690277b9beebb58ba4e79e393ea3e9de320fe3f9a74f1cd964cb5f6ea50308ba2af43cbf6903c40a899cdd384909d3"
	userID       = "000102030405060708090a0b0c0d0e0f"
)

func TestRequestVectors(t *testing.T) {
	var v messageVectors
	ctaptest.Vectors(t, "messages", &v)
	yes := true
	checkEncoding(t, ctap2.MakeCredential{
		ClientDataHash: v.MakeCredential.ClientDataHash,
		RP:             ctap2.RP{ID: "example.com", Name: "Example"},
		User:           ctap2.User{ID: unhex(t, userID), Name: "alice@example.com", DisplayName: "Alice"},
		PubKeyCredParams: []ctap2.CredentialParameters{
			{Algorithm: cose.ES256, Type: ctap2.PublicKeyType},
			{Algorithm: cose.EdDSA, Type: ctap2.PublicKeyType},
		},
		ExcludeList:       []ctap2.Descriptor{{ID: unhex(t, credentialID), Type: ctap2.PublicKeyType}},
		Extensions:        map[string]cbor.RawMessage{"hmac-secret": {0xf5}, "credProtect": {0x03}},
		Options:           &ctap2.Options{RK: &yes},
		PINUVAuthParam:    unhex(t, "380e0e359f7f9187b0ab6caf6bff8ea0dc550e9b6b69391d3d034c36430e0082"),
		PINUVAuthProtocol: 2,
	}, v.MakeCredential.RequestCbor)
	checkEncoding(t, ctap2.GetAssertion{
		RPID:              "example.com",
		ClientDataHash:    v.GetAssertion.ClientDataHash,
		AllowList:         []ctap2.Descriptor{{ID: unhex(t, credentialID), Type: ctap2.PublicKeyType}},
		Options:           &ctap2.Options{UP: &yes},
		PINUVAuthParam:    unhex(t, "5121a3b7ad176a807cfc355ab81c3621bcae6a5c212c14bba966d5314154e161"),
		PINUVAuthProtocol: 2,
	}, v.GetAssertion.RequestCbor)
	checkEncoding(t, ctap2.GetInfo{}, v.GetInfo.RequestCbor)
	checkEncoding(t, ctap2.GetNextAssertion{}, v.GetNextAssertion)
	checkEncoding(t, ctap2.Reset{}, v.Reset)
	checkEncoding(t, ctap2.Selection{}, v.Selection)
	// An empty pinUvAuthParam is sent; it asks for a touch (section 6.1.2, step 1).
	checkEncoding(t, ctap2.GetAssertion{RPID: "a", PINUVAuthParam: []byte{}}, unhex(t, "02a30161610"+"2f60640"))
}

func decode[R any](t *testing.T, command ctap2.Command, answer []byte) *R {
	t.Helper()
	resp := new(R)
	if err := ctap2.Decode(t.Context(), answer, command, resp); err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestGetInfoVector(t *testing.T) {
	var v messageVectors
	ctaptest.Vectors(t, "messages", &v)
	info := decode[ctap2.GetInfoResponse](t, ctap2.CommandGetInfo, v.GetInfo.ResponseCbor)

	if want := []string{"FIDO_2_0", "FIDO_2_1", "FIDO_2_3", "U2F_V2"}; !slices.Equal(info.Versions, want) {
		t.Errorf("versions %q", info.Versions)
	}
	if got := info.AAGUID.String(); got != "f1d0ce1f-0102-0304-0506-0708090a0b0c" {
		t.Errorf("AAGUID %s", got)
	}
	for id, want := range map[string][2]bool{ // value, present
		"rk": {true, true}, "plat": {false, true}, "clientPin": {false, true}, "uv": {false, false}, "up": {true, true},
	} {
		if value, present := info.Option(id); [2]bool{value, present} != want {
			t.Errorf("option %s: %v, %v", id, value, present)
		}
	}
	if info.MessageSize() != 1200 || info.MinPINCodePoints() != 4 || info.Firmware() != "1.1.0" {
		t.Errorf("maxMsgSize %d, minPINLength %d, firmware %s", info.MessageSize(), info.MinPINCodePoints(), info.Firmware())
	}
	if *info.RemainingDiscoverableCredentials != 25 || !slices.Equal(info.AuthenticatorConfigCommands, []uint{2, 3}) {
		t.Errorf("%d remaining, config commands %v", *info.RemainingDiscoverableCredentials, info.AuthenticatorConfigCommands)
	}
	if len(info.Algorithms) != 2 || info.Algorithms[1].Algorithm != cose.EdDSA {
		t.Errorf("algorithms %v", info.Algorithms)
	}
	if info.Unknown != nil {
		t.Errorf("unknown members %v", info.UnknownNumbers())
	}
	// The names are those of a metadata statement.
	text, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"versions", "extensions", "aaguid", "options", "maxMsgSize", "pinUvAuthProtocols",
		"maxCredentialCountInList", "maxCredentialIdLength", "transports", "algorithms", "minPINLength",
		"firmwareVersion", "remainingDiscoverableCredentials", "authenticatorConfigCommands"} {
		if members[name] == nil {
			t.Errorf("member %s is not in %s", name, text)
		}
	}
}

// TestGetInfoEveryMember decodes a getInfo with all members to 0x1F and two that
// nobody has heard of.
func TestGetInfoEveryMember(t *testing.T) {
	sixteen := bytes.Repeat([]byte{7}, 32)
	members := map[int]any{
		1: []string{"FIDO_2_9"}, 2: []string{"x"}, 3: make([]byte, 16), 4: map[string]bool{"newOption": true},
		5: 2048, 6: []int{2}, 7: 8, 8: 64, 9: []string{"carrier-pigeon"},
		10: []any{map[string]any{"alg": -99, "type": "public-key"}}, 11: 4096, 12: true, 13: 6, 14: 3, 15: 32, 16: 1,
		17: 3, 18: 2, 19: map[string]int{"FIDO": 2}, 20: 0, 21: []uint64{1 << 63}, 22: []string{"packed"}, 23: 5,
		24: true, 25: sixteen, 26: []string{"usb"}, 27: true, 28: []byte("https://example.com/pin"), 29: 8,
		30: sixteen, 31: []int{1, 255}, 32: "new", -1: 7,
	}
	body, err := cbor.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	info := decode[ctap2.GetInfoResponse](t, ctap2.CommandGetInfo, append([]byte{0}, body...))
	fields := reflect.ValueOf(*info)
	for i := range fields.NumField() {
		if field := fields.Type().Field(i); field.Type.Kind() != reflect.Struct && fields.Field(i).IsZero() && field.Name != "AAGUID" {
			t.Errorf("%s is empty", field.Name)
		}
	}
	if got := info.UnknownNumbers(); !slices.Equal(got, []int64{-1, 32}) {
		t.Errorf("unknown members %v", got)
	}
	if !bytes.Equal(info.Raw, body) || string(info.PINComplexityPolicyURL) != "https://example.com/pin" {
		t.Errorf("raw %x, URL %s", info.Raw, info.PINComplexityPolicyURL)
	}
}

func TestGetAssertionVectors(t *testing.T) {
	var v messageVectors
	ctaptest.Vectors(t, "messages", &v)
	plain := decode[ctap2.GetAssertionResponse](t, ctap2.CommandGetAssertion, v.GetAssertion.ResponseCbor)
	if plain.User != nil || plain.NumberOfCredentials != 0 || !bytes.Equal(plain.Credential.ID, unhex(t, credentialID)) {
		t.Errorf("%+v", plain)
	}
	resp := decode[ctap2.GetAssertionResponse](t, ctap2.CommandGetAssertion, v.GetAssertion.DiscoverableResponseCbor)
	if resp.User.Name != "alice@example.com" || resp.NumberOfCredentials != 2 || !bytes.Equal(resp.Signature, v.GetAssertion.Signature) {
		t.Errorf("%+v", resp)
	}
	data, err := ctap2.ParseAuthenticatorData(resp.AuthData)
	if err != nil {
		t.Fatal(err)
	}
	if data.Flags != ctap2.FlagUP|ctap2.FlagUV || data.SignCount != 2 || data.Credential != nil {
		t.Errorf("%+v", data)
	}
	var key cose.Key
	if err := key.UnmarshalCBOR(v.GetAssertion.CredentialPublicCose); err != nil {
		t.Fatal(err)
	}
	if err := key.Verify(append(resp.AuthData, v.GetAssertion.ClientDataHash...), resp.Signature); err != nil {
		t.Error(err)
	}
}

func TestMakeCredentialVectors(t *testing.T) {
	var packed struct {
		Basic, Self struct{ MakeCredentialResponse ctaptest.Hex }
	}
	var none struct{ MakeCredentialResponse ctaptest.Hex }
	var u2f struct {
		KeyHandle ctaptest.Hex
		AsCtap2   struct{ MakeCredentialResponse, GetAssertionResponse ctaptest.Hex }
	}
	ctaptest.Vectors(t, "attestation-packed", &packed)
	ctaptest.Vectors(t, "attestation-none", &none)
	ctaptest.Vectors(t, "u2f", &u2f)
	for _, tt := range []struct {
		name, format string
		answer       []byte
		flags        ctap2.Flags
		id           []byte
	}{
		{"packed chain", "packed", packed.Basic.MakeCredentialResponse, 0xc5, unhex(t, credentialID)},
		{"packed self", "packed", packed.Self.MakeCredentialResponse, 0xc5, unhex(t, credentialID)},
		{"none", "none", none.MakeCredentialResponse, 0x41, unhex(t, credentialID)},
		{"fido-u2f", "fido-u2f", u2f.AsCtap2.MakeCredentialResponse, 0x41, u2f.KeyHandle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := decode[ctap2.MakeCredentialResponse](t, ctap2.CommandMakeCredential, tt.answer)
			data, err := ctap2.ParseAuthenticatorData(resp.AuthData)
			if err != nil {
				t.Fatal(err)
			}
			if resp.Format != tt.format || data.Flags != tt.flags || !bytes.Equal(data.Credential.ID, tt.id) {
				t.Errorf("format %s, flags %v, ID %x", resp.Format, data.Flags, data.Credential.ID)
			}
			if data.Credential.PublicKey.Algorithm != cose.ES256 || data.Credential.PublicKey.Public == nil {
				t.Errorf("public key %+v", data.Credential.PublicKey)
			}
		})
	}
	got := decode[ctap2.GetAssertionResponse](t, ctap2.CommandGetAssertion, u2f.AsCtap2.GetAssertionResponse)
	if !bytes.Equal(got.Credential.ID, u2f.KeyHandle) {
		t.Errorf("U2F assertion for %x", got.Credential.ID)
	}
}

type answerDevice []byte

func (d answerDevice) Exchange(context.Context, []byte) ([]byte, error) { return d, nil }
func (answerDevice) Close() error                                       { return nil }

func TestDoErrors(t *testing.T) {
	_, err := ctap2.Do(t.Context(), answerDevice{0x31}, ctap2.GetInfo{})
	var refused *ctap2.Error
	if !errors.Is(err, ctap2.ErrPINInvalid) || !errors.As(err, &refused) || refused.Command != ctap2.CommandGetInfo {
		t.Errorf("status 0x31: %v", err)
	}
	if got := err.Error(); got != "authenticatorGetInfo: CTAP2_ERR_PIN_INVALID (0x31)" {
		t.Errorf("text %q", got)
	}
	if _, err := ctap2.Do(t.Context(), answerDevice{0xf1}, ctap2.GetInfo{}); err == nil || !strings.Contains(err.Error(), "vendor-specific status (0xf1)") {
		t.Errorf("vendor status: %v", err)
	}
	for name, answer := range map[string]string{
		"nothing":                "",
		"status alone":           "00",
		"not a map":              "0001",
		"map cut off":            "00a2018168",
		"no versions":            "00a1035000000000000000000000000000000000",
		"no aaguid":              "00a101814161",
		"aaguid of 15 bytes":     "00a2018161610" + "34f" + strings.Repeat("00", 15),
		"aaguid is a list":       "00a201816161" + "0390" + strings.Repeat("00", 16),
		"versions is a number":   "00a20101" + "0350" + strings.Repeat("00", 16),
		"options is a list":      "00a301816161" + "0350" + strings.Repeat("00", 16) + "0480",
		"option is a number":     "00a301816161" + "0350" + strings.Repeat("00", 16) + "04a162726b01",
		"maxMsgSize is negative": "00a301816161" + "0350" + strings.Repeat("00", 16) + "0520",
		"bytes after the map":    "00a201816161" + "0350" + strings.Repeat("00", 16) + "00",
		"member twice":           "00a301816161" + "01816161" + "0350" + strings.Repeat("00", 16),
	} {
		if _, err := ctap2.Do(t.Context(), answerDevice(unhex(t, answer)), ctap2.GetInfo{}); !errors.Is(err, ctap2.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// An empty body is an empty map.
	if _, err := ctap2.Do(t.Context(), answerDevice{0}, ctap2.ClientPIN{SubCommand: ctap2.SetPIN}); err != nil {
		t.Errorf("empty body: %v", err)
	}
	if _, err := ctap2.Do(t.Context(), answerDevice{0}, ctap2.Selection{}); err != nil {
		t.Errorf("selection: %v", err)
	}
}

func TestAuthenticatorDataErrors(t *testing.T) {
	var v struct{ AuthData ctaptest.Hex }
	ctaptest.Vectors(t, "attestation-none", &v)
	for n := range len(v.AuthData) {
		if data, err := ctap2.ParseAuthenticatorData(v.AuthData[:n]); err == nil {
			t.Fatalf("the first %d bytes are taken: %+v", n, data)
		}
	}
	if _, err := ctap2.ParseAuthenticatorData(append(bytes.Clone(v.AuthData), 0)); err == nil {
		t.Error("a byte after the end is taken")
	}
	long := bytes.Clone(v.AuthData)
	long[53], long[54] = 0x04, 0x00 // credential ID of 1024 bytes
	if _, err := ctap2.ParseAuthenticatorData(append(long, make([]byte, 1024)...)); err == nil {
		t.Error("a credential ID of 1024 bytes is taken")
	}
}

func TestAAGUID(t *testing.T) {
	want := ctap2.AAGUID{0xf1, 0xd0, 0xce, 0x1f, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	for _, s := range []string{"f1d0ce1f-0102-0304-0506-0708090a0b0c", "F1D0CE1F0102030405060708090A0B0C"} {
		if got, err := ctap2.ParseAAGUID(s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "f1d0", "g1d0ce1f-0102-0304-0506-0708090a0b0c"} {
		if _, err := ctap2.ParseAAGUID(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}
