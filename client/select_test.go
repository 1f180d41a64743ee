package client_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// ofCTAP20 has a key be one of CTAP 2.0, which has no authenticatorSelection.
func ofCTAP20(p *simulator.Profile) { p.GetInfo.Versions = []string{ctap2.VersionFIDO20} }

// TestSelect goes through the ways in which keys are selected: what is sent, once,
// and what it costs.
func TestSelect(t *testing.T) {
	const info, selection, create = "authenticatorGetInfo", "authenticatorSelection", "authenticatorMakeCredential"
	withoutSelection := func(p *simulator.Profile) {
		p.Quirks.Statuses = []simulator.StatusQuirk{{Command: ctap2.CommandSelection, To: ctap2.ErrInvalidCommand}}
	}
	algorithms := func(all ...cose.Algorithm) func(*simulator.Profile) {
		return func(p *simulator.Profile) {
			p.GetInfo.Algorithms = nil
			for _, alg := range all {
				p.GetInfo.Algorithms = append(p.GetInfo.Algorithms, ctap2.CredentialParameters{Algorithm: alg, Type: ctap2.PublicKeyType})
			}
		}
	}
	falseEdDSA := func(p *simulator.Profile) {
		algorithms(cose.EdDSA, cose.ES256)(p)
		p.Quirks.RefuseAlgorithms = []cose.Algorithm{cose.EdDSA}
	}
	for _, tt := range []struct {
		name    string // of the profile
		edit    func(*simulator.Profile)
		pin     bool
		sent    []string
		cost    uint // PIN tries
		finding bool
	}{
		{name: "default", sent: []string{info, selection}},
		{name: "default", pin: true, sent: []string{info, selection}},
		{name: "ctap-2.3", pin: true, sent: []string{info, selection}},
		{name: "quirk-unknown-getinfo", sent: []string{info, selection}},
		{name: "default", edit: withoutSelection, sent: []string{info, selection, create}, finding: true},
		{name: "preview", sent: []string{info, create}},
		{name: "preview", pin: true, sent: []string{info, create}},
		{name: "ctap-2.0", sent: []string{info, create}},
		{name: "ctap-2.0", pin: true, sent: []string{info, create}},
		{name: "quirk-which-key-protocol", pin: true, sent: []string{info, selection}},
		{name: "quirk-which-key-protocol", edit: ofCTAP20, sent: []string{info, create}},
		{name: "quirk-which-key-protocol", edit: ofCTAP20, pin: true, sent: []string{info, create}},
		{name: "quirk-which-key-costs", pin: true, sent: []string{info, selection}},
		{name: "quirk-which-key-costs", edit: ofCTAP20, pin: true, sent: []string{info, create}, cost: 1},
		{name: "no-pin", sent: []string{info, create}},
		{name: "no-pin", edit: algorithms(cose.EdDSA), sent: []string{info, create}},
		{name: "no-pin", edit: falseEdDSA, sent: []string{info, create}},
		{name: "u2f", sent: []string{info, "U2F_VERSION", "U2F_REGISTER"}},
	} {
		name := tt.name
		if tt.edit != nil {
			name += ", changed"
		}
		if tt.pin {
			name += ", with a PIN"
		}
		t.Run(name, func(t *testing.T) {
			s := newStation(t, simulator.Config{Profile: profile(t, tt.name, tt.edit)})
			if tt.pin {
				if err := s.SetPIN(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			s.simulator.ResetCounters()
			s.findings = nil
			s.line.sent()
			if err := s.Select(t.Context()); err != nil {
				t.Fatal(err)
			}
			s.wantSent(t, tt.sent...)
			if n := s.simulator.Counters().Touches["touched"]; n != 1 {
				t.Errorf("%d touches", n)
			}
			if (len(s.findings) > 0) != tt.finding && tt.name != "quirk-unknown-getinfo" {
				t.Errorf("findings %q", s.findings)
			}
			state, err := s.PINState(t.Context())
			if err != nil || tt.pin && state.Retries.Left != 8-tt.cost {
				t.Errorf("PIN state %+v, %v", state, err)
			}
			if s.pins > 0 {
				t.Error("asked for a PIN")
			}
			if n := s.simulator.Profile(); n.GetInfo.HasVersion(ctap2.VersionFIDO20) {
				_, err := s.Authenticate(t.Context(), client.Assertion{RPID: "key-selection.invalid", ClientDataHash: hash[:], UserVerification: client.Discouraged})
				if !errors.Is(err, ctap2.ErrNoCredentials) {
					t.Errorf("a discoverable credential was left: %v", err)
				}
			}
		})
	}
}

// TestSelectRefused: what is no touch is an error, and nothing is tried again.
func TestSelectRefused(t *testing.T) {
	for _, status := range []ctap2.Status{ctap2.ErrMissingParameter, ctap2.ErrPINAuthBlocked, ctap2.ErrPINBlocked, ctap2.ErrUserActionTimeout, 0xf1} {
		s := playing(t, "ctap-2.0")
		s.simulator.Faults().Add(simulator.Fault{Kind: simulator.FaultCanned, Command: ctap2.CommandMakeCredential, Answer: []byte{byte(status)}})
		if err := s.Select(t.Context()); !errors.Is(err, status) {
			t.Errorf("%v: %v", status, err)
		}
		s.wantSent(t, "authenticatorGetInfo", "authenticatorMakeCredential")
	}
}

func TestSelectNobodyTouches(t *testing.T) {
	for _, name := range []string{"default", "ctap-2.0", "no-pin", "u2f"} {
		synctest.Test(t, func(t *testing.T) {
			s := newStation(t, simulator.Config{Profile: profile(t, name), Presence: nobodyThere})
			if err := s.Select(t.Context()); err == nil {
				t.Errorf("%s: selected", name)
			}
			if len(s.touches) != 1 {
				t.Errorf("%s: asked for a touch %d times", name, len(s.touches))
			}
		})
	}
}

// A desk has several keys on it, and a person who touches one of them after two
// seconds: the one that plays the profile touched.
type desk struct {
	stations []*station
	keys     []*client.Key
}

const patience = 2 * time.Second

func newDesk(t *testing.T, touched string, profiles ...string) *desk {
	t.Helper()
	d := &desk{}
	for _, name := range profiles {
		presence := nobodyThere
		if name == touched {
			presence = touchedAfter(patience)
		}
		s := newStation(t, simulator.Config{Profile: profile(t, name), Presence: presence})
		d.stations = append(d.stations, s)
		d.keys = append(d.keys, s.Key)
	}
	return d
}

// dies lets a key be silent from now on.
func (s *station) dies(t *testing.T) {
	t.Helper()
	if err := s.simulator.Faults().Add(simulator.Fault{Kind: simulator.FaultLost, Times: 1e6}); err != nil {
		t.Fatal(err)
	}
}

// usable checks that a key is not at work on anything and takes commands.
func (s *station) usable(t *testing.T) {
	t.Helper()
	synctest.Wait() // for the cancel to be done
	s.line.sent()
	s.cable.reports = 0
	if info := s.simulator.Profile().GetInfo; !info.HasVersion(ctap2.VersionFIDO20) {
		if err := s.Wink(t.Context()); err != nil {
			t.Error(err)
		}
	} else if _, err := client.Do(t.Context(), s.Key, ctap2.GetInfo{}); err != nil {
		t.Error(err)
	}
	if s.cable.reports != 1 {
		t.Errorf("%d reports for one command", s.cable.reports)
	}
}

// TestSelectByTouch touches keys of every kind among all the others.
func TestSelectByTouch(t *testing.T) {
	profiles := []string{"default", "ctap-2.0", "preview", "no-pin", "u2f"}
	for n, touched := range profiles {
		t.Run(touched, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, touched, profiles...)
				begin := time.Now()
				key, err := client.SelectByTouch(t.Context(), d.keys)
				if err != nil || key != d.keys[n] {
					t.Fatalf("not the one that was touched, %v", err)
				}
				if took := time.Since(begin); took > patience+500*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				for _, s := range d.stations {
					if len(s.touches) != 1 {
						t.Errorf("asked for a touch %d times", len(s.touches))
					}
				}
				d.stations[n].line.sent()
				if _, err := key.Info(t.Context()); err != nil {
					t.Error(err)
				}
				d.stations[n].wantSent(t) // it is known already
				for _, s := range d.stations {
					s.usable(t)
				}
			})
		})
	}
}

// TestSelectByTouchWithBadCompany: a key that never answers, one that fails, one
// that was unplugged before and one that is unplugged meanwhile.
func TestSelectByTouchWithBadCompany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "no-pin", "default", "default", "default", "default", "no-pin", "u2f")
		d.stations[0].dies(t)
		d.stations[1].simulator.Faults().Add(simulator.Fault{Kind: simulator.FaultCanned, Command: ctap2.CommandSelection, Answer: []byte{byte(ctap2.ErrOther)}})
		d.stations[2].Close()
		time.AfterFunc(time.Second, d.stations[3].simulator.PowerOff)
		begin := time.Now()
		key, err := client.SelectByTouch(t.Context(), d.keys)
		if err != nil || key != d.keys[4] {
			t.Fatalf("not the one that was touched, %v", err)
		}
		if took := time.Since(begin); took != patience {
			t.Errorf("it took %v", took)
		}
		// All others can be used or closed at once; the dead one ends by itself.
		d.stations[1].usable(t)
		d.stations[4].usable(t)
		d.stations[5].usable(t)
		begin = time.Now()
		if _, err := client.Do(t.Context(), d.keys[0], ctap2.GetInfo{}); err == nil || time.Since(begin) > 4*time.Second {
			t.Errorf("dead key: %v after %v", err, time.Since(begin))
		}
	})
}

// TestSelectByTouchNobody: the errors of all keys, each in its own time.
func TestSelectByTouchNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "", "default", "u2f", "default")
		d.stations[2].dies(t)
		_, err := client.SelectByTouch(t.Context(), d.keys)
		if err == nil {
			t.Fatal("one was selected")
		}
		for _, want := range []string{"key 1: ", "key 2: ", "key 3: ", "no answer"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in: %v", want, err)
			}
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}

		// A cancel ends it at once, in spite of the dead one.
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		d = newDesk(t, "", "default", "default")
		d.stations[1].dies(t)
		begin := time.Now()
		if _, err := client.SelectByTouch(ctx, d.keys); !errors.Is(err, context.Canceled) || time.Since(begin) != time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		d.stations[0].usable(t)
	})
	if _, err := client.SelectByTouch(t.Context(), nil); err == nil {
		t.Error("one of none was selected")
	}
}

// TestSelectByCredential finds the key by what is on it, without a person.
func TestSelectByCredential(t *testing.T) {
	const info, get = "authenticatorGetInfo", "authenticatorGetAssertion"
	profiles := []string{"default", "ctap-2.0", "no-pin", "u2f", "quirk-zero-limits", "quirk-status-probe", "quirk-refuses-transports", "quirk-no-credential"}
	foreign := func(n byte) ctap2.Descriptor {
		return ctap2.Descriptor{ID: slices.Repeat([]byte{n}, 64), Type: ctap2.PublicKeyType, Transports: []string{"usb"}}
	}
	for n, name := range profiles {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk(t, name, append(profiles, "default")...)
				own := d.stations[n].mustRegister(t, u2fRegistration())
				own.Transports = []string{"usb"}
				d.stations[len(profiles)].dies(t)
				for _, s := range d.stations {
					s.touches = nil
					s.line.sent()
				}
				list := []ctap2.Descriptor{foreign(1), foreign(2), own}
				begin := time.Now()
				key, err := client.SelectByCredential(t.Context(), d.keys, "example.com", list)
				if err != nil || key != d.keys[n] {
					t.Fatalf("not the one that has it, %v", err)
				}
				if took := time.Since(begin); took > time.Second {
					t.Errorf("it took %v", took)
				}
				synctest.Wait()
				for _, s := range d.stations {
					if len(s.touches) > 0 || s.pins > 0 {
						t.Error("a person was asked")
					}
				}
				for n := range profiles {
					d.stations[n].usable(t)
				}

			})
		})
	}
	// As few questions as the key's limits allow.
	for name, want := range map[string][]string{
		"default":           {info, get},
		"no-pin":            {info, get, get},
		"quirk-zero-limits": append([]string{info}, slices.Repeat([]string{get}, 10)...),
		"ctap-2.0":          append([]string{info}, slices.Repeat([]string{get}, 10)...),
		"u2f":               append([]string{info, "U2F_VERSION"}, slices.Repeat([]string{"U2F_AUTHENTICATE check only"}, 10)...),
	} {
		s := playing(t, name)
		var list []ctap2.Descriptor
		for n := range byte(10) {
			list = append(list, foreign(n))
		}
		list = append(list, ctap2.Descriptor{ID: make([]byte, 1000), Type: ctap2.PublicKeyType})
		if name == "ctap-2.0" || name == "quirk-zero-limits" {
			want = append(want, get) // they do not say how long an ID may be
		}
		if _, err := client.SelectByCredential(t.Context(), []*client.Key{s.Key}, "example.com", list); !errors.Is(err, ctap2.ErrNoCredentials) {
			t.Errorf("%s: %v", name, err)
		}
		s.wantSent(t, want...)
	}
}

// TestSelectByCredentialNowhere: a key that never answers is waited for if no
// other has the credential, but not as long as for a touch.
func TestSelectByCredentialNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "", "default", "u2f", "default")
		d.stations[2].dies(t)
		list := []ctap2.Descriptor{{ID: make([]byte, 64), Type: ctap2.PublicKeyType}}
		begin := time.Now()
		_, err := client.SelectByCredential(t.Context(), d.keys, "example.com", list)
		if !errors.Is(err, ctap2.ErrNoCredentials) || !strings.Contains(err.Error(), "key 3: ") || time.Since(begin) > 10*time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
	})
}

// TestSelectByTouchPrompts: the person is told of one key at a time, as the race
// detector sees.
func TestSelectByTouchPrompts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk(t, "no-pin", "default", "ctap-2.0", "u2f", "no-pin")
		told := 0
		var keys []*client.Key
		for _, s := range d.stations {
			keys = append(keys, client.New(s.line, client.Options{Prompt: client.Prompt{Touch: func(client.Touch) { told++ }}}))
		}
		if _, err := client.SelectByTouch(t.Context(), keys); err != nil || told != len(keys) {
			t.Errorf("told of %d keys, %v", told, err)
		}
	})
}

// TestSelectByCredentialOneByOne: a key that fails with a list is asked for each
// credential alone.
func TestSelectByCredentialOneByOne(t *testing.T) {
	s := playing(t, "default")
	own := s.mustRegister(t, u2fRegistration())
	s.line.sent()
	s.line.canned = func(msg []byte) []byte {
		if bytes.Count(msg, []byte(ctap2.PublicKeyType)) > 1 {
			return []byte{byte(ctap2.ErrInvalidCredential)}
		}
		return nil
	}
	list := []ctap2.Descriptor{{ID: make([]byte, 64), Type: ctap2.PublicKeyType}, own}
	if _, err := client.SelectByCredential(t.Context(), []*client.Key{s.Key}, "example.com", list); err != nil {
		t.Error(err)
	}
	const get = "authenticatorGetAssertion"
	s.wantSent(t, "authenticatorGetInfo", get, get, get)
}

// TestSelectByCredentialNotTold: a key that tells nothing without its user is not
// chosen, and says why.
func TestSelectByCredentialNotTold(t *testing.T) {
	for _, status := range []ctap2.Status{ctap2.ErrPUATRequired, ctap2.ErrUnsupportedOption} {
		s := playing(t, "default")
		s.line.canned = func(msg []byte) []byte {
			if msg[0] == byte(ctap2.CommandGetAssertion) {
				return []byte{byte(status)}
			}
			return nil
		}
		list := []ctap2.Descriptor{{ID: make([]byte, 64), Type: ctap2.PublicKeyType}}
		if _, err := client.SelectByCredential(t.Context(), []*client.Key{s.Key}, "example.com", list); !errors.Is(err, status) || errors.Is(err, ctap2.ErrNoCredentials) {
			t.Errorf("%v: %v", status, err)
		}
	}
}
