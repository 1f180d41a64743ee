package u2f_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/fidokey/fidokey/u2f"
)

// TestVerify takes the known answers, and changes one part of each after the
// other.
func TestVerify(t *testing.T) {
	v := load(t)
	register := u2f.Register{Challenge: [32]byte(v.ChallengeParameterRegister), Application: [32]byte(v.ApplicationParameter)}
	made, err := register.Parse(v.Register.Response[:len(v.Register.Response)-2])
	if err != nil {
		t.Fatal(err)
	}
	if err := register.Verify(made); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*u2f.Register, *u2f.RegisterResponse){
		"challenge":   func(r *u2f.Register, _ *u2f.RegisterResponse) { r.Challenge[0] ^= 1 },
		"application": func(r *u2f.Register, _ *u2f.RegisterResponse) { r.Application[0] ^= 1 },
		"key handle":  func(_ *u2f.Register, m *u2f.RegisterResponse) { m.KeyHandle[0] ^= 1 },
		"signature":   func(_ *u2f.Register, m *u2f.RegisterResponse) { m.Signature = m.Signature[:8] },
	} {
		r, m := register, clone(made)
		if change(&r, m); !errors.Is(r.Verify(m), u2f.ErrSignature) {
			t.Errorf("registration with another %s: %v", name, r.Verify(m))
		}
	}
	for name, change := range map[string]func(*u2f.RegisterResponse){
		"public key":  func(m *u2f.RegisterResponse) { m.PublicKey[64] ^= 1 },
		"certificate": func(m *u2f.RegisterResponse) { m.Certificate[0] ^= 1 },
	} {
		m := clone(made)
		if change(m); !errors.Is(register.Verify(m), u2f.ErrMalformed) {
			t.Errorf("registration with another %s: %v", name, register.Verify(m))
		}
	}

	authenticate := u2f.Authenticate{Challenge: [32]byte(v.Authenticate.ChallengeParameter), Application: register.Application, KeyHandle: made.KeyHandle}
	signed, err := authenticate.Parse(v.Authenticate.Response[:len(v.Authenticate.Response)-2])
	if err != nil {
		t.Fatal(err)
	}
	if err := authenticate.Verify(signed, made.PublicKey); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*u2f.Authenticate, *u2f.AuthenticateResponse){
		"challenge":     func(a *u2f.Authenticate, _ *u2f.AuthenticateResponse) { a.Challenge[31] ^= 1 },
		"application":   func(a *u2f.Authenticate, _ *u2f.AuthenticateResponse) { a.Application[31] ^= 1 },
		"counter":       func(_ *u2f.Authenticate, s *u2f.AuthenticateResponse) { s.Counter++ },
		"user presence": func(_ *u2f.Authenticate, s *u2f.AuthenticateResponse) { s.UserPresence ^= 1 },
	} {
		a, s := authenticate, *signed
		if change(&a, &s); !errors.Is(a.Verify(&s, made.PublicKey), u2f.ErrSignature) {
			t.Errorf("assertion with another %s: %v", name, a.Verify(&s, made.PublicKey))
		}
	}
	if authenticate.Verify(signed, made.PublicKey[:64]) == nil {
		t.Error("a public key that is cut off does")
	}
}

func clone(m *u2f.RegisterResponse) *u2f.RegisterResponse {
	c := *m
	c.PublicKey, c.KeyHandle = slices.Clone(m.PublicKey), slices.Clone(m.KeyHandle)
	c.Certificate, c.Signature = slices.Clone(m.Certificate), slices.Clone(m.Signature)
	return &c
}
