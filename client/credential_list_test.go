package client_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

// tap sees every message, and may answer in the key's place.
type tap struct {
	transport.Device
	sent   [][]byte
	before func(msg []byte) []byte         // nil answer: the key's
	after  func(msg, answer []byte) []byte // what arrives
}

func (d *tap) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	d.sent = append(d.sent, msg)
	if d.before != nil {
		if answer := d.before(msg); answer != nil {
			return answer, nil
		}
	}
	answer, err := d.Device.Exchange(ctx, msg)
	if err == nil && d.after != nil {
		answer = d.after(msg, answer)
	}
	return answer, err
}

// tapped returns a bench on a shipped profile, with an ear at the wire.
func tapped(t *testing.T, profile string) (*bench, *tap) {
	t.Helper()
	p, err := simulator.LoadProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	return tappedProfile(t, p)
}

func tappedProfile(t *testing.T, p *simulator.Profile) (*bench, *tap) {
	t.Helper()
	b := newBench(t, simulator.Config{Profile: p})
	ear := &tap{Device: b.wire.Device}
	b.wire.Device = ear
	return b, ear
}

// noting has the findings of the bench's key noted.
func (b *bench) noting() *[]ctap2.Finding {
	var findings []ctap2.Finding
	b.options.Findings = func(f ctap2.Finding) { findings = append(findings, f) }
	b.options.Prompt = b.person.prompt()
	b.Key = client.New(b.wire, b.options)
	return &findings
}

// last returns the last message of a command, as a plain map.
func (d *tap) last(t *testing.T, command ctap2.Command) map[int]any {
	t.Helper()
	for _, msg := range slices.Backward(d.sent) {
		if ctap2.Command(msg[0]) == command {
			return plainMap(t, msg[1:])
		}
	}
	t.Fatalf("no %v was sent", command)
	return nil
}

// tally counts the exchanges by command.
func tally(asked []string) map[string]int {
	counts := map[string]int{}
	for _, what := range asked {
		counts[strings.TrimPrefix(what, "authenticator")]++
	}
	return counts
}

// foreign returns n descriptors of other keys' credentials.
func foreign(n int) []ctap2.Descriptor {
	var list []ctap2.Descriptor
	for range n {
		id := make([]byte, 64)
		rand.Read(id)
		list = append(list, ctap2.Descriptor{ID: id, Type: ctap2.PublicKeyType, Transports: []string{"usb"}})
	}
	return list
}

func descriptor(made *client.Registered) ctap2.Descriptor {
	return ctap2.Descriptor{ID: made.Data.Credential.ID, Type: ctap2.PublicKeyType, Transports: []string{"usb"}}
}

func mustRegister(t *testing.T, b *bench, r client.Registration) *client.Registered {
	t.Helper()
	made, err := b.Register(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestAllowListOfAnyLength puts the credential at the end of lists, and counts
// the silent searches: 20 entries go into one list of this key, and one token is
// enough for all.
func TestAllowListOfAnyLength(t *testing.T) {
	for _, tt := range []struct {
		profile  string
		entries  int
		searches int
	}{
		{"default", 1, 0}, {"default", 8, 0}, {"default", 9, 0}, {"default", 20, 0}, {"default", 21, 2}, {"default", 100, 5}, {"default", 1000, 50},
		{"quirk-no-max-message", 9, 0}, {"quirk-no-max-message", 20, 2}, // 1024 bytes take fewer
		{"quirk-zero-limits", 1, 0}, {"quirk-zero-limits", 9, 9}, {"quirk-zero-limits", 100, 100},
		{"ctap-2.0", 1, 0}, {"ctap-2.0", 8, 8},
		{"quirk-refuses-transports", 9, 0}, {"quirk-refuses-transports", 30, 2},
	} {
		t.Run(fmt.Sprintf("%s, %d", tt.profile, tt.entries), func(t *testing.T) {
			b, _ := tapped(t, tt.profile)
			b.mustSetPIN(t)
			made := mustRegister(t, b, registration())
			list := append(foreign(tt.entries-1), descriptor(made))
			b.wire.asked, b.person.asked, b.person.touches = nil, nil, nil
			got, err := b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: list})
			if err != nil || len(got) != 1 {
				t.Fatalf("%d assertions, %v", len(got), err)
			}
			if data := verify(t, made, got[0]); data.Flags != ctap2.FlagUP|ctap2.FlagUV {
				t.Errorf("flags %v", data.Flags)
			}
			want := map[string]int{"GetInfo": 1, "ClientPIN 1": 1, "ClientPIN 2": 1, "ClientPIN 9": 1, "GetAssertion": tt.searches + 1}
			if tt.profile == "ctap-2.0" {
				delete(want, "ClientPIN 9")
				want["GetAssertion"] = tt.searches + 1
				delete(want, "ClientPIN 1")
				delete(want, "ClientPIN 2") // its token has lived on
			}
			if counts := tally(b.wire.asked); !maps.Equal(counts, want) {
				t.Errorf("asked %v\n want %v", counts, want)
			}
			if len(b.person.touches) != 1 {
				t.Errorf("%d touches", len(b.person.touches))
			}
		})
	}
}

// TestExcludeListOfAnyLength finds the excluded credential at the end of a list,
// and makes one where the list has none of this key's.
func TestExcludeListOfAnyLength(t *testing.T) {
	for _, tt := range []struct {
		entries  int
		searches int
	}{{0, 0}, {1, 0}, {8, 0}, {9, 0}, {100, 5}, {1000, 50}} {
		t.Run(fmt.Sprint(tt.entries), func(t *testing.T) {
			b, ear := tapped(t, "default")
			b.mustSetPIN(t)
			made := mustRegister(t, b, registration())
			r := registration()
			r.User.ID, r.Exclude = []byte{2}, foreign(tt.entries)
			b.wire.asked = nil
			mustRegister(t, b, r)
			want := map[string]int{"GetInfo": 1, "ClientPIN 1": 1, "ClientPIN 2": 1, "ClientPIN 9": 1, "MakeCredential": 1}
			if tt.searches > 0 {
				want["GetAssertion"] = tt.searches
			}
			if counts := tally(b.wire.asked); !maps.Equal(counts, want) {
				t.Errorf("asked %v\n want %v", counts, want)
			}
			permissions, bound := ctap2.PermissionMC, ear.lastPIN(t, 9)
			if tt.searches > 0 {
				permissions |= ctap2.PermissionGA
			}
			if bound[9] != uint64(permissions) || bound[10] != "example.com" {
				t.Errorf("token asked for with %v for %v, want %v", bound[9], bound[10], permissions)
			}
			if list, present := ear.last(t, ctap2.CommandMakeCredential)[5]; present && (tt.entries == 0 || tt.searches > 0) {
				t.Errorf("exclude list %v was sent", list)
			}
			if tt.entries == 0 {
				return
			}
			r.Exclude[tt.entries-1] = descriptor(made)
			b.person.touches = nil
			if _, err := b.Register(t.Context(), r); !errors.Is(err, ctap2.ErrCredentialExcluded) {
				t.Errorf("excluded: %v", err)
			}
			if len(b.person.touches) != 1 || b.person.touches[0].Command != ctap2.CommandMakeCredential {
				t.Errorf("touches %v", b.person.touches)
			}
		})
	}
}

// TestExcludeListOfLongIDs has few entries, which do not fit into 1024 bytes
// together with the rest of the request.
func TestExcludeListOfLongIDs(t *testing.T) {
	b, ear := tapped(t, "quirk-no-max-message")
	b.mustSetPIN(t)
	r := registration()
	r.Exclude = foreign(12)
	mustRegister(t, b, r)
	if n := tally(b.wire.asked)["GetAssertion"]; n != 2 {
		t.Errorf("%d searches", n)
	}
	for _, msg := range ear.sent {
		if len(msg) > 1024 {
			t.Errorf("%v of %d bytes", ctap2.Command(msg[0]), len(msg))
		}
	}
}

// TestSearchFindsProtected: a credential that shows itself only to a verified
// user is found by the search, with the token of the request.
func TestSearchFindsProtected(t *testing.T) {
	b := newBench(t, simulator.Config{Profile: simulator.Full23()})
	b.mustSetPIN(t)
	r := registration()
	r.Extensions.CredProtect, r.Extensions.EnforceCredProtect = client.UserVerificationRequired, true
	made := mustRegister(t, b, r)
	list := append(foreign(50), descriptor(made))
	if _, err := b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: list}); err != nil {
		t.Errorf("authenticate: %v", err)
	}
	r.User.ID, r.Exclude = []byte{2}, list
	if _, err := b.Register(t.Context(), r); !errors.Is(err, ctap2.ErrCredentialExcluded) {
		t.Errorf("excluded: %v", err)
	}
	_, err := b.Authenticate(t.Context(), client.Assertion{
		RPID: "example.com", ClientDataHash: hash[:], Allow: list, UserVerification: client.Discouraged,
	})
	if !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Errorf("without user verification: %v", err)
	}
}

// TestSearchUnderAlwaysUV: with alwaysUv the search has a token, too, although
// the relying party asks for no user verification.
func TestSearchUnderAlwaysUV(t *testing.T) {
	p := simulator.Full23()
	p.GetInfo.Options[ctap2.OptionAlwaysUV] = true
	b, ear := tappedProfile(t, p)
	b.mustSetPIN(t)
	// As keys do that want user verification even without a touch.
	ear.before = func(msg []byte) []byte {
		if ctap2.Command(msg[0]) == ctap2.CommandGetAssertion && plainMap(t, msg[1:])[6] == nil {
			return []byte{byte(ctap2.ErrPUATRequired)}
		}
		return nil
	}
	made := mustRegister(t, b, registration())
	got, err := b.Authenticate(t.Context(), client.Assertion{
		RPID: "example.com", ClientDataHash: hash[:], Allow: append(foreign(50), descriptor(made)), UserVerification: client.Discouraged,
	})
	if err != nil || got[0].Data.Flags&ctap2.FlagUV == 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// TestSearchAsksForToken: a key wants user verification for a search where getInfo
// does not say so. It gets it, and the PIN is asked for once.
func TestSearchAsksForToken(t *testing.T) {
	b, ear := tapped(t, "default")
	b.mustSetPIN(t)
	made := mustRegister(t, b, registration())
	ear.before = func(msg []byte) []byte {
		if ctap2.Command(msg[0]) == ctap2.CommandGetAssertion && plainMap(t, msg[1:])[6] == nil {
			return []byte{byte(ctap2.ErrPUATRequired)}
		}
		return nil
	}
	b.wire.asked, b.person.asked = nil, nil
	_, err := b.Authenticate(t.Context(), client.Assertion{
		RPID: "example.com", ClientDataHash: hash[:], Allow: append(foreign(30), descriptor(made)), UserVerification: client.Discouraged,
	})
	if n := tally(b.wire.asked)["GetAssertion"]; err != nil || n != 1+2+1 || len(b.person.asked) != 1 {
		t.Errorf("%v after %d requests, PIN asked for %d times", err, n, len(b.person.asked))
	}
}

// TestOddAnswersToSearch: other statuses than NO_CREDENTIALS count as absence,
// and are told. What the key has is found all the same.
func TestOddAnswersToSearch(t *testing.T) {
	for profile, status := range map[string]ctap2.Status{"quirk-status-probe": ctap2.ErrInvalidCredential, "quirk-status-unknown": 0xf1} {
		t.Run(profile, func(t *testing.T) {
			b, _ := tapped(t, profile)
			findings := b.noting()
			made := mustRegister(t, b, registration())
			a := client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: append(foreign(50), descriptor(made))}
			if _, err := b.Authenticate(t.Context(), a); err != nil {
				t.Errorf("authenticate: %v", err)
			}
			if len(*findings) != 1 || !strings.Contains((*findings)[0].What, "silent search") {
				t.Errorf("findings %v", *findings)
			}
			a.Allow = foreign(50)
			if _, err := b.Authenticate(t.Context(), a); !errors.Is(err, ctap2.ErrNoCredentials) || !errors.Is(err, status) {
				t.Errorf("none: %v", err)
			}
			a.Allow = foreign(3)
			if _, err := b.Authenticate(t.Context(), a); !errors.Is(err, status) {
				t.Errorf("none of three: %v", err)
			}
		})
	}
	// One list is refused as a whole, for one entry of it: its others are found.
	b, ear := tapped(t, "default")
	made := mustRegister(t, b, registration())
	bad := foreign(1)[0]
	ear.before = func(msg []byte) []byte {
		if ctap2.Command(msg[0]) == ctap2.CommandGetAssertion && strings.Contains(string(msg), string(bad.ID)) {
			return []byte{byte(ctap2.ErrInvalidCBOR)}
		}
		return nil
	}
	list := append(append(foreign(30), bad), append(foreign(5), descriptor(made))...)
	if _, err := b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: list}); err != nil {
		t.Errorf("one bad entry: %v", err)
	}
}

// TestSearchEndsAtOnce: the person, the token and the conversation are no matter
// of a list.
func TestSearchEndsAtOnce(t *testing.T) {
	for _, status := range []ctap2.Status{ctap2.ErrKeepaliveCancel, ctap2.ErrOperationDenied, ctap2.ErrPINAuthInvalid, ctap2.ErrChannelBusy} {
		b, ear := tapped(t, "default")
		ear.before = func(msg []byte) []byte {
			if ctap2.Command(msg[0]) == ctap2.CommandGetAssertion {
				return []byte{byte(status)}
			}
			return nil
		}
		_, err := b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: foreign(100)})
		if !errors.Is(err, status) || tally(b.wire.asked)["GetAssertion"] != 1 {
			t.Errorf("%v: %v after %v", status, err, tally(b.wire.asked))
		}
	}
}

// TestSearchSignsNothing: what is signed without a touch is not the relying
// party's challenge.
func TestSearchSignsNothing(t *testing.T) {
	b, ear := tapped(t, "default")
	b.mustSetPIN(t)
	_, err := b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: foreign(21)})
	if !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Fatal(err)
	}
	for _, msg := range ear.sent {
		if strings.Contains(string(msg), string(hash[:])) {
			t.Errorf("%v has the client data hash", ctap2.Command(msg[0]))
		}
	}
}

// TestIDsOfOtherKeys: what is too long for this key is left away; a list of which
// nothing is left must not become one for any credential.
func TestIDsOfOtherKeys(t *testing.T) {
	b, ear := tapped(t, "default")
	made := mustRegister(t, b, registration())
	long := ctap2.Descriptor{ID: make([]byte, 1000), Type: ctap2.PublicKeyType}
	b.wire.asked = nil
	_, err := b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: []ctap2.Descriptor{long}})
	if !errors.Is(err, ctap2.ErrNoCredentials) || tally(b.wire.asked)["GetAssertion"] != 0 {
		t.Errorf("only a long one: %v", err)
	}
	_, err = b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: []ctap2.Descriptor{long, descriptor(made)}})
	if err != nil {
		t.Error(err)
	}
	if list := ear.last(t, ctap2.CommandGetAssertion)[3].([]any); len(list) != 1 || len(list[0].(map[any]any)) != 2 {
		t.Errorf("allow list %v", list)
	}
}

// TestAppID: credentials of U2F are found before there is a token, which a
// request for another relying party would void.
func TestAppIDOfCTAP2(t *testing.T) {
	const appID = "https://example.com/u2f"
	b, _ := tapped(t, "quirk-token-one-rp")
	old := registration()
	old.RP.ID, old.Discoverable = appID, false
	made := mustRegister(t, b, old)
	b.mustSetPIN(t)

	r := registration()
	r.AppIDExclude, r.Exclude = appID, foreign(30)
	b.wire.asked = nil
	mustRegister(t, b, r)
	want := []string{
		"authenticatorGetInfo", "authenticatorGetAssertion", "authenticatorGetAssertion", // the application
		"authenticatorClientPIN 1", "authenticatorClientPIN 2", "authenticatorClientPIN 9",
		"authenticatorGetAssertion", "authenticatorGetAssertion", "authenticatorMakeCredential",
	}
	if !slices.Equal(b.wire.asked, want) {
		t.Errorf("asked %q\n want %q", b.wire.asked, want)
	}
	r.Exclude = append(r.Exclude, descriptor(made))
	b.person.asked, b.person.touches = nil, nil
	if _, err := b.Register(t.Context(), r); !errors.Is(err, ctap2.ErrCredentialExcluded) || len(b.person.asked) != 0 || len(b.person.touches) != 1 {
		t.Errorf("excluded: %v, PIN asked for %d times, %d touches", err, len(b.person.asked), len(b.person.touches))
	}

	a := client.Assertion{RPID: "example.com", AppID: appID, ClientDataHash: hash[:], Allow: r.Exclude}
	b.wire.asked = nil
	got, err := b.Authenticate(t.Context(), a)
	if err != nil || !got[0].AppID {
		t.Fatalf("%v, %v", got, err)
	}
	if n := tally(b.wire.asked)["GetAssertion"]; n != 5 { // two chunks for each, and the one that counts
		t.Errorf("%d assertions", n)
	}
	verify(t, made, got[0])
	a.AppID = ""
	if _, err := b.Authenticate(t.Context(), a); !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Errorf("without the application: %v", err)
	}
}

// TestSearchWithFinger: with built-in user verification one finger is for the
// search and the signature; a key that gives no tokens for it is searched
// without.
func TestSearchWithFinger(t *testing.T) {
	for _, tokens := range []bool{true, false} {
		p := simulator.Full23()
		options := p.GetInfo.Options
		options[ctap2.OptionUV], options[ctap2.OptionPINUVAuthToken] = true, tokens
		for _, absent := range []string{ctap2.OptionBioEnroll, ctap2.OptionUVBioEnroll, ctap2.OptionClientPIN} {
			delete(options, absent)
		}
		p.GetInfo.PreferredPlatformUVAttempts = nil
		b, ear := tappedProfile(t, p)
		made := mustRegister(t, b, registration())
		b.wire.asked, ear.sent = nil, nil
		got, err := b.Authenticate(t.Context(), client.Assertion{
			RPID: "example.com", ClientDataHash: hash[:], Allow: append(foreign(50), descriptor(made)), UserVerification: client.Required,
		})
		if err != nil || got[0].Data.Flags&ctap2.FlagUV == 0 {
			t.Fatalf("tokens %v: %v, %v", tokens, got, err)
		}
		want := map[string]int{"GetInfo": 1, "GetAssertion": 4}
		if tokens {
			want["ClientPIN 2"], want["ClientPIN 6"] = 1, 1
		}
		if counts := tally(b.wire.asked); !maps.Equal(counts, want) {
			t.Errorf("tokens %v: asked %v", tokens, counts)
		}
		fingers := 0
		for _, msg := range ear.sent {
			if ctap2.Command(msg[0]) == ctap2.CommandGetAssertion {
				if set, _ := plainMap(t, msg[1:])[5].(map[any]any); set["uv"] == true {
					fingers++
				}
			}
		}
		if (fingers == 1) == tokens {
			t.Errorf("tokens %v: uv in %d requests", tokens, fingers)
		}
	}
}

// TestMissingMembers: what a key leaves out of an assertion is told.
func TestMissingMembers(t *testing.T) {
	for profile, member := range map[string]string{"quirk-no-credential": "credential (1)", "quirk-no-user": "user (4)", "default": ""} {
		b, _ := tapped(t, profile)
		findings := b.noting()
		made := mustRegister(t, b, registration())
		for _, allow := range [][]ctap2.Descriptor{nil, {descriptor(made)}} {
			if _, err := b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: allow}); err != nil {
				t.Errorf("%s: %v", profile, err)
			}
		}
		if (len(*findings) == 0) != (member == "") || member != "" && !strings.Contains((*findings)[0].What, member) {
			t.Errorf("%s: findings %v", profile, *findings)
		}
	}
}
