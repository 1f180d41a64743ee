package simulator

import (
	"crypto/sha256"
	"io"
	"math/rand/v2"
)

// NewSeeded returns a [Config.Random] that a seed of any length fixes: the same
// seed and the same requests give the same keys, IDs, nonces and IVs.
func NewSeeded(seed []byte) io.Reader {
	return rand.NewChaCha8(sha256.Sum256(seed))
}
