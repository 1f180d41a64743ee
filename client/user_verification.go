package client

import (
	"context"

	"github.com/fidokey/fidokey/ctap2"
)

// verification is what one command needs of user verification.
type verification struct {
	wanted         UserVerification // by the relying party
	keyInsists     bool             // the key refuses the command without
	permission     ctap2.Permissions
	rpID           string
	clientDataHash []byte
}

// proof goes into the request: a pinUvAuthParam, or the option uv, or neither.
// The two are never sent together; keys refuse that.
type proof struct {
	param    []byte
	protocol uint
	uv       *bool
}

// verifyUser gets the proof, by PIN where one is set, else by the key's own
// means.
func (k *Key) verifyUser(ctx context.Context, v verification) (proof, error) {
	hasPIN, _ := k.info.Option(ctap2.OptionClientPIN)
	builtIn, _ := k.info.Option(ctap2.OptionUV)
	if v.wanted == Discouraged && !v.keyInsists {
		return proof{}, nil
	}
	switch {
	case hasPIN:
		token, err := k.token(ctx, v.permission, v.rpID)
		if err != nil {
			return proof{}, err
		}
		defer token.Wipe()
		return proof{param: token.Authenticate(v.clientDataHash), protocol: uint(token.Protocol())}, nil
	case builtIn:
		return proof{uv: &builtIn}, nil
	case v.wanted == Required || v.keyInsists:
		return proof{}, ErrNoPIN
	}
	return proof{}, nil
}

// insistsToRegister reports whether the key makes such a credential only after
// user verification (CTAP 2.1, section 6.1.2, steps 6 to 10). Keys of CTAP 2.0
// want the PIN for every credential once they have one.
func insistsToRegister(info *ctap2.GetInfoResponse, discoverable bool) bool {
	if alwaysUV, _ := info.Option(ctap2.OptionAlwaysUV); alwaysUV {
		return true
	}
	hasPIN, _ := info.Option(ctap2.OptionClientPIN)
	builtIn, _ := info.Option(ctap2.OptionUV)
	notRequired, _ := info.Option(ctap2.OptionMakeCredUVNotRqd)
	return (hasPIN || builtIn) && (discoverable || !notRequired)
}
