package client

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
)

// Reset destroys every credential and the PIN (CTAP 2.1, section 6.6). Most keys
// take it only within 10 seconds after they were plugged in; see ResetGuided.
func (k *Key) Reset(ctx context.Context) error {
	k.dev.long = longTouchForReset(k.info)
	defer func() { k.dev.long = false }()
	k.forget()
	_, err := ctap2.Do(k.listen(ctx), k.dev, ctap2.Reset{})
	return err
}

// A Slot is where the key of a Key is plugged in. That for HID is hid.Slot.
type Slot interface {
	// Removed returns once the key is not there any more.
	Removed(ctx context.Context) error
	// Inserted waits until the key is there again, or another that cannot be told
	// from it yet, and opens it.
	Inserted(ctx context.Context) (transport.Device, error)
}

var (
	// ErrResetTransport is returned for a key that says that it cannot be reset
	// over the transport that it is reached by (transportsForReset). Nothing was
	// sent.
	ErrResetTransport = errors.New("the key cannot be reset over this transport")
	// ErrReplugNeeded is returned by ResetGuided when Prompt.Replug is nil.
	ErrReplugNeeded = errors.New("the key must be unplugged and plugged in again, and nobody can be asked")
	// ErrOtherKey is returned when another key was plugged in than the one that
	// was unplugged, or laid on the reader than the one that was taken away.
	ErrOtherKey = errors.New("this is not the key that was unplugged; nothing was done to it")
	// ErrResetWindow is returned when a key refuses the reset since it was plugged
	// in too long ago.
	ErrResetWindow = errors.New("the key takes a reset only in the first seconds after it was plugged in, and they were over")
	// ErrNotTouched is returned when a reset was not approved by touch.
	ErrNotTouched = errors.New("the key was not touched as a reset asks for")
	// ErrNotReset is returned when a key says that it was reset, and still has a
	// PIN.
	ErrNotReset = errors.New("the key says that it was reset, and still has a PIN")
)

// ResetGuided destroys every credential and the PIN of this key (CTAP 2.1,
// section 6.6), and has the person do what belongs to it: unplug the key, plug it
// in again and touch it, for five seconds with some keys. Prompt.Replug and
// Prompt.Touch tell the person. A key that cannot be reset here is refused before
// anything is asked.
//
// The key is reset right after it was plugged in, for some take that for no more
// than five seconds, and only if its getInfo is the same as before. When ctx ends
// before the touch nothing is reset.
//
// From when the key is plugged in on, k speaks to the device that slot has
// opened. After an error k may stand on a device that is gone; close it then.
func (k *Key) ResetGuided(ctx context.Context, slot Slot) error {
	k.forget() // the key is compared with what it is now, not with what it was
	ctx, before, err := k.begin(ctx)
	if err != nil {
		return err
	}
	if err := k.resetAllowed(before); err != nil {
		return err
	}
	if k.prompt.Replug == nil {
		return ErrReplugNeeded
	}
	if err := k.replug(ctx, slot, false); err != nil {
		return err
	}
	_, after, err := k.begin(ctx)
	if err != nil {
		return fmt.Errorf("key plugged in: %w", err)
	}
	if !sameKey(before, after) {
		k.Close()
		return ErrOtherKey
	}
	if err := k.Reset(ctx); err != nil {
		return resetError(err, longTouchForReset(after))
	}
	return k.checkReset(ctx)
}

// longTouchForReset reports whether a short touch does not approve of a reset
// (CTAP 2.2, section 6.6).
func longTouchForReset(info *ctap2.GetInfoResponse) bool {
	return info != nil && info.LongTouchForReset != nil && *info.LongTouchForReset
}

// ResetAllowed returns an error for a key that cannot be reset at all, or not where
// it is now (ErrResetTransport). ResetGuided asks it first.
func (k *Key) ResetAllowed(ctx context.Context) error {
	_, info, err := k.begin(ctx)
	if err != nil {
		return err
	}
	return k.resetAllowed(info)
}

// resetAllowed compares transportsForReset (CTAP 2.2, section 6.4) with the
// transport that the key is reached by, as far as both are known. U2F has no reset.
func (k *Key) resetAllowed(info *ctap2.GetInfoResponse) error {
	if onlyU2F(info) {
		return fmt.Errorf("%w, which knows no reset", ErrU2FOnly)
	}
	allowed := info.TransportsForReset
	carrier, ok := transport.As[transport.Carrier](k.dev.Device)
	if len(allowed) == 0 || !ok || slices.Contains(allowed, carrier.Transport()) {
		return nil
	}
	return fmt.Errorf("%w: it is reached over %s, and can be reset over %q", ErrResetTransport, carrier.Transport(), allowed)
}

// replug has the person unplug the key and plug it in again, and goes on with the
// device that was plugged in. gone means that half of it was done already.
func (k *Key) replug(ctx context.Context, slot Slot, gone bool) error {
	if !gone {
		k.prompt.Replug(Unplug)
	}
	if err := slot.Removed(ctx); err != nil {
		return fmt.Errorf("wait for the key to be unplugged: %w", err)
	}
	// Not earlier: until then the key can still be used. An error is that the
	// key is gone.
	_ = k.Close()
	k.prompt.Replug(PlugIn)
	dev, err := slot.Inserted(ctx)
	if err != nil {
		return fmt.Errorf("wait for the key to be plugged in: %w", err)
	}
	k.use(dev)
	return nil
}

// sameKey reports whether getInfo is what it was, but for what a key may say
// otherwise each time it is asked or after a power cycle. It is all there is to
// tell a key by: two of one model in the same state look the same.
func sameKey(before, after *ctap2.GetInfoResponse) bool {
	return reflect.DeepEqual(lasting(before), lasting(after))
}

// lasting returns the members of getInfo that survive a power cycle. Of those
// that we do not know none is sure to.
func lasting(info *ctap2.GetInfoResponse) ctap2.GetInfoResponse {
	l := *info
	l.EncIdentifier, l.EncCredStoreState = nil, nil // encrypted anew each time
	l.UVCountSinceLastPINEntry = nil
	l.Rest = ctap2.Rest{}
	return l
}

// resetError says in words what a key's refusal of a reset means.
func resetError(err error, long bool) error {
	switch {
	case errors.Is(err, ctap2.ErrNotAllowed):
		return fmt.Errorf("%w: %w", ErrResetWindow, err)
	case !errors.Is(err, ctap2.ErrOperationDenied) && !errors.Is(err, ctap2.ErrUserActionTimeout) && !errors.Is(err, ctap2.ErrActionTimeout):
		return err
	case long:
		return fmt.Errorf("%w (for five seconds): %w", ErrNotTouched, err)
	}
	return fmt.Errorf("%w: %w", ErrNotTouched, err)
}

// checkReset asks the key for what it is now. The deed is done: the end of ctx
// must not make it look undone.
func (k *Key) checkReset(ctx context.Context) error {
	_, info, err := k.begin(context.WithoutCancel(ctx))
	if err != nil {
		return fmt.Errorf("the key was reset; asked how it is now: %w", err)
	}
	if set, _ := info.Option(ctap2.OptionClientPIN); set {
		return ErrNotReset
	}
	return nil
}
