package simulator

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/fidokey/fidokey/ctap2"
)

// protected reports whether some form of user verification is configured: a PIN
// is set, or built-in user verification.
func (a *Authenticator) protected() bool { return a.pinSet() || a.uvReady() }

// pinSet reports whether there is a PIN, which is the value of the option
// clientPin.
func (a *Authenticator) pinSet() bool { return len(a.state.device.PINHash) > 0 }

// uvReady reports whether built-in user verification is configured, which is
// the value of the option uv. A key that has it from the factory, and no means
// to enroll, knows [DefaultFinger].
func (a *Authenticator) uvReady() bool {
	enrolled := a.profile.supports(ctap2.OptionUV) && len(a.state.device.Templates) > 0
	return enrolled || a.profile.uvFromFactory()
}

func (p *Profile) uvFromFactory() bool {
	return p.option(ctap2.OptionUV) && !p.supports(ctap2.OptionBioEnroll)
}

// alwaysUV is the value of the option alwaysUv (CTAP 2.1, section 7.2).
func (a *Authenticator) alwaysUV() bool {
	if set := a.state.device.AlwaysUV; set != nil {
		return *set
	}
	return a.profile.option(ctap2.OptionAlwaysUV)
}

// makeCredUVNotRqd is the value of that option: whether credentials that are
// not discoverable can be made without user verification.
func (a *Authenticator) makeCredUVNotRqd() bool {
	return a.profile.option(ctap2.OptionMakeCredUVNotRqd) && !a.alwaysUV()
}

// u2fAllowed reports whether the key speaks CTAP1. U2F knows no PIN, so with
// alwaysUv only built-in user verification can protect it: then U2F takes
// performBuiltInUV for a touch (CTAP 2.1, section 7.2.4).
func (a *Authenticator) u2fAllowed() bool {
	return a.profile.hasU2F() && (!a.alwaysUV() || a.uvReady())
}

// errNotVerified is how makeCredential and getAssertion end where the user has
// to be verified and was not: the PIN helps, or nothing does.
func (a *Authenticator) errNotVerified() error {
	if a.pinSet() && a.profile.pinGivesMcGa() {
		return ctap2.ErrPUATRequired
	}
	return ctap2.ErrOperationDenied
}

// A claim is how a makeCredential or getAssertion proves that the user is
// verified.
type claim struct {
	rpID           string
	clientDataHash []byte
	permission     ctap2.Permissions
	param          []byte      // pinUvAuthParam
	protocol       *pinSession // of param; nil without one
	builtIn        bool        // the option uv
}

// requireUV is steps 6 of makeCredential and 5 of getAssertion under alwaysUv.
// Where neither a token nor uv is given, built-in verification is used.
func (a *Authenticator) requireUV(cl *claim) error {
	switch {
	case !a.protected() && a.profile.pinGivesMcGa():
		return cmp.Or(a.profile.Disputes.AlwaysUVUnprotected, ctap2.ErrPUATRequired)
	case !a.protected():
		return ctap2.ErrOperationDenied
	case cl.protocol != nil || cl.builtIn:
		return nil
	case a.uvReady():
		cl.builtIn = true
		return nil
	}
	return a.errNotVerified()
}

// A verification is the outcome of a claim.
type verification struct {
	token  *pinUVAuthToken // that was verified, or nil
	finger bool            // was recognized; the gesture is one of presence too
}

// uv is the flag in authenticator data.
func (v *verification) uv() bool { return v.token != nil || v.finger }

// present reports whether the person need not touch the key any more.
func (v *verification) present() bool { return v.finger || v.token != nil && v.token.userPresent }

// verifyUser is steps 11 of makeCredential and 6 of getAssertion. On a key that
// is not protected nothing is verified.
func (a *Authenticator) verifyUser(c *call, cl *claim) (*verification, error) {
	v := &verification{}
	switch {
	case cl.protocol != nil && !a.protected():
		if status := a.profile.Disputes.ParamUnprotected; status != 0 {
			return nil, status
		}
	case cl.protocol != nil:
		if !cl.protocol.authorizesFor(cl.rpID, cl.clientDataHash, cl.param, cl.permission) {
			return nil, ctap2.ErrPINAuthInvalid
		}
		v.token = &cl.protocol.token
	case cl.builtIn:
		if err := a.verifyFinger(c, cl.rpID); err != nil {
			return nil, err
		}
		v.finger = true
	}
	return v, nil
}

// verifyFinger is verifyUser by built-in user verification, and says what it
// means when that fails.
func (a *Authenticator) verifyFinger(c *call, rpID string) error {
	err := a.performBuiltInUV(c, rpID, true)
	blocked := errors.Is(err, ctap2.ErrUVBlocked)
	if !blocked && !errors.Is(err, ctap2.ErrUVInvalid) {
		return err
	}
	if instead := a.errNotVerified(); !blocked || errors.Is(instead, ctap2.ErrPUATRequired) {
		return instead
	}
	return ctap2.ErrPINBlocked
}

// performBuiltInUV is performBuiltInUv, CTAP 2.1 section 6.5.3.1: it asks for a
// finger until one is recognized, more than once with internalRetry. It returns
// UV_BLOCKED, UV_INVALID, USER_ACTION_TIMEOUT or KEEPALIVE_CANCEL. Each sample is
// paid for, durably, before it is compared.
func (a *Authenticator) performBuiltInUV(c *call, rpID string, internalRetry bool) error {
	attempts := uint(1)
	if internalRetry {
		attempts = a.profile.uvAttempts()
	}
	for ; attempts > 0 && a.uvRetries() > 0; attempts-- {
		sample, err := a.waitForFinger(c, rpID, touchTimeLimit)
		if err != nil {
			return err
		}
		if matched, err := a.matchFinger(sample); matched || err != nil {
			return err
		}
	}
	if a.uvRetries() == 0 {
		return ctap2.ErrUVBlocked
	}
	return ctap2.ErrUVInvalid
}

// matchFinger compares a sample, which is paid for before.
func (a *Authenticator) matchFinger(sample Sample) (bool, error) {
	paid := change{device: a.state.device}
	paid.device.UVFailures++
	if err := a.state.commit(paid); err != nil || !a.recognizes(sample) {
		return false, err
	}
	verified := change{device: a.state.device}
	verified.device.UVFailures = 0
	verified.device.UVSincePIN++
	return true, a.state.commit(verified)
}

// waitForFinger asks for a sample. When none comes it returns
// USER_ACTION_TIMEOUT.
func (a *Authenticator) waitForFinger(c *call, rpID string, limit time.Duration) (sample Sample, err error) {
	err = a.askPerson(c, limit, func(ctx context.Context) {
		sample = a.config.Finger(ctx, FingerRequest{Command: c.command, RPID: rpID})
	})
	if err == nil && sample.Quality == SampleNoActivity {
		err = ctap2.ErrUserActionTimeout
	}
	return sample, err
}

// recognizes reports whether a sample is a good one of a finger that the key
// knows.
func (a *Authenticator) recognizes(s Sample) bool {
	if s.Quality != SampleGood {
		return false
	}
	return a.templateOf(s.Finger) || a.profile.uvFromFactory() && s.Finger == DefaultFinger
}

// uvRetries is how many more fingers may fail.
func (a *Authenticator) uvRetries() uint {
	most := cmp.Or(a.profile.UVRetries, 5)
	return most - min(most, a.state.device.UVFailures)
}

// uvAttempts is maxUvAttemptsForInternalRetries.
func (p *Profile) uvAttempts() uint { return cmp.Or(p.UVAttempts, 3) }
