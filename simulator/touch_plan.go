package simulator

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// DefaultTouchDelay leaves the time in which one keepalive is seen.
	DefaultTouchDelay = 150 * time.Millisecond
	// longTouch is how long a finger must stay where that is asked for.
	longTouch = 5 * time.Second
)

// A Touch is what a person does when the key blinks.
type Touch struct {
	Action TouchAction
	After  time.Duration // until the person does it, on the clock
}

// A TouchAction is one of the constants.
type TouchAction string

const (
	TouchKey     TouchAction = "touch"
	TouchLong    TouchAction = "long"    // a finger that stays for five seconds
	TouchDecline TouchAction = "decline" // refuse, as a key with a second button allows
	TouchNever   TouchAction = "never"   // leave the key alone
	TouchAsk     TouchAction = "ask"     // wait for TouchPlan.Answer
)

// ParseTouch reads "auto", which is a touch after [DefaultTouchDelay], a delay in
// milliseconds, or a [TouchAction].
func ParseTouch(s string) (Touch, error) {
	switch action := TouchAction(s); action {
	case "auto", TouchKey:
		return Touch{Action: TouchKey, After: DefaultTouchDelay}, nil
	case TouchLong, TouchNever, TouchAsk:
		return Touch{Action: action}, nil
	case TouchDecline:
		return Touch{Action: action, After: DefaultTouchDelay}, nil
	}
	ms, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return Touch{}, fmt.Errorf("touch %q: must be auto, never, decline, long, ask, or a time in milliseconds", s)
	}
	return Touch{Action: TouchKey, After: time.Duration(ms) * time.Millisecond}, nil
}

// String returns what [ParseTouch] takes for the same touch, or near it.
func (t Touch) String() string {
	if t.Action == TouchKey {
		return strconv.FormatInt(t.After.Milliseconds(), 10)
	}
	return string(t.Action)
}

// MarshalText returns String.
func (t Touch) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText reads what [ParseTouch] takes.
func (t *Touch) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTouch(string(text))
	return err
}

// A TouchPlan says what the person in front of the key does, request by request.
type TouchPlan struct {
	clock Clock

	mu      sync.Mutex
	usual   Touch
	next    []Touch
	waiting []*touchWait
}

// A touchWait is a request that nobody has answered yet.
type touchWait struct {
	request PresenceRequest
	usual   bool // under the usual plan, and so ruled by a change of it
	answer  chan Presence
	stop    func() // the timer of the answer that is planned
}

// NewTouchPlan returns a plan of one usual touch. Its Presence is for
// [Config.Presence]; the clock should be the key's.
func NewTouchPlan(clock Clock, usual Touch) *TouchPlan {
	return &TouchPlan{clock: clock, usual: usual}
}

// Set changes what usually happens, also for a request that waits already.
func (p *TouchPlan) Set(usual Touch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.usual = usual
	for _, w := range slices.Clone(p.waiting) {
		if w.usual {
			w.stop()
			w.stop = p.perform(w, usual)
		}
	}
}

// Usual returns what usually happens.
func (p *TouchPlan) Usual() Touch {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.usual
}

// Next plans the next requests one by one, after those planned before; past the
// end of the list the usual touch is back. A request that waits for good takes
// the first one.
func (p *TouchPlan) Next(touches ...Touch) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = append(p.next, touches...)
	for _, w := range slices.Clone(p.waiting) {
		if !w.usual || len(p.next) == 0 || p.usual.Action != TouchNever && p.usual.Action != TouchAsk {
			continue
		}
		w.usual = false
		w.stop = p.perform(w, p.take())
	}
}

// Answer answers the request that waits for the longest, and reports whether
// there was one.
func (p *TouchPlan) Answer(presence Presence) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 {
		return false
	}
	w := p.waiting[0]
	p.waiting = p.waiting[1:]
	w.answer <- presence
	return true
}

// Waiting returns the requests that nobody has answered yet.
func (p *TouchPlan) Waiting() []PresenceRequest {
	p.mu.Lock()
	defer p.mu.Unlock()
	var requests []PresenceRequest
	for _, w := range p.waiting {
		requests = append(requests, w.request)
	}
	return requests
}

// Presence is the person: see [Config.Presence].
func (p *TouchPlan) Presence(ctx context.Context, r PresenceRequest) Presence {
	w := p.begin(r)
	defer p.end(w)
	select {
	case answer := <-w.answer:
		return answer
	case <-ctx.Done():
		return PresenceNone
	}
}

func (p *TouchPlan) begin(r PresenceRequest) *touchWait {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &touchWait{request: r, usual: len(p.next) == 0, answer: make(chan Presence, 1)}
	p.waiting = append(p.waiting, w)
	w.stop = p.perform(w, p.take())
	return w
}

func (p *TouchPlan) end(w *touchWait) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.stop()
	p.drop(w)
}

// drop takes a request from those that wait, and reports whether it was there.
func (p *TouchPlan) drop(w *touchWait) bool {
	i := slices.Index(p.waiting, w)
	if i < 0 {
		return false
	}
	p.waiting = slices.Delete(p.waiting, i, i+1)
	return true
}

// take returns the touch for one request.
func (p *TouchPlan) take() Touch {
	if len(p.next) == 0 {
		return p.usual
	}
	t := p.next[0]
	p.next = p.next[1:]
	return t
}

// perform has a request answered when it is time; stop prevents that.
func (p *TouchPlan) perform(w *touchWait, t Touch) (stop func()) {
	answer, after := PresenceTouched, t.After
	switch t.Action {
	case TouchNever, TouchAsk:
		return func() {}
	case TouchDecline:
		answer = PresenceDeclined
	case TouchLong:
		answer, after = PresenceLongTouch, after+longTouch
	}
	if after <= 0 {
		if p.drop(w) {
			w.answer <- answer
		}
		return func() {}
	}
	return p.clock.AfterFunc(after, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.drop(w) {
			w.answer <- answer
		}
	})
}
