package enrol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/pin"
)

// recognise finds out what the ledger has of the key, and which PIN it has. It returns
// the attempts that this key was in and that are not done.
func (k *atHand) recognise() ([]Attempt, error) {
	found, sure, err := k.attempts()
	if err != nil {
		return nil, err
	}
	hasPIN, _ := k.info.Option(ctap2.OptionClientPIN)
	if verifies, _ := k.info.Option(ctap2.OptionUV); !hasPIN && !verifies {
		// It has no passkey: it was reset, or all keys of its model have one serial number.
		return slices.DeleteFunc(found, func(a Attempt) bool { return a.Method != "" }), nil
	}
	for _, a := range found {
		if a.Method != "" {
			return nil, k.used(a)
		}
	}
	for _, a := range found {
		if a.PIN == nil {
			continue
		}
		switch err := k.knownPIN(a); {
		case err != nil && (sure || k.Prompt.PIN == nil):
			return nil, err
		case err == nil:
			if err := k.verify(a); err != nil {
				return nil, err
			}
			k.from = &a
			return []Attempt{a}, nil
		}
		break
	}
	switch {
	case k.Prompt.PIN == nil:
		return nil, ErrUnknownPIN
	case k.wasRefused():
		return nil, ErrWrongPIN
	}
	return found, nil
}

func (k *atHand) wasRefused() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.refused[k.plugged.Serial]
}

// attempts returns the attempts that the key was in, or may have been in, the likeliest
// first. By its serial number that is sure; without, by the credentials that it has.
func (k *atHand) attempts() (found []Attempt, sure bool, err error) {
	serial, aaguid := k.plugged.Serial, k.info.AAGUID.String()
	k.mu.Lock()
	live := make(map[int]bool, len(k.live))
	for n, on := range k.live {
		live[n] = on
	}
	k.mu.Unlock()
	found = k.Ledger.Attempts(func(a *Attempt) bool { return a.Serial == serial && a.AAGUID == aaguid && !live[a.Number] })
	slices.Reverse(found)
	if serial != "" || len(found) == 0 {
		return found, true, nil
	}
	if hasPIN, _ := k.info.Option(ctap2.OptionClientPIN); !hasPIN {
		return nil, false, nil // without one it has no passkey
	}
	held, err := k.held(found)
	if err != nil || held != nil {
		return held, true, err
	}
	return k.guesses(found), false, nil
}

// held asks the key whether it has the credential of an attempt.
func (k *atHand) held(attempts []Attempt) ([]Attempt, error) {
	lists := map[string][]ctap2.Descriptor{}
	for _, a := range attempts {
		if a.CredentialID != nil && !a.Undone {
			lists[a.RPID] = append(lists[a.RPID], ctap2.Descriptor{ID: a.CredentialID, Type: ctap2.PublicKeyType})
		}
	}
	for rpID, list := range lists {
		has, err := k.key.Holds(k.ctx, rpID, list)
		var refused *ctap2.Error
		if err != nil && !errors.As(err, &refused) {
			return nil, err
		}
		if err != nil || has == nil {
			continue // some keys tell nothing without a touch
		}
		i := slices.IndexFunc(attempts, func(a Attempt) bool { return bytes.Equal(a.CredentialID, has.ID) })
		return attempts[i : i+1], nil
	}
	return nil, nil
}

// guesses are the attempts that are not done. Those of a key that was plugged in at the
// same place come first, for it may be there still; those whose PIN another key did not
// take come last.
func (k *atHand) guesses(attempts []Attempt) (open []Attempt) {
	superseded := map[int]bool{}
	for _, a := range attempts {
		superseded[a.From] = true
	}
	for _, a := range attempts {
		if a.Unsettled() || a.pinWaits() && !superseded[a.Number] {
			open = append(open, a)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	likely := func(a Attempt) int {
		n := 2 * k.guessed[a.Number]
		if a.Device != k.plugged.Path {
			n++
		}
		return n
	}
	slices.SortStableFunc(open, func(a, b Attempt) int { return likely(a) - likely(b) })
	return open
}

// used is the end of a key that a user has. What was left to do with it is done.
func (k *atHand) used(a Attempt) error {
	line := k.Ledger.line(a.Line)
	if k.ForceChange && !a.PINForced && a.PIN != nil {
		k.line = &line
		if err := k.knownPIN(a); err != nil {
			return err
		}
		if err := k.verify(a); err != nil {
			return err
		}
		if err := k.forcePINChange(a.Number); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: %s has it", ErrKeyUsed, line.User)
}

// knownPIN takes the PIN of an attempt, which this run made or an identity opens.
func (k *atHand) knownPIN(a Attempt) error {
	k.mu.Lock()
	chosen := bytes.Clone(k.pins[a.Number])
	k.mu.Unlock()
	if chosen == nil && len(k.Identities) == 0 {
		return fmt.Errorf("%w, in line %d, for %s: give the identity that opens it (--identity)", ErrPINInLedger, a.PINAt, k.Ledger.line(a.Line).User)
	}
	if chosen == nil {
		var err error
		if chosen, err = a.Decrypt(k.Identities...); err != nil {
			return err
		}
	}
	k.pin = chosen
	return nil
}

// minGuess is how many tries must be left for one to be risked: then three are left.
const minGuess = 4

// verify tries the PIN of an attempt, once.
func (k *atHand) verify(a Attempt) error {
	state, err := k.key.PINState(k.ctx)
	if err != nil {
		return err
	}
	if state.Retries != nil && state.Retries.Left < minGuess {
		return fmt.Errorf("%w, in line %d, and too few tries (%d) to find out", ErrPINInLedger, a.PINAt, state.Retries.Left)
	}
	err = k.key.VerifyPIN(k.ctx)
	var wrong *pin.Error
	if errors.As(err, &wrong) && errors.Is(err, ctap2.ErrPINInvalid) {
		k.mu.Lock()
		k.guessed[a.Number]++
		k.mu.Unlock()
		return fmt.Errorf("%w; that in line %d of the ledger it is not: %w", ErrUnknownPIN, a.PINAt, err)
	}
	return err
}

// cleanUp deletes what attempts have left on the key, unless the tenant has it. A key
// that cannot say what it has is left as it is: its next passkey for the same user
// replaces what is there.
func (k *atHand) cleanUp(ctx context.Context, attempts []Attempt) error {
	attempts = slices.DeleteFunc(slices.Clone(attempts), func(a Attempt) bool { return !a.Unsettled() })
	if len(attempts) == 0 {
		return nil
	}
	var stored []client.StoredCredential
	hasPIN, _ := k.info.Option(ctap2.OptionClientPIN)
	if verifies, _ := k.info.Option(ctap2.OptionUV); hasPIN || verifies || k.pin != nil {
		var err error
		stored, err = k.key.CredentialsFor(ctx, attempts[0].RPID)
		if errors.Is(err, client.ErrNoCredentialManagement) {
			k.hidden = attempts
			return nil
		}
		if err != nil {
			return err
		}
	}
	for _, a := range attempts {
		i := slices.IndexFunc(stored, func(c client.StoredCredential) bool {
			return bytes.Equal(c.User.ID, a.UserHandle) && (a.CredentialID == nil || bytes.Equal(c.ID, a.CredentialID))
		})
		if i >= 0 {
			if err := k.delete(ctx, a, stored[i].ID); err != nil {
				return err
			}
		} else if k.plugged.Serial != "" || k.from != nil && k.from.Number == a.Number || k.attempt == a.Number {
			if err := k.Ledger.append(Entry{Event: EventUndone, Line: a.Line, Attempt: a.Number}); err != nil {
				return err
			}
		}
	}
	return nil
}

// delete deletes a credential of which the tenant knows nothing.
func (k *atHand) delete(ctx context.Context, a Attempt, id []byte) error {
	line := k.Ledger.line(a.Line)
	if a.CredentialID != nil { // else it was never posted
		m, err := k.inTenant(ctx, line.User, a)
		if err != nil {
			return err
		}
		if m != nil {
			return errors.Join(k.found(a, m, k.free(a.Line)), fmt.Errorf("%w: %s has it", ErrKeyUsed, line.User))
		}
	}
	if _, err := k.key.DeleteCredential(ctx, id); err != nil {
		return err
	}
	k.notify(Event{Kind: KeyCleaned, Station: k.station, Key: k.plugged, Line: &line})
	return k.Ledger.append(Entry{Event: EventUndone, Line: a.Line, Attempt: a.Number, CredentialID: id})
}
