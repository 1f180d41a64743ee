package client

import (
	"context"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/u2f"
)

// The messages of U2F as they are, also for keys that speak CTAP2 besides.
// Register and Authenticate speak U2F by themselves where a key has nothing else.

// U2FVersion asks for the version of U2F, which is u2f.V2. It needs no touch.
func (k *Key) U2FVersion(ctx context.Context) (*u2f.VersionResponse, error) {
	return u2f.Do(k.listen(ctx), k.dev, u2f.Version{})
}

// U2FRegister makes a key pair after a touch, which Prompt.Touch asks for.
func (k *Key) U2FRegister(ctx context.Context, r u2f.Register) (*u2f.RegisterResponse, error) {
	return withTaps(ctx, k, func() (*u2f.RegisterResponse, error) {
		return untilTouched(k.listen(ctx), k, ctap2.CommandMakeCredential, r)
	})
}

// U2FAuthenticate signs after a touch, or without one, as a.Control says. With
// u2f.CheckOnly the error tells: see there.
func (k *Key) U2FAuthenticate(ctx context.Context, a u2f.Authenticate) (*u2f.AuthenticateResponse, error) {
	if a.Control != u2f.EnforcePresence {
		return u2f.Do(k.listen(ctx), k.dev, a)
	}
	return withTaps(ctx, k, func() (*u2f.AuthenticateResponse, error) {
		return untilTouched(k.listen(ctx), k, ctap2.CommandGetAssertion, a)
	})
}
