package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/transport"
)

// probe returns a credential of a list that the key has for an RP ID, or
// NO_CREDENTIALS. It asks for neither touch nor PIN: a credential that the key
// hides without user verification is not found. The error of a key that tells
// nothing without is returned; some with alwaysUv are like that.
func (k *Key) probe(ctx context.Context, rpID string, list []ctap2.Descriptor) (*ctap2.Descriptor, error) {
	ctx, info, err := k.begin(ctx)
	if err != nil {
		return nil, err
	}
	if onlyU2F(info) {
		return k.knownU2F(ctx, sha256.Sum256([]byte(rpID)), list)
	}
	count, size := listLimits(info)
	var fitting []ctap2.Descriptor
	for _, d := range list {
		if size == 0 || len(d.ID) <= size {
			fitting = append(fitting, ctap2.Descriptor{ID: d.ID, Type: d.Type})
		}
	}
	return k.probeParts(ctx, rpID, fitting, count)
}

// listLimits returns how many credentials a list may have and how long, in bytes,
// their IDs may be; 0: not known. A key that does not say both, or says zero, is
// trusted with one.
func listLimits(info *ctap2.GetInfoResponse) (count, size int) {
	if n := info.MaxCredentialIDLength; n != nil {
		size = int(min(*n, 1<<16))
	}
	if n := info.MaxCredentialCountInList; n != nil && size > 0 {
		count = int(min(*n, 1<<16))
	}
	return max(count, 1), size
}

func (k *Key) probeParts(ctx context.Context, rpID string, list []ctap2.Descriptor, count int) (*ctap2.Descriptor, error) {
	none := &ctap2.Error{Command: ctap2.CommandGetAssertion, Status: ctap2.ErrNoCredentials}
	for part := range slices.Chunk(list, count) {
		found, err := k.probePart(ctx, rpID, part)
		if err == nil {
			return found, nil
		}
		var refused *ctap2.Error
		switch {
		case !errors.As(err, &refused) || needsUser(refused.Status):
			return nil, err
		case refused.Status == ctap2.ErrNoCredentials:
		case len(part) > 1: // one of them may be too much for the key
			if found, err := k.probeParts(ctx, rpID, part, 1); !errors.Is(err, ctap2.ErrNoCredentials) {
				return found, err
			}
		default:
			transport.Tolerate(ctx, ctap2.Finding{What: fmt.Sprintf("a credential that is not known gives %v", refused.Status), Where: refused.Command.String()})
		}
	}
	return nil, none
}

func (k *Key) probePart(ctx context.Context, rpID string, part []ctap2.Descriptor) (*ctap2.Descriptor, error) {
	up := false
	assertion, err := ctap2.Do(ctx, k.dev, ctap2.GetAssertion{
		RPID:           rpID,
		ClientDataHash: make([]byte, sha256.Size), // the signature is thrown away
		AllowList:      part,
		Options:        &ctap2.Options{UP: &up},
	})
	if err != nil {
		return nil, err
	}
	if assertion.Credential == nil && len(part) == 1 {
		return &part[0], nil // CTAP 2.0 keys leave it out
	}
	if assertion.Credential == nil {
		return nil, fmt.Errorf("%w: assertion names no credential", ctap2.ErrMalformed)
	}
	return assertion.Credential, nil
}

// needsUser reports whether a key tells nothing unless the user takes part.
func needsUser(s ctap2.Status) bool {
	return slices.Contains([]ctap2.Status{
		ctap2.ErrPUATRequired, ctap2.ErrUPRequired, ctap2.ErrOperationDenied,
		ctap2.ErrUnsupportedOption, ctap2.ErrInvalidOption,
	}, s)
}

// excludeByAppID ends a registration on a key that has a credential of the
// exclude list under the AppID (WebAuthn Level 3, section 10.1.2). It comes before
// the PIN: some keys void a token when they are asked for another RP ID.
func (k *Key) excludeByAppID(ctx context.Context, r Registration) error {
	if r.AppIDExclude == "" || len(r.Exclude) == 0 {
		return nil
	}
	found, err := k.probe(ctx, r.AppIDExclude, r.Exclude)
	var refused *ctap2.Error
	switch {
	case errors.As(err, &refused):
		return nil // not there, or nothing that the key would tell
	case err != nil:
		return err
	}
	// A touch, so that nobody learns of it without the person; it needs no PIN.
	_, err = ctap2.Do(ctx, k.dev, ctap2.GetAssertion{
		RPID: r.AppIDExclude, ClientDataHash: make([]byte, sha256.Size), AllowList: []ctap2.Descriptor{{ID: found.ID, Type: ctap2.PublicKeyType}},
	})
	if err != nil {
		return err
	}
	return errExcluded()
}

// authenticateAppID is Authenticate with an AppID on a key that speaks CTAP2: it
// is the RP ID if the key has a credential under it and none under the RP ID.
// Which of the two is found out before anything is asked of the person.
func (k *Key) authenticateAppID(ctx context.Context, a Assertion) ([]*ctap2.GetAssertionResponse, error) {
	appID := a.AppID
	a.AppID = ""
	if len(a.Allow) == 0 {
		return k.Authenticate(ctx, a)
	}
	_, probed := k.probe(ctx, a.RPID, a.Allow)
	if errors.Is(probed, ctap2.ErrNoCredentials) {
		if _, err := k.probe(ctx, appID, a.Allow); err == nil {
			a.RPID = appID
		}
	}
	assertions, err := k.Authenticate(ctx, a)
	if errors.Is(err, ctap2.ErrNoCredentials) && !errors.Is(probed, ctap2.ErrNoCredentials) {
		a.RPID = appID // the key told nothing without the person
		return k.Authenticate(ctx, a)
	}
	return assertions, err
}
