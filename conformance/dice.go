package conformance

import (
	"cmp"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"iter"
	"maps"
	mathrand "math/rand/v2"
	"slices"
)

// Dice are where the random bytes of a case come from: its seed, so that the same
// case sends the same bytes again.
type dice struct{ source *mathrand.ChaCha8 }

// newDice are those for a part of a run. What runs before does not matter.
func newDice(seed string, c *Case, protocol int, phase string) dice {
	return dice{mathrand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "%q %s %d %s", seed, c.ID, protocol, phase)))}
}

func (d dice) random(n int) []byte {
	b := make([]byte, n)
	d.source.Read(b)
	return b
}

// privateKey is one that who knows the seed knows.
func (d dice) privateKey() *ecdh.PrivateKey {
	for {
		if key, err := ecdh.P256().NewPrivateKey(d.random(32)); err == nil {
			return key // all but one of 2^32 are
		}
	}
}

// NewSeed is a seed by chance.
func NewSeed() string { return rand.Text() }

// inOrder goes through a map in the order of its names, which is the same each time.
func inOrder[K cmp.Ordered, V any](all map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			if !yield(name, all[name]) {
				return
			}
		}
	}
}
