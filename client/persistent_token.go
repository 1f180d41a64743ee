package client

import (
	"context"
	"fmt"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// reading runs try, which only reads the list of credentials, with the persistent
// token of the key where there is a store for it, else with a token that has cm
// (CTAP 2.2, section 6.5.5.7).
func reading[R any](ctx context.Context, k *Key, try func(*pin.Token) (R, error)) (R, error) {
	persistent, _ := k.info.Option(ctap2.OptionPerCredMgmtRO)
	if k.options.Tokens == nil || !persistent {
		return authorized(ctx, k, pin.Grant{Permissions: ctap2.PermissionCM}, try)
	}
	var none R
	stored, err := k.storedTokens(ctx)
	if err != nil {
		return none, err
	}
	defer wipe(stored)
	for _, s := range stored {
		if token, err := pin.NewToken(s.Protocol, s.Token); err == nil {
			r, err := try(token)
			token.Wipe()
			if !deadToken(err) {
				return r, err
			}
		}
		if err := k.options.Tokens.Delete(ctx, s); err != nil { // the key does not know it any more
			return none, fmt.Errorf("token store: %w", err)
		}
	}
	token, err := k.newPersistentToken(ctx)
	if err != nil {
		return none, err
	}
	defer token.Wipe()
	return try(token)
}

// storedTokens returns the token of this key from the store. If the key does not
// say which one is its own, it returns all those of its model that were kept
// without a name. The caller wipes them.
func (k *Key) storedTokens(ctx context.Context) ([]PersistentToken, error) {
	all, err := k.options.Tokens.Load(ctx, k.info.AAGUID)
	if err != nil {
		return nil, fmt.Errorf("token store: %w", err)
	}
	var ours []PersistentToken
	for _, t := range all {
		if id, _ := decryptedWith(t, pin.EncIdentifier, k.info.EncIdentifier); id == t.Identifier {
			ours = append(ours, t)
		} else {
			clear(t.Token)
		}
	}
	return ours, nil
}

// decryptedWith decrypts a member of getInfo with a stored token. Without the
// member, or with a token that is none, the result is zero.
func decryptedWith(t PersistentToken, member string, encrypted []byte) (Identifier, error) {
	if encrypted == nil {
		return Identifier{}, nil
	}
	token, err := pin.NewToken(t.Protocol, t.Token)
	if err != nil {
		return Identifier{}, err
	}
	defer token.Wipe()
	return token.DecryptMember(member, encrypted)
}

// newPersistentToken gets the key's persistent token and keeps it. The caller
// wipes it. A key tells its identifier only once it has given the token, so it is
// asked again for that.
func (k *Key) newPersistentToken(ctx context.Context) (*pin.Token, error) {
	token, err := k.getToken(ctx, pin.Grant{Permissions: ctap2.PermissionPCMR})
	if err != nil {
		return nil, err
	}
	k.token = nil // it is not one for the flows that change something
	kept := PersistentToken{AAGUID: k.info.AAGUID, Protocol: token.Protocol(), Token: token.Bytes()}
	defer clear(kept.Token)
	if k.info.EncIdentifier == nil {
		k.info = nil
		if _, _, err = k.begin(ctx); err != nil {
			token.Wipe()
			return nil, err
		}
	}
	if kept.Identifier, err = decryptedWith(kept, pin.EncIdentifier, k.info.EncIdentifier); err != nil {
		k.tolerate("%v", err)
	}
	if err := k.options.Tokens.Save(ctx, kept); err != nil {
		token.Wipe()
		return nil, fmt.Errorf("token store: %w", err)
	}
	return token, nil
}

// Identifier returns what tells this key from others of its model (CTAP 2.2,
// section 6.4, encIdentifier). It stays the same until a reset. ok is false for a
// key that tells none, or not to us: Options.Tokens has no token of it.
func (k *Key) Identifier(ctx context.Context) (id Identifier, ok bool, err error) {
	return k.identity(ctx, func(info *ctap2.GetInfoResponse, t PersistentToken) (Identifier, bool, error) {
		return t.Identifier, true, nil
	})
}

// CredentialStoreState returns a number that changes whenever a discoverable
// credential is made, changed or deleted (CTAP 2.3, section 6.4,
// encCredStoreState): a list that was read before is good as long as it stays.
// The key is asked each time. ok is false as for Identifier.
func (k *Key) CredentialStoreState(ctx context.Context) (state [16]byte, ok bool, err error) {
	k.info = nil
	return k.identity(ctx, func(info *ctap2.GetInfoResponse, t PersistentToken) (Identifier, bool, error) {
		state, err := decryptedWith(t, pin.EncCredStoreState, info.EncCredStoreState)
		return state, info.EncCredStoreState != nil && err == nil, err
	})
}

// identity calls read with the stored token of this key, if there is one.
func (k *Key) identity(ctx context.Context, read func(*ctap2.GetInfoResponse, PersistentToken) (Identifier, bool, error)) (id Identifier, ok bool, err error) {
	ctx, info, err := k.begin(ctx)
	if err != nil || k.options.Tokens == nil || info.EncIdentifier == nil {
		return id, false, err
	}
	stored, err := k.storedTokens(ctx)
	if err != nil || len(stored) == 0 {
		return id, false, err
	}
	defer wipe(stored)
	return read(info, stored[0])
}
