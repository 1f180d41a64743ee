package enrol

import (
	"context"
	"fmt"
)

// work is a line in a run.
type work struct {
	Outcome
	id    string
	taken bool
	tries int
}

func (w *work) open() bool { return w.Status == Waiting && !w.taken }

// settle ends the work on a line.
func (r *run) settle(station int, w *work, s Status, err error) error {
	r.mu.Lock()
	w.Status, w.Err, w.taken = s, err, false
	w.Attempt = r.Ledger.Registered(w.id)
	left := r.left()
	r.tell()
	r.mu.Unlock()
	if s != Failed {
		return nil
	}
	r.notify(Event{Kind: LineFailed, Station: station, Line: &w.Line, Err: err, Left: left})
	if r.FailFast {
		return errFailFast
	}
	return nil
}

// giveBack lets another key try a line.
func (r *run) giveBack(w *work, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w.taken, w.Err = false, err
	r.tell()
}

// tell wakes who waits for a line.
func (r *run) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// left counts the lines that are not settled.
func (r *run) left() (n int) {
	for _, w := range r.works {
		if w.Status == Waiting {
			n++
		}
	}
	return n
}

// free returns the work on a line that no station has, or nil.
func (r *run) free(id string) *work {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.works {
		if w.id == id && w.open() {
			return w
		}
	}
	return nil
}

func (r *run) look() (left, open int, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.works {
		if w.open() {
			open++
		}
	}
	return r.left(), open, r.changed
}

// take gives a key its line. It waits while others are at work on one that may come back.
func (r *run) take(serial, aaguid string, before []Attempt) (*work, error) {
	for {
		r.mu.Lock()
		w, wait, err := r.choose(serial, aaguid, before)
		if w != nil {
			w.taken = true
		}
		changed := r.changed
		r.mu.Unlock()
		if !wait {
			return w, err
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return nil, context.Cause(r.ctx)
		}
	}
}

// choose returns the line that names the key; else the one that the key was at work on
// before, one for its model, or any; of those the one that was tried the least.
func (r *run) choose(serial, aaguid string, before []Attempt) (best *work, wait bool, err error) {
	rank, open := 0, false
	for _, w := range r.works {
		open = open || w.open()
		n := 1
		switch {
		case !w.Line.fits(serial, aaguid):
			continue
		case w.Line.Serial != "":
			n = 4
		case belongs(before, w.id):
			n = 3
		case w.Line.AAGUID != "":
			n = 2
		}
		switch {
		case w.taken && n == 4: // nobody else's
			return nil, true, nil
		case w.taken:
			wait = true
		case w.open() && (n > rank || n == rank && w.tries < best.tries):
			best, rank = w, n
		case !w.open() && n == 4:
			return nil, false, fmt.Errorf("%w: that of %s is over", ErrNoLine, w.Line.User)
		}
	}
	switch {
	case best != nil || wait:
		return best, best == nil, nil
	case open:
		return nil, false, ErrNoLine
	}
	return nil, false, ErrNotNeeded
}

func belongs(attempts []Attempt, line string) bool {
	for _, a := range attempts {
		if a.Line == line {
			return true
		}
	}
	return false
}
