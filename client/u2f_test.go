package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/nfc"
	"github.com/fidokey/fidokey/u2f"
	"github.com/fidokey/fidokey/webauthn"
)

const appID = "https://example.com/app-id.json"

// withU2F has a key speak U2F, too.
func withU2F(p *simulator.Profile) {
	p.GetInfo.Versions = append(slices.Clone(p.GetInfo.Versions), ctap2.VersionU2F)
}

// TestU2FInfo: what is U2F only, and what says so that should not.
func TestU2FInfo(t *testing.T) {
	const getInfo, version = "authenticatorGetInfo", "U2F_VERSION"
	malformed := []byte{0, 0xa1, 1}
	for _, tt := range []struct {
		name    string
		profile string
		edit    func(*simulator.Profile)
		canned  []byte // getInfo answers this
		sent    []string
		err     error
		finding string
	}{
		{name: "U2F only", profile: "u2f", sent: []string{getInfo, version}},
		{
			name: "U2F only, wants an Lc", profile: "u2f", edit: func(p *simulator.Profile) { p.Quirks.U2FNeedsLc = true },
			sent: []string{getInfo, version, version}, finding: "U2F_VERSION: a command without data",
		},
		{
			name: "claims CTAP2 and fails", profile: "quirk-getinfo-fails", edit: withU2F,
			sent: []string{getInfo, version}, finding: "CTAP1_ERR_INVALID_COMMAND",
		},
		{name: "fails and has no U2F", profile: "quirk-getinfo-fails", sent: []string{getInfo, version}, err: ctap2.ErrInvalidCommand},
		{name: "cannot be read", profile: "default", edit: withU2F, canned: malformed, sent: []string{getInfo, version}, finding: "malformed answer"},
		{name: "cannot be read and has no U2F", profile: "default", canned: malformed, sent: []string{getInfo, version}, err: ctap2.ErrMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStation(t, simulator.Config{Profile: profile(t, tt.profile, tt.edit)})
			if tt.canned != nil {
				s.simulator.Faults().Add(simulator.Fault{Kind: simulator.FaultCanned, Command: ctap2.CommandGetInfo, Times: 2, Answer: tt.canned})
			}
			info, err := s.Info(t.Context())
			if tt.err != nil {
				if !errors.Is(err, tt.err) {
					t.Errorf("error %v", err)
				}
			} else if err != nil || !slices.Equal(info.Versions, []string{"U2F_V2"}) || info.AAGUID != (ctap2.AAGUID{}) || info.Raw != nil {
				t.Errorf("%+v, %v", info, err)
			}
			s.wantSent(t, tt.sent...)
			if found := strings.Join(s.findings, "\n"); tt.err == nil && (found == "") != (tt.finding == "") || !strings.Contains(found, tt.finding) {
				t.Errorf("findings %q", s.findings)
			}
			if state, err := s.PINState(t.Context()); tt.err == nil && (err != nil || state.Supported) {
				t.Errorf("PIN state %+v, %v", state, err)
			}
		})
	}
	// A key that says it has no CTAP2, and has, is spoken to with it.
	s := playing(t, "quirk-lying-capabilities")
	if info, err := s.Info(t.Context()); err != nil || !info.HasVersion(ctap2.VersionFIDO21) {
		t.Errorf("%+v, %v", info, err)
	}
}

// An oldCard speaks U2F and nothing else.
type oldCard struct{}

func (oldCard) Transmit(_ context.Context, apdu []byte) ([]byte, error) {
	if apdu[0] == 0x80 {
		return []byte{0x6e, 0}, nil
	}
	return []byte("U2F_V2\x90\x00"), nil
}

func (oldCard) Close() error { return nil }

// TestU2FCard: a card without CTAP2 does not know the class of its messages, or
// knows it and no command. Neither is worth a finding.
func TestU2FCard(t *testing.T) {
	a, err := simulator.New(simulator.Config{Profile: profile(t, "u2f")})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for name, card := range map[string]nfc.Card{"unknown class": oldCard{}, "unknown command": simulator.NewCard(a)} {
		dev, err := nfc.Open(t.Context(), card)
		if err != nil {
			t.Fatal(err)
		}
		var found []ctap2.Finding
		key := client.New(dev, client.Options{Findings: func(f ctap2.Finding) { found = append(found, f) }})
		defer key.Close()
		if info, err := key.Info(t.Context()); err != nil || info.Versions[0] != "U2F_V2" || len(found) > 0 {
			t.Errorf("%s: %+v, %v, findings %v", name, info, err, found)
		}
		if _, err := key.Register(t.Context(), u2fRegistration()); err != nil && card != (oldCard{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSilentKeyIsNotAskedAgain: after a getInfo that is not answered in time, a
// key that says it speaks CTAP2 is not made to wait for with U2F, too.
func TestSilentKeyIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t, simulator.Config{Profile: profile(t, "default", withU2F)})
		s.simulator.Faults().Add(simulator.Fault{Kind: simulator.FaultStuck})
		if _, err := s.Info(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		s.wantSent(t, "authenticatorGetInfo")
	})
}

var (
	challenge      = []byte("a challenge of a relying party")
	clientDataJSON = webauthn.ClientData{Type: webauthn.TypeCreate, Challenge: challenge, Origin: "https://example.com"}.JSON()
)

func u2fRegistration() client.Registration {
	r := registration()
	r.ClientDataHash = webauthn.Hash(clientDataJSON)
	r.Discoverable = false
	return r
}

// TestU2F registers and signs in, and lets the relying party judge. The touch
// takes its time, and is asked for once.
func TestU2F(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))) // certificates begin later than bubbles
		s := newStation(t, simulator.Config{Profile: profile(t, "u2f"), Presence: touchedAfter(time.Second)})
		made, err := s.Register(t.Context(), u2fRegistration())
		if err != nil {
			t.Fatal(err)
		}
		poll := func(what string) []string { return slices.Repeat([]string{what}, 5) }
		s.wantSent(t, append([]string{"authenticatorGetInfo", "U2F_VERSION"}, poll("U2F_REGISTER")...)...)
		registered, err := webauthn.NewRegistration(clientDataJSON, made.MakeCredentialResponse, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := webauthn.Expected{Challenge: challenge, Origin: "https://example.com", RPID: "example.com", Algorithms: []cose.Algorithm{cose.ES256}}
		checks := webauthn.CheckRegistration(registered, want)
		if err := webauthn.Failed(checks); err != nil || made.Format != "fido-u2f" {
			t.Errorf("%s: %v", made.Format, err)
		}
		format := slices.IndexFunc(checks, func(c webauthn.Check) bool { return c.Name == webauthn.CheckFormat })
		if format < 0 || !strings.HasPrefix(checks[format].Detail, "fido-u2f: signed with a key of the maker") {
			t.Errorf("attestation: %+v", checks)
		}

		credential, _, err := registered.Credential()
		if err != nil {
			t.Fatal(err)
		}
		own := ctap2.Descriptor{ID: credential.ID, Type: ctap2.PublicKeyType, Transports: []string{"usb"}}
		foreign := ctap2.Descriptor{ID: bytes.Repeat([]byte{7}, 64), Type: ctap2.PublicKeyType}
		long := ctap2.Descriptor{ID: make([]byte, 300), Type: ctap2.PublicKeyType}
		signIn := webauthn.ClientData{Type: webauthn.TypeGet, Challenge: challenge, Origin: "https://example.com"}.JSON()
		assertions, err := s.Authenticate(t.Context(), client.Assertion{
			RPID: "example.com", ClientDataHash: webauthn.Hash(signIn), Allow: []ctap2.Descriptor{foreign, long, own},
		})
		if err != nil || len(assertions) != 1 {
			t.Fatalf("%d assertions, %v", len(assertions), err)
		}
		const check = "U2F_AUTHENTICATE check only"
		s.wantSent(t, append([]string{check, check}, poll("U2F_AUTHENTICATE")...)...)
		want.Registration = registered
		if err := webauthn.Failed(webauthn.CheckAuthentication(webauthn.NewAuthentication(signIn, assertions[0].GetAssertionResponse), want)); err != nil {
			t.Error(err)
		}
		if want := []client.Touch{{Command: ctap2.CommandMakeCredential}, {Command: ctap2.CommandGetAssertion}}; !slices.Equal(s.touches, want) {
			t.Errorf("touches %v", s.touches)
		}
		if len(s.findings) > 0 {
			t.Errorf("findings %q", s.findings)
		}
	})
}

// TestU2FKnownAnswers: what a relying party gets is what another implementation
// makes of the same bytes.
func TestU2FKnownAnswers(t *testing.T) {
	var v struct {
		ChallengeParameterRegister, KeyHandle ctaptest.Hex
		Register                              struct{ Response ctaptest.Hex }
		Authenticate                          struct{ ChallengeParameter, Response ctaptest.Hex }
		AsCtap2                               struct{ MakeCredentialResponse, GetAssertionResponse ctaptest.Hex }
	}
	ctaptest.Vectors(t, "u2f", &v)
	key := client.New(&oldKey{register: v.Register.Response, authenticate: v.Authenticate.Response}, client.Options{})
	r := registration()
	r.Discoverable = false
	r.ClientDataHash = v.ChallengeParameterRegister
	made, err := key.Register(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := ctapcbor.Marshal(made.MakeCredentialResponse); err != nil || !bytes.Equal(raw, v.AsCtap2.MakeCredentialResponse[1:]) {
		t.Errorf("%x, %v", raw, err)
	}
	signed, err := key.Authenticate(t.Context(), client.Assertion{
		RPID: "example.com", ClientDataHash: v.Authenticate.ChallengeParameter, Allow: []ctap2.Descriptor{{ID: v.KeyHandle, Type: ctap2.PublicKeyType}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := ctapcbor.Marshal(signed[0].GetAssertionResponse); err != nil || !bytes.Equal(raw, v.AsCtap2.GetAssertionResponse[1:]) {
		t.Errorf("%x, %v", raw, err)
	}
}

// oldKey is a U2F key with one answer for each command.
type oldKey struct{ register, authenticate []byte }

func (*oldKey) Exchange(context.Context, []byte) ([]byte, error) { return []byte{1}, nil }
func (*oldKey) Close() error                                     { return nil }

func (k *oldKey) Message(_ context.Context, apdu []byte) ([]byte, error) {
	switch {
	case u2f.Control(apdu[2]) == u2f.CheckOnly:
		return []byte{0x69, 0x85}, nil
	case u2f.Instruction(apdu[1]) == u2f.InstructionRegister:
		return k.register, nil
	case u2f.Instruction(apdu[1]) == u2f.InstructionAuthenticate:
		return k.authenticate, nil
	}
	return []byte("U2F_V2\x90\x00"), nil
}

// TestU2FHostile: an answer that makes no sense is an error, and claims of a
// presence byte that U2F does not know are not passed on.
func TestU2FHostile(t *testing.T) {
	var v struct {
		Register, Authenticate struct{ Response ctaptest.Hex }
	}
	ctaptest.Vectors(t, "u2f", &v)
	offCurve := slices.Clone(v.Register.Response)
	offCurve[40] ^= 1
	for _, answer := range [][]byte{nil, {0x90, 0}, offCurve} {
		r := u2fRegistration()
		if _, err := client.New(&oldKey{register: answer}, client.Options{}).Register(t.Context(), r); !errors.Is(err, ctap2.ErrMalformed) {
			t.Errorf("%x: %v", answer, err)
		}
	}
	claims := slices.Clone(v.Authenticate.Response)
	claims[0] = 0x05 // user verified
	var found []ctap2.Finding
	key := client.New(&oldKey{authenticate: claims}, client.Options{Findings: func(f ctap2.Finding) { found = append(found, f) }})
	signed, err := key.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: []ctap2.Descriptor{{ID: []byte{1}, Type: ctap2.PublicKeyType}}})
	if err != nil || signed[0].AuthData[32] != byte(ctap2.FlagUP) || !strings.Contains(found[len(found)-1].What, "presence byte 0x05") {
		t.Errorf("%+v, %v, findings %v", signed, err, found)
	}
}

// TestU2FCannot: what U2F has not is an error that says so, before anything is
// sent.
func TestU2FCannot(t *testing.T) {
	s := playing(t, "u2f")
	if _, err := s.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.line.sent()
	for want, edit := range map[string]func(*client.Registration){
		"knows no user verification": func(r *client.Registration) { r.UserVerification = client.Required },
		"discoverable":               func(r *client.Registration) { r.Discoverable = true },
		"no other algorithm":         func(r *client.Registration) { r.Parameters[0].Algorithm = cose.EdDSA },
		"client data hash":           func(r *client.Registration) { r.ClientDataHash = hash[:31] },
	} {
		r := u2fRegistration()
		edit(&r)
		if _, err := s.Register(t.Context(), r); err == nil || !strings.Contains(err.Error(), want) || want != "client data hash" && !errors.Is(err, client.ErrU2FOnly) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for want, a := range map[string]client.Assertion{
		"knows no user verification": {UserVerification: client.Required, ClientDataHash: hash[:]},
		"discoverable":               {ClientDataHash: hash[:]},
		"client data hash":           {},
	} {
		if _, err := s.Authenticate(t.Context(), a); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	s.wantSent(t)
}

// TestU2FLists goes through exclude and allow lists, on keys that refuse a
// foreign key handle in one way and in another.
func TestU2FLists(t *testing.T) {
	const check, register, authenticate = "U2F_AUTHENTICATE check only", "U2F_REGISTER", "U2F_AUTHENTICATE"
	for _, unknown := range []uint16{0x6a80, 0x6700, 0x6984} {
		s := newStation(t, simulator.Config{Profile: profile(t, "u2f", func(p *simulator.Profile) { p.Quirks.U2FUnknownHandle = unknown })})
		ofApp := u2fRegistration()
		ofApp.RP.ID = appID
		foreign := ctap2.Descriptor{ID: make([]byte, 32), Type: ctap2.PublicKeyType}
		byRPID, byAppID := s.mustRegister(t, u2fRegistration()), s.mustRegister(t, ofApp)
		s.line.sent()
		for _, tt := range []struct {
			name      string
			exclude   []ctap2.Descriptor
			appID     string
			sent      []string
			forgotten bool
		}{
			{"by RP ID", []ctap2.Descriptor{foreign, byRPID}, "", []string{check, check, register}, false},
			{"by AppID", []ctap2.Descriptor{foreign, byAppID}, appID, []string{check, check, check, check, register}, false},
			{"by AppID, which is not given", []ctap2.Descriptor{byAppID}, "", []string{check, register}, true},
			{"foreign", []ctap2.Descriptor{foreign}, appID, []string{check, check, register}, true},
		} {
			r := u2fRegistration()
			r.Exclude, r.AppIDExclude = tt.exclude, tt.appID
			if _, err := s.Register(t.Context(), r); tt.forgotten == errors.Is(err, ctap2.ErrCredentialExcluded) || tt.forgotten && err != nil {
				t.Errorf("%04x, %s: %v", unknown, tt.name, err)
			}
			s.wantSent(t, tt.sent...)
		}
		for _, tt := range []struct {
			name  string
			allow []ctap2.Descriptor
			appID string
			rpID  string // empty: none
			sent  []string
		}{
			{"by RP ID", []ctap2.Descriptor{foreign, byRPID}, appID, "example.com", []string{check, check, authenticate}},
			{"by AppID", []ctap2.Descriptor{foreign, byAppID}, appID, appID, []string{check, check, check, check, authenticate}},
			{"foreign", []ctap2.Descriptor{foreign}, appID, "", []string{check, check}},
		} {
			got, err := s.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], Allow: tt.allow, AppID: tt.appID})
			rpIDHash := sha256.Sum256([]byte(tt.rpID))
			if tt.rpID == "" {
				if !errors.Is(err, ctap2.ErrNoCredentials) {
					t.Errorf("%04x, %s: %v", unknown, tt.name, err)
				}
			} else if err != nil || !bytes.HasPrefix(got[0].AuthData, rpIDHash[:]) {
				t.Errorf("%04x, %s: %+v, %v", unknown, tt.name, got, err)
			}
			s.wantSent(t, tt.sent...)
		}
	}
}

// mustRegister returns the credential's descriptor.
func (s *station) mustRegister(t *testing.T, r client.Registration) ctap2.Descriptor {
	t.Helper()
	made, err := s.Register(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	data, err := ctap2.ParseAuthenticatorData(made.AuthData)
	if err != nil {
		t.Fatal(err)
	}
	return ctap2.Descriptor{ID: data.Credential.ID, Type: ctap2.PublicKeyType}
}

// TestU2FNobodyTouches: the wait ends with the patience of either side, and the
// key can be used afterwards.
func TestU2FNobodyTouches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t, simulator.Config{Profile: profile(t, "u2f"), Presence: nobodyThere})
		begin := time.Now()
		_, err := s.Register(t.Context(), u2fRegistration())
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not done within 30s") || took > 31*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("the person went away")
		time.AfterFunc(time.Second, func() { cancel(reason) })
		begin = time.Now()
		_, err = s.Register(ctx, u2fRegistration())
		if took := time.Since(begin); !errors.Is(err, context.Canceled) || !errors.Is(err, reason) || took > 2*time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		if len(s.touches) != 2 {
			t.Errorf("asked for a touch %d times", len(s.touches))
		}
		s.line.sent()
		if _, err := client.New(s.line, client.Options{}).Info(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestAppID: a credential of U2F on a key that speaks CTAP2.
func TestAppID(t *testing.T) {
	const get = "authenticatorGetAssertion"
	s := newStation(t, simulator.Config{Profile: profile(t, "default", withU2F)})
	made, err := u2f.Do(t.Context(), s.line, u2f.Register{Application: sha256.Sum256([]byte(appID))})
	if err != nil {
		t.Fatal(err)
	}
	old := ctap2.Descriptor{ID: made.KeyHandle, Type: ctap2.PublicKeyType, Transports: []string{"usb"}}
	current := s.mustRegister(t, u2fRegistration())
	s.touches = nil
	s.line.sent()
	rpIDHash := func(allow []ctap2.Descriptor) [32]byte {
		t.Helper()
		got, err := s.Authenticate(t.Context(), client.Assertion{RPID: "example.com", AppID: appID, ClientDataHash: hash[:], Allow: allow})
		if err != nil {
			t.Fatal(err)
		}
		return [32]byte(got[0].AuthData)
	}
	if rpIDHash([]ctap2.Descriptor{old}) != sha256.Sum256([]byte(appID)) {
		t.Error("not with the AppID")
	}
	s.wantSent(t, "authenticatorGetInfo", get, get, get)
	if rpIDHash([]ctap2.Descriptor{old, current}) != sha256.Sum256([]byte("example.com")) {
		t.Error("not with the RP ID")
	}
	s.wantSent(t, get, get)
	if len(s.touches) != 2 {
		t.Errorf("touches %v", s.touches)
	}
	foreign := []ctap2.Descriptor{{ID: make([]byte, 64), Type: ctap2.PublicKeyType}}
	if _, err := s.Authenticate(t.Context(), client.Assertion{RPID: "example.com", AppID: appID, ClientDataHash: hash[:], Allow: foreign}); !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Errorf("foreign: %v", err)
	}
	s.wantSent(t, get, get, get)

	// appidExclude: found without PIN, told after a touch.
	s.touches = nil
	r := registration()
	r.Exclude, r.AppIDExclude = []ctap2.Descriptor{old}, appID
	if _, err := s.Register(t.Context(), r); !errors.Is(err, ctap2.ErrCredentialExcluded) || len(s.touches) != 1 {
		t.Errorf("excluded: %v, touches %v", err, s.touches)
	}
	s.wantSent(t, get, get)
	r.Exclude = foreign
	if _, err := s.Register(t.Context(), r); err != nil {
		t.Errorf("not excluded: %v", err)
	}
	s.wantSent(t, get, "authenticatorMakeCredential")
}

// TestAppIDWithPIN: a key that tells nothing without the PIN is asked for the RP
// ID first, then for the AppID, with the PIN for each.
func TestAppIDWithPIN(t *testing.T) {
	s := newStation(t, simulator.Config{Profile: profile(t, "default", func(p *simulator.Profile) {
		p.GetInfo.Options[ctap2.OptionAlwaysUV] = true
		p.GetInfo.Options[ctap2.OptionMakeCredUVNotRqd] = false
	})})
	s.line.canned = func(msg []byte) []byte {
		if bytes.Contains(msg, []byte("\x62up\xf4")) {
			return []byte{byte(ctap2.ErrPUATRequired)}
		}
		return nil
	}
	if err := s.SetPIN(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := u2fRegistration()
	r.RP.ID = appID
	old := s.mustRegister(t, r)
	s.pins = 0
	got, err := s.Authenticate(t.Context(), client.Assertion{RPID: "example.com", AppID: appID, ClientDataHash: hash[:], Allow: []ctap2.Descriptor{old}})
	if want := sha256.Sum256([]byte(appID)); err != nil || !bytes.HasPrefix(got[0].AuthData, want[:]) || s.pins != 2 {
		t.Errorf("%+v, %v, %d PINs", got, err, s.pins)
	}
}
