package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/u2f"
)

// ErrU2FOnly is wrapped by the errors for what a key that speaks U2F only, which
// is older than FIDO2, cannot do.
var ErrU2FOnly = errors.New("the key speaks U2F only")

// touchPoll is the time between two questions whether a U2F key was touched.
const touchPoll = 250 * time.Millisecond

// Message is Exchange for U2F.
func (w *watched) Message(ctx context.Context, apdu []byte) ([]byte, error) {
	dev, ok := transport.As[u2f.Messenger](w.Device)
	if !ok {
		return nil, fmt.Errorf("U2F: %w by this transport", transport.ErrUnsupported)
	}
	if err := w.awaitHearing(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := w.options.deadline(ctx)
	defer cancel()
	return dev.Message(ctx, apdu)
}

// infoOfU2F stands in for getInfo, which failed, if the key speaks U2F; else the
// error stays. A key that should have known better is reported.
func (k *Key) infoOfU2F(ctx context.Context, failed error) (*ctap2.GetInfoResponse, error) {
	claimer, ok := transport.As[interface{ ClaimsCTAP2() bool }](k.dev.Device)
	claims := ok && claimer.ClaimsCTAP2()
	// A key that says that it speaks CTAP2, or does not say, must have answered: what
	// went wrong on the way says nothing about the key.
	lost := errors.Is(failed, context.DeadlineExceeded) || errors.Is(failed, transport.ErrFraming) || errors.Is(failed, transport.ErrBusy)
	if ctx.Err() != nil && !errors.Is(failed, ctx.Err()) {
		return nil, ended(ctx)
	}
	if ctx.Err() != nil || lost && (claims || !ok) || claims && !answered(failed) || errors.Is(failed, transport.ErrClosed) {
		return nil, failed
	}
	version, err := u2f.Do(ctx, k.dev, u2f.Version{})
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	if err != nil || version.Version != u2f.V2 {
		return nil, failed
	}
	if k.mayHaveCTAP2 = claims || !errors.Is(failed, transport.ErrUnsupported) && !errors.Is(failed, ctap2.ErrInvalidCommand); k.mayHaveCTAP2 {
		transport.Tolerate(ctx, ctap2.Finding{
			What: fmt.Sprintf("the key is used with U2F, since it failed with CTAP2: %v", failed), Where: ctap2.CommandGetInfo.String(),
		})
	}
	return &ctap2.GetInfoResponse{Versions: []string{ctap2.VersionU2F}}, nil
}

// answered reports whether an error is about an answer of the key.
func answered(err error) bool {
	var refused *ctap2.Error
	return errors.As(err, &refused) || errors.Is(err, ctap2.ErrMalformed) || errors.Is(err, transport.ErrUnsupported)
}

// onlyU2F reports whether a key speaks no CTAP2.
func onlyU2F(info *ctap2.GetInfoResponse) bool {
	return !slices.ContainsFunc(info.Versions, func(v string) bool { return v != ctap2.VersionU2F })
}

// untilTouched sends a U2F command again and again until the person has touched
// the key, which never waits by itself (CTAP 2.1, section 7.2). command is what
// the person is told.
func untilTouched[R any](ctx context.Context, k *Key, command ctap2.Command, req u2f.Request[R]) (*R, error) {
	ctx, cancel := k.options.deadline(ctx)
	defer cancel()
	for waited := false; ; {
		resp, err := u2f.Do(ctx, k.dev, req)
		if waited && errors.Is(err, transport.ErrClosed) && overNFC(k.dev.Device) {
			return nil, fmt.Errorf("%w: %w", ErrTapNeeded, err)
		}
		if !errors.Is(err, u2f.ErrConditionsNotSatisfied) {
			return resp, err
		}
		told := waited
		waited = true
		if k.prompt.Touch != nil && !told {
			k.prompt.Touch(Touch{Command: command, Tap: overNFC(k.dev.Device)})
		}
		if err := pause(ctx, touchPoll); err != nil {
			return nil, fmt.Errorf("%v: %v: %w", command, transport.StatusUPNeeded, err)
		}
	}
}

// touchU2F waits for a touch, with a registration that is thrown away. It leaves
// nothing on the key: the key handle is all there is of it.
func (k *Key) touchU2F(ctx context.Context, command ctap2.Command) error {
	_, err := untilTouched(ctx, k, command, u2f.Register{Application: sha256.Sum256([]byte(selectRPID))})
	return err
}

// knownU2F returns the first credential of a list that the key has for an
// application, or NO_CREDENTIALS. The key is asked without a touch.
func (k *Key) knownU2F(ctx context.Context, application [32]byte, list []ctap2.Descriptor) (*ctap2.Descriptor, error) {
	for _, d := range list {
		if len(d.ID) == 0 || len(d.ID) > u2f.MaxKeyHandle {
			continue // of a key that speaks CTAP2
		}
		_, err := u2f.Do(ctx, k.dev, u2f.Authenticate{Control: u2f.CheckOnly, Application: application, KeyHandle: d.ID})
		var refused u2f.StatusWord
		switch {
		case err == nil, errors.Is(err, u2f.ErrConditionsNotSatisfied):
			return &ctap2.Descriptor{ID: d.ID, Type: ctap2.PublicKeyType}, nil
		case !errors.As(err, &refused):
			return nil, err
		}
		// Not known. Keys say so with WRONG_DATA, WRONG_LENGTH and others.
	}
	return nil, &ctap2.Error{Command: ctap2.CommandGetAssertion, Status: ctap2.ErrNoCredentials}
}
