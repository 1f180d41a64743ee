package ctap2_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/transport"
)

type authVector struct{ SubCommandParamsCbor, Message ctaptest.Hex }

// TestAuthMessageVectors compares what pinUvAuthParam authenticates with what
// another implementation authenticates.
func TestAuthMessageVectors(t *testing.T) {
	var v struct {
		CredentialManagement, BioEnrollment, AuthenticatorConfig map[string]authVector
		LargeBlobs                                               struct {
			Fragment, Message ctaptest.Hex
			Offset            uint
		}
	}
	ctaptest.Vectors(t, "command-auth", &v)
	var user struct {
		User ctap2.User `cbor:"3,keyasint"`
	}
	if err := cbor.Unmarshal(v.CredentialManagement["updateUserInformation"].SubCommandParamsCbor, &user); err != nil {
		t.Fatal(err)
	}
	var named struct {
		ID ctap2.Descriptor `cbor:"2,keyasint"`
	}
	if err := cbor.Unmarshal(v.CredentialManagement["deleteCredential"].SubCommandParamsCbor, &named); err != nil {
		t.Fatal(err)
	}
	descriptor := &named.ID
	name := "left index"
	for _, tt := range []struct {
		name    string
		want    authVector
		message func() ([]byte, error)
	}{
		{"getCredsMetadata", v.CredentialManagement["getCredsMetadata"], ctap2.CredentialManagement{SubCommand: ctap2.GetCredsMetadata}.AuthMessage},
		{"enumerateRPsBegin", v.CredentialManagement["enumerateRPsBegin"], ctap2.CredentialManagement{SubCommand: ctap2.EnumerateRPsBegin}.AuthMessage},
		{"enumerateCredentialsBegin", v.CredentialManagement["enumerateCredentialsBegin"], ctap2.CredentialManagement{
			SubCommand: ctap2.EnumerateCredentialsBegin,
			Params:     &ctap2.CredentialManagementParams{RPIDHash: unhex(t, "a379a6f6eeafb9a55e378c118034e2751e682fab9f2d30ab13d2125586ce1947")},
		}.AuthMessage},
		{"deleteCredential", v.CredentialManagement["deleteCredential"], ctap2.CredentialManagement{
			SubCommand: ctap2.DeleteCredential, Params: &ctap2.CredentialManagementParams{CredentialID: descriptor},
		}.AuthMessage},
		{"updateUserInformation", v.CredentialManagement["updateUserInformation"], ctap2.CredentialManagement{
			SubCommand: ctap2.UpdateUserInformation, Params: &ctap2.CredentialManagementParams{CredentialID: descriptor, User: &user.User},
		}.AuthMessage},
		{"enrollBegin", v.BioEnrollment["enrollBegin"], ctap2.BioEnrollment{
			Modality: ctap2.ModalityFingerprint, SubCommand: ctap2.EnrollBegin, Params: &ctap2.BioEnrollmentParams{TimeoutMilliseconds: 10000},
		}.AuthMessage},
		{"enumerateEnrollments", v.BioEnrollment["enumerateEnrollments"], ctap2.BioEnrollment{
			Modality: ctap2.ModalityFingerprint, SubCommand: ctap2.EnumerateEnrollments,
		}.AuthMessage},
		{"setFriendlyName", v.BioEnrollment["setFriendlyName"], ctap2.BioEnrollment{
			Modality: ctap2.ModalityFingerprint, SubCommand: ctap2.SetFriendlyName,
			Params: &ctap2.BioEnrollmentParams{TemplateID: []byte{0xaa, 0xbb}, TemplateFriendlyName: &name},
		}.AuthMessage},
		{"enableEnterpriseAttestation", v.AuthenticatorConfig["enableEnterpriseAttestation"], ctap2.Config{SubCommand: ctap2.EnableEnterpriseAttestation}.AuthMessage},
		{"toggleAlwaysUv", v.AuthenticatorConfig["toggleAlwaysUv"], ctap2.Config{SubCommand: ctap2.ToggleAlwaysUV}.AuthMessage},
		{"setMinPINLength", v.AuthenticatorConfig["setMinPINLength"], ctap2.Config{
			SubCommand: ctap2.SetMinPINLength,
			Params:     ctap2.SetMinPINLengthParams{NewMinPINLength: 6, MinPINLengthRPIDs: []string{"example.com"}, ForceChangePIN: true},
		}.AuthMessage},
		{"enableLongTouchForReset", v.AuthenticatorConfig["enableLongTouchForReset"], ctap2.Config{SubCommand: ctap2.EnableLongTouchForReset}.AuthMessage},
		{"largeBlobs", authVector{Message: v.LargeBlobs.Message}, func() ([]byte, error) {
			return ctap2.LargeBlobs{Set: v.LargeBlobs.Fragment, Offset: v.LargeBlobs.Offset}.AuthMessage(), nil
		}},
	} {
		got, err := tt.message()
		if err != nil || len(tt.want.Message) == 0 || !bytes.Equal(got, tt.want.Message) {
			t.Errorf("%s:\n got %x, %v\nwant %x", tt.name, got, err, tt.want.Message)
		}
		if !bytes.HasSuffix(got, tt.want.SubCommandParamsCbor) {
			t.Errorf("%s: the parameters are others than those that are authenticated", tt.name)
		}
	}
}

// TestRequests has the requests that no vector covers in the bytes of the
// specification.
func TestRequests(t *testing.T) {
	get, param := uint(960), []byte{0xab}
	name := ""
	for want, encode := range map[string]func() ([]byte, error){
		"0aa30101030204" + "41ab": func() ([]byte, error) {
			return ctap2.Encode(ctap2.CredentialManagement{SubCommand: ctap2.GetCredsMetadata, PINUVAuthProtocol: 2, PINUVAuthParam: param})
		},
		"41a10103": func() ([]byte, error) {
			return ctap2.Encode(ctap2.CredentialManagement{Preview: true, SubCommand: ctap2.EnumerateRPsGetNextRP})
		},
		"09a106f5": func() ([]byte, error) { return ctap2.Encode(ctap2.BioEnrollment{GetModality: true}) },
		"40a20101" + "0203": func() ([]byte, error) {
			return ctap2.Encode(ctap2.BioEnrollment{Preview: true, Modality: 1, SubCommand: ctap2.CancelCurrentEnrollment})
		},
		"09a501010205" + "03a20141010260" + "0401" + "0541ab": func() ([]byte, error) {
			return ctap2.Encode(ctap2.BioEnrollment{
				Modality: 1, SubCommand: ctap2.SetFriendlyName, Params: &ctap2.BioEnrollmentParams{TemplateID: []byte{1}, TemplateFriendlyName: &name},
				PINUVAuthProtocol: 1, PINUVAuthParam: param,
			})
		},
		"0da20118ff" + "02a2011903e9021863": func() ([]byte, error) {
			return ctap2.Encode(ctap2.Config{SubCommand: ctap2.VendorPrototype, Params: ctap2.VendorParams{VendorCommandID: 1001, Others: map[int64]any{2: 99}}})
		},
		"0ca2011903c0" + "0300": func() ([]byte, error) { return ctap2.Encode(ctap2.LargeBlobs{Get: &get}) },
		"0ca5024101" + "0300" + "041819" + "0541ab" + "0602": func() ([]byte, error) {
			return ctap2.Encode(ctap2.LargeBlobs{Set: []byte{1}, Length: 25, PINUVAuthParam: param, PINUVAuthProtocol: 2})
		},
	} {
		if msg, err := encode(); err != nil || hex.EncodeToString(msg) != want {
			t.Errorf("%x, %v\nwant %s", msg, err, want)
		}
	}
}

// says answers every request alike.
type says []byte

func (s says) Exchange(context.Context, []byte) ([]byte, error) { return s, nil }
func (says) Close() error                                       { return nil }

// TestRest: what an answer has beyond the fields is kept, under its number.
func TestRest(t *testing.T) {
	for name, rest := range map[string]func(says) (*ctap2.Rest, error){
		"a30101" + "18c8f5" + "2003": func(s says) (*ctap2.Rest, error) {
			r, err := ctap2.Do(t.Context(), s, ctap2.CredentialManagement{})
			return &r.Rest, err
		},
		"a30241aa" + "18c8f5" + "2003": func(s says) (*ctap2.Rest, error) {
			r, err := ctap2.Do(t.Context(), s, ctap2.ClientPIN{})
			return &r.Rest, err
		},
		"a30141aa" + "18c8f5" + "2003": func(s says) (*ctap2.Rest, error) {
			r, err := ctap2.Do(t.Context(), s, ctap2.LargeBlobs{})
			return &r.Rest, err
		},
		"a30802" + "18c8f5" + "2003": func(s says) (*ctap2.Rest, error) {
			r, err := ctap2.Do(t.Context(), s, ctap2.BioEnrollment{})
			return &r.Rest, err
		},
	} {
		body := unhex(t, name)
		r, err := rest(append(says{0}, body...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(r.UnknownNumbers(), []int64{-1, 200}) || !bytes.Equal(r.Unknown[200], []byte{0xf5}) || !bytes.Equal(r.Raw, body) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestFindings: what is tolerated reaches whoever listens, with the bytes.
func TestFindings(t *testing.T) {
	for body, want := range map[string]string{
		"a204f40308":             "out of order",
		"a2031a0000000804f4":     "shortest",
		"bf0308ff":               "indefinite",
		"a103" + "08":            "",
		"a1" + "18c8" + "62c328": "UTF-8",
	} {
		var found []ctap2.Finding
		ctx := transport.WithFindings(t.Context(), func(f ctap2.Finding) { found = append(found, f) })
		if _, err := ctap2.Do(ctx, append(says{0}, unhex(t, body)...), ctap2.ClientPIN{SubCommand: ctap2.GetPINRetries}); err != nil {
			t.Errorf("%s: %v", body, err)
		}
		switch {
		case want == "" && len(found) == 0:
		case len(found) != 1 || want == "" || !strings.Contains(found[0].What, want) || found[0].Where != "authenticatorClientPIN" || hex.EncodeToString(found[0].Raw) != body:
			t.Errorf("%s: %+v", body, found)
		}
	}
	var found []ctap2.Finding
	ctx := transport.WithFindings(t.Context(), func(f ctap2.Finding) { found = append(found, f) })
	if _, err := ctap2.Do(ctx, says{0, 0xa0}, ctap2.Reset{}); err != nil || len(found) != 1 {
		t.Errorf("a body for reset: %v, %v", err, found)
	}
}

// TestSend sends what no struct can, and keeps an answer that is no CBOR.
func TestSend(t *testing.T) {
	body, err := ctap2.Send(t.Context(), says{0, 1, 2, 3}, 0x51, []byte{0xff})
	if err != nil || !bytes.Equal(body, []byte{1, 2, 3}) {
		t.Errorf("%x, %v", body, err)
	}
	_, err = ctap2.Send(t.Context(), says{0xf7}, 0x51, nil)
	var refused *ctap2.Error
	if !errors.As(err, &refused) || refused.Status != 0xf7 || refused.Command != 0x51 || !strings.Contains(err.Error(), "command 0x51: vendor-specific status (0xf7)") {
		t.Errorf("%v", err)
	}
}
