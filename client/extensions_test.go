package client_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
)

// plainMap reads CBOR without our structs.
func plainMap(t *testing.T, raw []byte) map[int]any {
	t.Helper()
	var m map[int]any
	if len(raw) == 0 {
		return m
	}
	if err := cbor.Unmarshal(raw, &m); err != nil {
		t.Fatalf("%x: %v", raw, err)
	}
	return m
}

// lastPIN returns the last request of a subcommand of authenticatorClientPIN.
func (d *tap) lastPIN(t *testing.T, subCommand uint64) map[int]any {
	t.Helper()
	for _, msg := range slices.Backward(d.sent) {
		if ctap2.Command(msg[0]) == ctap2.CommandClientPIN {
			if m := plainMap(t, msg[1:]); m[2] == subCommand {
				return m
			}
		}
	}
	t.Fatalf("no clientPIN %d was sent", subCommand)
	return nil
}

// extensions returns the inputs of the last message of a command.
func (d *tap) extensions(t *testing.T, command ctap2.Command) map[any]any {
	t.Helper()
	member := 6
	if command == ctap2.CommandGetAssertion {
		member = 4
	}
	in, _ := d.last(t, command)[member].(map[any]any)
	return in
}

func full23() *simulator.Profile {
	p := simulator.Full23()
	p.MinPINLengthRPIDs = []string{"example.com"}
	return p
}

func everything() client.RegistrationExtensions {
	return client.RegistrationExtensions{
		CredProtect: client.UserVerificationOptionalWithCredentialIDList, EnforceCredProtect: true,
		CredBlob: []byte{1, 2, 3}, MinPINLength: true, PINComplexityPolicy: true, HMACSecret: true,
		HMACSecretSalts: [][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)},
		CredProps:       true, LargeBlob: client.LargeBlobRequired, ThirdPartyPayment: true, UVM: true,
	}
}

// TestRegistrationExtensions asks for everything at once: the inputs are those of
// the known answers, and one exchange is for the shared secret.
func TestRegistrationExtensions(t *testing.T) {
	b, ear := tappedProfile(t, full23())
	b.mustSetPIN(t)
	r := registration()
	r.Extensions = everything()
	made := mustRegister(t, b, r)
	want := []string{
		"authenticatorGetInfo", "authenticatorClientPIN 1", "authenticatorClientPIN 2", "authenticatorClientPIN 9",
		"authenticatorClientPIN 2", "authenticatorMakeCredential",
	}
	if !slices.Equal(b.wire.asked, want) {
		t.Errorf("asked %q\n want %q", b.wire.asked, want)
	}

	var v struct {
		CredProtect                                                        []struct{ MakeCredentialInputCbor ctaptest.Hex }
		CredBlob                                                           struct{ MakeCredentialInputCbor ctaptest.Hex }
		LargeBlobKey, MinPinLength, PinComplexityPolicy, ThirdPartyPayment struct{ InputCbor ctaptest.Hex }
	}
	ctaptest.Vectors(t, "extensions", &v)
	wanted := map[any]any{"hmac-secret": true, "uvm": true}
	for _, raw := range [][]byte{
		v.CredProtect[1].MakeCredentialInputCbor, v.CredBlob.MakeCredentialInputCbor,
		v.LargeBlobKey.InputCbor, v.MinPinLength.InputCbor, v.PinComplexityPolicy.InputCbor, v.ThirdPartyPayment.InputCbor,
	} {
		var one map[any]any
		if err := cbor.Unmarshal(raw, &one); err != nil {
			t.Fatal(err)
		}
		maps.Copy(wanted, one)
	}
	sent := ear.extensions(t, ctap2.CommandMakeCredential)
	salts := sent["hmac-secret-mc"].(map[any]any)
	if salts[uint64(4)] != uint64(2) || len(salts[uint64(2)].([]byte)) != 80 {
		t.Errorf("hmac-secret-mc %v", salts)
	}
	if delete(sent, "hmac-secret-mc"); !reflect.DeepEqual(sent, wanted) {
		t.Errorf("sent %v\nwant %v", sent, wanted)
	}

	e := made.Extensions
	if e.CredProtect != client.UserVerificationOptionalWithCredentialIDList || !*e.CredBlob || *e.MinPINLength != 4 || *e.PINComplexityPolicy ||
		!*e.HMACSecret || len(e.HMACSecretOutputs) != 2 || len(e.HMACSecretOutputs[1]) != 32 || !*e.CredProps.RK || !*e.LargeBlob || len(e.UVM) == 0 ||
		len(e.Others) != 0 || len(e.NotSent) != 0 {
		t.Errorf("outputs %+v", e)
	}
	if made.Data.Flags&ctap2.FlagED == 0 || !bytes.Contains(made.Raw, made.AuthData) {
		t.Error("the answer is not kept as it came")
	}

	got, err := b.Authenticate(t.Context(), client.Assertion{
		RPID: "example.com", ClientDataHash: hash[:], Allow: []ctap2.Descriptor{descriptor(made)},
		Extensions: client.AssertionExtensions{
			CredBlob: true, HMACSecretSalts: r.Extensions.HMACSecretSalts, ReadLargeBlob: true, ThirdPartyPayment: true, UVM: true,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := got[0].Extensions
	if !bytes.Equal(a.CredBlob, []byte{1, 2, 3}) || !reflect.DeepEqual(a.HMACSecretOutputs, e.HMACSecretOutputs) || !*a.ThirdPartyPayment || len(a.UVM) == 0 ||
		a.LargeBlob == nil || a.LargeBlob.Blob != nil || a.LargeBlob.Err != nil || !bytes.Equal(got[0].LargeBlobKey, made.LargeBlobKey) {
		t.Errorf("outputs %+v", a)
	}
}

// TestOnlyListedExtensions: what a key does not list is not sent, and said so;
// what is required ends before anything is sent but getInfo.
func TestOnlyListedExtensions(t *testing.T) {
	for _, profile := range []string{"quirk-no-extensions", "variant-no-largeblobs", "quirk-refuses-extensions", "ctap-2.0", "ctap-2.1"} {
		t.Run(profile, func(t *testing.T) {
			b, ear := tapped(t, profile)
			info, err := b.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r := registration()
			r.Extensions = everything()
			r.Extensions.CredProtect, r.Extensions.EnforceCredProtect = client.UserVerificationOptional, false
			r.Extensions.LargeBlob = client.LargeBlobPreferred
			r.Extensions.Others = ctap2.Extensions{"example": {0xf5}, "credBlob": {0xf4}}
			made := mustRegister(t, b, r)
			for id := range ear.extensions(t, ctap2.CommandMakeCredential) {
				if !slices.Contains(info.Extensions, id.(string)) {
					t.Errorf("%s was sent", id)
				}
			}
			if !slices.Contains(made.Extensions.NotSent, "example") {
				t.Errorf("not sent: %q", made.Extensions.NotSent)
			}
			if len(info.Extensions) == 0 && ear.last(t, ctap2.CommandMakeCredential)[6] != nil {
				t.Error("an empty map was sent")
			}
			if _, err := b.Authenticate(t.Context(), client.Assertion{
				RPID: "example.com", ClientDataHash: hash[:],
				Extensions: client.AssertionExtensions{CredBlob: true, ReadLargeBlob: true, ThirdPartyPayment: true, UVM: true, HMACSecretSalts: r.Extensions.HMACSecretSalts},
			}); err != nil {
				t.Error(err)
			}
			for id := range ear.extensions(t, ctap2.CommandGetAssertion) {
				if !slices.Contains(info.Extensions, id.(string)) {
					t.Errorf("%s was sent", id)
				}
			}

			b.wire.asked = nil
			r = registration()
			r.Extensions.CredProtect, r.Extensions.EnforceCredProtect = client.UserVerificationRequired, true
			if !slices.Contains(info.Extensions, "credProtect") {
				if _, err := b.Register(t.Context(), r); !errors.Is(err, client.ErrExtensionUnsupported) {
					t.Errorf("credProtect enforced: %v", err)
				}
			}
			r = registration()
			r.Extensions.LargeBlob = client.LargeBlobRequired
			if !slices.Contains(info.Extensions, "largeBlobKey") {
				if _, err := b.Register(t.Context(), r); !errors.Is(err, client.ErrExtensionUnsupported) {
					t.Errorf("largeBlob required: %v", err)
				}
			}
			if tally(b.wire.asked)["MakeCredential"] != 0 && profile != "ctap-2.1" {
				t.Errorf("asked %q", b.wire.asked)
			}
		})
	}
}

// TestExtensionOutputs keeps what is not known, and what cannot be read.
func TestExtensionOutputs(t *testing.T) {
	b, ear := tapped(t, "default")
	findings := b.noting()
	ear.after = func(msg, answer []byte) []byte {
		if ctap2.Command(msg[0]) != ctap2.CommandMakeCredential {
			return answer
		}
		var resp map[int]any
		if err := cbor.Unmarshal(answer[1:], &resp); err != nil {
			t.Error(err)
		}
		data := slices.Clone(resp[2].([]byte))
		data[32] |= byte(ctap2.FlagED)
		outputs, _ := cbor.Marshal(map[string]any{"credProtect": "two", "hmac-secret": true, "example": 7})
		resp[2] = append(data, outputs...)
		encoded, _ := cbor.Marshal(resp)
		return append([]byte{0}, encoded...)
	}
	r := registration()
	made := mustRegister(t, b, r)
	e := made.Extensions
	if e.CredProtect != 0 || e.HMACSecret == nil || len(e.Others) != 2 || !bytes.Equal(e.Others["example"], []byte{7}) || string(e.Others["credProtect"][1:]) != "two" {
		t.Errorf("outputs %+v", e)
	}
	if !slices.ContainsFunc(*findings, func(f ctap2.Finding) bool { return strings.Contains(f.What, "credProtect") }) {
		t.Errorf("findings %v", *findings)
	}
}

// TestPRF: the inputs are hashed, and the outputs are those with user
// verification, whatever is asked for.
func TestPRF(t *testing.T) {
	b, ear := tappedProfile(t, simulator.Full23())
	b.mustSetPIN(t)
	r := registration()
	r.UserVerification = client.Discouraged
	r.Discoverable = false
	r.Extensions.PRF = &client.PRF{Eval: &client.PRFValues{First: []byte("first"), Second: []byte("second")}}
	made := mustRegister(t, b, r)
	results := made.Extensions.PRF.Results
	if !made.Extensions.PRF.Enabled || results == nil || len(results.First) != 32 || len(results.Second) != 32 {
		t.Fatalf("at registration %+v", made.Extensions.PRF)
	}
	r.User.ID, r.Extensions.PRF = []byte{2}, &client.PRF{}
	other := mustRegister(t, b, r)
	if !other.Extensions.PRF.Enabled || other.Extensions.PRF.Results != nil {
		t.Errorf("without inputs %+v", other.Extensions.PRF)
	}

	first, second := sha256.Sum256([]byte("WebAuthn PRF\x00first")), sha256.Sum256([]byte("WebAuthn PRF\x00second"))
	a := client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: []ctap2.Descriptor{descriptor(made)}, UserVerification: client.Required}
	a.Extensions.HMACSecretSalts = [][]byte{first[:], second[:]}
	authenticate := func() *client.Asserted {
		t.Helper()
		got, err := b.Authenticate(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		return got[0]
	}
	if got := authenticate().Extensions.HMACSecretOutputs; !bytes.Equal(got[0], results.First) || !bytes.Equal(got[1], results.Second) {
		t.Error("hmac-secret of the hashed inputs gives something else")
	}
	// hmac-secret has another output without user verification.
	a.UserVerification = client.Discouraged
	if got := authenticate().Extensions.HMACSecretOutputs; bytes.Equal(got[0], results.First) {
		t.Error("hmac-secret is the same without user verification")
	}
	a.Extensions.HMACSecretSalts = nil
	a.Extensions.PRF = &client.PRF{
		Eval:             &client.PRFValues{First: []byte("for others")},
		EvalByCredential: map[string]client.PRFValues{string(made.Data.Credential.ID): {First: []byte("second")}},
	}
	a.Allow = append(foreign(5), descriptor(made), descriptor(other))
	b.wire.asked = nil
	if got := authenticate(); got.Data.Flags&ctap2.FlagUV == 0 || !bytes.Equal(got.Extensions.PRF.First, results.Second) || got.Extensions.PRF.Second != nil {
		t.Errorf("by credential: %+v", got.Extensions.PRF)
	}
	if list := ear.last(t, ctap2.CommandGetAssertion)[3].([]any); len(list) != 1 {
		t.Errorf("allow list of %d for one credential's salts", len(list))
	}
	want := []string{
		"authenticatorGetInfo", "authenticatorClientPIN 1", "authenticatorClientPIN 2", "authenticatorClientPIN 9",
		"authenticatorGetAssertion", "authenticatorClientPIN 2", "authenticatorGetAssertion",
	}
	if b.wire.asked[0] != want[0] {
		want = want[1:]
	}
	if !slices.Equal(b.wire.asked, want) {
		t.Errorf("asked %q\n want %q", b.wire.asked, want)
	}
	// The credential that is there has no input of its own.
	a.Allow = append(foreign(5), descriptor(other))
	a.Extensions.PRF.EvalByCredential = map[string]client.PRFValues{string(a.Allow[0].ID): {First: []byte("x")}}
	fallback := authenticate().Extensions.PRF
	a.Extensions.PRF.EvalByCredential = nil
	if got := authenticate().Extensions.PRF; fallback == nil || !bytes.Equal(got.First, fallback.First) {
		t.Error("eval was not the fallback")
	}

	b.wire.asked = nil
	for name, bad := range map[string]client.Assertion{
		"no allow list":     {Extensions: client.AssertionExtensions{PRF: &client.PRF{EvalByCredential: map[string]client.PRFValues{"x": {}}}}},
		"not in the list":   {Allow: a.Allow, Extensions: client.AssertionExtensions{PRF: &client.PRF{EvalByCredential: map[string]client.PRFValues{"x": {}}}}},
		"with salts":        {Extensions: client.AssertionExtensions{PRF: &client.PRF{}, HMACSecretSalts: [][]byte{first[:]}}},
		"short salt":        {Extensions: client.AssertionExtensions{HMACSecretSalts: [][]byte{first[:31]}}},
		"three salts":       {Extensions: client.AssertionExtensions{HMACSecretSalts: [][]byte{first[:], first[:], first[:]}}},
		"read and write":    {Allow: a.Allow, Extensions: client.AssertionExtensions{ReadLargeBlob: true, WriteLargeBlob: []byte{}}},
		"write for anybody": {Extensions: client.AssertionExtensions{WriteLargeBlob: []byte{}}},
	} {
		bad.RPID, bad.ClientDataHash = "example.com", hash[:]
		if _, err := b.Authenticate(t.Context(), bad); err == nil || errors.Is(err, ctap2.ErrNoCredentials) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(b.wire.asked) != 0 {
		t.Errorf("asked %q", b.wire.asked)
	}
}

// TestPRFWithoutUserVerification: a key without a PIN enables prf at
// registration and cannot evaluate it.
func TestPRFWithoutUserVerification(t *testing.T) {
	b := newBench(t, simulator.Config{Profile: simulator.Full23()})
	r := registration()
	r.Extensions.PRF = &client.PRF{Eval: &client.PRFValues{First: []byte("first")}}
	if made := mustRegister(t, b, r); !made.Extensions.PRF.Enabled || made.Extensions.PRF.Results != nil {
		t.Errorf("at registration %+v", made.Extensions.PRF)
	}
	_, err := b.Authenticate(t.Context(), client.Assertion{
		RPID: "example.com", ClientDataHash: hash[:], Extensions: client.AssertionExtensions{PRF: r.Extensions.PRF},
	})
	if !errors.Is(err, client.ErrNoPIN) {
		t.Errorf("authenticate: %v", err)
	}
}

// TestSeveralSecrets: one shared secret serves all assertions of a series.
func TestSeveralSecrets(t *testing.T) {
	for _, profile := range []string{"default", "ctap-2.0", "quirk-protocol-two-fails"} {
		b, _ := tapped(t, profile)
		r := registration()
		r.Extensions.HMACSecret = true
		for id := range byte(3) {
			r.User.ID = []byte{id}
			mustRegister(t, b, r)
		}
		b.wire.asked = nil
		got, err := b.Authenticate(t.Context(), client.Assertion{
			RPID: "example.com", ClientDataHash: hash[:], Extensions: client.AssertionExtensions{HMACSecretSalts: [][]byte{make([]byte, 32)}},
		})
		if err != nil || len(got) != 3 {
			t.Fatalf("%s: %d assertions, %v", profile, len(got), err)
		}
		different := map[string]bool{}
		for _, a := range got {
			different[string(a.Extensions.HMACSecretOutputs[0])] = true
		}
		if len(different) != 3 {
			t.Errorf("%s: %d different secrets", profile, len(different))
		}
		want := map[string]int{"GetInfo": 1, "ClientPIN 2": 1, "GetAssertion": 1, "GetNextAssertion": 2}
		if counts := tally(b.wire.asked); !maps.Equal(counts, want) {
			t.Errorf("%s: asked %v", profile, counts)
		}
	}
}

// TestCredProps: only keys since CTAP 2.1 say by rk false that a credential is
// not discoverable.
func TestCredProps(t *testing.T) {
	yes, no := true, false
	for _, tt := range []struct {
		profile      string
		discoverable bool
		want         *bool
	}{{"default", true, &yes}, {"default", false, &no}, {"ctap-2.0", true, &yes}, {"ctap-2.0", false, nil}, {"variant-no-rk", false, &no}} {
		b, _ := tapped(t, tt.profile)
		r := registration()
		r.Discoverable, r.Extensions.CredProps = tt.discoverable, true
		if rk := mustRegister(t, b, r).Extensions.CredProps.RK; !reflect.DeepEqual(rk, tt.want) {
			t.Errorf("%s, discoverable %v: %v", tt.profile, tt.discoverable, rk)
		}
	}
}

func parameters(algorithms ...cose.Algorithm) (list []ctap2.CredentialParameters) {
	for _, a := range algorithms {
		list = append(list, ctap2.CredentialParameters{Algorithm: a, Type: ctap2.PublicKeyType})
	}
	return list
}

// TestAlgorithms: keys that refuse a whole list for one entry make a credential
// all the same, with one PIN and one touch.
func TestAlgorithms(t *testing.T) {
	for _, tt := range []struct {
		profile  string
		wanted   []ctap2.CredentialParameters
		got      cose.Algorithm
		requests int
		findings int
	}{
		{"default", parameters(cose.EdDSA, cose.ES256), cose.EdDSA, 1, 0},
		{"quirk-refuses-algorithms", parameters(cose.RS256, cose.MLDSA44, cose.ES256), cose.ES256, 1, 0},
		{"quirk-false-eddsa", parameters(cose.EdDSA, cose.RS256, cose.ES256), cose.ES256, 3, 1},
		{"quirk-false-eddsa", parameters(cose.ES256, cose.EdDSA), cose.ES256, 2, 1},
	} {
		t.Run(tt.profile, func(t *testing.T) {
			b, _ := tapped(t, tt.profile)
			b.mustSetPIN(t)
			findings := b.noting()
			r := registration()
			r.Parameters = tt.wanted
			made := mustRegister(t, b, r)
			if got := made.Data.Credential.PublicKey.Algorithm; got != tt.got {
				t.Errorf("made for %v", got)
			}
			if n := tally(b.wire.asked)["MakeCredential"]; n != tt.requests || len(b.person.asked) != 1 || len(b.person.touches) != 1 {
				t.Errorf("%d requests, PIN asked for %d times, %d touches", n, len(b.person.asked), len(b.person.touches))
			}
			if len(*findings) != tt.findings {
				t.Errorf("findings %v", *findings)
			}
		})
	}
	// The second answer counts if it is about something else.
	b, _ := tapped(t, "quirk-false-eddsa")
	r := registration()
	r.Exclude = []ctap2.Descriptor{descriptor(mustRegister(t, b, r))}
	r.Parameters = parameters(cose.ES256, cose.EdDSA)
	b.wire.asked = nil
	if _, err := b.Register(t.Context(), r); !errors.Is(err, ctap2.ErrCredentialExcluded) || tally(b.wire.asked)["MakeCredential"] != 2 {
		t.Errorf("excluded: %v, asked %v", err, b.wire.asked)
	}
	b, _ = tapped(t, "default")
	r = registration()
	r.Parameters = parameters(cose.RS256, cose.PS256)
	if _, err := b.Register(t.Context(), r); !errors.Is(err, ctap2.ErrUnsupportedAlgorithm) || tally(b.wire.asked)["MakeCredential"] != 1 {
		t.Errorf("none: %v, asked %v", err, b.wire.asked)
	}
}

// TestTokenUsedUpByRefusal: a key refuses after the touch, and its token with it.
// The first answer stands, and no second PIN is asked for.
func TestTokenUsedUpByRefusal(t *testing.T) {
	b, ear := tapped(t, "default")
	b.mustSetPIN(t)
	first := true
	ear.after = func(msg, answer []byte) []byte {
		if ctap2.Command(msg[0]) == ctap2.CommandMakeCredential && first {
			first = false
			return []byte{byte(ctap2.ErrUnsupportedAlgorithm)}
		}
		return answer
	}
	r := registration()
	r.Parameters = parameters(cose.EdDSA, cose.ES256)
	if _, err := b.Register(t.Context(), r); !errors.Is(err, ctap2.ErrUnsupportedAlgorithm) {
		t.Error(err)
	}
	if len(b.person.asked) != 1 || tally(b.wire.asked)["ClientPIN 9"] != 1 {
		t.Errorf("PIN asked for %d times, asked %q", len(b.person.asked), b.wire.asked)
	}
}

// TestUnannouncedVerification: a key asks for user verification where getInfo
// says that it does not.
func TestUnannouncedVerification(t *testing.T) {
	b, ear := tapped(t, "default")
	b.mustSetPIN(t)
	findings := b.noting()
	ear.before = func(msg []byte) []byte {
		if ctap2.Command(msg[0]) == ctap2.CommandMakeCredential && plainMap(t, msg[1:])[8] == nil {
			return []byte{byte(ctap2.ErrPUATRequired)}
		}
		return nil
	}
	r := registration()
	r.Discoverable, r.UserVerification = false, client.Discouraged
	if made := mustRegister(t, b, r); made.Data.Flags&ctap2.FlagUV == 0 || len(*findings) != 1 || len(b.person.asked) != 1 {
		t.Errorf("flags %v, findings %v, PIN asked for %d times", made.Data.Flags, *findings, len(b.person.asked))
	}
}

// TestLongNames are cut only for keys that refuse them, and in between code
// points. What the key refuses all the same keeps its status.
func TestLongNames(t *testing.T) {
	long := strings.Repeat("ж", 50) // 100 bytes
	for _, limit := range []int{1000, 300, 10} {
		b, ear := tapped(t, "default")
		ear.before = func(msg []byte) []byte {
			if ctap2.Command(msg[0]) == ctap2.CommandMakeCredential && len(msg) > limit {
				return []byte{0xf1}
			}
			return nil
		}
		r := registration()
		r.User.Name, r.User.DisplayName = long, "a"+long
		_, err := b.Register(t.Context(), r)
		user := ear.last(t, ctap2.CommandMakeCredential)[3].(map[any]any)
		switch limit {
		case 1000:
			if err != nil || user["name"] != long {
				t.Errorf("%v, user %v", err, user)
			}
		case 300:
			if err != nil || user["name"] != long[:64] || user["displayName"] != "a"+long[:62] {
				t.Errorf("%v, user %v", err, user)
			}
		case 10:
			if !errors.Is(err, ctap2.Status(0xf1)) || !strings.Contains(err.Error(), "0xf1") {
				t.Errorf("refused: %v", err)
			}
		}
	}
}

// TestDeclined: who declines is not asked for another touch, with shorter names.
func TestDeclined(t *testing.T) {
	b, ear := tapped(t, "default")
	ear.before = func(msg []byte) []byte {
		if ctap2.Command(msg[0]) == ctap2.CommandMakeCredential {
			return []byte{byte(ctap2.ErrOperationDenied)}
		}
		return nil
	}
	r := registration()
	r.User.Name = strings.Repeat("a", 100)
	if _, err := b.Register(t.Context(), r); !errors.Is(err, ctap2.ErrOperationDenied) || tally(b.wire.asked)["MakeCredential"] != 1 {
		t.Errorf("%v, asked %v", err, b.wire.asked)
	}
}

// TestQuirks registers and signs in on keys that do one thing differently.
func TestQuirks(t *testing.T) {
	for _, profile := range []string{
		"quirk-refuses-transports", "quirk-refuses-empty-lists", "quirk-refuses-up", "quirk-refuses-uv-with-token", "quirk-uv-false",
		"quirk-no-credential", "quirk-no-user", "quirk-no-names", "quirk-cut-names", "quirk-token-one-rp", "quirk-no-extensions",
		"quirk-all-discoverable", "quirk-no-max-message", "quirk-zero-limits", "quirk-unsorted-maps", "quirk-no-protocols", "quirk-protocol-two-fails",
		"quirk-refuses-algorithms", "quirk-refuses-extensions", "ctap-2.0", "ctap-2.1", "fingerprint", "no-pin",
	} {
		t.Run(profile, func(t *testing.T) {
			b, _ := tapped(t, profile)
			b.noting()
			for _, pinSet := range []bool{false, true} {
				if pinSet {
					if err := b.SetPIN(t.Context()); errors.Is(err, client.ErrPINUnsupported) {
						return
					} else if err != nil {
						t.Fatal(err)
					}
				}
				r := registration()
				r.User.Name = "жжжжжж"
				r.Exclude, r.Parameters = foreign(2), parameters(cose.EdDSA, cose.MLDSA44, cose.ES256)
				r.Extensions = client.RegistrationExtensions{CredProtect: 2, HMACSecret: true, CredBlob: []byte{1}}
				made := mustRegister(t, b, r)
				for _, allow := range [][]ctap2.Descriptor{{descriptor(made)}, append(foreign(2), descriptor(made))} {
					got, err := b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: allow})
					if err != nil || len(got) != 1 || !bytes.Equal(got[0].Credential.ID, made.Data.Credential.ID) {
						t.Errorf("PIN set %v, %d allowed: %v, %v", pinSet, len(allow), got, err)
					}
				}
				if pinSet {
					if _, err := b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:]}); err != nil {
						t.Errorf("any credential: %v", err)
					}
				}
			}
		})
	}
}

// TestEnterpriseAttestation goes out only where it is enabled.
func TestEnterpriseAttestation(t *testing.T) {
	for profile, enabled := range map[string]bool{"enterprise": true, "default": false} {
		b, ear := tapped(t, profile)
		b.person.pin, b.person.newPIN = "123456", "123456"
		b.mustSetPIN(t)
		r := registration()
		r.EnterpriseAttestation, r.AttestationFormats = client.PlatformManaged, []string{"none"}
		made := mustRegister(t, b, r)
		request := ear.last(t, ctap2.CommandMakeCredential)
		if (request[10] != nil) != enabled || made.EnterpriseAttestation != enabled || slices.Contains(made.Extensions.NotSent, "enterpriseAttestation") == enabled {
			t.Errorf("%s: sent %v, granted %v, not sent %q", profile, request[10], made.EnterpriseAttestation, made.Extensions.NotSent)
		}
		// The one that lists no formats is of CTAP 2.1.
		if formats := request[11] != nil; formats == enabled || formats != (made.Format == "none") {
			t.Errorf("%s: formats sent %v, got %s", profile, request[11], made.Format)
		}
	}
}
