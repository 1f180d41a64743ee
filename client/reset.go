package client

import (
	"context"

	"github.com/fidokey/fidokey/ctap2"
)

// Reset destroys every credential and the PIN (CTAP 2.1, section 6.6). Most keys
// take it only within 10 seconds after they were plugged in.
func (k *Key) Reset(ctx context.Context) error {
	k.forget()
	_, err := ctap2.Do(k.listen(ctx), k.dev, ctap2.Reset{})
	return err
}
