package client_test

import (
	"context"
	"testing"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/simulator"
)

// TestNarrowestGrant: every flow asks for the one permission that it needs, and
// for the relying party where it is about one.
func TestNarrowestGrant(t *testing.T) {
	for name, tt := range map[string]struct {
		permissions ctap2.Permissions
		rpID        any
		flow        func(ctx context.Context, k *client.Key) error
	}{
		"register": {ctap2.PermissionMC, "example.com", func(ctx context.Context, k *client.Key) error {
			_, err := k.Register(ctx, registration())
			return err
		}},
		"authenticate": {ctap2.PermissionGA, "example.com", func(ctx context.Context, k *client.Key) error {
			_, err := k.Authenticate(ctx, client.Assertion{RPID: "example.com", ClientDataHash: hash[:]})
			return err
		}},
		"verify":       {ctap2.PermissionGA, "pin-verification.invalid", func(ctx context.Context, k *client.Key) error { return k.VerifyPIN(ctx) }},
		"credentials":  {ctap2.PermissionCM, nil, func(ctx context.Context, k *client.Key) error { _, err := k.Credentials(ctx); return err }},
		"metadata":     {ctap2.PermissionCM, nil, func(ctx context.Context, k *client.Key) error { _, err := k.CredentialMetadata(ctx); return err }},
		"fingerprints": {ctap2.PermissionBE, nil, func(ctx context.Context, k *client.Key) error { _, err := k.Fingerprints(ctx); return err }},
		"large blob": {ctap2.PermissionLBW, nil, func(ctx context.Context, k *client.Key) error {
			_, err := k.SetLargeBlob(ctx, make([]byte, 32), []byte("blob"), false)
			return err
		}},
		"always UV": {ctap2.PermissionACFG, nil, func(ctx context.Context, k *client.Key) error { return k.SetAlwaysUV(ctx, true) }},
		"persistent": {ctap2.PermissionPCMR, nil, func(ctx context.Context, k *client.Key) error {
			_, err := k.CredentialMetadata(ctx)
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b, ear := tappedProfile(t, simulator.Full23())
			b.mustSetPIN(t)
			mustRegister(t, b, registration())
			o := b.options
			if name == "persistent" {
				o.Tokens = &client.MemoryTokens{}
			}
			ear.sent = nil
			if err := tt.flow(t.Context(), client.New(b.wire, o)); err != nil {
				t.Fatal(err)
			}
			if asked := ear.lastPIN(t, 9); asked[9] != uint64(tt.permissions) || asked[10] != tt.rpID {
				t.Errorf("a token with %v for %v, want %v for %v", asked[9], asked[10], tt.permissions, tt.rpID)
			}
		})
	}
}
