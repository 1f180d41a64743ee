package client

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
	"github.com/fidokey/fidokey/transport"
)

// ErrWouldRefuse is wrapped by errors about settings of which getInfo says that
// the key refuses them. Nothing was sent.
var ErrWouldRefuse = errors.New("the key would refuse it")

// ErrKeyCannot is wrapped by errors about what getInfo does not list, and is a
// transport.ErrUnsupported. Nothing was sent.
var ErrKeyCannot error = keyCannot("not supported by this key")

// keyCannot says what a key cannot do, and is ErrKeyCannot whatever that is.
type keyCannot string

func (k keyCannot) Error() string { return string(k) }

func (keyCannot) Is(target error) bool {
	return target == ErrKeyCannot || target == transport.ErrUnsupported
}

// MinPINLength is what authenticatorConfig can demand of PINs. The zero value of
// a field leaves things as they are.
type MinPINLength struct {
	// Length in Unicode code points. It can only grow. If the PIN is shorter, it
	// must be changed before it is good for anything else.
	Length uint
	// RPIDs are the relying parties that the extensions minPinLength and
	// pinComplexityPolicy answer. They replace those that were set before.
	RPIDs []string
	// ForceChange makes the key refuse its PIN until it is changed.
	ForceChange bool
	// ComplexityPolicy makes the key enforce its own rules for PINs from now on
	// (CTAP 2.2).
	ComplexityPolicy bool
}

// SetMinPINLength demands more of PINs (CTAP 2.1, section 6.11.4). The minimum
// length and the complexity policy can be taken back only by a reset, which
// destroys every credential; the list of relying parties cannot be emptied
// without one either.
func (k *Key) SetMinPINLength(ctx context.Context, m MinPINLength) error {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return err
	}
	if err := m.Check(info); err != nil {
		return err
	}
	return k.configure(ctx, info, ctap2.SetMinPINLength, ctap2.SetMinPINLengthParams{
		NewMinPINLength:     m.Length,
		MinPINLengthRPIDs:   m.RPIDs,
		ForceChangePIN:      m.ForceChange,
		PINComplexityPolicy: m.ComplexityPolicy,
	})
}

// ForcePINChange makes the key refuse its PIN until [Key.ChangePIN] has replaced
// it by another (CTAP 2.1, section 6.11.4).
func (k *Key) ForcePINChange(ctx context.Context) error {
	return k.SetMinPINLength(ctx, MinPINLength{ForceChange: true})
}

// Check compares the demands with what getInfo says, as SetMinPINLength does
// before it sends anything.
func (m MinPINLength) Check(info *ctap2.GetInfoResponse) error {
	if ok, _ := info.Option(ctap2.OptionSetMinPINLength); !ok {
		return keyCannot("the key's rules for PINs cannot be changed: it has no option setMinPINLength")
	}
	if !m.ForceChange && !m.ComplexityPolicy && m.Length == 0 && len(m.RPIDs) == 0 {
		return errors.New("no rule for PINs is given")
	}
	now, most := info.MinPINCodePoints(), uint(ctap2.MaxPINBytes)
	if info.MaxPINLength != nil {
		most = *info.MaxPINLength
	}
	switch hasPIN, _ := info.Option(ctap2.OptionClientPIN); {
	case m.Length != 0 && m.Length < now:
		return fmt.Errorf("%w: a minimum PIN length of %d, for it is %d now and only a reset makes it smaller", ErrWouldRefuse, m.Length, now)
	case m.Length > most:
		return fmt.Errorf("%w: a minimum PIN length of %d, for its PINs have at most %d characters; choose %d to %d", ErrWouldRefuse, m.Length, most, now, most)
	case m.ForceChange && !hasPIN:
		return fmt.Errorf("%w: a PIN cannot be made to be changed before one is set: %w", ErrWouldRefuse, ErrNoPIN)
	case m.ComplexityPolicy && info.PINComplexityPolicy == nil:
		return keyCannot("the key has no PIN complexity policy to enforce")
	}
	if err := m.checkRPIDs(info); err != nil {
		return err
	}
	return CheckConfig(info, ctap2.SetMinPINLength)
}

// checkRPIDs leaves it to the key where getInfo lists no extensions at all: some
// keys have them nevertheless.
func (m MinPINLength) checkRPIDs(info *ctap2.GetInfoResponse) error {
	if len(m.RPIDs) == 0 {
		return nil
	}
	tells := slices.Contains(info.Extensions, "minPinLength") || slices.Contains(info.Extensions, "pinComplexityPolicy")
	if info.Extensions != nil && !tells {
		return keyCannot("the key tells no relying party about its PIN: it has neither extension minPinLength nor pinComplexityPolicy")
	}
	most := uint(0)
	if info.MaxRPIDsForSetMinPINLength != nil {
		most = *info.MaxRPIDsForSetMinPINLength
	}
	if uint(len(m.RPIDs)) > most {
		return fmt.Errorf("%w: %d relying parties to be told about its PIN, for there is room for %d; give fewer", ErrWouldRefuse, len(m.RPIDs), most)
	}
	return nil
}

// SetAlwaysUV makes the key verify the user for everything, or not any more
// (CTAP 2.1, section 6.11.2). Some keys go back only by a reset, and say so with
// ctap2.ErrOperationDenied. Nothing is sent if it is so already.
func (k *Key) SetAlwaysUV(ctx context.Context, on bool) error {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return err
	}
	switch now, present := info.Option(ctap2.OptionAlwaysUV); {
	case !present:
		return keyCannot("the key cannot be made to always verify the user: it has no option alwaysUv")
	case now == on:
		return nil
	}
	err = k.configure(ctx, info, ctap2.ToggleAlwaysUV, nil)
	if !on && errors.Is(err, ctap2.ErrOperationDenied) {
		return fmt.Errorf("%w: on this key only a reset switches alwaysUv off", err)
	}
	return err
}

// EnableEnterpriseAttestation lets the key identify itself to the relying parties
// that its maker or the platform chose (CTAP 2.1, section 6.11.1). Only a reset
// takes it back. Nothing is sent if it is so already.
func (k *Key) EnableEnterpriseAttestation(ctx context.Context) error {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return err
	}
	switch on, present := info.Option(ctap2.OptionEP); {
	case !present:
		return keyCannot("the key has no enterprise attestation: it has no option ep")
	case on:
		return nil
	}
	return k.configure(ctx, info, ctap2.EnableEnterpriseAttestation, nil)
}

// EnableLongTouchForReset makes the key ask for a long touch before it is reset
// (CTAP 2.2, section 6.11). Only a reset takes it back. Nothing is sent if it is
// so already.
func (k *Key) EnableLongTouchForReset(ctx context.Context) error {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return err
	}
	switch {
	case info.LongTouchForReset == nil:
		return keyCannot("the key knows no long touch for a reset")
	case *info.LongTouchForReset:
		return nil
	}
	return k.configure(ctx, info, ctap2.EnableLongTouchForReset, nil)
}

// VendorConfig sends a vendor's prototype of a subcommand, by its number (CTAP
// 2.1, section 6.11.3). What it does, and whether that can be undone, the vendor
// knows. Other parameters have the numbers 2 and up.
func (k *Key) VendorConfig(ctx context.Context, vendorCommandID uint64, others map[int64]any) error {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return err
	}
	if info.VendorPrototypeConfigCommands == nil {
		return keyCannot("the key has no vendor prototype commands")
	}
	if _, taken := others[1]; taken {
		return errors.New("parameter 1 is the number of the vendor's command itself")
	}
	return k.configure(ctx, info, ctap2.VendorPrototype, ctap2.VendorParams{VendorCommandID: vendorCommandID, Others: others})
}

// CheckConfig reports, as a transport.ErrUnsupported, that a key does not have a
// subcommand of authenticatorConfig, by what getInfo says.
func CheckConfig(info *ctap2.GetInfoResponse, sub ctap2.ConfigSubCommand) error {
	if ok, _ := info.Option(ctap2.OptionAuthnrCfg); !ok {
		return keyCannot("the key has no authenticatorConfig")
	}
	if listed := info.AuthenticatorConfigCommands; listed != nil && !slices.Contains(listed, uint(sub)) {
		return keyCannot(fmt.Sprintf("the key does not list subcommand %d of authenticatorConfig", sub))
	}
	return nil
}

// configure sends a subcommand of authenticatorConfig, with a token where the
// key asks for one (CTAP 2.1, section 6.11, steps 3 to 5).
func (k *Key) configure(ctx context.Context, info *ctap2.GetInfoResponse, sub ctap2.ConfigSubCommand, params any) error {
	if err := CheckConfig(info, sub); err != nil {
		return err
	}
	defer func() { k.info = nil }() // it says what is set
	send := func(token *pin.Token) (*ctap2.Empty, error) {
		req := ctap2.Config{SubCommand: sub, Params: params}
		if token != nil {
			message, err := req.AuthMessage()
			if err != nil {
				return nil, err
			}
			req.PINUVAuthProtocol, req.PINUVAuthParam = uint(token.Protocol()), token.Authenticate(message)
		}
		return ctap2.Do(ctx, k.dev, req)
	}
	if openToConfigure(info, sub) {
		_, err := send(nil)
		return err
	}
	_, err := authorized(ctx, k, pin.Grant{Permissions: ctap2.PermissionACFG}, send)
	if sub == ctap2.SetMinPINLength {
		k.dropToken() // a PIN that must be changed voids all tokens
	}
	return err
}

// openToConfigure reports whether a subcommand needs no token: nobody can be
// verified yet, and the key does not insist on it.
func openToConfigure(info *ctap2.GetInfoResponse, sub ctap2.ConfigSubCommand) bool {
	hasPIN, _ := info.Option(ctap2.OptionClientPIN)
	builtIn, _ := info.Option(ctap2.OptionUV)
	alwaysUV, _ := info.Option(ctap2.OptionAlwaysUV)
	return !hasPIN && !builtIn && (!alwaysUV || sub == ctap2.ToggleAlwaysUV)
}
