package client

import "github.com/fidokey/fidokey/pin"

// HeldToken returns the token that the key has in use, nil if there is none.
func HeldToken(k *Key) *pin.Token {
	if k.token == nil {
		return nil
	}
	return k.token.Token
}
