package simulator

import (
	"cmp"
	"crypto/ecdh"
	"time"

	"github.com/fidokey/fidokey/ctap2"
)

// A pinSession is the state of one PIN/UV auth protocol between power-up and
// power-off, CTAP 2.1 section 6.5.4.
type pinSession struct {
	pinProtocol
	number  uint
	private *ecdh.PrivateKey // for key agreement
	token   pinUVAuthToken
}

// pinProtocols are those that a profile can list.
var pinProtocols = map[uint]pinProtocol{1: protocolOne{}, 2: protocolTwo{}}

// pinUVAuthProtocol returns the protocol that a request names. Absent is
// MISSING_PARAMETER, not supported INVALID_PARAMETER.
func (a *Authenticator) pinUVAuthProtocol(number *uint64) (*pinSession, error) {
	if number == nil {
		return nil, ctap2.ErrMissingParameter
	}
	for _, p := range a.session.protocols {
		if uint64(p.number) == *number {
			return p, nil
		}
	}
	return nil, cmp.Or(a.profile.Disputes.UnknownProtocol, ctap2.ErrInvalidParameter)
}

// regenerate makes a new key agreement key.
func (a *Authenticator) regenerate(p *pinSession) error {
	_, key, err := a.randomP256()
	if err != nil {
		return err
	}
	p.private, err = key.ECDH()
	return err
}

// decapsulate returns the shared secret with the platform.
func (p *pinSession) decapsulate(platform *keyAgreementKey) ([]byte, error) {
	secret, err := sharedSecret(p.pinProtocol, p.private, *platform)
	if err != nil {
		return nil, ctap2.ErrInvalidParameter
	}
	return secret, nil
}

// seal encrypts for the platform, with an IV of our own where there is one.
func (a *Authenticator) seal(p pinProtocol, secret, plaintext []byte) ([]byte, error) {
	iv, err := a.random(p.ivSize())
	if err != nil {
		return nil, err
	}
	return p.encrypt(secret, iv, plaintext)
}

const tokenSize = 32 // bytes, for both protocols

// Time limits of CTAP 2.1, section 6.5.2.
const (
	tokenLifetime    = 10 * time.Minute // max usage time period
	tokenFirstUse    = 30 * time.Second // initial usage time limit
	tokenFirstUseNFC = 19800 * time.Millisecond
)

// pinUVAuthToken is the state of a token, CTAP 2.1 section 6.5.2.
type pinUVAuthToken struct {
	value []byte

	// The rest is zero while the token is not in use.
	inUse        bool
	unlimited    bool // a pinToken of CTAP 2.0: until power-off it allows everything
	issued       time.Time
	firstUse     time.Duration // initial usage and user present time limit
	used         bool          // authorized something
	permissions  ctap2.Permissions
	rpID         *string // nil: not bound
	userVerified bool
	userPresent  bool
}

// resetTokens is resetPinUvAuthToken for all protocols.
func (a *Authenticator) resetTokens(s *session) error {
	for _, p := range s.protocols {
		value, err := a.random(tokenSize)
		if err != nil {
			return err
		}
		p.token = pinUVAuthToken{value: value}
	}
	return nil
}

// beginUsing is beginUsingPinUvAuthToken. A key without the option
// pinUvAuthToken gives the pinToken of CTAP 2.0, section 5.5.
func (a *Authenticator) beginUsing(t *pinUVAuthToken, transport string, userPresent bool) {
	t.inUse = true
	t.unlimited = !a.profile.option(ctap2.OptionPINUVAuthToken)
	t.issued = a.config.Clock.Now()
	t.firstUse = tokenFirstUse
	if transport == transportNFC {
		t.firstUse = tokenFirstUseNFC
	}
	t.userVerified = true
	t.userPresent = userPresent
}

// stopUsing is stopUsingPinUvAuthToken.
func (t *pinUVAuthToken) stopUsing() { *t = pinUVAuthToken{value: t.value} }

// observe is pinUvAuthTokenUsageTimerObserver. It runs before every command.
func (t *pinUVAuthToken) observe(now time.Time) {
	if !t.inUse || t.unlimited {
		return
	}
	age := now.Sub(t.issued)
	if age >= t.firstUse {
		t.userPresent = false
	}
	if age >= tokenLifetime || age >= t.firstUse && !t.used {
		t.stopUsing()
	}
}

func (s *session) observeTokens(now time.Time) {
	for _, p := range s.protocols {
		p.token.observe(now)
	}
}

// consumeTokens ends what a token allows, except for writing large blobs, when
// a touch was used up: clearUserPresentFlag, clearUserVerifiedFlag and
// clearPinUvAuthTokenPermissionsExceptLbw.
func (s *session) consumeTokens() {
	for _, p := range s.protocols {
		if p.token.unlimited {
			continue
		}
		p.token.userPresent = false
		p.token.userVerified = false
		p.token.permissions &= ctap2.PermissionLBW
	}
}

// authorizes verifies a message that was authenticated with the token, and
// checks a permission.
func (p *pinSession) authorizes(message, param []byte, permission ctap2.Permissions) bool {
	t := &p.token
	if !t.inUse || !verify(p, t.value, message, param) {
		return false
	}
	if !t.unlimited && t.permissions&permission == 0 {
		return false
	}
	t.used = true
	return true
}

// authorizesFor is authorizes for makeCredential and getAssertion: the token
// stands for a verified user, and is bound to the RP ID of its first use.
func (p *pinSession) authorizesFor(rpID string, clientDataHash, param []byte, permission ctap2.Permissions) bool {
	if !p.authorizes(clientDataHash, param, permission) {
		return false
	}
	t := &p.token
	if t.rpID != nil && *t.rpID != rpID || !t.userVerified {
		return false
	}
	if !t.unlimited {
		t.rpID = &rpID
	}
	return true
}
