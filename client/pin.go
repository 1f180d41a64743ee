package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// PINState is what there is to know about a key's PIN without trying one.
type PINState struct {
	Supported bool
	Set       bool
	// Retries is nil where the key has none to tell: no PIN support.
	Retries *pin.Retries
}

// PINState asks the key for it. It costs no try.
func (k *Key) PINState(ctx context.Context) (PINState, error) {
	info, err := k.Info(ctx)
	if err != nil {
		return PINState{}, err
	}
	var s PINState
	s.Set, s.Supported = info.Option(ctap2.OptionClientPIN)
	if !s.Supported {
		return s, nil
	}
	retries, err := pin.GetRetries(ctx, k.dev)
	if err != nil {
		return s, err
	}
	s.Retries = &retries
	return s, nil
}

// SetPIN gives the key its first PIN, which Prompt.NewPIN asks for.
func (k *Key) SetPIN(ctx context.Context) error {
	info, err := k.Info(ctx)
	if err != nil {
		return err
	}
	switch set, supported := info.Option(ctap2.OptionClientPIN); {
	case !supported:
		return ErrPINUnsupported
	case set:
		return ErrPINSet
	}
	newPIN, err := k.askNewPIN(ctx)
	if err != nil {
		return err
	}
	defer clear(newPIN)
	k.info = nil // option clientPin changes
	return pin.Set(ctx, k.dev, info, newPIN)
}

// ChangePIN replaces the PIN. Prompt.PIN asks for the current one, Prompt.NewPIN
// for the new one. A new PIN that breaks a rule of getInfo costs no try.
func (k *Key) ChangePIN(ctx context.Context) error {
	info, err := k.Info(ctx)
	if err != nil {
		return err
	}
	current, err := k.askPIN(ctx, "")
	if err != nil {
		return err
	}
	defer clear(current)
	newPIN, err := k.askNewPIN(ctx)
	if err != nil {
		return err
	}
	defer clear(newPIN)
	k.info = nil // forcePINChange may change
	return pin.Change(ctx, k.dev, info, current, newPIN)
}

// verifyRPID is the relying party that a token is bound to when only the PIN is
// to be verified. The name cannot exist (RFC 6761), so the token is good for
// nothing else.
const verifyRPID = "pin-verification.invalid"

// VerifyPIN asks for the PIN by Prompt.PIN and tries it, once.
func (k *Key) VerifyPIN(ctx context.Context) error {
	info, err := k.Info(ctx)
	if err != nil {
		return err
	}
	permission, rpID := ctap2.PermissionGA, verifyRPID
	if no, _ := info.Option(ctap2.OptionNoMcGaWithPIN); no {
		permission, rpID = ctap2.PermissionCM, ""
	}
	token, err := k.token(ctx, permission, rpID)
	if err != nil {
		return err
	}
	token.Wipe()
	return nil
}

// token asks for the PIN and trades it for a token.
func (k *Key) token(ctx context.Context, permissions ctap2.Permissions, rpID string) (*pin.Token, error) {
	entered, err := k.askPIN(ctx, rpID)
	if err != nil {
		return nil, err
	}
	defer clear(entered)
	return pin.GetToken(ctx, k.dev, k.info, entered, permissions, rpID)
}

// askPIN reads the tries that are left, and then asks for the PIN. It does not
// ask when no try could succeed.
func (k *Key) askPIN(ctx context.Context, rpID string) ([]byte, error) {
	state, err := k.PINState(ctx)
	switch {
	case err != nil:
		return nil, err
	case !state.Supported:
		return nil, ErrPINUnsupported
	case !state.Set:
		return nil, ErrNoPIN
	case state.Retries.Left == 0:
		return nil, &pin.Error{Retries: *state.Retries, Err: ctap2.ErrPINBlocked}
	case state.Retries.PowerCycle:
		return nil, &pin.Error{Retries: *state.Retries, Err: ctap2.ErrPINAuthBlocked}
	case k.prompt.PIN == nil:
		return nil, ErrPINNeeded
	}
	if rpID == verifyRPID {
		rpID = ""
	}
	entered, err := k.prompt.PIN(ctx, PINRequest{Retries: *state.Retries, RPID: rpID})
	if err != nil {
		return nil, fmt.Errorf("PIN: %w", err)
	}
	if len(entered) == 0 {
		return nil, errors.New("no PIN was entered")
	}
	return entered, nil
}

func (k *Key) askNewPIN(ctx context.Context) ([]byte, error) {
	if k.prompt.NewPIN == nil {
		return nil, ErrPINNeeded
	}
	newPIN, err := k.prompt.NewPIN(ctx, NewPINRequest{MinLength: k.info.MinPINCodePoints()})
	if err != nil {
		return nil, fmt.Errorf("new PIN: %w", err)
	}
	return newPIN, nil
}
