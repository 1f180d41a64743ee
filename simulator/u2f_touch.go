package simulator

import (
	"context"
	"time"

	"github.com/fidokey/fidokey/ctap2"
)

const (
	// u2fPatience is how long a U2F command waits for a touch, in real time like
	// all that a host waits for: long enough for a person who needs no time, too
	// short for a keepalive.
	u2fPatience = 50 * time.Millisecond
	// u2fTouchLifetime is how long after a touch a platform may come for it.
	u2fTouchLifetime = 10 * time.Second
)

// u2fRequest tells what a touch was asked for.
type u2fRequest struct {
	command     ctap2.Command
	application rpIDHash
	finger      bool // it must be one that the key knows
}

// A polledTouch is a touch that U2F commands have asked for. The key goes on
// blinking between them, and keeps the answer until the next one.
type polledTouch struct {
	request u2fRequest
	ctx     context.Context
	cancel  context.CancelFunc
	done    chan struct{} // closed when the person has answered
	answer  Presence
	sample  Sample // in place of answer, for a finger
	at      time.Time
	late    bool // the answer came when nobody waited any more
}

// pollTouch reports whether a request has been touched for; the touch serves one
// request only. Otherwise the key blinks from now on, for it and no other.
func (a *Authenticator) pollTouch(ctx context.Context, request u2fRequest) bool {
	if request.finger && a.uvRetries() == 0 {
		return false
	}
	t := a.polled
	if t == nil || t.request != request || t.ctx.Err() != nil {
		a.dropTouch()
		t = a.startTouch(request)
	}
	patience := time.NewTimer(u2fPatience)
	defer patience.Stop()
	select {
	case <-t.done:
	case <-patience.C:
		return false
	case <-ctx.Done():
		return false
	}
	a.dropTouch()
	if !request.finger {
		a.counters.touch(t.answer)
	}
	switch {
	case a.config.Clock.Now().Sub(t.at) > u2fTouchLifetime || t.late:
		return false
	case request.finger && t.sample.Quality != SampleNoActivity:
		matched, err := a.matchFinger(t.sample)
		return matched && err == nil
	}
	return t.answer == PresenceTouched || t.answer == PresenceLongTouch
}

// startTouch lets the key blink.
func (a *Authenticator) startTouch(request u2fRequest) *polledTouch {
	ctx, cancel := context.WithCancel(context.Background())
	t := &polledTouch{request: request, ctx: ctx, cancel: cancel, done: make(chan struct{})}
	stop := a.config.Clock.AfterFunc(touchTimeLimit, cancel)
	go func() {
		defer stop()
		defer close(t.done)
		if request.finger {
			t.sample = a.config.Finger(ctx, FingerRequest{Command: request.command, U2F: true})
		} else {
			t.answer = a.config.Presence(ctx, PresenceRequest{Command: request.command, U2F: true})
		}
		t.at = a.config.Clock.Now()
		t.late = ctx.Err() != nil
	}()
	a.setPolled(t)
	return t
}

// dropTouch ends the blinking for U2F, and forgets a touch nobody came for.
func (a *Authenticator) dropTouch() {
	if t := a.polled; t != nil {
		a.setPolled(nil)
		t.cancel()
		<-t.done
	}
}

// setPolled is how the command at work changes polled, which PowerCycle reads.
func (a *Authenticator) setPolled(t *polledTouch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.polled = t
}
