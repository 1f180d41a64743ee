package simulator

import (
	"maps"
	"slices"
	"time"

	"github.com/fidokey/fidokey/ctap2"
)

// resetWindow is how long after power-up a key without a display may be reset.
const resetWindow = 10 * time.Second

// reset is authenticatorReset, CTAP 2.1 section 6.6.
func (a *Authenticator) reset(c *call) (*ctap2.Empty, error) {
	if a.config.Clock.Now().Sub(a.session.poweredUp) > resetWindow {
		return nil, ctap2.ErrNotAllowed
	}
	if err := a.waitForTouch(c, ""); err != nil {
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
	a.session = session
	return nil, nil
}
