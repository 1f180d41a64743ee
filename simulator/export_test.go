package simulator

import "context"

// ExchangeFrom is Exchange on a HID channel.
func (a *Authenticator) ExchangeFrom(ctx context.Context, channel uint32, msg []byte) []byte {
	return a.exchange(ctx, channel, msg)
}

// OpenFileWithin is OpenFile with another time limit for the lock.
var OpenFileWithin = openFile
