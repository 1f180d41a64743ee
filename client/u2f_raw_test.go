package client_test

import (
	"crypto/sha256"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/u2f"
)

// TestU2FRaw: the messages of U2F, on a key that has nothing else and on one that
// speaks CTAP2 too.
func TestU2FRaw(t *testing.T) {
	for _, p := range []*simulator.Profile{profile(t, "u2f"), profile(t, "default", withU2F)} {
		t.Run(p.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				testU2FRaw(t, newStation(t, simulator.Config{Profile: p, Presence: touchedAfter(time.Second)}))
			})
		})
	}
}

func testU2FRaw(t *testing.T, s *station) {
	version, err := s.U2FVersion(t.Context())
	if err != nil || version.Version != u2f.V2 {
		t.Fatalf("version %+v, %v", version, err)
	}
	register := u2f.Register{Challenge: sha256.Sum256([]byte("challenge")), Application: sha256.Sum256([]byte(appID))}
	made, err := s.U2FRegister(t.Context(), register)
	if err != nil {
		t.Fatal(err)
	}
	if err := register.Verify(made); err != nil {
		t.Error(err)
	}
	known := u2f.Authenticate{Control: u2f.CheckOnly, Challenge: register.Challenge, Application: register.Application, KeyHandle: made.KeyHandle}
	if _, err := s.U2FAuthenticate(t.Context(), known); !errors.Is(err, u2f.ErrConditionsNotSatisfied) {
		t.Errorf("a key handle of the key's own: %v", err)
	}
	other := known
	other.Application[0] ^= 1
	if _, err := s.U2FAuthenticate(t.Context(), other); !errors.Is(err, u2f.ErrWrongData) {
		t.Errorf("a key handle of another application: %v", err)
	}
	sign := known
	sign.Control = u2f.EnforcePresence
	signed, err := s.U2FAuthenticate(t.Context(), sign)
	if err != nil {
		t.Fatal(err)
	}
	if err := sign.Verify(signed, made.PublicKey); err != nil || signed.UserPresence != 1 {
		t.Errorf("%+v, %v", signed, err)
	}
	for i, want := range []ctap2.Command{ctap2.CommandMakeCredential, ctap2.CommandGetAssertion} {
		if len(s.touches) != 2 || s.touches[i].Command != want {
			t.Errorf("touches %v", s.touches)
		}
	}
}
