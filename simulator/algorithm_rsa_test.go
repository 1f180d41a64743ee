package simulator

import (
	"io"
	"math/big"
	"testing"
)

// TestPrimeFrom: the prime is the first one, so that a seed means the same key as
// before there was a sieve.
func TestPrimeFrom(t *testing.T) {
	for _, seed := range []string{"a", "b", "c"} {
		stream := func() io.Reader { return seedStream("prime", []byte(seed)) }
		got, err := primeFrom(stream())
		if err != nil {
			t.Fatal(err)
		}
		start := make([]byte, rsaPrimeSize)
		if _, err := io.ReadFull(stream(), start); err != nil {
			t.Fatal(err)
		}
		start[0], start[rsaPrimeSize-1] = start[0]|0xc0, start[rsaPrimeSize-1]|1
		one, e := big.NewInt(1), big.NewInt(rsaExponent)
		good := func(p *big.Int) bool {
			less := new(big.Int).Sub(p, one)
			return p.ProbablyPrime(0) && less.Mod(less, e).Sign() != 0
		}
		want := new(big.Int).SetBytes(start)
		for !good(want) {
			want.Add(want, big.NewInt(2))
		}
		if got.Cmp(want) != 0 || got.BitLen() != 8*rsaPrimeSize {
			t.Errorf("%s: %x is not the first prime, %x", seed, got, want)
		}
	}
}
