package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/cose"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/internal/ctapcbor"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/u2f"
)

// registerU2F is Register on a key that speaks U2F only (CTAP 2.1, section 7.2).
func (k *Key) registerU2F(ctx context.Context, r Registration) (*ctap2.MakeCredentialResponse, error) {
	es256 := func(p ctap2.CredentialParameters) bool {
		return p.Algorithm == cose.ES256 && p.Type == ctap2.PublicKeyType
	}
	switch {
	case len(r.ClientDataHash) != sha256.Size:
		return nil, fmt.Errorf("client data hash of %d bytes", len(r.ClientDataHash))
	case r.UserVerification == Required:
		return nil, fmt.Errorf("%w, which knows no user verification", ErrU2FOnly)
	case r.Discoverable:
		return nil, fmt.Errorf("%w and cannot store discoverable credentials", ErrU2FOnly)
	case !slices.ContainsFunc(r.Parameters, es256):
		return nil, fmt.Errorf("%w, which has no other algorithm than %v: %w", ErrU2FOnly, cose.ES256, ctap2.ErrUnsupportedAlgorithm)
	}
	for _, application := range applications(r.RP.ID, r.AppIDExclude) {
		if _, err := k.knownU2F(ctx, application, r.Exclude); err == nil {
			// A touch, so that nobody learns of it without the person.
			if err := k.touchU2F(ctx, ctap2.CommandMakeCredential); err != nil {
				return nil, err
			}
			return nil, errExcluded()
		} else if !errors.Is(err, ctap2.ErrNoCredentials) {
			return nil, err
		}
	}
	application := sha256.Sum256([]byte(r.RP.ID))
	made, err := untilTouched(ctx, k, ctap2.CommandMakeCredential, u2f.Register{Challenge: [32]byte(r.ClientDataHash), Application: application})
	if err != nil {
		return nil, err
	}
	return attestation(application, made)
}

// applications returns what RP ID and AppID, which may be empty, are in U2F.
func applications(rpID, appID string) [][32]byte {
	all := [][32]byte{sha256.Sum256([]byte(rpID))}
	if appID != "" {
		all = append(all, sha256.Sum256([]byte(appID)))
	}
	return all
}

// errExcluded is what CTAP2 says of a credential in the exclude list.
func errExcluded() error {
	return &ctap2.Error{Command: ctap2.CommandMakeCredential, Status: ctap2.ErrCredentialExcluded}
}

// attestation makes an answer of CTAP2 of one of U2F (CTAP 2.1, section 7.2).
func attestation(application [32]byte, made *u2f.RegisterResponse) (*ctap2.MakeCredentialResponse, error) {
	point, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), made.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("%v: %w: public key: %w", u2f.InstructionRegister, ctap2.ErrMalformed, err)
	}
	publicKey, err := ctapcbor.Marshal(cose.Key{Algorithm: cose.ES256, Public: point})
	if err != nil {
		return nil, err
	}
	statement, err := ctapcbor.Marshal(struct {
		Signature []byte   `cbor:"sig"`
		Chain     [][]byte `cbor:"x5c"`
	}{made.Signature, [][]byte{made.Certificate}})
	if err != nil {
		return nil, err
	}
	var aaguid ctap2.AAGUID // U2F knows none
	authData := authenticatorData(application, ctap2.FlagUP|ctap2.FlagAT, 0)
	authData = append(authData, aaguid[:]...)
	authData = binary.BigEndian.AppendUint16(authData, uint16(len(made.KeyHandle)))
	authData = slices.Concat(authData, made.KeyHandle, publicKey)
	return &ctap2.MakeCredentialResponse{Format: "fido-u2f", AuthData: authData, AttStmt: statement}, nil
}

// authenticatorData is the part that all have.
func authenticatorData(rpIDHash [32]byte, flags ctap2.Flags, counter uint32) []byte {
	return binary.BigEndian.AppendUint32(append(rpIDHash[:], byte(flags)), counter)
}

// authenticateU2F is Authenticate on a key that speaks U2F only (CTAP 2.1,
// section 7.3): with the first credential of the allow list that the key has for
// the RP ID, or else for the AppID, which may be empty.
func (k *Key) authenticateU2F(ctx context.Context, a Assertion) (*ctap2.GetAssertionResponse, error) {
	switch {
	case len(a.ClientDataHash) != sha256.Size:
		return nil, fmt.Errorf("client data hash of %d bytes", len(a.ClientDataHash))
	case a.UserVerification == Required:
		return nil, fmt.Errorf("%w, which knows no user verification", ErrU2FOnly)
	case len(a.Allow) == 0:
		return nil, fmt.Errorf("%w and has no discoverable credentials: %w", ErrU2FOnly, ctap2.ErrNoCredentials)
	}
	var unknown error
	for _, application := range applications(a.RPID, a.AppID) {
		known, err := k.knownU2F(ctx, application, a.Allow)
		if err == nil {
			return k.signU2F(ctx, application, known, a.ClientDataHash)
		}
		if !errors.Is(err, ctap2.ErrNoCredentials) {
			return nil, err
		}
		unknown = err
	}
	return nil, unknown
}

// signU2F signs after a touch.
func (k *Key) signU2F(ctx context.Context, application [32]byte, with *ctap2.Descriptor, hash []byte) (*ctap2.GetAssertionResponse, error) {
	signed, err := untilTouched(ctx, k, ctap2.CommandGetAssertion, u2f.Authenticate{
		Control: u2f.EnforcePresence, Challenge: [32]byte(hash), Application: application, KeyHandle: with.ID,
	})
	if err != nil {
		return nil, err
	}
	// The other bits are none of U2F's, and those of user verification and backup
	// would claim what nobody has seen.
	flags := ctap2.Flags(signed.UserPresence) & ctap2.FlagUP
	if byte(flags) != signed.UserPresence {
		transport.Tolerate(ctx, ctap2.Finding{
			What: fmt.Sprintf("user presence byte %#02x", signed.UserPresence), Where: u2f.InstructionAuthenticate.String(), Raw: signed.Raw,
		})
	}
	return &ctap2.GetAssertionResponse{
		Credential: with,
		AuthData:   authenticatorData(application, flags, signed.Counter),
		Signature:  signed.Signature,
	}, nil
}
