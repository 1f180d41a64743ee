package simulator

import (
	"sync"
	"time"
)

// tapLifetime is how long after a key was laid on a reader that counts as a
// touch (CTAP 2.1, section 11.3.5).
const tapLifetime = 120 * time.Second

// A tap is that a key came to a reader. On one for NFC it counts as a touch once.
// A nil tap is that of a door without a reader.
type tap struct {
	mu    sync.Mutex
	since time.Time
	touch bool // that it counts as, and was not used yet
}

// renew is the key being laid on the reader.
func (t *tap) renew(now time.Time, touch bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since, t.touch = now, touch
}

// at is when that was; for a nil tap long ago.
func (t *tap) at() time.Time {
	if t == nil {
		return time.Time{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.since
}

// take uses the tap up. It reports whether there was one.
func (t *tap) take(now time.Time) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh := t.touch && now.Sub(t.since) <= tapLifetime
	t.touch = false
	return fresh
}
