package client

import (
	"context"
	"errors"
	"time"

	"github.com/fidokey/fidokey/transport"
)

// winkTime is how long a key may be busy with a wink: some fail with the command
// that follows sooner, others never answer the wink.
const winkTime = 2 * time.Second

// Wink makes the key blink for a moment, so that a person sees which one it is
// (CTAP 2.1, section 11.2.9.2.1). It returns an error that wraps
// transport.ErrUnsupported for a key that does not claim to be able to. Some keys
// give no answer; it is waited for at most two seconds, and its absence reported
// as a finding. The next command waits until two seconds have passed.
func (k *Key) Wink(ctx context.Context) error {
	ctx = k.listen(ctx)
	dev, ok := transport.As[interface{ Wink(context.Context) error }](k.dev.Device)
	claimer, tells := transport.As[interface{ ClaimsWink() bool }](k.dev.Device)
	if !ok || !tells || !claimer.ClaimsWink() {
		return keyCannot("the key does not say that it can blink (CTAPHID_WINK)")
	}
	if err := k.dev.awaitHearing(ctx); err != nil {
		return err
	}
	k.dev.deaf = time.Now().Add(winkTime)
	short, cancel := context.WithDeadline(ctx, k.dev.deaf)
	defer cancel()
	err := dev.Wink(short)
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		transport.Tolerate(ctx, transport.Finding{What: "no answer", Where: "CTAPHID_WINK"})
		return nil
	}
	return err
}

// awaitHearing waits until the key has ears again after a wink.
func (w *watched) awaitHearing(ctx context.Context) error {
	if d := time.Until(w.deaf); d > 0 {
		return pause(ctx, d)
	}
	return nil
}
