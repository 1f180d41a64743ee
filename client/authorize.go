package client

import (
	"context"
	"errors"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// heldToken is the token that the key has in use. There is at most one: a key
// voids all others when it gives one.
type heldToken struct {
	*pin.Token
	grant pin.Grant
	// all means that the key knows no permissions (CTAP 2.0).
	all bool
}

// covers reports whether the token serves for what is needed. A token that is
// bound to a relying party, or that may do more, does not: it was meant for
// something else.
func (t *heldToken) covers(need pin.Grant) bool { return t != nil && (t.all || t.grant == need) }

func (k *Key) dropToken() {
	if k.token != nil {
		k.token.Wipe()
		k.token = nil
	}
}

// authorized runs try with a token that has the permissions in need, and no
// others. A token from an earlier flow is used again if it fits; if it turns out
// to be dead, for the key was used by another program or too long ago, the
// person is asked anew, and try runs a second time.
//
// An error of authorized is one of getting the token, or that of try.
func authorized[R any](ctx context.Context, k *Key, need pin.Grant, try func(*pin.Token) (R, error)) (R, error) {
	if k.token.covers(need) {
		r, err := try(k.token.Token)
		if !deadToken(err) {
			return r, err
		}
		k.dropToken()
	}
	var none R
	token, err := k.getToken(ctx, need)
	if err != nil {
		return none, err
	}
	return try(token)
}

// deadToken reports whether an error says that a token is not, or not any more,
// what the key wants to see.
func deadToken(err error) bool {
	return errors.Is(err, ctap2.ErrPINAuthInvalid) || errors.Is(err, ctap2.ErrPINTokenExpired)
}

// getToken gets a token and holds it: by what the key itself verifies, where
// that is set up and may be used for it, else by PIN.
func (k *Key) getToken(ctx context.Context, need pin.Grant) (*pin.Token, error) {
	k.dropToken()
	permissions, _ := k.info.Option(ctap2.OptionPINUVAuthToken)
	if permissions && k.byUV(need.Permissions) && !k.prefersPIN(need.Permissions) {
		token, err := k.tokenByUV(ctx, need)
		if err == nil || !k.fallsBackToPIN(err, need.Permissions) {
			return token, err
		}
	}
	if k.pinForbidden(need.Permissions) {
		return nil, ErrNoUserVerification
	}
	return k.tokenByPIN(ctx, need)
}

// byUV reports whether built-in user verification is set up and yields these
// permissions (CTAP 2.1, section 6.5.5.7.3).
func (k *Key) byUV(permissions ctap2.Permissions) bool {
	uv, _ := k.info.Option(ctap2.OptionUV)
	enroll, _ := k.info.Option(ctap2.OptionUVBioEnroll)
	config, _ := k.info.Option(ctap2.OptionUVAcfg)
	return uv && (enroll || permissions&ctap2.PermissionBE == 0) && (config || permissions&ctap2.PermissionACFG == 0)
}

// pinForbidden reports whether the key yields these permissions by built-in user
// verification only.
func (k *Key) pinForbidden(permissions ctap2.Permissions) bool {
	no, _ := k.info.Option(ctap2.OptionNoMcGaWithPIN)
	return no && permissions&(ctap2.PermissionMC|ctap2.PermissionGA) != 0
}

// pinServes reports whether there is a PIN that yields these permissions.
func (k *Key) pinServes(permissions ctap2.Permissions) bool {
	hasPIN, _ := k.info.Option(ctap2.OptionClientPIN)
	return hasPIN && !k.pinForbidden(permissions)
}

// prefersPIN reports whether the PIN goes before built-in user verification.
func (k *Key) prefersPIN(permissions ctap2.Permissions) bool {
	return k.options.PreferPIN && k.pinServes(permissions)
}

// fallsBackToPIN reports whether the PIN helps after err: where the key does not
// take any more fingers, not where the person declined or did nothing.
func (k *Key) fallsBackToPIN(err error, permissions ctap2.Permissions) bool {
	if !k.pinServes(permissions) {
		return false
	}
	for _, status := range []ctap2.Status{ctap2.ErrUVBlocked, ctap2.ErrUVInvalid, ctap2.ErrPINBlocked, ctap2.ErrUnauthorizedPermission, ctap2.ErrNotAllowed} {
		if errors.Is(err, status) {
			return true
		}
	}
	return false
}

// maxUVAttempts is the most that a key may prefer: its uvRetries are at most 25 (CTAP
// 2.1, section 6.5.2.1).
const maxUVAttempts = 25

// tokenByUV lets the key verify the user, as often as it prefers to be asked.
func (k *Key) tokenByUV(ctx context.Context, need pin.Grant) (*pin.Token, error) {
	attempts := uint(1)
	if n := k.info.PreferredPlatformUVAttempts; n != nil {
		attempts = min(max(attempts, *n), maxUVAttempts)
	}
	for {
		token, err := withProtocol(k, func(p pin.Protocol) (*pin.Token, error) {
			return pin.GetTokenUsingUV(ctx, k.dev, p, need)
		}, nil)
		if attempts--; err == nil {
			k.token = &heldToken{Token: token, grant: need}
			return token, nil
		} else if attempts == 0 || !errors.Is(err, ctap2.ErrUVInvalid) {
			return nil, err
		}
	}
}

// tokenByPIN asks for the PIN and trades it for a token. It spends at most one
// try.
func (k *Key) tokenByPIN(ctx context.Context, need pin.Grant) (*pin.Token, error) {
	if mustChange(k.info) {
		return nil, ErrPINChangeNeeded // the key would take the try and refuse the token
	}
	entered, retries, err := k.askPIN(ctx, need.RPID)
	if err != nil {
		return nil, err
	}
	defer clear(entered)
	token, err := withProtocol(k, func(p pin.Protocol) (*pin.Token, error) {
		return pin.GetToken(ctx, k.dev, k.info, p, entered, need)
	}, k.noTrySpent(ctx, retries))
	if err != nil {
		return nil, err
	}
	k.keepPIN(entered)
	permissions, _ := k.info.Option(ctap2.OptionPINUVAuthToken)
	k.token = &heldToken{Token: token, grant: need, all: !permissions}
	return token, nil
}

// withProtocol runs try under the PIN/UV auth protocol that the key likes best.
// Some keys list one that they fail with: then the next is taken, once, if
// unharmed says that the first attempt has cost nothing. A nil unharmed stands
// for an attempt that cannot cost anything.
func withProtocol[R any](k *Key, try func(pin.Protocol) (R, error), unharmed func() bool) (R, error) {
	var none R
	if k.protocol != 0 {
		return try(k.protocol)
	}
	protocols, err := pin.Protocols(k.info)
	if err != nil {
		return none, err
	}
	r, err := try(protocols[0])
	if err == nil {
		k.protocol = protocols[0]
		return r, nil
	}
	protocolFails := errors.Is(err, ctap2.ErrPINAuthInvalid) || errors.Is(err, ctap2.ErrInvalidParameter)
	if len(protocols) == 1 || !protocolFails || unharmed != nil && !unharmed() {
		return r, err
	}
	if r, second := try(protocols[1]); second == nil {
		k.protocol = protocols[1]
		k.tolerate("PIN/UV auth protocol %d is listed first and fails: %v", protocols[0], err)
		return r, nil
	} else if !errors.Is(second, ctap2.ErrPINAuthInvalid) && !errors.Is(second, ctap2.ErrInvalidParameter) {
		return r, second // the PIN is wrong, for instance
	}
	return r, err
}

// noTrySpent returns a function that reports whether the key still has the tries
// that it had.
func (k *Key) noTrySpent(ctx context.Context, before pin.Retries) func() bool {
	return func() bool {
		now, err := pin.GetRetries(ctx, k.dev)
		return err == nil && now.Left == before.Left && !now.PowerCycle
	}
}
