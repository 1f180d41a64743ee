package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// TestSeveralKeys runs flows on ten keys at once. One never answers and one is
// slow; the others are done as if they were alone.
func TestSeveralKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slow, dead = 3, 6
		profiles := []string{
			"default", "ctap-2.0", "ctap-2.1", "default", "ctap-2.3",
			"preview", "default", "quirk-unsorted-maps", "quirk-short-reports", "u2f",
		}
		var stations []*station
		for n, name := range profiles {
			c := simulator.Config{Profile: profile(t, name)}
			if n == slow {
				c.Presence = touchedAfter(10 * time.Second)
			}
			stations = append(stations, newStation(t, c))
		}
		stations[dead].dies(t)

		begin := time.Now()
		took, errs := make([]time.Duration, len(stations)), make([]error, len(stations))
		var all sync.WaitGroup
		for n, s := range stations {
			all.Go(func() {
				errs[n] = s.live(t.Context(), profiles[n])
				took[n] = time.Since(begin)
			})
		}
		all.Wait()
		for n := range stations {
			least, most := time.Duration(0), 200*time.Millisecond
			switch n {
			case slow: // four touches
				least, most = 40*time.Second, 41*time.Second
			case dead: // our patience, and what it takes to give a key up
				least, most = 30*time.Second, 34*time.Second
			}
			if took[n] < least || took[n] > most {
				t.Errorf("key %d, %s: done after %v", n, profiles[n], took[n])
			}
			if n == dead != errors.Is(errs[n], context.DeadlineExceeded) || n != dead && errs[n] != nil {
				t.Errorf("key %d, %s: %v", n, profiles[n], errs[n])
			}
		}
	})
}

// live sets a PIN, registers twice and signs in with both, if the key can.
func (s *station) live(ctx context.Context, name string) error {
	if name != "u2f" {
		if err := s.SetPIN(ctx); err != nil {
			return fmt.Errorf("set PIN: %w", err)
		}
	}
	for user := range byte(2) {
		r := u2fRegistration()
		r.User.ID = []byte{user}
		made, err := s.Register(ctx, r)
		if err != nil {
			return fmt.Errorf("register: %w", err)
		}
		data, err := ctap2.ParseAuthenticatorData(made.AuthData)
		if err != nil {
			return err
		}
		allow := []ctap2.Descriptor{{ID: data.Credential.ID, Type: ctap2.PublicKeyType}}
		if _, err := s.Authenticate(ctx, client.Assertion{RPID: r.RP.ID, ClientDataHash: hash[:], Allow: allow}); err != nil {
			return fmt.Errorf("authenticate: %w", err)
		}
	}
	return nil
}
