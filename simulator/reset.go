package simulator

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/fidokey/fidokey/ctap2"
)

// resetWindow is how long after power-up a key without a display may be reset.
const resetWindow = 10 * time.Second

// resetWindow is that time, or what the profile has in its place.
func (p *Profile) resetWindow() time.Duration {
	if seconds := p.Quirks.ResetWindow; seconds != 0 {
		return time.Duration(seconds) * time.Second
	}
	return resetWindow
}

// reset is authenticatorReset, CTAP 2.1 section 6.6.
func (a *Authenticator) reset(c *call) (*ctap2.Empty, error) {
	allowed := a.profile.GetInfo.TransportsForReset
	if allowed != nil && !slices.Contains(allowed, c.origin.transport) {
		return nil, cmp.Or(a.profile.Disputes.ResetTransport, ctap2.ErrOperationDenied)
	}
	anytime := a.profile.ResetAnytime || a.noResetWindow.Load()
	began := a.session.poweredUp
	if tap := c.origin.tap.at(); tap.After(began) { // on a reader, of a key that has its power from USB
		began = tap
	}
	late := a.config.Clock.Now().Sub(began) > a.profile.resetWindow() && !anytime
	if late || a.profile.ResetFirst && !c.first {
		return nil, ctap2.ErrNotAllowed
	}
	touch := PresenceRequest{Command: c.command, Long: a.longTouchForReset()}
	if err := a.askPresence(c, touch); err != nil {
		return nil, err
	}
	fresh, err := a.newDevice()
	if err != nil {
		return nil, err
	}
	fresh.SignCount = a.state.device.SignCount // goes on, so that it never goes back
	session, err := a.newSession(a.session.poweredUp)
	if err != nil {
		return nil, err
	}
	everything := slices.Collect(maps.Values(a.state.byID))
	if err := a.state.commit(change{device: fresh, remove: everything, largeBlobs: initialLargeBlobs()}); err != nil {
		return nil, err
	}
	session.busy = true
	a.session = session
	return nil, nil
}

// longTouchForReset is the value of that member of getInfo (CTAP 2.2, section
// 6.6): a short touch does not approve of a reset.
func (a *Authenticator) longTouchForReset() bool {
	factory := a.profile.GetInfo.LongTouchForReset
	return factory != nil && (*factory || a.state.device.LongTouchForReset)
}
