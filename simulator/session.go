package simulator

import (
	"fmt"
	"time"

	"github.com/fidokey/fidokey/ctap2"
)

// session is what a power cycle forgets.
type session struct {
	poweredUp time.Time
	busy      bool // a command other than getInfo came
	// protocols are in the order of preference.
	protocols []*pinSession
	// pinMismatches counts wrong PINs in a row.
	pinMismatches int
	// series is what the next command may continue, or nil.
	series *series
	// enrollment is the one that runs, or nil.
	enrollment *enrollment
	// quirkRPID is the RP ID of the last request or token: see Quirks.
	quirkRPID *string
}

// powerUp starts a session at a time.
func (a *Authenticator) powerUp(at time.Time) error {
	s, err := a.newSession(at)
	if err != nil {
		return err
	}
	a.session = s
	return nil
}

// newSession has fresh key agreement keys and no token in use (CTAP 2.1,
// section 6.5.4: initialize).
func (a *Authenticator) newSession(poweredUp time.Time) (*session, error) {
	s := &session{poweredUp: poweredUp}
	for _, number := range a.profile.GetInfo.PINUVAuthProtocols {
		p := &pinSession{number: number, pinProtocol: pinProtocols[number]}
		if p.pinProtocol == nil {
			return nil, fmt.Errorf("profile %s: PIN/UV auth protocol %d is unknown", a.profile.Name, number)
		}
		if err := a.regenerate(p); err != nil {
			return nil, err
		}
		s.protocols = append(s.protocols, p)
	}
	return s, a.resetTokens(s)
}

// seriesTimeLimit is the longest pause between two messages of a series.
const seriesTimeLimit = 30 * time.Second

// A series is the state between the messages of a stateful command (CTAP 2.1,
// section 6): getNextAssertion, the two enumerations of credential management
// and the writing of large blobs. One of the slices holds what is still to be
// told.
type series struct {
	origin origin
	last   time.Time
	token  *pinUVAuthToken // that authorized it, or nil

	assertion   *assertion    // what the assertions have in common
	assertions  *candidates   // to be signed with
	rps         []*credential // one credential for each RP
	credentials []*credential
	largeBlobs  *largeBlobWrite
}

// keep lets the next command continue a series.
func (a *Authenticator) keep(c *call, s *series) {
	s.origin = c.origin
	s.last = a.config.Clock.Now()
	a.session.series = s
}

// continued returns the series that this command may continue.
func (a *Authenticator) continued(c *call) (*series, error) {
	s, disputes := c.series, &a.profile.Disputes
	switch {
	case s == nil,
		s.origin != c.origin && !disputes.SeriesGoesOn,
		s.token != nil && !s.token.inUse:
		return nil, ctap2.ErrNotAllowed
	case a.config.Clock.Now().Sub(s.last) <= seriesTimeLimit,
		s.assertion == nil && disputes.EnumerationLast:
		return s, nil
	}
	return nil, ctap2.ErrNotAllowed
}
