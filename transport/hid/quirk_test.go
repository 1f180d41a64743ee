package hid_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
)

// TestQuirks holds the transport to what keys in the field do on the wire: a long
// request with keepalives, and a long answer.
func TestQuirks(t *testing.T) {
	for profile, test := range map[string]struct {
		findings []string
		before   func(ctx context.Context, d *hid.Device) error
		busy     time.Duration
	}{
		"default":               {},
		"quirk-foreign-reports": {}, // which are nobody's fault
		"quirk-short-reports":   {},
		"quirk-no-keepalive":    {},
		"quirk-any-channel":     {},
		// Whether there is CTAP2 is seen when it is used.
		"quirk-lying-capabilities": {findings: []string{"CTAPHID_INIT: unknown capabilities 0xd0"}},
		"quirk-busy-after-wink": {
			before: func(ctx context.Context, d *hid.Device) error { return d.Wink(ctx) }, busy: 2 * time.Second,
		},
		"quirk-silent-wink": {before: func(ctx context.Context, d *hid.Device) error {
			ctx, stop := context.WithTimeout(ctx, time.Second)
			defer stop()
			if err := d.Wink(ctx); !errors.Is(err, context.DeadlineExceeded) {
				return errors.Join(errors.New("WINK was answered"), err)
			}
			return nil
		}, busy: time.Second},
	} {
		t.Run(profile, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, err := simulator.LoadProfile(profile)
				if err != nil {
					t.Fatal(err)
				}
				touch := func(context.Context, simulator.PresenceRequest) simulator.Presence {
					time.Sleep(time.Second)
					return simulator.PresenceTouched
				}
				key, err := simulator.New(simulator.Config{Profile: p, Presence: touch})
				if err != nil {
					t.Fatal(err)
				}
				defer key.Close()
				door := simulator.NewHID(key)
				defer door.Close()
				ctx, seen := findings(t.Context())
				d, err := hid.Open(ctx, door.Port())
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				start := time.Now()
				if test.before != nil {
					if err := test.before(ctx, d); err != nil {
						t.Error(err)
					}
				}
				for range 2 {
					answer, err := d.Exchange(ctx, longRegistration(t))
					if err != nil || !bytes.HasPrefix(answer, []byte{0, 0xa3}) {
						t.Errorf("answer %x, error %v", answer, err)
					}
				}
				wantElapsed(t, start, test.busy+2*time.Second)
				wantFindings(t, *seen, test.findings...)
			})
		})
	}
}

// TestKeepalivesForEver: a deadline is one by the clock, whatever the key sends.
func TestKeepalivesForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, err := simulator.New(simulator.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer key.Close()
		door := simulator.NewHID(key)
		defer door.Close()
		d, err := hid.Open(t.Context(), door.Port())
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if err := key.Faults().Add(simulator.Fault{Kind: simulator.FaultStuck}); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		ctx, reported := statuses(ctx)
		start := time.Now()
		if _, err := d.Exchange(ctx, []byte{4}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		wantElapsed(t, start, time.Minute)
		if len(*reported) < 600 {
			t.Errorf("%d keepalives", len(*reported))
		}
		if answer, err := d.Exchange(t.Context(), []byte{4}); err != nil || answer[0] != 0 {
			t.Errorf("next answer %x, error %v", answer, err)
		}
	})
}
