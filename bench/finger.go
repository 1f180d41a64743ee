package bench

import (
	"context"
	"sync"
	"time"

	"github.com/fidokey/fidokey/conformance"
)

// A finger touches a key when it blinks.
type finger struct {
	place *Place

	mu      sync.Mutex
	mode    conformance.Touch
	press   *press // that is under way
	touches int
	used    bool  // the driver was told something
	failed  error // the last error of the driver
}

// A press is a finger on the key.
type press struct {
	lift  context.CancelFunc // before its time
	ended chan struct{}
}

// set changes how the finger behaves. It is off the key when set returns.
func (f *finger) set(mode conformance.Touch) {
	f.lift()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mode = mode
	if p, ok := f.place.Touch.Switch.(*person); ok && (mode == conformance.TouchNever || mode == conformance.TouchDecline) {
		p.say("Do not touch the key %s until you are told to.", f.place.Name)
	}
}

// blink is called whenever the key asks for a touch.
func (f *finger) blink() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.place.Touch.Switch == nil || f.press != nil {
		return
	}
	times := f.place.bench.Times
	touch, hold := f.on, times.Touch
	switch f.mode {
	case conformance.TouchNever:
		return
	case conformance.TouchDecline:
		d, ok := f.place.Touch.Switch.(decliner)
		if !ok {
			return // a key without a second button
		}
		touch, hold = d.setDecline, max(hold, time.Second)
	case conformance.TouchOnce:
		f.mode = conformance.TouchNever
	case conformance.TouchLong:
		touch, hold = f.long, times.LongTouch
	}
	f.begin(touch, hold)
}

// begin puts the finger on the key for a time. f.mu is held.
func (f *finger) begin(touch func(context.Context) error, hold time.Duration) *press {
	ctx, lift := context.WithCancel(context.Background())
	p := &press{lift: lift, ended: make(chan struct{})}
	f.press = p
	f.touches++
	f.used = true
	go func() {
		defer close(p.ended)
		defer lift()
		err := touch(context.Background())
		select {
		case <-time.After(hold):
		case <-ctx.Done():
		}
		if off := f.place.Touch.Set(context.Background(), false); err == nil {
			err = off
		}
		time.Sleep(f.place.bench.Times.TouchGap)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.press = nil
		if err != nil {
			f.failed = err
		}
	}()
	return p
}

func (f *finger) on(ctx context.Context) error { return f.place.Touch.Set(ctx, true) }

func (f *finger) long(ctx context.Context) error {
	if l, ok := f.place.Touch.Switch.(longToucher); ok {
		return l.setLong(ctx)
	}
	return f.on(ctx)
}

// answered is called when the key has done what it blinked for: the finger leaves.
func (f *finger) answered() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.press != nil {
		f.press.lift()
	}
}

// lift takes the finger off the key, and waits until it is.
func (f *finger) lift() {
	f.mu.Lock()
	p := f.press
	f.mu.Unlock()
	if p != nil {
		p.lift()
		<-p.ended
	}
}

// rest takes the finger off the key, whoever put it there: keys with a pad take
// what they feel when they get power for nothing.
func (f *finger) rest(ctx context.Context) error {
	f.lift()
	if f.place.Touch.Switch == nil {
		return nil
	}
	f.setUsed()
	return f.place.Touch.Set(ctx, false)
}

func (f *finger) setUsed() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used = true
}

func (f *finger) isUsed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.used
}

// err is what the driver said since the last call.
func (f *finger) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := f.failed
	f.failed = nil
	return err
}

// TouchNow touches the key, whether it blinks or not, and returns when the finger is
// off again.
func (p *Place) TouchNow(ctx context.Context, hold time.Duration, long bool) error {
	if p.Touch.Switch == nil {
		return p.noDriver("touch")
	}
	if err := p.finger.rest(ctx); err != nil {
		return err
	}
	select {
	case <-time.After(p.bench.Times.TouchGap):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	touch, usual := p.finger.on, p.bench.Times.Touch
	if long {
		touch, usual = p.finger.long, p.bench.Times.LongTouch
	}
	if hold == 0 {
		hold = usual
	}
	p.finger.mu.Lock()
	press := p.finger.begin(touch, hold)
	p.finger.mu.Unlock()
	select {
	case <-press.ended:
	case <-ctx.Done():
		p.finger.lift()
		return context.Cause(ctx)
	}
	return p.finger.err()
}
