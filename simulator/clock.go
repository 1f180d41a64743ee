package simulator

import (
	"slices"
	"sync"
	"time"
)

// A VirtualClock is a [Clock] that can be moved forward.
type VirtualClock struct {
	mu     sync.Mutex
	runs   bool
	at     time.Time     // of a clock that stands still
	offset time.Duration // of one that runs
	timers []*virtualTimer
}

type virtualTimer struct {
	at   time.Time
	f    func()
	real *time.Timer // nil on a clock that stands still
}

// NewVirtualClock returns a clock that shows the system's time, and goes on
// from where Advance has put it.
func NewVirtualClock() *VirtualClock { return &VirtualClock{runs: true} }

// NewManualClock returns a clock that only Advance moves.
func NewManualClock(start time.Time) *VirtualClock { return &VirtualClock{at: start} }

// Now returns the time on the clock.
func (c *VirtualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *VirtualClock) now() time.Time {
	if c.runs {
		return time.Now().Add(c.offset)
	}
	return c.at
}

// AfterFunc calls f when d has passed on the clock: in the goroutine that calls
// Advance, or else in one of its own.
func (c *VirtualClock) AfterFunc(d time.Duration, f func()) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &virtualTimer{at: c.now().Add(d), f: f}
	c.timers = append(c.timers, t)
	if c.runs {
		t.real = time.AfterFunc(d, func() {
			if c.remove(t) {
				f()
			}
		})
	}
	return func() { c.remove(t) }
}

// remove takes a timer away and reports whether it was still there.
func (c *VirtualClock) remove(t *virtualTimer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.Index(c.timers, t)
	if i < 0 {
		return false
	}
	c.timers = slices.Delete(c.timers, i, i+1)
	if t.real != nil {
		t.real.Stop()
	}
	return true
}

// Advance moves the clock forward by d and calls what is due, in the order in
// which it is due, before it returns.
func (c *VirtualClock) Advance(d time.Duration) {
	c.mu.Lock()
	until := c.now().Add(d)
	c.mu.Unlock()
	for {
		t := c.next(until)
		if t == nil {
			return
		}
		t.f()
	}
}

// next moves the clock to the first timer that is due until then, takes it away
// and returns it; without one it moves to the end and returns nil.
func (c *VirtualClock) next(until time.Time) *virtualTimer {
	c.mu.Lock()
	defer c.mu.Unlock()
	var first *virtualTimer
	for _, t := range c.timers {
		if !t.at.After(until) && (first == nil || t.at.Before(first.at)) {
			first = t
		}
	}
	if first == nil {
		c.moveTo(until)
		return nil
	}
	c.moveTo(first.at)
	c.timers = slices.DeleteFunc(c.timers, func(t *virtualTimer) bool { return t == first })
	if first.real != nil {
		first.real.Stop()
	}
	return first
}

// moveTo sets the clock, never back, and with it the real timers.
func (c *VirtualClock) moveTo(to time.Time) {
	now := c.now()
	if !to.After(now) {
		return
	}
	if !c.runs {
		c.at = to
		return
	}
	c.offset += to.Sub(now)
	for _, t := range c.timers {
		t.real.Reset(t.at.Sub(to))
	}
}
