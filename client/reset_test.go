package client_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

var _ client.Slot = (*hid.Slot)(nil)

// A socket is the Slot of a bench: whoever waits for the person is the person.
type socket struct {
	*bench
	other    *socket       // is plugged in instead
	late     time.Duration // between plugging in and opening
	opened   func()        // is called then; may be nil
	clock    *simulator.VirtualClock
	inserted int
}

func (s *socket) Removed(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.authenticator.PowerOff()
	return nil
}

func (s *socket) Inserted(ctx context.Context) (transport.Device, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	s.inserted++
	if s.other != nil {
		return s.other.wire, nil
	}
	s.authenticator.PowerOn()
	s.clock.Advance(s.late)
	s.door = simulator.NewHID(s.authenticator) // the old one was closed with its device
	dev, err := hid.Open(ctx, s.door.Port())
	if err != nil {
		return nil, err
	}
	if s.opened != nil {
		s.opened()
	}
	s.wire.Device = dev
	return s.wire, nil
}

// resetBench returns a key with a PIN and a credential, plugged in long ago, and
// its Slot. said collects what the person is told.
func resetBench(t *testing.T, profile string, change func(*simulator.Config)) (s *socket, said *[]string) {
	t.Helper()
	s, said = &socket{clock: simulator.NewVirtualClock()}, new([]string)
	c := simulator.Config{Clock: s.clock}
	if profile != "" {
		loaded, err := simulator.LoadProfile(profile)
		if err != nil {
			t.Fatal(err)
		}
		c.Profile = loaded
	}
	if change != nil {
		change(&c)
	}
	s.bench = newBench(t, c)
	s.mustSetPIN(t)
	if _, err := s.Register(t.Context(), registration()); err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if allowed, _ := info.Option(ctap2.OptionPerCredMgmtRO); allowed { // gives getInfo its encrypted members
		if _, err := pin.GetToken(t.Context(), s.wire, info, pin.Two, []byte("1234"), pin.Grant{Permissions: ctap2.PermissionPCMR}); err != nil {
			t.Fatal(err)
		}
	}
	s.clock.Advance(time.Minute)

	prompt := s.person.prompt()
	prompt.Touch = func(touch client.Touch) {
		what := "touch for " + touch.Command.String()
		if touch.Long {
			what = "long " + what
		}
		*said = append(*said, what)
	}
	prompt.Replug = func(r client.Replug) { *said = append(*said, r.String()) }
	s.options.Prompt = prompt
	s.Key = client.New(s.wire, s.options)
	s.wire.asked = nil
	return s, said
}

// emptied reports whether the key has lost its PIN and its credential.
func (b *bench) emptied(t *testing.T) bool {
	t.Helper()
	b.door = simulator.NewHID(b.authenticator)
	b.replug(t)
	state, err := b.PINState(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = b.Authenticate(t.Context(), client.Assertion{RPID: "example.com", ClientDataHash: hash[:], UserVerification: client.Discouraged})
	if gone := errors.Is(err, ctap2.ErrNoCredentials); gone == state.Set || err != nil && !gone {
		t.Errorf("PIN set: %v, but the credential: %v", state.Set, err)
	}
	return !state.Set
}

const (
	getInfo = "authenticatorGetInfo"
	reset   = "authenticatorReset"
)

func wantAsked(t *testing.T, b *bench, want ...string) {
	t.Helper()
	if !slices.Equal(b.wire.asked, want) {
		t.Errorf("asked %q, want %q", b.wire.asked, want)
	}
}

// TestResetGuided: once plugged in, the key is reset within two exchanges. The
// first profile has five seconds for it, the second tells another encIdentifier
// each time.
func TestResetGuided(t *testing.T) {
	for _, profile := range []string{"quirk-short-reset-window", "ctap-2.3", "quirk-unknown-getinfo", "quirk-foreign-reports"} {
		t.Run(profile, func(t *testing.T) {
			s, said := resetBench(t, profile, nil)
			s.late = 4 * time.Second
			if err := s.Reset(t.Context()); !errors.Is(err, ctap2.ErrNotAllowed) {
				t.Fatalf("reset without replug: %v", err)
			}
			first, err := s.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if encrypted := first.EncIdentifier != nil && first.EncCredStoreState != nil; encrypted != (profile == "ctap-2.3") {
				t.Errorf("encrypted members in getInfo: %v", encrypted)
			}
			*said, s.wire.asked = nil, nil
			if err := s.ResetGuided(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			wantAsked(t, s.bench, getInfo, getInfo, reset, getInfo)
			if want := []string{"unplug", "plug in", "touch for authenticatorReset"}; !slices.Equal(*said, want) {
				t.Errorf("told %q, want %q", *said, want)
			}
			// The Key goes on with the device that was plugged in.
			if state, err := s.PINState(t.Context()); err != nil || state.Set {
				t.Errorf("PIN state %+v, %v", state, err)
			}
			if !s.emptied(t) {
				t.Error("the key was not reset")
			}
		})
	}
}

func TestResetGuidedRefusals(t *testing.T) {
	on := true
	touched := func(p simulator.Presence) func(*simulator.Config) {
		return func(c *simulator.Config) {
			c.Presence = func(_ context.Context, r simulator.PresenceRequest) simulator.Presence {
				if r.Command == ctap2.CommandReset {
					return p
				}
				return simulator.PresenceTouched
			}
		}
	}
	for name, test := range map[string]struct {
		profile string
		change  func(*simulator.Config)
		late    time.Duration
		is      []error
		want    string
		touch   string
	}{
		"window of ten seconds":  {"", nil, 11 * time.Second, []error{client.ErrResetWindow, ctap2.ErrNotAllowed}, "first seconds", ""},
		"window of five seconds": {"quirk-short-reset-window", nil, 6 * time.Second, []error{client.ErrResetWindow, ctap2.ErrNotAllowed}, "first seconds", ""},
		"declined":               {"", touched(simulator.PresenceDeclined), 0, []error{client.ErrNotTouched, ctap2.ErrOperationDenied}, "not touched", "touch for authenticatorReset"},
		"not touched":            {"", touched(simulator.PresenceNone), 0, []error{client.ErrNotTouched, ctap2.ErrUserActionTimeout}, "not touched", "touch for authenticatorReset"},
		"touched too short": {"ctap-2.3", func(c *simulator.Config) { c.Profile.GetInfo.LongTouchForReset = &on }, 0,
			[]error{client.ErrNotTouched, ctap2.ErrOperationDenied}, "for five seconds", "long touch for authenticatorReset"},
	} {
		t.Run(name, func(t *testing.T) {
			s, said := resetBench(t, test.profile, test.change)
			s.late = test.late
			err := s.ResetGuided(t.Context(), s)
			for _, is := range test.is {
				if !errors.Is(err, is) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %v with %q", err, is, test.want)
				}
			}
			want := []string{"unplug", "plug in"}
			if test.touch != "" {
				want = append(want, test.touch)
			}
			if !slices.Equal(*said, want) {
				t.Errorf("told %q, want %q", *said, want)
			}
			wantAsked(t, s.bench, getInfo, getInfo, reset)
			if s.emptied(t) {
				t.Error("the key was reset")
			}
		})
	}
}

func TestResetGuidedWithALongTouch(t *testing.T) {
	on := true
	s, said := resetBench(t, "ctap-2.3", func(c *simulator.Config) {
		c.Profile.GetInfo.LongTouchForReset = &on
		c.Presence = func(context.Context, simulator.PresenceRequest) simulator.Presence {
			return simulator.PresenceLongTouch
		}
	})
	if err := s.ResetGuided(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if want := []string{"unplug", "plug in", "long touch for authenticatorReset"}; !slices.Equal(*said, want) {
		t.Errorf("told %q, want %q", *said, want)
	}
}

// TestResetGuidedOfAnotherKey: one of another model, and one of the same whose
// state is another.
func TestResetGuidedOfAnotherKey(t *testing.T) {
	for _, profile := range []string{"ctap-2.0", ""} {
		s, said := resetBench(t, "", nil)
		s.other, _ = resetBench(t, profile, nil)
		if profile == "" {
			if _, err := s.other.Register(t.Context(), registration()); err != nil { // takes the place of the first
				t.Fatal(err)
			}
			second := registration()
			second.User.ID = []byte{2}
			if _, err := s.other.Register(t.Context(), second); err != nil {
				t.Fatal(err)
			}
		}
		s.other.wire.asked = nil
		if err := s.ResetGuided(t.Context(), s); !errors.Is(err, client.ErrOtherKey) {
			t.Errorf("%s: error %v, want %v", profile, err, client.ErrOtherKey)
		}
		wantAsked(t, s.bench, getInfo)
		wantAsked(t, s.other.bench, getInfo)
		if want := []string{"unplug", "plug in"}; !slices.Equal(*said, want) {
			t.Errorf("%s: told %q, want %q", profile, *said, want)
		}
		s.authenticator.PowerOn()
		if s.other.emptied(t) || s.emptied(t) {
			t.Errorf("%s: a key was reset", profile)
		}
	}
}

// carried is a device that says what carries it.
type carried struct {
	transport.Device
	by string
}

func (c carried) Transport() string { return c.by }

// TestResetGuidedTransport: nobody is asked for anything where a reset is in vain.
func TestResetGuidedTransport(t *testing.T) {
	for by, refused := range map[string]bool{"nfc": true, "usb": false} {
		s, said := resetBench(t, "variant-no-nfc-reset", nil)
		key := client.New(carried{s.wire, by}, s.options)
		err := key.ResetGuided(t.Context(), s)
		if errors.Is(err, client.ErrResetTransport) != refused || refused != (len(*said) == 0) || refused == (err == nil) {
			t.Errorf("%s: error %v, told %q", by, err, *said)
		}
		if refused {
			wantAsked(t, s.bench, getInfo)
		}
	}
}

func TestResetGuidedWithoutAPerson(t *testing.T) {
	s, _ := resetBench(t, "", nil)
	if err := client.New(s.wire, client.Options{}).ResetGuided(t.Context(), s); !errors.Is(err, client.ErrReplugNeeded) {
		t.Errorf("error %v, want %v", err, client.ErrReplugNeeded)
	}
	wantAsked(t, s.bench, getInfo)
}

// TestResetGuidedCancelled ends the context at each stage; nothing is reset.
func TestResetGuidedCancelled(t *testing.T) {
	for stage, asked := range map[string][]string{
		"before":     {getInfo},
		"unplug":     {getInfo},
		"plug in":    {getInfo},
		"plugged in": {getInfo, getInfo},
		"touch":      {getInfo, getInfo, reset},
	} {
		t.Run(stage, func(t *testing.T) {
			ctx, end := context.WithCancel(t.Context())
			s, _ := resetBench(t, "", func(c *simulator.Config) {
				c.Presence = func(ctx context.Context, r simulator.PresenceRequest) simulator.Presence {
					if r.Command != ctap2.CommandReset {
						return simulator.PresenceTouched
					}
					<-ctx.Done()
					return simulator.PresenceNone
				}
			})
			at := func(now string) {
				if now == stage {
					end()
				}
			}
			s.opened = func() { at("plugged in") }
			s.options.Prompt.Replug = func(r client.Replug) { at(r.String()) }
			s.options.Prompt.Touch = func(client.Touch) { at("touch") }
			s.Key = client.New(s.wire, s.options)
			at("before")
			if err := s.ResetGuided(ctx, s); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v, want %v", err, context.Canceled)
			}
			wantAsked(t, s.bench, asked...)
			if stage == "unplug" {
				// It was not unplugged, and can still be used.
				if _, err := s.Info(t.Context()); err != nil {
					t.Errorf("after the cancel: %v", err)
				}
			}
			s.authenticator.PowerOn()
			if s.emptied(t) {
				t.Error("the key was reset")
			}
		})
	}
}

// resettable is a device that does as it likes, and its own Slot.
type resettable struct {
	hostile
	onReset        func()
	closed, opened int
}

func (r *resettable) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if ctap2.Command(msg[0]) == ctap2.CommandReset {
		r.onReset()
	}
	return r.hostile.Exchange(ctx, msg)
}

func (r *resettable) Close() error                  { r.closed++; return nil }
func (r *resettable) Removed(context.Context) error { return nil }
func (r *resettable) Inserted(context.Context) (transport.Device, error) {
	r.opened = r.closed
	return r, nil
}

// TestResetAnswers: what a key is after it says that it was reset is looked at,
// even if nobody waits for it any more.
func TestResetAnswers(t *testing.T) {
	withPIN := strings.Replace(plainInfo, "04a162726bf5", "04a169636c69656e7450696ef5", 1)
	for name, test := range map[string]struct {
		before, after string
		end           bool // the context, with the answer
		is            error
	}{
		"lost its PIN before":      {withPIN, plainInfo, false, client.ErrOtherKey},
		"nothing was set":          {plainInfo, plainInfo, false, nil},
		"has a PIN all the same":   {withPIN, withPIN, false, client.ErrNotReset},
		"done as the context ends": {plainInfo, plainInfo, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, end := context.WithCancel(t.Context())
			defer end()
			dev := &resettable{hostile: hostile{t: t, answers: map[ctap2.Command]string{ctap2.CommandReset: "00", ctap2.CommandGetInfo: test.before}}}
			dev.onReset = func() {
				if test.end {
					end()
				}
			}
			prompt := client.Prompt{Replug: func(r client.Replug) {
				if r == client.PlugIn {
					dev.answers[ctap2.CommandGetInfo] = test.after // the PIN went with the power
				}
			}}
			err := client.New(dev, client.Options{Prompt: prompt}).ResetGuided(ctx, dev)
			if !errors.Is(err, test.is) {
				t.Errorf("error %v, want %v", err, test.is)
			}
			if dev.opened != 1 {
				t.Errorf("the device that was unplugged was closed %d times before the new one was opened", dev.opened)
			}
		})
	}
}
