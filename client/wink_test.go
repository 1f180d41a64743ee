package client_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

// TestWink: keys that do not answer, and keys that are deaf afterwards. What
// follows comes after two seconds, and no report goes to a deaf key.
func TestWink(t *testing.T) {
	for name, findings := range map[string][]string{
		"default":               nil,
		"quirk-busy-after-wink": nil,
		"quirk-silent-wink":     {"CTAPHID_WINK: no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := playing(t, name)
				begin := time.Now()
				if err := s.Wink(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); (took > 0) != (findings != nil) || took > 2*time.Second {
					t.Errorf("it took %v", took)
				}
				if _, err := s.Info(t.Context()); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(begin); took != 2*time.Second {
					t.Errorf("the next command was done after %v", took)
				}
				want := 2
				if findings != nil {
					want++ // an INIT, that the channel be clean
				}
				if s.cable.reports != want || !slices.Equal(s.findings, findings) {
					t.Errorf("%d reports, findings %q", s.cable.reports, s.findings)
				}
				s.wantSent(t, "wink", "authenticatorGetInfo")
			})
		})
	}
}

func TestWinkAndU2F(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t, simulator.Config{Profile: profile(t, "u2f", func(p *simulator.Profile) { p.Quirks.BusyAfterWink = 2000 })})
		if err := s.Wink(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Select(t.Context()); err != nil || s.cable.reports != 5 {
			t.Errorf("%v, %d reports", err, s.cable.reports) // two for the registration
		}
	})
}

func TestWinkNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := playing(t, "variant-no-wink")
		if err := s.Wink(t.Context()); !errors.Is(err, transport.ErrUnsupported) {
			t.Errorf("a key that cannot: %v", err)
		}
		s.wantSent(t)
		bare := client.New(s.simulator, client.Options{})
		if err := bare.Wink(t.Context()); !errors.Is(err, transport.ErrUnsupported) {
			t.Errorf("a transport that cannot: %v", err)
		}

		// The distance is no reason to miss a cancel.
		s = playing(t, "default")
		if err := s.Wink(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		if _, err := s.Info(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		s.wantSent(t, "wink")
	})
}

// TestWinkAndSelect: the distance is kept by whoever speaks to the key next.
func TestWinkAndSelect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := playing(t, "quirk-busy-after-wink")
		if err := s.Wink(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := client.SelectByTouch(t.Context(), []*client.Key{s.Key}); err != nil || s.cable.reports != 3 {
			t.Errorf("%v, %d reports", err, s.cable.reports)
		}
	})
}
