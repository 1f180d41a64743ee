package client

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// A TokenStore keeps persistent PIN/UV auth tokens between runs (CTAP 2.2,
// permission pcmr). Whoever reads one can list the credentials of its key, and
// do no more. A store is safe for use from several goroutines. [MemoryTokens] and
// [FileTokens] are two.
type TokenStore interface {
	// Load returns all tokens that were kept for a model of key. They are copies,
	// which the caller wipes.
	Load(ctx context.Context, aaguid ctap2.AAGUID) ([]PersistentToken, error)
	// Save keeps a copy of a token, in place of those of the same key.
	Save(ctx context.Context, t PersistentToken) error
	// Delete drops a token that the key does not take any more. It is no error if
	// there is no such token.
	Delete(ctx context.Context, t PersistentToken) error
}

// A PersistentToken is what a TokenStore keeps.
type PersistentToken struct {
	AAGUID     ctap2.AAGUID `json:"aaguid"`
	Identifier Identifier   `json:"identifier"` // zero if the key tells none
	Protocol   pin.Protocol `json:"protocol"`
	Token      ctap2.Bytes  `json:"token"` // secret
}

// Identifier is a number of 128 bits by which a key knows itself again, and
// nobody else does: it is told only to holders of the persistent token.
type Identifier [16]byte

// MarshalText returns the hexadecimal digits.
func (i Identifier) MarshalText() ([]byte, error) { return ctap2.Bytes(i[:]).MarshalText() }

// UnmarshalText takes 32 hexadecimal digits.
func (i *Identifier) UnmarshalText(text []byte) error {
	var b ctap2.Bytes
	if err := b.UnmarshalText(text); err != nil {
		return err
	}
	if len(b) != len(i) {
		return fmt.Errorf("identifier of %d bytes, not %d", len(b), len(i))
	}
	*i = Identifier(b)
	return nil
}

// String names the key, and leaves the secret out.
func (t PersistentToken) String() string {
	return fmt.Sprintf("persistent token of a key %v", t.AAGUID)
}

// GoString is String.
func (t PersistentToken) GoString() string { return t.String() }

// sameKey reports whether t is to be replaced by other.
func (t PersistentToken) sameKey(other PersistentToken) bool {
	if t.AAGUID != other.AAGUID {
		return false
	}
	return bytes.Equal(t.Token, other.Token) || t.Identifier != Identifier{} && t.Identifier == other.Identifier
}

func (t PersistentToken) clone() PersistentToken {
	t.Token = slices.Clone(t.Token)
	return t
}

// persistentTokens is a list as stores keep it.
type persistentTokens []PersistentToken

func (l persistentTokens) of(aaguid ctap2.AAGUID) (found []PersistentToken) {
	for _, t := range l {
		if t.AAGUID == aaguid {
			found = append(found, t.clone())
		}
	}
	return found
}

// without returns the list without the tokens that drop names, which are wiped.
func (l persistentTokens) without(drop func(PersistentToken) bool) (left persistentTokens) {
	for _, t := range l {
		if drop(t) {
			clear(t.Token)
		} else {
			left = append(left, t)
		}
	}
	return left
}

func (l persistentTokens) saved(t PersistentToken) persistentTokens {
	t = t.clone() // t itself may be in the list, and wiped
	return append(l.without(t.sameKey), t)
}

func (l persistentTokens) deleted(t PersistentToken) persistentTokens {
	t = t.clone()
	defer clear(t.Token)
	return l.without(func(kept PersistentToken) bool {
		return kept.AAGUID == t.AAGUID && bytes.Equal(kept.Token, t.Token)
	})
}

// MemoryTokens is a TokenStore that forgets with the program. The zero value is
// empty.
type MemoryTokens struct {
	mu     sync.Mutex
	tokens persistentTokens
}

// Load returns copies of the tokens for a model of key.
func (m *MemoryTokens) Load(_ context.Context, aaguid ctap2.AAGUID) ([]PersistentToken, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tokens.of(aaguid), nil
}

// Save keeps a copy of a token.
func (m *MemoryTokens) Save(_ context.Context, t PersistentToken) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens = m.tokens.saved(t)
	return nil
}

// Delete drops and wipes a token.
func (m *MemoryTokens) Delete(_ context.Context, t PersistentToken) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens = m.tokens.deleted(t)
	return nil
}
