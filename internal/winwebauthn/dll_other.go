//go:build !windows

package winwebauthn

import (
	"context"
	"errors"
)

// A System is Windows with a webauthn.dll.
type System struct{}

// Open returns an error: this is not Windows.
func Open() (*System, error) { return nil, errors.New("only Windows has webauthn.dll") }

// MakeCredential makes a credential, on Windows.
func (*System) MakeCredential(context.Context, *Registration) (*Attestation, error) {
	return nil, errors.ErrUnsupported
}

// GetAssertion signs in, on Windows.
func (*System) GetAssertion(context.Context, *Assertion) (*Signed, error) {
	return nil, errors.ErrUnsupported
}
