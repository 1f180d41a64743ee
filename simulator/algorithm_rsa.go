package simulator

import (
	"crypto/rsa"
	"io"
	"math/big"
	"sync"

	"github.com/fidokey/fidokey/cose"
)

const (
	rsaPrimeSize   = 128 // bytes, for a modulus of 2048 bits
	rsaExponent    = 65537
	rsaPrimeRounds = 5  // of Miller and Rabin, as crypto/rsa does for this size, besides Baillie-PSW
	rsaCacheSize   = 64 // keys
)

// rsaKeys remembers what rsaSigningKey has derived. A seed stands for one key
// only, so that all authenticators of the process can share it.
var rsaKeys = struct {
	sync.Mutex
	bySeed map[[seedSize]byte]*rsa.PrivateKey
}{bySeed: map[[seedSize]byte]*rsa.PrivateKey{}}

// rsaSigningKey derives an RSA key, which takes a tenth of a second the first
// time. crypto/rsa generates no key from a source that is handed in; a
// test instrument may do without its care against side channels.
func rsaSigningKey(alg cose.Algorithm, seed []byte) (signingKey, error) {
	rsaKeys.Lock()
	defer rsaKeys.Unlock()
	key := rsaKeys.bySeed[[seedSize]byte(seed)]
	if key == nil {
		var err error
		if key, err = deriveRSA(seedStream("signing key of RSA", seed)); err != nil {
			return nil, err
		}
		if len(rsaKeys.bySeed) == rsaCacheSize {
			clear(rsaKeys.bySeed)
		}
		rsaKeys.bySeed[[seedSize]byte(seed)] = key
	}
	return standardKey{alg, key}, nil
}

// deriveRSA makes a key of 2048 bits.
func deriveRSA(stream io.Reader) (*rsa.PrivateKey, error) {
	p, err := primeFrom(stream)
	if err != nil {
		return nil, err
	}
	q, err := primeFrom(stream)
	if err != nil {
		return nil, err
	}
	one := big.NewInt(1)
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{
		PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: rsaExponent},
		D:         new(big.Int).ModInverse(big.NewInt(rsaExponent), phi),
		Primes:    []*big.Int{p, q},
	}
	key.Precompute()
	return key, key.Validate()
}

// primeFrom returns the first prime at or after a number of the stream whose two
// highest bits are set, so that the product of two has full length. One less
// than the prime is no multiple of the public exponent.
func primeFrom(stream io.Reader) (*big.Int, error) {
	start := make([]byte, rsaPrimeSize)
	if _, err := io.ReadFull(stream, start); err != nil {
		return nil, err
	}
	start[0] |= 0xc0
	start[rsaPrimeSize-1] |= 1
	first := new(big.Int).SetBytes(start)
	divisible := divisibleAfter(first)
	p, n, e := new(big.Int), new(big.Int), big.NewInt(rsaExponent)
	for offset := uint64(0); ; offset += 2 {
		if divisible(offset) {
			continue
		}
		p.Add(first, n.SetUint64(offset))
		if n.Mod(p, e).Int64() != 1 && p.ProbablyPrime(rsaPrimeRounds) {
			return p, nil
		}
	}
}

// divisibleAfter returns a function that says whether a small prime divides n and an
// offset. ProbablyPrime, which knows few of them, would take half a millisecond for
// each of a hundred numbers; of these less than half are left.
func divisibleAfter(n *big.Int) func(offset uint64) bool {
	primes := smallPrimes()
	rests, r := make([]uint64, len(primes)), new(big.Int)
	for i, prime := range primes {
		rests[i] = r.Mod(n, r.SetUint64(prime)).Uint64()
	}
	return func(offset uint64) bool {
		for i, prime := range primes {
			if (rests[i]+offset)%prime == 0 {
				return true
			}
		}
		return false
	}
}

// smallPrimes are the odd ones up to 10000.
var smallPrimes = sync.OnceValue(func() (primes []uint64) {
	for n := int64(3); n < 10_000; n += 2 {
		if big.NewInt(n).ProbablyPrime(0) { // which is certain for 64 bits
			primes = append(primes, uint64(n))
		}
	}
	return primes
})
