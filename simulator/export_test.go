package simulator

import (
	"context"
	"time"
)

// ExchangeFrom is Exchange on a HID channel.
func (a *Authenticator) ExchangeFrom(ctx context.Context, channel uint32, msg []byte) []byte {
	return a.exchange(ctx, origin{channel: channel, transport: transportUSB}, msg)
}

// ExchangeOverNFC is Exchange through a card's field.
func (a *Authenticator) ExchangeOverNFC(ctx context.Context, msg []byte) []byte {
	return a.exchange(ctx, origin{transport: transportNFC}, msg)
}

// OpenFileWithin is OpenFile with another time limit for the lock.
var OpenFileWithin = openFile

// WithExtensions is withExtensions.
var WithExtensions = withExtensions

// SetPINPolicy is what authenticatorConfig would set.
func (a *Authenticator) SetPINPolicy(minLength uint, complexity bool, rpIDs ...string) error {
	c := change{device: a.state.device}
	c.device.MinPINLength, c.device.PINComplexityPolicy, c.device.MinPINLengthRPIDs = minLength, complexity, rpIDs
	return a.state.commit(c)
}

// TellsPINPolicyTo reports whom the key tells about its PIN policy.
func (a *Authenticator) TellsPINPolicyTo(rpID string) bool { return a.tellsPINPolicyTo(rpID) }

// EncryptIdentity makes the encrypted members of getInfo.
var EncryptIdentity = encryptIdentity

// ServeVPCDQuickly is ServeVPCD where the card comes back at once, and with another
// patience for a new reader to look at it.
func ServeVPCDQuickly(ctx context.Context, a *Authenticator, c DoorConfig, patience time.Duration, options ...CardOption) error {
	return serveVPCD(ctx, a, &vpcdDoor{DoorConfig: c, card: newCard(a, options), pause: time.Millisecond, patience: patience})
}

// ReadVPCD reads a message of a reader's driver.
var ReadVPCD = readVPCD
