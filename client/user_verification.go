package client

import (
	"context"
	"errors"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// UserVerification is what a relying party asks for (WebAuthn Level 3, section
// 5.8.6). The zero value is Preferred, as in WebAuthn.
type UserVerification int

const (
	Preferred UserVerification = iota
	Required
	Discouraged
)

// ErrNoUserVerification is returned where the PIN does not count and no
// built-in user verification is set up.
var ErrNoUserVerification = errors.New("the key cannot verify the user: it takes no PIN for this, and no fingerprint is enrolled")

// proof goes into a request: a pinUvAuthParam, or the option uv, or neither. The
// two are never sent together; keys refuse that.
type proof struct {
	token *pin.Token
	uv    *bool
}

// param returns pinUvAuthParam and pinUvAuthProtocol, which are zero without a
// token.
func (p proof) param(clientDataHash []byte) (param []byte, protocol uint) {
	if p.token == nil {
		return nil, 0
	}
	return p.token.Authenticate(clientDataHash), uint(p.token.Protocol())
}

// verification is what a registration or an assertion needs of user
// verification.
type verification struct {
	wanted     UserVerification // by the relying party
	keyInsists bool             // the key refuses the command without
	need       pin.Grant
}

// needed reports whether the user is to be verified, and an error if that is
// required of a key that cannot.
func (v verification) needed(info *ctap2.GetInfoResponse) (bool, error) {
	if v.wanted == Discouraged && !v.keyInsists {
		return false, nil
	}
	if protected(info) {
		return true, nil
	}
	if v.wanted == Required || v.keyInsists {
		return false, ErrNoPIN
	}
	return false, nil
}

// protected reports whether the key can verify its user: by PIN, or by itself.
func protected(info *ctap2.GetInfoResponse) bool {
	hasPIN, _ := info.Option(ctap2.OptionClientPIN)
	builtIn, _ := info.Option(ctap2.OptionUV)
	return hasPIN || builtIn
}

// verifyUser runs try with the proof that the key wants: a token, or the option
// uv of keys that verify the user by themselves and give no tokens for it.
func verifyUser[R any](ctx context.Context, k *Key, v verification, try func(proof) (R, error)) (R, error) {
	needed, err := v.needed(k.info)
	if err != nil {
		var none R
		return none, err
	}
	if !needed {
		r, err := try(proof{})
		if !errors.Is(err, ctap2.ErrPUATRequired) || !protected(k.info) {
			return r, err
		}
		k.tolerate("the key asks for user verification where getInfo says that it does not")
	}
	permissions, _ := k.info.Option(ctap2.OptionPINUVAuthToken)
	if builtIn, _ := k.info.Option(ctap2.OptionUV); builtIn && !permissions && !k.prefersPIN(v.need.Permissions) {
		r, err := try(proof{uv: &builtIn})
		if err == nil || !errors.Is(err, ctap2.ErrPUATRequired) && !k.fallsBackToPIN(err, v.need.Permissions) {
			return r, err
		}
	}
	r, err := authorized(ctx, k, v.need, func(token *pin.Token) (R, error) {
		return try(proof{token: token})
	})
	if k.token != nil && !k.token.all {
		k.dropToken() // a touch has used it up (CTAP 2.1, section 6.5.5.7)
	}
	return r, err
}

// insistsToRegister reports whether the key makes such a credential only after
// user verification (CTAP 2.1, section 6.1.2, steps 6 to 10). Keys of CTAP 2.0
// want the PIN for every credential once they have one.
func insistsToRegister(info *ctap2.GetInfoResponse, discoverable bool) bool {
	if alwaysUV, _ := info.Option(ctap2.OptionAlwaysUV); alwaysUV {
		return true
	}
	notRequired, _ := info.Option(ctap2.OptionMakeCredUVNotRqd)
	return protected(info) && (discoverable || !notRequired)
}
