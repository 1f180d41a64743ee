package pin

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
)

// Retries is how many wrong PINs a key still takes.
type Retries struct {
	Left uint
	// PowerCycle means that the key takes no PIN, right or wrong, until it was
	// unplugged and plugged in again. Many keys never say so beforehand.
	PowerCycle bool
}

// String says it in words, as in "7 tries left".
func (r Retries) String() string {
	s := fmt.Sprintf("%d tries left", r.Left)
	if r.Left == 1 {
		s = "1 try left, the last"
	}
	if r.PowerCycle {
		s += ", after it was unplugged"
	}
	return s
}

// Error is a PIN that a key did not take, with the tries that are left.
type Error struct {
	Retries Retries
	Err     error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%v (%v)", e.Err, e.Retries)
}

func (e *Error) Unwrap() error { return e.Err }

// GetRetries asks how many tries are left. It costs none (CTAP 2.1, section
// 6.5.5.2).
func GetRetries(ctx context.Context, dev transport.Device) (Retries, error) {
	resp, err := ctap2.Do(ctx, dev, ctap2.ClientPIN{
		PINUVAuthProtocol: uint(One), // not looked at since CTAP 2.1, required before
		SubCommand:        ctap2.GetPINRetries,
	})
	if err != nil {
		return Retries{}, err
	}
	if resp.PINRetries == nil {
		return Retries{}, missing("pinRetries (3)")
	}
	return Retries{
		Left:       *resp.PINRetries,
		PowerCycle: resp.PowerCycleState != nil && *resp.PowerCycleState,
	}, nil
}

// Set gives a key its first PIN (CTAP 2.1, section 6.5.5.5).
func Set(ctx context.Context, dev transport.Device, info *ctap2.GetInfoResponse, newPIN []byte) error {
	req, secret, err := newPINRequest(ctx, dev, info, newPIN)
	if err != nil {
		return err
	}
	defer secret.Wipe()
	req.SubCommand = ctap2.SetPIN
	req.PINUVAuthParam = secret.Authenticate(req.NewPINEnc)
	_, err = ctap2.Do(ctx, dev, req)
	return err
}

// Change replaces the PIN (CTAP 2.1, section 6.5.5.6). A wrong current PIN costs
// one try and returns an [*Error].
func Change(ctx context.Context, dev transport.Device, info *ctap2.GetInfoResponse, current, newPIN []byte) error {
	req, secret, err := newPINRequest(ctx, dev, info, newPIN)
	if err != nil {
		return err
	}
	defer secret.Wipe()
	req.SubCommand = ctap2.ChangePIN
	if req.PINHashEnc, err = encryptWiped(secret, hash(current)); err != nil {
		return err
	}
	req.PINUVAuthParam = secret.Authenticate(slices.Concat(req.NewPINEnc, req.PINHashEnc))
	_, err = ctap2.Do(ctx, dev, req)
	return withRetries(ctx, dev, err)
}

// newPINRequest checks a new PIN, agrees on a secret and encrypts the PIN: what
// setPIN and changePIN have in common.
func newPINRequest(ctx context.Context, dev transport.Device, info *ctap2.GetInfoResponse, newPIN []byte) (ctap2.ClientPIN, *Secret, error) {
	if err := Check(info, newPIN); err != nil {
		return ctap2.ClientPIN{}, nil, err
	}
	platform, secret, err := agree(ctx, dev, info)
	if err != nil {
		return ctap2.ClientPIN{}, nil, err
	}
	newPINEnc, err := encryptWiped(secret, padded(newPIN))
	if err != nil {
		secret.Wipe()
		return ctap2.ClientPIN{}, nil, err
	}
	return ctap2.ClientPIN{
		PINUVAuthProtocol: uint(secret.protocol),
		KeyAgreement:      platform,
		NewPINEnc:         newPINEnc,
	}, secret, nil
}

// GetToken trades the PIN for a token with the given permissions, bound to rpID
// where that is not empty (CTAP 2.1, section 6.5.5.7.2). From a key that knows no
// permissions it gets a pinToken, which may do everything (section 6.5.5.7.1). A
// wrong PIN costs one try and returns an [*Error].
func GetToken(ctx context.Context, dev transport.Device, info *ctap2.GetInfoResponse, pin []byte, permissions ctap2.Permissions, rpID string) (*Token, error) {
	platform, secret, err := agree(ctx, dev, info)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	pinHashEnc, err := encryptWiped(secret, hash(pin))
	if err != nil {
		return nil, err
	}
	req := ctap2.ClientPIN{
		PINUVAuthProtocol: uint(secret.protocol),
		SubCommand:        ctap2.GetPINToken,
		KeyAgreement:      platform,
		PINHashEnc:        pinHashEnc,
	}
	if ok, _ := info.Option(ctap2.OptionPINUVAuthToken); ok {
		req.SubCommand = ctap2.GetPINUVAuthTokenUsingPINWithPermissions
		req.Permissions, req.RPID = permissions, rpID
	}
	resp, err := ctap2.Do(ctx, dev, req)
	if err != nil {
		return nil, withRetries(ctx, dev, err)
	}
	return openToken(secret, resp.PINUVAuthToken)
}

func openToken(secret *Secret, encrypted []byte) (*Token, error) {
	if len(encrypted) == 0 {
		return nil, missing("pinUvAuthToken (2)")
	}
	key, err := secret.Decrypt(encrypted)
	if err != nil {
		return nil, fmt.Errorf("%w: pinUvAuthToken: %w", ctap2.ErrMalformed, err)
	}
	if len(key) != 32 && (secret.protocol != One || len(key) != 16) {
		return nil, fmt.Errorf("%w: pinUvAuthToken of %d bytes", ctap2.ErrMalformed, len(key))
	}
	return &Token{secret.protocol, key}, nil
}

// agree fetches the authenticator's key agreement key and makes a shared secret.
// The specification wants a fresh one for every transaction.
func agree(ctx context.Context, dev transport.Device, info *ctap2.GetInfoResponse) (*cose.Key, *Secret, error) {
	protocol, err := Choose(info)
	if err != nil {
		return nil, nil, err
	}
	resp, err := ctap2.Do(ctx, dev, ctap2.ClientPIN{
		PINUVAuthProtocol: uint(protocol),
		SubCommand:        ctap2.GetKeyAgreement,
	})
	if err != nil {
		return nil, nil, err
	}
	if resp.KeyAgreement == nil {
		return nil, nil, missing("keyAgreement (1)")
	}
	platform, secret, err := Encapsulate(protocol, resp.KeyAgreement)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ctap2.ErrMalformed, err)
	}
	return &platform, secret, nil
}

// encryptWiped encrypts plain and overwrites it.
func encryptWiped(s *Secret, plain []byte) ([]byte, error) {
	defer clear(plain)
	return s.Encrypt(plain)
}

func missing(member string) error {
	return fmt.Errorf("%v: %w: %s is missing", ctap2.CommandClientPIN, ctap2.ErrMalformed, member)
}

// withRetries adds the tries left to an error that says the PIN was not taken.
// Asking costs no try; if the key does not tell, the error stays as it is.
func withRetries(ctx context.Context, dev transport.Device, err error) error {
	var refused *ctap2.Error
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Status {
	case ctap2.ErrPINInvalid, ctap2.ErrPINBlocked, ctap2.ErrPINAuthBlocked:
		retries, askErr := GetRetries(ctx, dev)
		if askErr != nil {
			return err
		}
		return &Error{Retries: retries, Err: err}
	}
	return err
}
