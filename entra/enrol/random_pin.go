package enrol

import (
	"crypto/rand"
	"fmt"
	"math/big"
)

// The lengths that RandomPIN may be asked for.
const (
	MinRandomPIN     = 6
	DefaultRandomPIN = 8
	MaxRandomPIN     = 63
)

// RandomPIN makes a PIN of digits that is not one of those that people try first, and does
// not begin with 0: spreadsheets drop that.
func RandomPIN(length int) ([]byte, error) {
	if length < MinRandomPIN || length > MaxRandomPIN {
		return nil, fmt.Errorf("a PIN of %d digits is not within %d and %d", length, MinRandomPIN, MaxRandomPIN)
	}
	pin := make([]byte, length)
	for {
		for i := range pin {
			n, err := rand.Int(rand.Reader, big.NewInt(10))
			if err != nil {
				return nil, err
			}
			pin[i] = '0' + byte(n.Int64())
		}
		if pin[0] != '0' && !trivial(pin) {
			return pin, nil
		}
	}
}

// trivial PINs have few digits, digits at one distance, as 123456, or are the same
// forwards and backwards, or the same piece again and again: keys of some makers refuse
// them, too.
func trivial(pin []byte) bool {
	digits := map[byte]bool{}
	even, mirrored := true, true
	for i, d := range pin {
		digits[d] = true
		even = even && (i < 2 || d-pin[i-1] == pin[1]-pin[0])
		mirrored = mirrored && d == pin[len(pin)-1-i]
	}
	if len(digits) < 4 || even || mirrored {
		return true
	}
	for period := 1; period <= len(pin)/2; period++ {
		repeats := true
		for i := period; i < len(pin); i++ {
			repeats = repeats && pin[i] == pin[i-period]
		}
		if repeats {
			return true
		}
	}
	return false
}
