package nfc

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	// watchSlice is how long the watcher waits for PC/SC at a time. Between two
	// slices it sees new readers, new subscribers, and that there are none left.
	watchSlice = 100 * time.Millisecond
	// statesAtOnce is how many readers GetStatusChange takes with libpcsclite.
	statesAtOnce = 16
)

// A service is the system's smart-card service. At most one goroutine of the
// process asks it for changes, the watcher, and all others ask that: of two at once
// on the same reader one may read memory that is free (ebfe/scard on Unix).
type service struct {
	establish func() (pcscContext, error)

	mu          sync.Mutex
	watching    bool // the watcher runs, which it does while there are subscribers
	subscribers map[*subscriber]bool
	wake        chan struct{}
}

var system = newService(establish)

func newService(establish func() (pcscContext, error)) *service {
	return &service{establish: establish, subscribers: map[*subscriber]bool{}, wake: make(chan struct{}, 1)}
}

// A view is what one look at the readers has shown.
type view struct {
	readers []ReaderInfo
	err     error
}

func (v view) equal(other view) bool {
	if v.err != nil || other.err != nil {
		return v.err != nil && other.err != nil && v.err.Error() == other.err.Error()
	}
	return reflect.DeepEqual(v.readers, other.readers)
}

type subscriber struct {
	latest chan view // has room for one
	once   bool      // leaves after the first view
	due    bool      // there before the look began
	served bool
}

// watch calls f with what is there, and again after each change, until f reports
// that it is done or ctx ends.
func (s *service) watch(ctx context.Context, f func([]ReaderInfo, error) (done bool)) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	sub := &subscriber{latest: make(chan view, 1)}
	s.subscribe(sub)
	defer s.unsubscribe(sub)
	for {
		select {
		case v := <-sub.latest:
			if f(slices.Clone(v.readers), v.err) {
				return nil
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *service) subscribe(sub *subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subscribers[sub] = true
	if !s.watching {
		s.watching = true
		go s.run()
	}
	s.poke()
}

func (s *service) unsubscribe(sub *subscriber) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subscribers, sub)
	s.poke()
}

// poke ends a pause of the watcher, but not a wait within PC/SC.
func (s *service) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run is the watcher.
func (s *service) run() {
	w := watcher{establish: s.establish}
	defer w.drop()
	var last view
	for {
		timeout, more := s.beginLook()
		if !more {
			return
		}
		v := w.look(timeout)
		s.publish(v, !v.equal(last))
		last = v
		if timeout > 0 && !w.waited {
			select {
			case <-s.wake:
			case <-time.After(timeout):
			}
		}
	}
}

// beginLook reports whether there is anybody left to look for, and how long to wait
// for a change: not at all while somebody has seen nothing yet.
func (s *service) beginLook() (timeout time.Duration, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.wake: // whoever poked is seen below
	default:
	}
	timeout = watchSlice
	for sub := range s.subscribers {
		sub.due = true
		if !sub.served {
			timeout = 0
		}
	}
	s.watching = len(s.subscribers) > 0
	return timeout, s.watching
}

// publish hands a view to those for whom it is news. One who has not taken the last
// view yet gets this one instead.
func (s *service) publish(v view, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.subscribers {
		// Who came during the look is served by the next one.
		if !sub.due || sub.served && !changed {
			continue
		}
		sub.served = true
		select {
		case <-sub.latest:
		default:
		}
		sub.latest <- v
		if sub.once { // and nobody waits for more on its account
			delete(s.subscribers, sub)
		}
	}
}

// A watcher is what its goroutine has.
type watcher struct {
	establish func() (pcscContext, error)
	context   pcscContext // nil: none yet, or the last one is dead
	states    []readerState
	waited    bool // the last look waited within PC/SC
}

// look returns the readers after a change, or as they are when the time is up.
func (w *watcher) look(timeout time.Duration) view {
	w.waited = false
	err := w.update(timeout)
	var code pcscError
	switch {
	case err == nil:
	case errors.As(err, &code) && (code == pcscNoReaders || noServiceNeeded(code)):
		w.states = nil
		if code != pcscNoReaders {
			w.drop()
		}
	default:
		w.drop()
		return view{err: explain(err)}
	}
	v := view{readers: []ReaderInfo{}}
	for _, s := range w.states {
		v.readers = append(v.readers, s.info())
	}
	return v
}

// noServiceNeeded: Windows runs the service only while there are readers.
func noServiceNeeded(code pcscError) bool {
	return runtime.GOOS == "windows" && (code == pcscNoService || code == pcscServiceStopped)
}

func (w *watcher) update(timeout time.Duration) error {
	if w.context == nil {
		c, err := w.establish()
		if err != nil {
			return err
		}
		w.context = c
	}
	names, err := w.context.ListReaders()
	if err != nil {
		return err
	}
	states := make([]readerState, len(names))
	for i, name := range names {
		states[i].Reader = name
		for _, known := range w.states {
			if known.Reader == name {
				states[i] = known
			}
		}
	}
	w.states = states
	if len(states) == 0 {
		return nil
	}
	w.waited = true
	chunks := (len(states) + statesAtOnce - 1) / statesAtOnce
	for chunk := range slices.Chunk(states, statesAtOnce) {
		if err := w.ask(chunk, timeout/time.Duration(chunks)); err != nil {
			return err
		}
	}
	return nil
}

// ask waits for a change at some readers. A reader that left after they were listed
// is missed by the next list.
func (w *watcher) ask(states []readerState, timeout time.Duration) error {
	asked := slices.Clone(states)
	var code pcscError
	err := w.context.GetStatusChange(asked, timeout)
	if errors.As(err, &code) && (code == pcscTimeout || code == pcscUnknownReader) {
		w.waited = w.waited && code == pcscTimeout
		return nil
	}
	if err != nil {
		return err
	}
	for i, s := range asked {
		states[i].Event, states[i].ATR = s.Event, s.ATR
		states[i].Current = s.Event &^ stateChanged
	}
	return nil
}

// drop gives the context up. After a restart of the service it is dead for good.
func (w *watcher) drop() {
	if w.context != nil {
		_ = w.context.Release()
	}
	w.context, w.states = nil, nil
}

func (s readerState) info() ReaderInfo {
	r := ReaderInfo{
		Name:      s.Reader,
		Present:   s.Event&statePresent != 0,
		Mute:      s.Event&stateMute != 0,
		Busy:      s.Event&stateExclusive != 0,
		Changes:   uint16(s.Event >> 16),
		Pretender: pretender(s.Reader),
	}
	if r.Present {
		r.ATR = s.ATR
	}
	r.Transport = cardTransport(r.Name, r.ATR)
	return r
}

// present returns how a reader is now.
func (s *service) reader(ctx context.Context, name string) (ReaderInfo, error) {
	readers, err := s.readers(ctx)
	if err != nil {
		return ReaderInfo{}, err
	}
	i := slices.IndexFunc(readers, func(r ReaderInfo) bool { return r.Name == name })
	if i < 0 {
		return ReaderInfo{}, ErrNoReader
	}
	return readers[i], nil
}
