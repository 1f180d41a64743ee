package virtualtime

import (
	"sync"
	"testing"
	"time"
)

// TestRun waits for days in no time, twice, and passes on what it finds.
func TestRun(t *testing.T) {
	found := make(chan time.Duration, 1)
	for range 2 {
		real := time.Now()
		Run(func() {
			start := time.Now()
			var all sync.WaitGroup
			all.Go(func() { time.Sleep(48 * time.Hour) })
			all.Wait()
			found <- time.Since(start)
		})
		if d := <-found; d != 48*time.Hour {
			t.Errorf("two days took %v of virtual time", d)
		}
		if time.Since(real) > 24*time.Hour {
			t.Error("and as long in truth")
		}
	}
}
