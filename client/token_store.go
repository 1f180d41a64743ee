package client

import (
	"context"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// A TokenStore keeps persistent PIN/UV auth tokens between runs (CTAP 2.2,
// permission pcmr). Whoever reads one can list the credentials of its key, and
// do no more. A store is safe for use from several goroutines.
type TokenStore interface {
	// Load returns all tokens that were kept for a model of key.
	Load(ctx context.Context, aaguid ctap2.AAGUID) ([]PersistentToken, error)
	// Save keeps a token, in place of one of the same key.
	Save(ctx context.Context, t PersistentToken) error
	// Delete drops a token that the key does not take any more.
	Delete(ctx context.Context, t PersistentToken) error
}

// A PersistentToken is what a TokenStore keeps.
type PersistentToken struct {
	AAGUID     ctap2.AAGUID
	Identifier [16]byte // the key's own, decrypted from encIdentifier; zero if it tells none
	Protocol   pin.Protocol
	Token      []byte // secret
}
