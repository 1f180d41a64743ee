package enrol

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"filippo.io/age"

	"github.com/fidokey/fidokey/client"
	"github.com/fidokey/fidokey/ctap2"
	"github.com/fidokey/fidokey/entra/graph"
)

// A Plugged is a key that is plugged in, as far as it is known before it is opened.
type Plugged struct {
	Path, Serial, Product string
	Open                  func(ctx context.Context, prompt client.Prompt) (key *client.Key, closeKey func() error, err error)
}

// Keys is where keys are plugged in. Many goroutines ask it.
type Keys interface {
	// Next returns a key that it has not returned yet, or that was unplugged since; nil
	// if there is none. With wait it waits for one, and nil means that no more come.
	Next(ctx context.Context, wait bool) (*Plugged, error)
}

// Batch is the enrolment of many users.
type Batch struct {
	Graph  *graph.Client
	Ledger *Ledger
	Lines  []Line
	Keys   Keys
	// Stations is how many keys are worked on at the same time; 0: one.
	Stations int
	// Prompt reaches the person. PIN and NewPIN are asked for the PINs of keys that have
	// one and have none, unless they are known or made by chance; they may be nil. One is
	// asked at a time.
	Prompt client.Prompt
	// RandomPIN is how many digits chance gives keys without a PIN; 0: NewPIN is asked.
	RandomPIN int
	// Identities open the PINs in the ledger, for keys that come back after a crash.
	Identities []age.Identity
	// ForceChange has each user choose another PIN, where the key can ask for that.
	ForceChange bool
	// FailFast ends everything at the first line that fails.
	FailFast bool
	// Name is what a passkey is called whose line has no name.
	Name func(ctap2.AAGUID) string
	// Notify is told what happens; it must return soon, and one call comes at a time.
	Notify func(Event)

	Timeout, ReadBack time.Duration // as in Request
}

// An Event is something that the person at the stations wants to know.
type Event struct {
	Kind    EventKind
	Station int // from 1; 0: it concerns none
	Key     *Plugged
	Line    *Line
	Touch   *client.Touch
	Left    int   // lines that are to be done
	Err     error // why, for those that say that something is not as it should be
}

// EventKind says what has happened.
type EventKind string

const (
	KeyWanted    EventKind = "keyWanted"    // the next key may be plugged in
	KeyTaken     EventKind = "keyTaken"     // a key and a line were brought together
	KeyLeft      EventKind = "keyLeft"      // a key is not used; the line waits for another
	KeyCleaned   EventKind = "keyCleaned"   // what an earlier run left on a key is gone
	TouchWanted  EventKind = "touchWanted"  // the key is to be touched
	PINWanted    EventKind = "pinWanted"    // Prompt is asked for the PIN of the key
	LineDone     EventKind = "registered"   // the key may be unplugged
	LineFound    EventKind = "found"        // the tenant has the passkey from an earlier run
	LineFailed   EventKind = "failed"       // and is not tried again in this run
	LineWaits    EventKind = "waits"        // it failed with this key, and waits for another
	PINNotForced EventKind = "pinNotForced" // the user keeps the PIN
)

// Status is what became of a line.
type Status string

const (
	Registered Status = "registered"
	Before     Status = "registeredBefore" // by an earlier run
	Failed     Status = "failed"
	Waiting    Status = "waiting" // no key came, or the run was ended
)

// Outcome is what became of a line.
type Outcome struct {
	Line    Line
	Status  Status
	Err     error    // of the last try
	Attempt *Attempt // that registered it
}

// maxTries is how many keys a line is tried with before it has failed.
const maxTries = 3

// Why a key is left alone.
var (
	ErrKeyUsed     = errors.New("the key is another user's already, by the ledger")
	ErrNoLine      = errors.New("no line of the list is for this key")
	ErrNotNeeded   = errors.New("no line of the list is left")
	ErrUnknownPIN  = errors.New("the key has a PIN that is not known")
	ErrPINInLedger = errors.New("the key may have a PIN that the ledger knows")
	ErrWrongPIN    = errors.New("the PIN is not that of this key, and is not tried again")
)

// run is a Batch at work.
type run struct {
	*Batch
	ctx  context.Context // ends when everything shall
	stop context.CancelCauseFunc

	asking, telling sync.Mutex
	awaited         sync.WaitGroup
	arriving        map[int]chan struct{} // attempts that the tenant may still show

	mu      sync.Mutex
	works   []*work
	changed chan struct{}   // closed when a line was given back or is settled
	pins    map[int][]byte  // of attempts of this run
	live    map[int]bool    // attempts at work
	refused map[string]bool // serial numbers of keys that did not take the PIN that was given
	guessed map[int]int     // how often the PIN of an attempt was wrong
}

// Run works through the lines with the keys that are plugged in. What became of them is
// told whatever ended it.
func (b *Batch) Run(ctx context.Context) ([]Outcome, error) {
	r := &run{Batch: b, arriving: map[int]chan struct{}{}, changed: make(chan struct{}), pins: map[int][]byte{}, live: map[int]bool{}, refused: map[string]bool{}, guessed: map[int]int{}}
	r.ctx, r.stop = context.WithCancelCause(ctx)
	defer r.stop(nil)
	defer r.forget()
	if err := r.prepare(); err != nil {
		r.stop(err)
		r.awaited.Wait()
		return r.outcomes(), err
	}
	var stations sync.WaitGroup
	for n := range max(1, b.Stations) {
		stations.Go(func() {
			if err := r.station(n + 1); err != nil {
				r.stop(err)
			}
		})
	}
	stations.Wait()
	r.awaited.Wait()
	return r.outcomes(), context.Cause(r.ctx)
}

func (r *run) forget() {
	for _, pin := range r.pins {
		clear(pin)
	}
}

func (r *run) notify(e Event) {
	r.telling.Lock()
	defer r.telling.Unlock()
	if r.Notify != nil {
		r.Notify(e)
	}
}

func (r *run) outcomes() (all []Outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.works {
		all = append(all, w.Outcome)
	}
	return all
}

// prepare compares list, ledger and tenant, before the first key is asked for.
func (r *run) prepare() error {
	if r.RandomPIN != 0 && len(r.Ledger.recipients) == 0 {
		return errors.New("PINs that chance makes need a recipient, who can read them in the ledger")
	}
	if err := r.Ledger.plan(r.Lines); err != nil {
		return err
	}
	for _, line := range r.Lines {
		r.works = append(r.works, &work{Outcome: Outcome{Line: line, Status: Waiting}, id: line.ID()})
	}
	return r.askTenant()
}

// askTenant looks whether the users are there, and which passkeys of an earlier run have
// arrived of which that was not known.
func (r *run) askTenant() error {
	open := map[string][]*work{}
	var users []string
	for _, w := range r.works {
		if a := r.Ledger.Registered(w.id); a != nil {
			w.Status, w.Attempt = Before, a
			continue
		}
		user := strings.ToLower(w.Line.User)
		if open[user] == nil {
			users = append(users, user)
		}
		open[user] = append(open[user], w)
	}
	for found, err := range r.Graph.MethodsOf(r.ctx, values(users)) {
		if err != nil {
			return err
		}
		for _, w := range open[found.User] {
			if err := r.compare(w, found); err != nil {
				return err
			}
		}
	}
	return nil
}

func values(list []string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, s := range list {
			if !yield(s) {
				return
			}
		}
	}
}

// compare settles a line by what the tenant has of its user.
func (r *run) compare(w *work, found graph.UserMethods) error {
	if found.Err != nil {
		if ofEveryone(found.Err) || !ofLine(found.Err) {
			return found.Err
		}
		return r.settle(0, w, Failed, found.Err)
	}
	made := r.Ledger.Attempts(func(a *Attempt) bool { return a.Line == w.id && a.Unsettled() && a.CredentialID != nil })
	for _, a := range made {
		for _, m := range found.Methods {
			if id, err := m.CredentialID(); err == nil && bytes.Equal(id, a.CredentialID) {
				return r.found(a, &m, w)
			}
		}
	}
	for _, a := range made {
		r.await(w, a)
	}
	return nil
}

// arrival is how long a passkey may be on its way to where the tenant is asked for it.
const arrival = 10 * time.Second

// await keeps a line, and the key that was made for it, until a passkey that was posted
// just before a crash would have shown itself.
func (r *run) await(w *work, a Attempt) {
	arrived := make(chan struct{})
	r.mu.Lock()
	r.arriving[a.Number], w.taken = arrived, true
	r.mu.Unlock()
	r.awaited.Go(func() {
		defer close(arrived)
		within := time.Until(a.Made.Add(min(arrival, (&Request{ReadBack: r.ReadBack}).readBack())))
		m, err := r.Graph.AwaitMethod(r.ctx, w.Line.User, graph.EncodeMethodID(a.CredentialID), within)
		switch {
		case err == nil:
			err = r.found(a, m, w)
		case errors.Is(err, graph.ErrNotFound):
			err = nil
			r.giveBack(w, nil)
		}
		if err != nil {
			r.stop(err)
		}
	})
}

// inTenant returns the passkey of an attempt, or nil.
func (r *run) inTenant(ctx context.Context, user string, a Attempt) (*graph.Method, error) {
	r.mu.Lock()
	arrived := r.arriving[a.Number]
	r.mu.Unlock()
	if arrived != nil {
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	m, err := r.Graph.Method(ctx, user, graph.EncodeMethodID(a.CredentialID))
	if errors.Is(err, graph.ErrNotFound) {
		return nil, nil
	}
	return m, err
}

// found records a passkey that the tenant has from an earlier run.
func (r *run) found(a Attempt, m *graph.Method, w *work) error {
	if err := r.Ledger.append(Entry{Event: EventRegistered, Line: a.Line, Attempt: a.Number, CredentialID: a.CredentialID, Method: m.ID}); err != nil {
		return err
	}
	if w == nil { // it is not in this list
		return nil
	}
	r.notify(Event{Kind: LineFound, Line: &w.Line})
	return r.settle(0, w, Before, nil)
}

// ofEveryone is true for errors that every other line would have, too.
func ofEveryone(err error) bool {
	return errors.Is(err, graph.ErrUnauthorized) || errors.Is(err, graph.ErrForbidden) || errors.Is(err, ErrLedger) || errors.Is(err, context.Canceled)
}

// station works on one key after another until nothing is left.
func (r *run) station(n int) error {
	for r.ctx.Err() == nil {
		left, open, changed := r.look()
		switch {
		case left > 0 && open == 0: // others are at work on the rest
			select {
			case <-changed:
			case <-r.ctx.Done():
			}
			continue
		case left == 0 && r.Ledger.Attempts((*Attempt).Unsettled) == nil:
			return nil
		}
		if left > 0 {
			r.notify(Event{Kind: KeyWanted, Station: n, Left: left})
		}
		key, err := r.next(left > 0)
		switch {
		case errors.Is(err, errChanged):
			continue
		case err != nil:
			return err
		case key == nil:
			return nil
		}
		if err := r.serve(n, key); err != nil {
			return err
		}
	}
	return nil
}

// errFailFast ends a run in which no line may fail.
var errFailFast = errors.New("the run ends with the first line that fails")

// errChanged ends the wait for a key that is not needed any more.
var errChanged = errors.New("no line is left")

// next waits for a key as long as one is needed.
func (r *run) next(wait bool) (*Plugged, error) {
	ctx, cancel := context.WithCancelCause(r.ctx)
	defer cancel(nil)
	go func() {
		for {
			left, _, changed := r.look()
			if wait && left == 0 {
				cancel(errChanged)
				return
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	key, err := r.Keys.Next(ctx, wait)
	if key == nil && r.ctx.Err() == nil && errors.Is(context.Cause(ctx), errChanged) {
		return nil, errChanged
	}
	return key, err
}
