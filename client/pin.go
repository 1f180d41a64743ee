package client

import (
	"bytes"
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
	// Retries is nil where there is no PIN yet, or no PIN support.
	Retries *pin.Retries
	// MustChange means that the key takes the PIN for nothing but to be changed
	// (forcePINChange).
	MustChange bool
}

// PINState asks the key for it. It costs no try.
func (k *Key) PINState(ctx context.Context) (PINState, error) {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return PINState{}, err
	}
	s := PINState{MustChange: mustChange(info)}
	if s.Set, s.Supported = info.Option(ctap2.OptionClientPIN); !s.Set {
		return s, nil // some keys never answer getPINRetries now
	}
	retries, err := pin.GetRetries(ctx, k.dev)
	if err != nil {
		return s, err
	}
	s.Retries = &retries
	return s, nil
}

func mustChange(info *ctap2.GetInfoResponse) bool {
	return info.ForcePINChange != nil && *info.ForcePINChange
}

// SetPIN gives the key its first PIN, which Prompt.NewPIN asks for.
func (k *Key) SetPIN(ctx context.Context) error {
	ctx, info, err := k.begin(ctx)
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
	_, err = withProtocol(k, func(p pin.Protocol) (none, error) {
		return none{}, pin.Set(ctx, k.dev, info, p, newPIN)
	}, nil)
	k.info = nil // option clientPin changes
	return policyError(info, err)
}

// none is the result of what has none.
type none struct{}

// ChangePIN replaces the PIN. Prompt.PIN asks for the current one, Prompt.NewPIN
// for the new one. A new PIN that breaks a rule of getInfo costs no try.
func (k *Key) ChangePIN(ctx context.Context) error {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return err
	}
	current, retries, err := k.askPIN(ctx, "")
	if err != nil {
		return err
	}
	defer clear(current)
	newPIN, err := k.askNewPIN(ctx)
	if err != nil {
		return err
	}
	defer clear(newPIN)
	if mustChange(info) && bytes.Equal(current, newPIN) {
		return fmt.Errorf("%w: it is the old one, and the key asks for another", pin.ErrPolicy)
	}
	_, err = withProtocol(k, func(p pin.Protocol) (none, error) {
		return none{}, pin.Change(ctx, k.dev, info, p, current, newPIN)
	}, k.noTrySpent(ctx, retries))
	k.dropToken()
	k.info = nil // forcePINChange may change
	return policyError(info, err)
}

// policyError adds to PIN_POLICY_VIOLATION what is known of the rule that the key
// does not name.
func policyError(info *ctap2.GetInfoResponse, err error) error {
	if !errors.Is(err, ctap2.ErrPINPolicyViolation) {
		return err
	}
	return &PolicyError{MinLength: info.MinPINCodePoints(), Complexity: info.PINComplexityPolicy != nil && *info.PINComplexityPolicy, URL: string(info.PINComplexityPolicyURL), Err: err}
}

// PolicyError is a new PIN that a key refused by a rule that getInfo does not
// state in full.
type PolicyError struct {
	MinLength  uint   // Unicode code points
	Complexity bool   // a complexity policy is in force (CTAP 2.2)
	URL        string // where the maker has written the policy down; may be empty
	Err        error
}

func (e *PolicyError) Error() string {
	s := fmt.Sprintf("%v: this key asks for at least %d characters", e.Err, e.MinLength)
	if e.Complexity {
		s += " and refuses PINs that are too simple"
	}
	if e.URL != "" {
		s += fmt.Sprintf(" (see %q)", e.URL)
	}
	return s
}

func (e *PolicyError) Unwrap() error { return e.Err }

// verifyRPID is the relying party that a token is bound to when only the PIN is
// to be verified. The name cannot exist (RFC 6761), so the token is good for
// nothing else.
const verifyRPID = "pin-verification.invalid"

// VerifyPIN asks for the PIN by Prompt.PIN and tries it, once.
func (k *Key) VerifyPIN(ctx context.Context) error {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return err
	}
	need := pin.Grant{Permissions: ctap2.PermissionGA, RPID: verifyRPID}
	if no, _ := info.Option(ctap2.OptionNoMcGaWithPIN); no {
		need = pin.Grant{Permissions: ctap2.PermissionCM}
	}
	k.dropToken() // the key drops it, too
	_, err = k.tokenByPIN(ctx, need)
	k.dropToken()
	return err
}

// askPIN reads the tries that are left, and then asks for the PIN. It does not
// ask when no try could succeed, or too few are left.
func (k *Key) askPIN(ctx context.Context, rpID string) ([]byte, pin.Retries, error) {
	state, err := k.PINState(ctx)
	switch {
	case err != nil:
		return nil, pin.Retries{}, err
	case !state.Supported:
		return nil, pin.Retries{}, ErrPINUnsupported
	case !state.Set:
		return nil, pin.Retries{}, ErrNoPIN
	}
	retries := *state.Retries
	switch {
	case retries.Left == 0:
		return nil, retries, &pin.Error{Retries: retries, Err: ctap2.ErrPINBlocked}
	case retries.PowerCycle:
		return nil, retries, &pin.Error{Retries: retries, Err: ctap2.ErrPINAuthBlocked}
	case retries.Left < k.options.MinRetries:
		return nil, retries, &pin.Error{Retries: retries, Err: ErrLastTries}
	case k.prompt.PIN == nil:
		return nil, retries, ErrPINNeeded
	}
	if rpID == verifyRPID {
		rpID = ""
	}
	if k.enteredPIN != nil {
		return bytes.Clone(k.enteredPIN), retries, nil
	}
	entered, err := k.prompt.PIN(ctx, PINRequest{Retries: retries, RPID: rpID})
	if err != nil {
		clear(entered)
		return nil, retries, fmt.Errorf("PIN: %w", err)
	}
	if len(entered) == 0 {
		return nil, retries, errors.New("no PIN was entered")
	}
	return entered, retries, nil
}

func (k *Key) askNewPIN(ctx context.Context) ([]byte, error) {
	if k.prompt.NewPIN == nil {
		return nil, ErrPINNeeded
	}
	newPIN, err := k.prompt.NewPIN(ctx, newPINRequest(k.info))
	if err != nil {
		clear(newPIN)
		return nil, fmt.Errorf("new PIN: %w", err)
	}
	return newPIN, nil
}

func newPINRequest(info *ctap2.GetInfoResponse) NewPINRequest {
	r := NewPINRequest{MinLength: info.MinPINCodePoints(), PolicyURL: string(info.PINComplexityPolicyURL)}
	if info.MaxPINLength != nil {
		r.MaxLength = *info.MaxPINLength
	}
	r.Complexity = info.PINComplexityPolicy != nil && *info.PINComplexityPolicy
	return r
}
