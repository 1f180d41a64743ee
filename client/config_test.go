package client_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

func (m *managed) info(t *testing.T) *ctap2.GetInfoResponse {
	t.Helper()
	info, err := m.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// TestConfig sets each thing on a key with a PIN and on one without; afterwards
// the key says so, and to set it again costs nothing.
func TestConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		set  func(*managed) error
		sub  string
		is   func(*ctap2.GetInfoResponse) bool
		once bool // what is so already is not sent
	}{
		"alwaysUv": {
			set: func(m *managed) error { return m.SetAlwaysUV(t.Context(), true) }, sub: "2", once: true,
			is: func(i *ctap2.GetInfoResponse) bool { on, _ := i.Option(ctap2.OptionAlwaysUV); return on },
		},
		"enterprise attestation": {
			set: func(m *managed) error { return m.EnableEnterpriseAttestation(t.Context()) }, sub: "1", once: true,
			is: func(i *ctap2.GetInfoResponse) bool { on, _ := i.Option(ctap2.OptionEP); return on },
		},
		"long touch": {
			set: func(m *managed) error { return m.EnableLongTouchForReset(t.Context()) }, sub: "4", once: true,
			is: func(i *ctap2.GetInfoResponse) bool { return *i.LongTouchForReset },
		},
		"minimum PIN length": {
			set: func(m *managed) error { return m.SetMinPINLength(t.Context(), client.MinPINLength{Length: 6}) }, sub: "3",
			is: func(i *ctap2.GetInfoResponse) bool { return *i.MinPINLength == 6 && !*i.ForcePINChange },
		},
		"PIN complexity": {
			set: func(m *managed) error {
				return m.SetMinPINLength(t.Context(), client.MinPINLength{ComplexityPolicy: true})
			}, sub: "3",
			is: func(i *ctap2.GetInfoResponse) bool { return *i.PINComplexityPolicy },
		},
		"vendor": {
			set: func(m *managed) error { return m.VendorConfig(t.Context(), 0x6669646f6b657900, map[int64]any{2: "x"}) }, sub: "255",
			is: func(i *ctap2.GetInfoResponse) bool { return true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManaged(t, simulator.Full23())
			if err := tt.set(m); err != nil {
				t.Fatal(err)
			}
			m.wantAsked(t, then(byPIN, "Config "+tt.sub)...)
			if !tt.is(m.info(t)) {
				t.Errorf("getInfo does not say so: %+v", m.info(t))
			}
			m.wire.asked = nil
			if err := tt.set(m); err != nil {
				t.Error(err)
			}
			if sent := len(m.wire.asked) > 0; sent == tt.once {
				t.Errorf("set again: asked %q", m.wire.asked)
			}

			// Without a PIN there is nobody to ask.
			m = newManaged(t, simulator.Full23(), func(m *managed) {
				if err := m.Reset(t.Context()); err != nil {
					t.Fatal(err)
				}
			})
			if err := tt.set(m); err != nil {
				t.Fatal(err)
			}
			m.wantAsked(t, "GetInfo", "Config "+tt.sub)
			if !tt.is(m.info(t)) {
				t.Errorf("getInfo does not say so: %+v", m.info(t))
			}
		})
	}
}

func TestAlwaysUV(t *testing.T) {
	m := newManaged(t, profile(t, "ctap-2.1"))
	for _, on := range []bool{true, true, false, false} {
		if err := m.SetAlwaysUV(t.Context(), on); err != nil {
			t.Fatal(err)
		}
		if is, _ := m.info(t).Option(ctap2.OptionAlwaysUV); is != on {
			t.Fatalf("alwaysUv is %v, not %v", is, on)
		}
	}
	m.wantAsked(t, then(byPIN, "Config 2", "GetInfo", "Config 2", "GetInfo")...)

	fixed := profile(t, "enterprise")
	fixed.AlwaysUVFixed = true
	m = newManaged(t, fixed)
	if err := m.SetAlwaysUV(t.Context(), false); !errors.Is(err, ctap2.ErrOperationDenied) || !strings.Contains(err.Error(), "only a reset") {
		t.Errorf("fixed: %v", err)
	}

	// A new key on which it is on by default, and which has no PIN, lets go of it.
	b := newBench(t, simulator.Config{Profile: profile(t, "enterprise")})
	if err := b.SetMinPINLength(t.Context(), client.MinPINLength{Length: 8}); !errors.Is(err, client.ErrNoPIN) {
		t.Errorf("minimum PIN length with alwaysUv and no PIN: %v", err)
	}
	if err := b.SetAlwaysUV(t.Context(), false); err != nil {
		t.Error(err)
	}
}

// TestConfigChecks: what getInfo tells is not asked of the key, and no PIN is asked
// for.
func TestConfigChecks(t *testing.T) {
	rpIDs := make([]string, 9)
	nine := func(m *managed) error { return m.SetMinPINLength(t.Context(), client.MinPINLength{RPIDs: rpIDs}) }
	length := func(n uint) func(m *managed) error {
		return func(m *managed) error { return m.SetMinPINLength(t.Context(), client.MinPINLength{Length: n}) }
	}
	short := simulator.Full23()
	short.GetInfo.MaxPINLength = new(uint(12))
	unlisted := simulator.Full23()
	unlisted.Quirks.GetInfo = map[int64]any{0x1f: []any{2.0}}
	for name, tt := range map[string]struct {
		profile *simulator.Profile
		do      func(m *managed) error
		want    error
		says    string
	}{
		"shorter than now":         {profile(t, "enterprise"), length(5), client.ErrWouldRefuse, "6 now"},
		"longer than PINs may be":  {short, length(13), client.ErrWouldRefuse, "4 to 12"},
		"longer than PINs can be":  {profile(t, "ctap-2.1"), length(64), client.ErrWouldRefuse, "4 to 63"},
		"too many relying parties": {simulator.Full23(), nine, client.ErrWouldRefuse, "room for 8"},
		"nobody is told":           {profile(t, "variant-no-minpin"), nine, transport.ErrUnsupported, "minPinLength"},
		"no complexity policy": {profile(t, "ctap-2.1"), func(m *managed) error {
			return m.SetMinPINLength(t.Context(), client.MinPINLength{ComplexityPolicy: true})
		}, transport.ErrUnsupported, "complexity"},
		"nothing":                     {simulator.Full23(), length(0), nil, "no rule"},
		"no setMinPINLength":          {profile(t, "variant-no-config"), length(6), transport.ErrUnsupported, "setMinPINLength"},
		"no alwaysUv":                 {profile(t, "variant-no-config"), func(m *managed) error { return m.SetAlwaysUV(t.Context(), true) }, transport.ErrUnsupported, "alwaysUv"},
		"no enterprise attestation":   {profile(t, "variant-no-ep-support"), func(m *managed) error { return m.EnableEnterpriseAttestation(t.Context()) }, transport.ErrUnsupported, "ep"},
		"no long touch":               {profile(t, "ctap-2.1"), func(m *managed) error { return m.EnableLongTouchForReset(t.Context()) }, transport.ErrUnsupported, "long touch"},
		"no vendor commands":          {profile(t, "preview"), func(m *managed) error { return m.VendorConfig(t.Context(), 1, nil) }, transport.ErrUnsupported, "vendor"},
		"vendor parameter 1":          {simulator.Full23(), func(m *managed) error { return m.VendorConfig(t.Context(), 1, map[int64]any{1: 2}) }, nil, "parameter 1"},
		"not in the list of commands": {unlisted, length(6), transport.ErrUnsupported, "does not list subcommand 3"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newManaged(t, tt.profile)
			err := tt.do(m)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %v, want %v with %q", err, tt.want, tt.says)
			}
			m.wantAsked(t, "GetInfo")
		})
	}
	b := newBench(t, simulator.Config{Profile: simulator.Full23()})
	if err := b.ForcePINChange(t.Context()); !errors.Is(err, client.ErrWouldRefuse) || !errors.Is(err, client.ErrNoPIN) {
		t.Errorf("forced change of no PIN: %v", err)
	}
}

// TestMinPINLengthRPIDs: the relying parties on the list are told.
func TestMinPINLengthRPIDs(t *testing.T) {
	m := newManaged(t, profile(t, "ctap-2.1"))
	if err := m.SetMinPINLength(t.Context(), client.MinPINLength{Length: 5, RPIDs: []string{"a.example", "b.example"}}); err != nil {
		t.Fatal(err)
	}
	params := m.params(t, "Config 3", 2)
	if ids, ok := params[uint64(2)].([]any); len(params) != 2 || params[uint64(1)] != uint64(5) || !ok || len(ids) != 2 || ids[1] != "b.example" {
		t.Errorf("sent %v", params)
	}
}

// TestForcedPINChange: a PIN that must be changed is not asked for, but to be
// changed.
func TestForcedPINChange(t *testing.T) {
	for name, force := range map[string]func(*managed) error{
		"forced":    func(m *managed) error { return m.ForcePINChange(t.Context()) },
		"too short": func(m *managed) error { return m.SetMinPINLength(t.Context(), client.MinPINLength{Length: 7}) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newManaged(t, simulator.Full23(), holding(t, threePasskeys...))
			if err := force(m); err != nil {
				t.Fatal(err)
			}
			if state, err := m.PINState(t.Context()); err != nil || !state.MustChange {
				t.Errorf("%+v, %v", state, err)
			}
			m.forget()
			for flow, run := range map[string]func() error{
				"list":     func() error { _, err := m.Credentials(t.Context()); return err },
				"register": func() error { _, err := m.Register(t.Context(), registration()); return err },
				"verify":   func() error { return m.VerifyPIN(t.Context()) },
				"enrol":    func() error { _, err := m.EnrollFingerprint(t.Context(), client.Enrollment{}); return err },
				"config":   func() error { return m.SetAlwaysUV(t.Context(), true) },
				"delete":   func() error { _, err := m.DeleteCredential(t.Context(), []byte{1}); return err },
			} {
				if err := run(); !errors.Is(err, client.ErrPINChangeNeeded) {
					t.Errorf("%s: %v", flow, err)
				}
			}
			for _, asked := range m.wire.asked {
				if asked != "GetInfo" {
					t.Errorf("asked %s", asked)
				}
			}
			m.wire.asked = nil
			if name == "forced" {
				if err := m.ChangePIN(t.Context()); !errors.Is(err, pin.ErrPolicy) {
					t.Errorf("to the same PIN: %v", err)
				}
			}
			m.person.newPIN = "7604193"
			if err := m.ChangePIN(t.Context()); err != nil {
				t.Fatal(err)
			}
			m.person.pin = m.person.newPIN
			if _, err := m.Credentials(t.Context()); err != nil {
				t.Errorf("after the change: %v", err)
			}
		})
	}
}

// TestPINPolicy: what is known of the rules is in the prompt and in the error.
func TestPINPolicy(t *testing.T) {
	p := simulator.Full23()
	p.GetInfo.MaxPINLength = new(uint(10))
	m := newManaged(t, p)
	if err := m.SetMinPINLength(t.Context(), client.MinPINLength{ComplexityPolicy: true, Length: 5}); err != nil {
		t.Fatal(err)
	}
	m.person.newPIN = "111111"
	err := m.ChangePIN(t.Context())
	var policy *client.PolicyError
	if !errors.As(err, &policy) || !policy.Complexity || policy.MinLength != 5 || policy.URL != "https://fidokey.example/pin" || !strings.Contains(err.Error(), policy.URL) {
		t.Errorf("error %v", err)
	}
	asked := m.person.askedNew[len(m.person.askedNew)-1]
	if want := (client.NewPINRequest{MinLength: 5, MaxLength: 10, Complexity: true, PolicyURL: policy.URL}); asked != want {
		t.Errorf("asked for %+v", asked)
	}
	m.wire.asked = nil
	m.person.newPIN = "27491380461"
	if err := m.ChangePIN(t.Context()); !errors.Is(err, pin.ErrPolicy) || !strings.Contains(err.Error(), "at most 10") {
		t.Errorf("11 characters: %v", err)
	}
	m.wantAsked(t, "GetInfo", "ClientPIN 1")
}

// TestHangsPINRetries: a key that never says how many tries are left while there is
// no PIN is not asked then.
func TestHangsPINRetries(t *testing.T) {
	b := newBench(t, simulator.Config{Profile: profile(t, "quirk-hangs-pin-retries")})
	if state, err := b.PINState(t.Context()); err != nil || state.Set || state.Retries != nil {
		t.Errorf("%+v, %v", state, err)
	}
	if _, err := b.Credentials(t.Context()); !errors.Is(err, client.ErrNoPIN) {
		t.Errorf("list without a PIN: %v", err)
	}
	if _, err := b.Register(t.Context(), registration()); err != nil {
		t.Error(err)
	}
	b.mustSetPIN(t)
	if rps, err := b.Credentials(t.Context()); err != nil || len(rps) != 1 {
		t.Errorf("%v, %v", rps, err)
	}
}
