package client_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/simulator"
)

// TestTokensAreWiped: Close overwrites the token of a key of CTAP 2.0, which is
// kept from flow to flow, and so do a new PIN and Reset.
func TestTokensAreWiped(t *testing.T) {
	profile, err := simulator.LoadProfile("ctap-2.0")
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func(k *client.Key) error{
		"close":  func(k *client.Key) error { return k.Close() },
		"change": func(k *client.Key) error { return k.ChangePIN(t.Context()) },
		"verify": func(k *client.Key) error { return k.VerifyPIN(t.Context()) },
		"reset":  func(k *client.Key) error { return k.Reset(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, simulator.Config{Profile: profile})
			b.mustSetPIN(t)
			if _, err := b.Register(t.Context(), registration()); err != nil {
				t.Fatal(err)
			}
			token := client.HeldToken(b.Key)
			if token == nil {
				t.Fatal("no token is held")
			}
			size := len(token.Bytes())
			if bytes.Equal(token.Bytes(), make([]byte, size)) {
				t.Fatal("the token is zero from the beginning")
			}
			if err := end(b.Key); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(token.Bytes(), make([]byte, size)) {
				t.Error("the token is still there")
			}
			if client.HeldToken(b.Key) == token {
				t.Error("the wiped token is held")
			}
		})
	}
}

// TestPromptErrors: what comes beside an error of a prompt is wiped, too, and no
// PIN is tried.
func TestPromptErrors(t *testing.T) {
	b := newBench(t, simulator.Config{})
	b.mustSetPIN(t)
	gone := errors.New("gone for lunch")
	for _, tt := range []struct {
		name        string
		pin, newPIN error
	}{{"PIN", gone, nil}, {"new PIN", nil, gone}} {
		current, replacement := []byte("1234"), []byte("5678")
		key := client.New(b.wire, client.Options{Prompt: client.Prompt{
			PIN:    func(context.Context, client.PINRequest) ([]byte, error) { return current, tt.pin },
			NewPIN: func(context.Context, client.NewPINRequest) ([]byte, error) { return replacement, tt.newPIN },
		}})
		b.wire.asked = nil
		if err := key.ChangePIN(t.Context()); !errors.Is(err, gone) {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if !bytes.Equal(current, make([]byte, 4)) || tt.newPIN != nil && !bytes.Equal(replacement, make([]byte, 4)) {
			t.Errorf("%s: not wiped: %q, %q", tt.name, current, replacement)
		}
		if n := len(b.wire.asked); n != 2 {
			t.Errorf("%s: asked %q", tt.name, b.wire.asked)
		}
	}
}
