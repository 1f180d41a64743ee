package enrol

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra/graph"
	"github.com/fidokey/fidokey/pin"
)

// atHand is a key at a station.
type atHand struct {
	*run
	station int
	plugged *Plugged
	key     *client.Key
	info    *ctap2.GetInfoResponse
	pin     []byte    // nil: not known yet
	from    int       // the attempt that the PIN is from; 0: none
	attempt int       // that is at work
	hidden  []Attempt // that may have left on the key what it neither lists nor deletes
	line    *Line
}

// serve does with a key what there is to do. Only what concerns all keys is an error.
func (r *run) serve(station int, p *Plugged) error {
	k := &atHand{run: r, station: station, plugged: p}
	defer func() { clear(k.pin) }()
	key, closeKey, err := p.Open(r.ctx, k.prompt())
	if err == nil {
		k.key = key
		err = k.use()
		closeKey() // all that counts has been answered
	}
	if err == nil || ofEveryone(err) || r.ctx.Err() != nil || errors.Is(err, errFailFast) {
		return err
	}
	k.tell(KeyLeft, err)
	return nil
}

func (k *atHand) tell(kind EventKind, err error) {
	left, _, _ := k.look()
	k.notify(Event{Kind: kind, Station: k.station, Key: k.plugged, Line: k.line, Left: left, Err: err})
}

// prompt is the person at the station, who is asked for what is not known.
func (k *atHand) prompt() client.Prompt {
	p := k.Prompt
	p.Touch = func(t client.Touch) {
		k.notify(Event{Kind: TouchWanted, Station: k.station, Key: k.plugged, Line: k.line, Touch: &t})
	}
	p.NewPIN = k.newPIN
	p.PIN = func(ctx context.Context, r client.PINRequest) ([]byte, error) {
		if k.pin != nil {
			return bytes.Clone(k.pin), nil
		}
		if k.Prompt.PIN == nil {
			return nil, client.ErrPINNeeded
		}
		k.asking.Lock()
		defer k.asking.Unlock()
		k.tell(PINWanted, nil)
		entered, err := k.Prompt.PIN(ctx, r)
		k.pin = bytes.Clone(entered)
		return entered, err
	}
	return p
}

// newPIN is in the ledger before it is on the key.
func (k *atHand) newPIN(ctx context.Context, r client.NewPINRequest) ([]byte, error) {
	chosen, err := k.choosePIN(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := k.recordPIN(chosen, 0); err != nil {
		clear(chosen)
		return nil, err
	}
	k.pin = bytes.Clone(chosen)
	return chosen, nil
}

func (k *atHand) choosePIN(ctx context.Context, r client.NewPINRequest) ([]byte, error) {
	if k.RandomPIN != 0 {
		length := max(k.RandomPIN, int(r.MinLength))
		if r.MaxLength != 0 {
			length = min(length, int(r.MaxLength))
		}
		return RandomPIN(length)
	}
	if k.Prompt.NewPIN == nil {
		return nil, client.ErrPINNeeded
	}
	k.asking.Lock()
	defer k.asking.Unlock()
	k.tell(PINWanted, nil)
	return k.Prompt.NewPIN(ctx, r)
}

func (k *atHand) recordPIN(chosen []byte, from int) error {
	k.mu.Lock()
	k.pins[k.attempt] = bytes.Clone(chosen)
	k.mu.Unlock()
	if len(k.Ledger.recipients) == 0 {
		return nil
	}
	encrypted, err := k.Ledger.encrypt(chosen)
	if err != nil {
		return err
	}
	return k.record(Entry{Event: EventPIN, PIN: encrypted, From: from})
}

// record writes an entry of the attempt that is at work.
func (k *atHand) record(e Entry) error {
	e.Line, e.Attempt = k.line.ID(), k.attempt
	return k.Ledger.append(e)
}

// step writes an entry for what Register tells of.
func (k *atHand) step(s Step) error {
	e := Entry{RPID: s.RPID, UserHandle: s.UserHandle, CredentialID: s.CredentialID, Method: s.Method}
	e.Event = map[StepKind]string{
		StepPINSet: EventPINSet, StepMaking: EventMaking, StepMade: EventMade, StepRegistered: EventRegistered, StepUndone: EventUndone,
	}[s.Kind]
	if s.Kind == StepRegistered { // it may be an earlier attempt's
		e.Line, e.Attempt = k.line.ID(), k.attempt
		for _, a := range k.Ledger.Attempts(func(a *Attempt) bool { return a.Line == e.Line && bytes.Equal(a.CredentialID, s.CredentialID) }) {
			e.Attempt = a.Number
		}
		return k.Ledger.append(e)
	}
	return k.record(e)
}

// use finds out which key it is, cleans up behind an earlier run, and makes the passkey
// of the line that is the key's.
func (k *atHand) use() error {
	var err error
	if k.info, err = k.key.Info(k.ctx); err != nil {
		return err
	}
	before, err := k.recognise()
	if err != nil {
		return err
	}
	if err := k.cleanUp(k.ctx, before); err != nil {
		return err
	}
	for {
		w, err := k.take(k.plugged.Serial, k.info.AAGUID.String(), before)
		if err != nil {
			return err
		}
		if again, err := k.enrol(w); !again {
			return err
		}
	}
}

// enrol makes and registers the passkey of a line. again means that the line is done
// without the key.
func (k *atHand) enrol(w *work) (again bool, err error) {
	k.line = &w.Line
	if k.attempt, err = k.Ledger.begin(w.Line, k.plugged, k.info.AAGUID.String()); err != nil {
		k.giveBack(w, err)
		return false, err
	}
	k.setLive(true)
	defer k.setLive(false)
	k.tell(KeyTaken, nil)
	if k.from != 0 {
		if err := k.recordPIN(k.pin, k.from); err != nil {
			k.giveBack(w, err)
			return false, err
		}
	}
	result, err := Register(k.ctx, k.Graph, k.key, k.request(w))
	switch {
	case result != nil && result.Earlier && err == nil:
		if err := k.record(Entry{Event: EventFailed, Reason: "the tenant has the passkey of an earlier attempt"}); err != nil {
			return false, err
		}
		k.tell(LineFound, nil)
		return true, k.settle(k.station, w, Before, nil)
	case result != nil && result.Method != nil && !errors.Is(err, ErrLedger):
		return false, k.registered(w, err)
	}
	return false, k.failed(w, err)
}

func (k *atHand) request(w *work) Request {
	r := Request{User: w.Line.User, Name: w.Line.Name, Timeout: k.Timeout, ReadBack: k.ReadBack, Record: k.step, PINs: 1}
	if k.RandomPIN != 0 {
		r.PINs = 3
	}
	if r.Name == "" && k.Name != nil {
		r.Name = k.Name(k.info.AAGUID)
	}
	for _, a := range k.Ledger.Attempts(func(a *Attempt) bool { return a.Line == w.id && a.Unsettled() && a.CredentialID != nil }) {
		r.Earlier = append(r.Earlier, a.CredentialID)
	}
	return r
}

func (k *atHand) setLive(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.live[k.attempt] = on
}

// registered ends a line that is done; odd is what the tenant does not show as it is.
func (k *atHand) registered(w *work, odd error) error {
	for _, a := range k.hidden { // it is replaced now
		if a.Line == w.id {
			if err := k.Ledger.append(Entry{Event: EventUndone, Line: a.Line, Attempt: a.Number}); err != nil {
				return err
			}
		}
	}
	if err := k.forcePINChange(k.attempt); ofEveryone(err) {
		return errors.Join(err, k.settle(k.station, w, Registered, odd))
	}
	if err := k.settle(k.station, w, Registered, odd); err != nil {
		return err
	}
	k.tell(LineDone, odd)
	return nil
}

// forcePINChange comes last, for a key whose PIN must be changed does nothing else. An
// interruption does not keep it from coming.
func (k *atHand) forcePINChange(attempt int) error {
	if !k.ForceChange {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.ctx), client.DefaultTimeout)
	defer cancel()
	err := k.key.ForcePINChange(ctx)
	e := Entry{Event: EventPINForced, Line: k.line.ID(), Attempt: attempt}
	if err != nil {
		k.tell(PINNotForced, err)
		if !errors.Is(err, client.ErrKeyCannot) && !errors.Is(err, client.ErrWouldRefuse) {
			return err
		}
		e.Reason = err.Error()
	}
	return k.Ledger.append(e)
}

// failed ends an attempt. What it may have left on the key is cleaned up at once, also
// after an interruption.
func (k *atHand) failed(w *work, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(k.ctx), client.DefaultTimeout)
	defer cancel()
	if !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrLedger) {
		left := k.Ledger.Attempts(func(a *Attempt) bool { return a.Number == k.attempt && a.Unsettled() })
		if e := k.cleanUp(ctx, left); e != nil && !errors.Is(e, ErrKeyUsed) {
			err = fmt.Errorf("%w\nThe key could not be cleaned up: %w", err, e)
		}
	}
	if errors.Is(err, ctap2.ErrPINInvalid) && k.plugged.Serial != "" {
		k.mu.Lock()
		k.refused[k.plugged.Serial] = true
		k.mu.Unlock()
	}
	if e := k.record(Entry{Event: EventFailed, Reason: err.Error()}); e != nil {
		err = errors.Join(err, e)
	}
	w.tries++
	switch {
	case ofEveryone(err) || k.ctx.Err() != nil:
		k.giveBack(w, err)
		return err
	case ofLine(err) || w.tries >= maxTries || k.FailFast:
		return k.settle(k.station, w, Failed, err)
	}
	k.giveBack(w, err)
	k.tell(LineWaits, err)
	return nil
}

// ofLine is true for errors that the line would have with every other key, and where
// nobody knows whether it is done.
func ofLine(err error) bool {
	var refused *graph.Error
	return errors.Is(err, ErrUnknown) || errors.As(err, &refused) && refused.Status < 500 && !errors.Is(err, graph.ErrThrottled)
}

// recognise finds out what the ledger has of the key, and which PIN it has. It returns
// the attempts that this key was in and that are not done.
func (k *atHand) recognise() ([]Attempt, error) {
	found, sure, err := k.attempts()
	if err != nil {
		return nil, err
	}
	for _, a := range found {
		if a.Method != "" {
			return nil, k.used(a)
		}
	}
	hasPIN, _ := k.info.Option(ctap2.OptionClientPIN)
	if !hasPIN {
		return found, nil
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
			k.from = a.Number
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
		} else if k.plugged.Serial != "" || k.from == a.Number || k.attempt == a.Number {
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
