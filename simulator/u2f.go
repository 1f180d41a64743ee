package simulator

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
)

// Instructions of U2F (FIDO U2F Raw Message Formats, sections 4 to 6).
const (
	u2fRegister     = 0x01
	u2fAuthenticate = 0x02
	u2fVersion      = 0x03
)

// Control bytes of AUTHENTICATE.
const (
	u2fEnforcePresence = 0x03
	u2fCheckOnly       = 0x07
	u2fWithoutPresence = 0x08
)

const (
	u2fParameterSize    = 32   // bytes of a challenge and of an application
	u2fRegistrationByte = 0x05 // begins the answer of REGISTER
)

// Message takes a U2F command APDU, short or extended, and returns the response
// with its status word. Like a key on USB it never waits for a touch: it answers
// 6985, and a platform asks again until the touch has come.
func (a *Authenticator) Message(ctx context.Context, apdu []byte) ([]byte, error) {
	if !a.Profile().hasU2F() {
		return nil, fmt.Errorf("simulator: U2F: %w", transport.ErrUnsupported)
	}
	return a.serveU2F(ctx, origin{transport: transportUSB}, apdu)
}

// message is Message for the doors, which can give no other answer than bytes.
func (a *Authenticator) message(ctx context.Context, from origin, apdu []byte) []byte {
	answer, err := a.serveU2F(ctx, from, apdu)
	if err != nil {
		return swFailed.append(nil)
	}
	return answer
}

func (a *Authenticator) serveU2F(ctx context.Context, from origin, apdu []byte) ([]byte, error) {
	return a.inTurn(ctx, func(ctx context.Context) []byte {
		c := a.newCall(ctx, from)
		cmd, sw := decodeAPDU(apdu)
		if sw == swOK {
			sw = a.profile.Quirks.refuseU2F(apdu)
		}
		if sw != swOK {
			return a.leaving(ctx, apdu, sw.append(nil))
		}
		data, sw := a.steeredU2F(c, cmd)
		return a.leaving(ctx, apdu, sw.append(data))
	})
}

// steeredU2F is u2f, counted and with the quirks of the key.
func (a *Authenticator) steeredU2F(c *call, cmd commandAPDU) ([]byte, statusWord) {
	data, sw := a.u2f(c, cmd)
	a.counters.u2f(cmd.ins, sw)
	return data, a.profile.Quirks.restateU2F(sw)
}

// hasU2F reports whether the key speaks U2F besides CTAP2.
func (p *Profile) hasU2F() bool { return p.GetInfo.HasVersion(ctap2.VersionU2F) }

// u2f is CTAP1, on the same credentials as CTAP2 (CTAP 2.1, section 7).
func (a *Authenticator) u2f(c *call, cmd commandAPDU) ([]byte, statusWord) {
	handle := map[byte]func(*Authenticator, *call, commandAPDU) ([]byte, statusWord){
		u2fRegister:     (*Authenticator).u2fRegister,
		u2fAuthenticate: (*Authenticator).u2fAuthenticate,
		u2fVersion:      (*Authenticator).u2fVersion,
	}[cmd.ins]
	switch {
	case cmd.cla != 0:
		return nil, swWrongClass
	case handle == nil || !a.profile.hasU2F():
		return nil, swUnknownINS
	case !a.u2fAllowed():
		return nil, swNotAllowed
	}
	a.session.busy = true // no reset is the first command any more
	return handle(a, c, cmd)
}

// u2fVersion is GetVersion.
func (a *Authenticator) u2fVersion(_ *call, cmd commandAPDU) ([]byte, statusWord) {
	if len(cmd.data) > 0 {
		return nil, swWrongLength
	}
	return []byte(ctap2.VersionU2F), swOK
}

// u2fRegister makes a credential that is not discoverable; its ID is the key
// handle. P1 says nothing: platforms send different values.
func (a *Authenticator) u2fRegister(c *call, cmd commandAPDU) ([]byte, statusWord) {
	if len(cmd.data) != 2*u2fParameterSize {
		return nil, swWrongLength
	}
	challenge, application := cmd.data[:u2fParameterSize], rpIDHash(cmd.data[u2fParameterSize:])
	if !a.touchedForU2F(c, ctap2.CommandMakeCredential, application) {
		return nil, swConditions
	}
	answer, err := a.registerU2F(challenge, application)
	if err != nil {
		return nil, swFailed
	}
	return answer, swOK
}

func (a *Authenticator) registerU2F(challenge []byte, application rpIDHash) ([]byte, error) {
	made := &credential{RPIDHash: application, keyMaterial: keyMaterial{
		Algorithm: cose.ES256, CredProtect: userVerificationOptional, U2F: true,
	}}
	if err := a.newKey(&made.keyMaterial); err != nil {
		return nil, err
	}
	if err := a.wrapCredential(made); err != nil {
		return nil, err
	}
	point, err := made.publicPoint()
	if err != nil {
		return nil, err
	}
	key, err := a.attestationKey(u2fAttestation)
	if err != nil {
		return nil, err
	}
	signature, err := key.sign(u2fRegistrationBase(made, challenge, point))
	if err != nil {
		return nil, err
	}
	return slices.Concat([]byte{u2fRegistrationByte}, point, []byte{byte(len(made.ID))}, made.ID, key.chain[0], signature), nil
}

// u2fAuthenticate signs with a credential of U2F or of CTAP2.
func (a *Authenticator) u2fAuthenticate(c *call, cmd commandAPDU) ([]byte, statusWord) {
	if cmd.p1 != u2fEnforcePresence && cmd.p1 != u2fCheckOnly && cmd.p1 != u2fWithoutPresence {
		return nil, swWrongParameters
	}
	const fixed = 2*u2fParameterSize + 1
	if len(cmd.data) < fixed || len(cmd.data) != fixed+int(cmd.data[fixed-1]) {
		return nil, swWrongLength
	}
	challenge, handle := cmd.data[:u2fParameterSize], cmd.data[fixed:]
	application := rpIDHash(cmd.data[u2fParameterSize : 2*u2fParameterSize])
	found := a.state.find(ctap2.Descriptor{ID: handle, Type: ctap2.PublicKeyType}, application)
	if found == nil || !found.worksWithU2F() || a.profile.Disputes.U2FApart && !found.U2F {
		return nil, swWrongData
	}
	if cmd.p1 == u2fCheckOnly {
		return nil, swConditions // which means yes
	}
	var flags ctap2.Flags
	if cmd.p1 == u2fEnforcePresence {
		if !a.touchedForU2F(c, ctap2.CommandGetAssertion, application) {
			return nil, swConditions
		}
		flags = ctap2.FlagUP
	}
	answer, err := a.signU2F(found, challenge, flags)
	if err != nil {
		return nil, swFailed
	}
	return answer, swOK
}

// worksWithU2F reports whether U2F can use a credential: it knows one algorithm
// and no user verification.
func (c *credential) worksWithU2F() bool {
	const listed, uv = true, false
	return c.Algorithm == cose.ES256 && !c.hidden(uv, listed)
}

// signU2F stores the counter before the signature leaves.
func (a *Authenticator) signU2F(found *credential, challenge []byte, presence ctap2.Flags) ([]byte, error) {
	counted := change{device: a.state.device}
	if err := counted.device.countUp(); err != nil {
		return nil, err
	}
	answer := binary.BigEndian.AppendUint32([]byte{byte(presence)}, counted.device.SignCount)
	signature, err := found.sign(slices.Concat(found.RPIDHash[:], answer, challenge))
	if err != nil {
		return nil, err
	}
	return append(answer, signature...), a.state.commit(counted)
}

// touchedForU2F reports whether the person has touched the key for this request.
// Under alwaysUv it takes a finger that the key knows.
func (a *Authenticator) touchedForU2F(c *call, command ctap2.Command, application rpIDHash) bool {
	finger := a.alwaysUV()
	if !finger && c.origin.tap.take(a.config.Clock.Now()) {
		return true
	}
	if !finger && a.cannotBeTouched(c) {
		return false
	}
	return a.pollTouch(c.ctx, u2fRequest{command, application, finger})
}
