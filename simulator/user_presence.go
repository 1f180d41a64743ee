package simulator

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
)

// touchTimeLimit is how long the key blinks: the user action timeout.
const touchTimeLimit = 30 * time.Second

var errTouchTimeout = errors.New("nobody touched the key in time")

// waitForTouch asks for user presence. It returns nil after a touch, else
// OPERATION_DENIED, USER_ACTION_TIMEOUT or KEEPALIVE_CANCEL.
func (a *Authenticator) waitForTouch(c *call, rpID string) error {
	return a.askPresence(c, PresenceRequest{Command: c.command, RPID: rpID})
}

// askPresence is waitForTouch, where a request for a long touch is denied by a
// short one.
func (a *Authenticator) askPresence(c *call, r PresenceRequest) error {
	if !r.Long && c.origin.tap.take(a.config.Clock.Now()) {
		return nil
	}
	if a.cannotBeTouched(c) {
		return ctap2.ErrUserActionTimeout
	}
	var answer Presence
	err := a.askPerson(c, touchTimeLimit, func(ctx context.Context) { answer = a.config.Presence(ctx, r) })
	a.counters.touch(answer)
	switch {
	case err != nil:
		return err
	case answer == PresenceLongTouch, answer == PresenceTouched && !r.Long:
		return nil
	case answer == PresenceTouched, answer == PresenceDeclined:
		return ctap2.ErrOperationDenied
	}
	return ctap2.ErrUserActionTimeout
}

// cannotBeTouched reports whether only a new tap could approve of a command.
func (a *Authenticator) cannotBeTouched(c *call) bool {
	return a.profile.NoButton && c.origin.transport == transportNFC
}

// askPerson lets the key blink while ask waits for the person. It returns nil
// when they answered in time, else USER_ACTION_TIMEOUT or KEEPALIVE_CANCEL.
func (a *Authenticator) askPerson(c *call, limit time.Duration, ask func(context.Context)) error {
	ctx, cancel := context.WithCancelCause(c.ctx)
	defer cancel(nil)
	stop := a.config.Clock.AfterFunc(limit, func() { cancel(errTouchTimeout) })
	defer stop()

	a.dropTouch()
	transport.Report(c.ctx, transport.StatusUPNeeded)
	ask(ctx)
	switch {
	case c.ctx.Err() != nil: // an answer at the last moment comes too late
		return ctap2.ErrKeepaliveCancel
	case ctx.Err() != nil:
		return ctap2.ErrUserActionTimeout
	}
	return nil
}

// waitForConsent is waitForTouch for makeCredential and getAssertion, whose
// steps make no difference between a refusal and a timeout.
func (a *Authenticator) waitForConsent(c *call, rpID string) error {
	err := a.waitForTouch(c, rpID)
	if !errors.Is(err, ctap2.ErrUserActionTimeout) {
		return err
	}
	if c.origin.transport == transportNFC && a.profile.Disputes.TouchTimeoutNFC != 0 {
		return a.profile.Disputes.TouchTimeoutNFC
	}
	return cmp.Or(a.profile.Disputes.TouchTimeout, ctap2.ErrOperationDenied)
}

// authProtocol is step 2 of makeCredential and getAssertion: a pinUvAuthParam
// needs a protocol that we speak. Without a pinUvAuthParam it returns nil.
func (a *Authenticator) authProtocol(param []byte, number *uint64) (*pinSession, error) {
	if param == nil {
		return nil, nil
	}
	return a.pinUVAuthProtocol(number)
}

// asksWhichKey is the condition of step 1 of makeCredential and getAssertion: an
// empty pinUvAuthParam asks the person to point out this key by a touch.
func (a *Authenticator) asksWhichKey(param []byte) bool {
	return param != nil && len(param) == 0 &&
		(a.profile.supports(ctap2.OptionClientPIN) || a.profile.option(ctap2.OptionPINUVAuthToken))
}

// answerWhichKey is the rest of step 1. It always ends in an error.
func (a *Authenticator) answerWhichKey(c *call, rpID string) error {
	if err := a.waitForConsent(c, rpID); err != nil {
		return err
	}
	if !a.pinSet() {
		return ctap2.ErrPINNotSet
	}
	return cmp.Or(a.profile.Disputes.WhichKey, ctap2.ErrPINInvalid)
}
