package transport

import (
	"context"
	"errors"
	"time"
)

// A Turn lets the calls of a [Device] run one at a time. Devices hold one; it is
// made by [NewTurn].
type Turn chan struct{}

// NewTurn returns a Turn that nobody has.
func NewTurn() Turn { return make(Turn, 1) }

// Take waits for the end of other calls. It returns ctx with a deadline, timeout
// from now if it had none, and the end of our turn. If ctx ends first, the error
// is an [EndedError].
func (t Turn) Take(ctx context.Context, timeout time.Duration) (_ context.Context, release func(), err error) {
	cancel := func() {}
	if _, ok := ctx.Deadline(); !ok {
		ctx, cancel = context.WithTimeout(ctx, timeout)
	}
	select {
	case t <- struct{}{}:
		release = func() { <-t; cancel() }
	case <-ctx.Done():
		release = cancel
	}
	if ctx.Err() != nil {
		defer release()
		return nil, nil, NotDone(Ended(ctx, "not sent", nil))
	}
	return ctx, release, nil
}

// Wait is Take without an end, for Close.
func (t Turn) Wait() (release func()) {
	t <- struct{}{}
	return func() { <-t }
}

// An EndedError says that a context ended a call, and what the authenticator did
// last. It is context.Canceled or context.DeadlineExceeded, and the context's
// cause.
type EndedError struct {
	Seen  string // as in "no answer"
	Err   error  // of the context
	Cause error  // of the context; often Err
	Below error  // what the layer below said meanwhile; may be nil
}

// Ended returns the error of a call that ctx ended. below is the error of the
// layer below, if there was one.
func Ended(ctx context.Context, seen string, below error) error {
	e := &EndedError{Seen: seen, Err: ctx.Err(), Cause: context.Cause(ctx)}
	if !errors.Is(below, e.Err) {
		e.Below = below // else it says the same
	}
	return e
}

func (e *EndedError) Error() string {
	s := e.Seen + ": " + e.Cause.Error()
	if e.Below != nil {
		s += ": " + e.Below.Error()
	}
	return s
}

// Unwrap returns the errors that this one is.
func (e *EndedError) Unwrap() []error {
	if e.Below == nil {
		return []error{e.Err, e.Cause}
	}
	return []error{e.Err, e.Cause, e.Below}
}
