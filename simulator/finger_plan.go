package simulator

import (
	"context"
	"sync"
	"time"
)

// A FingerPlan says whose finger lies on the sensor, sample by sample. Its
// Finger is for [Config.Finger].
type FingerPlan struct {
	clock Clock
	after time.Duration

	mu      sync.Mutex
	usual   *Sample // nil: nobody's
	next    []Sample
	changed chan struct{} // closed when one of them changes
}

// NewFingerPlan returns a plan of nobody's finger. Samples come after a time on
// the clock, which should be the key's.
func NewFingerPlan(clock Clock, after time.Duration) *FingerPlan {
	return &FingerPlan{clock: clock, after: after, changed: make(chan struct{})}
}

// Set changes whose finger usually comes, also for a request that waits; nil is
// nobody's.
func (p *FingerPlan) Set(usual *Sample) {
	p.change(func() { p.usual = usual })
}

// Next plans the next samples one by one; past the end of the list the usual
// finger is back.
func (p *FingerPlan) Next(samples ...Sample) {
	p.change(func() { p.next = append(p.next, samples...) })
}

func (p *FingerPlan) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Finger is the person: see [Config.Finger].
func (p *FingerPlan) Finger(ctx context.Context, _ FingerRequest) Sample {
	arrived := make(chan struct{})
	stop := p.clock.AfterFunc(p.after, func() { close(arrived) })
	defer stop()
	select {
	case <-arrived:
	case <-ctx.Done():
		return Sample{Quality: SampleNoActivity}
	}
	for {
		sample, changed := p.take()
		if sample != nil {
			return *sample
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return Sample{Quality: SampleNoActivity}
		}
	}
}

// take returns the sample for one request, nil while there is none.
func (p *FingerPlan) take() (sample *Sample, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.next) > 0 {
		sample = &p.next[0]
		p.next = p.next[1:]
		return sample, p.changed
	}
	return p.usual, p.changed
}
