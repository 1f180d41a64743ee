package simulator

import (
	"sync"
	"time"
)

// tapLifetime is how long after a key was laid on a reader that counts as a
// touch (CTAP 2.1, section 11.3.5).
const tapLifetime = 120 * time.Second

// A tap is that a key lies on a reader. It counts as a touch once. A nil tap is
// that of a door without a field.
type tap struct {
	mu    sync.Mutex
	since time.Time // zero: used up
}

// renew is the key being laid on the reader.
func (t *tap) renew(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.since = now
}

// take uses the tap up. It reports whether there was one.
func (t *tap) take(now time.Time) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	fresh := !t.since.IsZero() && now.Sub(t.since) <= tapLifetime
	t.since = time.Time{}
	return fresh
}
