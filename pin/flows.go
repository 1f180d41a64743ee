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

// GetUVRetries asks how many more times the key verifies the user by itself, by
// fingerprint for instance, before only the PIN is taken (CTAP 2.1, section
// 6.5.5.3).
func GetUVRetries(ctx context.Context, dev transport.Device) (uint, error) {
	resp, err := ctap2.Do(ctx, dev, ctap2.ClientPIN{SubCommand: ctap2.GetUVRetries})
	if err != nil {
		return 0, err
	}
	if resp.UVRetries == nil {
		return 0, missing("uvRetries (5)")
	}
	return *resp.UVRetries, nil
}

// Set gives a key its first PIN (CTAP 2.1, section 6.5.5.5).
func Set(ctx context.Context, dev transport.Device, info *ctap2.GetInfoResponse, p Protocol, newPIN []byte) error {
	req, secret, err := newPINRequest(ctx, dev, info, p, newPIN)
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
func Change(ctx context.Context, dev transport.Device, info *ctap2.GetInfoResponse, p Protocol, current, newPIN []byte) error {
	req, secret, err := newPINRequest(ctx, dev, info, p, newPIN)
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
func newPINRequest(ctx context.Context, dev transport.Device, info *ctap2.GetInfoResponse, p Protocol, newPIN []byte) (ctap2.ClientPIN, *Secret, error) {
	if err := Check(info, newPIN); err != nil {
		return ctap2.ClientPIN{}, nil, err
	}
	platform, secret, err := Agree(ctx, dev, p)
	if err != nil {
		return ctap2.ClientPIN{}, nil, err
	}
	newPINEnc, err := encryptWiped(secret, padded(newPIN))
	if err != nil {
		secret.Wipe()
		return ctap2.ClientPIN{}, nil, err
	}
	return ctap2.ClientPIN{
		PINUVAuthProtocol: uint(p),
		KeyAgreement:      platform,
		NewPINEnc:         newPINEnc,
	}, secret, nil
}

// A Grant is what a token is asked for: permissions, bound to a relying party
// where RPID is not empty.
type Grant struct {
	Permissions ctap2.Permissions
	RPID        string
}

// GetToken trades the PIN for a token with what grant names (CTAP 2.1, section
// 6.5.5.7.2). From a key that knows no permissions it gets a pinToken, which may
// do everything (section 6.5.5.7.1). A wrong PIN costs one try and returns an
// [*Error].
func GetToken(ctx context.Context, dev transport.Device, info *ctap2.GetInfoResponse, p Protocol, pin []byte, grant Grant) (*Token, error) {
	platform, secret, err := Agree(ctx, dev, p)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	pinHashEnc, err := encryptWiped(secret, hash(pin))
	if err != nil {
		return nil, err
	}
	req := ctap2.ClientPIN{
		PINUVAuthProtocol: uint(p),
		SubCommand:        ctap2.GetPINToken,
		KeyAgreement:      platform,
		PINHashEnc:        pinHashEnc,
	}
	if ok, _ := info.Option(ctap2.OptionPINUVAuthToken); ok {
		req.SubCommand = ctap2.GetPINUVAuthTokenUsingPINWithPermissions
		req.Permissions, req.RPID = grant.Permissions, grant.RPID
	}
	resp, err := ctap2.Do(ctx, dev, req)
	if err != nil {
		return nil, withRetries(ctx, dev, err)
	}
	return openToken(secret, resp.PINUVAuthToken)
}

// GetTokenUsingUV gets a token after the key verified the user by itself (CTAP
// 2.1, section 6.5.5.7.3). It costs no PIN try.
func GetTokenUsingUV(ctx context.Context, dev transport.Device, p Protocol, grant Grant) (*Token, error) {
	platform, secret, err := Agree(ctx, dev, p)
	if err != nil {
		return nil, err
	}
	defer secret.Wipe()
	resp, err := ctap2.Do(ctx, dev, ctap2.ClientPIN{
		PINUVAuthProtocol: uint(p),
		SubCommand:        ctap2.GetPINUVAuthTokenUsingUVWithPermissions,
		KeyAgreement:      platform,
		Permissions:       grant.Permissions,
		RPID:              grant.RPID,
	})
	if err != nil {
		return nil, err
	}
	return openToken(secret, resp.PINUVAuthToken)
}

// Agree fetches the authenticator's key agreement key and makes a shared secret,
// with our public key for the authenticator (CTAP 2.1, section 6.5.5.4). The
// specification wants a fresh one for every transaction.
func Agree(ctx context.Context, dev transport.Device, p Protocol) (*cose.Key, *Secret, error) {
	resp, err := ctap2.Do(ctx, dev, ctap2.ClientPIN{
		PINUVAuthProtocol: uint(p),
		SubCommand:        ctap2.GetKeyAgreement,
	})
	if err != nil {
		return nil, nil, err
	}
	if resp.KeyAgreement == nil {
		return nil, nil, missing("keyAgreement (1)")
	}
	if alg := resp.KeyAgreement.Algorithm; alg != cose.ECDHESHKDF256 {
		transport.Tolerate(ctx, ctap2.Finding{
			What: fmt.Sprintf("keyAgreement is labelled %v, not %v", alg, cose.ECDHESHKDF256), Where: ctap2.CommandClientPIN.String(), Raw: resp.KeyAgreement.Raw(),
		})
	}
	platform, secret, err := Encapsulate(p, resp.KeyAgreement)
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
		// Some keys leave powerCycleState out: the status is all that says so.
		retries.PowerCycle = retries.PowerCycle || refused.Status == ctap2.ErrPINAuthBlocked
		return &Error{Retries: retries, Err: err}
	}
	return err
}
