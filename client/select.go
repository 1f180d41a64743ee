package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"strings"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// selectRPID is the relying party of what is only to be touched for. The name
// cannot exist (RFC 6761).
const selectRPID = "key-selection.invalid"

// Select waits until the person touches this key, by the means that it has:
//
//   - authenticatorSelection, since CTAP 2.1 (section 6.9);
//   - authenticatorMakeCredential with an empty pinUvAuthParam, on keys before
//     that support a PIN. Some of them take it for a wrong PIN: it costs one of
//     the tries, which the next right PIN brings back. It is sent once, and not at
//     all where authenticatorSelection is known;
//   - a credential that is not discoverable, for an RP ID that cannot exist, on
//     keys without PIN support, and on those of U2F.
func (k *Key) Select(ctx context.Context) error {
	_, err := withTaps(ctx, k, func() (none struct{}, err error) { return none, k.selectKey(ctx) })
	return err
}

func (k *Key) selectKey(ctx context.Context) error {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return err
	}
	if onlyU2F(info) {
		return k.touchU2F(ctx, ctap2.CommandSelection)
	}
	if hasSelection(info) {
		_, err := ctap2.Do(ctx, k.dev, ctap2.Selection{})
		if !errors.Is(err, ctap2.ErrInvalidCommand) {
			return err
		}
		k.tolerate("CTAP 2.1 is listed, and %v", err)
	}
	dummy := ctap2.MakeCredential{
		ClientDataHash:   make([]byte, sha256.Size),
		RP:               ctap2.RP{ID: selectRPID, Name: selectRPID},
		User:             ctap2.User{ID: []byte{1}, Name: selectRPID, DisplayName: selectRPID}, // some keys refuse an empty name
		PubKeyCredParams: []ctap2.CredentialParameters{{Algorithm: cose.ES256, Type: ctap2.PublicKeyType}},
	}
	if len(info.Algorithms) > 0 && !slices.Contains(info.Algorithms, dummy.PubKeyCredParams[0]) {
		dummy.PubKeyCredParams = info.Algorithms
	}
	if _, hasPIN := info.Option(ctap2.OptionClientPIN); hasPIN {
		return k.askWhichKey(ctx, dummy)
	}
	_, err = ctap2.Do(ctx, k.dev, dummy)
	return err
}

// hasSelection reports whether a key has authenticatorSelection. The previews of
// CTAP 2.1 did not.
func hasSelection(info *ctap2.GetInfoResponse) bool {
	return slices.ContainsFunc(info.Versions, func(v string) bool {
		return strings.HasPrefix(v, "FIDO_") && v != ctap2.VersionFIDO20 && v != ctap2.VersionFIDO21Pre
	})
}

// askWhichKey asks for a touch with an empty pinUvAuthParam (CTAP 2.1, section
// 6.1.2, step 1). Some keys want protocol one with it, and do not wait without.
func (k *Key) askWhichKey(ctx context.Context, req ctap2.MakeCredential) error {
	req.PINUVAuthParam, req.PINUVAuthProtocol = []byte{}, uint(pin.One)
	_, err := ctap2.Do(ctx, k.dev, req)
	for _, touched := range []ctap2.Status{ctap2.ErrPINNotSet, ctap2.ErrPINInvalid, ctap2.ErrPINAuthInvalid} {
		if errors.Is(err, touched) {
			return nil
		}
	}
	return err
}
