package client

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/fidokey/fidokey/ctap2"
)

// probe returns a credential of a list that the key has for an RP ID, or
// NO_CREDENTIALS. It asks for neither touch nor PIN: a credential that the key
// hides without user verification is not found. The error of a key that tells
// nothing without is returned; some with alwaysUv are like that.
func (k *Key) probe(ctx context.Context, rpID string, list []ctap2.Descriptor) (*ctap2.Descriptor, error) {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return nil, err
	}
	if onlyU2F(info) {
		return k.knownU2F(ctx, sha256.Sum256([]byte(rpID)), list)
	}
	silent := &search{k: k, rpID: rpID}
	found, err := silent.find(ctx, sendable(info, list))
	switch {
	case err != nil || found != nil:
		return found, err
	case refusesSilence(silent.odd):
		return nil, silent.odd
	}
	return nil, &ctap2.Error{Command: ctap2.CommandGetAssertion, Status: ctap2.ErrNoCredentials}
}

// refusesSilence reports whether a key tells nothing without a touch.
func refusesSilence(err error) bool {
	return errors.Is(err, ctap2.ErrUPRequired) || errors.Is(err, ctap2.ErrUnsupportedOption) || errors.Is(err, ctap2.ErrInvalidOption)
}
