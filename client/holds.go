package client

import (
	"context"
	"errors"

	"github.com/fidokey/fidokey/ctap2"
)

// Holds returns the first credential of a list that the key has for an RP ID, or nil. It
// asks for neither touch nor PIN, so a credential that the key hides without user
// verification (credProtect) is not found. The error of a key that tells nothing without
// a touch is returned.
func (k *Key) Holds(ctx context.Context, rpID string, list []ctap2.Descriptor) (*ctap2.Descriptor, error) {
	found, err := k.probe(ctx, rpID, list)
	if errors.Is(err, ctap2.ErrNoCredentials) {
		return nil, nil
	}
	return found, err
}
