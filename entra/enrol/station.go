package enrol

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra/graph"
)

// atHand is a key at a station.
type atHand struct {
	*run
	station int
	plugged *Plugged
	key     *client.Key
	info    *ctap2.GetInfoResponse
	pin     []byte    // nil: not known yet
	from    *Attempt  // that the PIN is known from; nil: none
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
		_ = closeKey() // all that counts has been answered
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
	if err := k.recordPIN(chosen); err != nil {
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

func (k *atHand) recordPIN(chosen []byte) error {
	k.keepPIN(chosen)
	if len(k.Ledger.recipients) == 0 {
		return nil
	}
	encrypted, err := k.Ledger.encrypt(chosen)
	if err != nil {
		return err
	}
	return k.record(Entry{Event: EventPIN, PIN: encrypted})
}

// keepPIN remembers the PIN of the attempt for as long as the run lasts.
func (k *atHand) keepPIN(chosen []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.pins[k.attempt] = bytes.Clone(chosen)
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
	if k.from != nil {
		k.keepPIN(k.pin)
		if err := k.record(Entry{Event: EventPIN, PIN: k.from.PIN, From: k.from.Number}); err != nil {
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
