package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fidokey/fidokey/ctap2"
)

// silentTimeout is how long a key may take for what asks nothing of the person.
const silentTimeout = 5 * time.Second

// SelectByTouch asks for a touch on all keys at once, as [Key.Select] does, and
// returns the one that was touched first. The others are cancelled; they and the
// one that was touched can be used at once. A key that fails or never answers
// holds up none of the others. If none is touched, the error joins those of all
// keys.
//
// Prompt.Touch of every key is called, from other goroutines, but not from two at
// a time and not after the return.
func SelectByTouch(ctx context.Context, keys []*Key) (*Key, error) {
	return first(ctx, keys, func(ctx context.Context, k *Key) error { return k.Select(ctx) })
}

// SelectByCredential returns the key that has one of the credentials for an RP ID:
// the one that answers first if there are several. It asks nobody for a touch or a
// PIN. So a key that hides the credential without a PIN (credProtect) is not
// chosen, nor one that tells nothing without, as some with alwaysUv do. If no key
// is found the error joins those of all keys; it is ctap2.ErrNoCredentials for
// those that answered.
func SelectByCredential(ctx context.Context, keys []*Key, rpID string, credentials []ctap2.Descriptor) (*Key, error) {
	return first(ctx, keys, func(ctx context.Context, k *Key) error {
		k.options.Timeout = min(k.options.Timeout, silentTimeout)
		_, err := k.probe(ctx, rpID, credentials)
		return err
	})
}

// first runs try on all keys at once and returns the key that is the first
// without an error. It does not wait for the others: they are cancelled, and a
// command that follows on one of them waits until its device is done with that.
// So that nothing else is shared, each try has a Key of its own.
func first(ctx context.Context, keys []*Key, try func(context.Context, *Key) error) (*Key, error) {
	if len(keys) == 0 {
		return nil, errors.New("there is no key to select")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var stage oneAtATime
	defer stage.end()

	type result struct {
		n      int
		double *Key
		err    error
	}
	results := make(chan result, len(keys))
	for n, k := range keys {
		double := k.double(&stage)
		go func() { results <- result{n, double, try(ctx, double)} }()
	}
	errs := make([]error, len(keys))
	for range keys {
		select {
		case r := <-results:
			if r.err == nil {
				keys[r.n].info = r.double.info
				return keys[r.n], nil
			}
			errs[r.n] = fmt.Errorf("key %d: %w", r.n+1, r.err)
		case <-ctx.Done():
			return nil, ended(ctx)
		}
	}
	return nil, errors.Join(errs...)
}

// double returns a Key on the same device whose state is its own, and which
// reaches the person by way of the stage.
func (k *Key) double(stage *oneAtATime) *Key {
	o := k.options
	o.Trace = nil // the device has it
	o.Slot = nil  // the device is not ours to close
	if touch := o.Prompt.Touch; touch != nil {
		o.Prompt.Touch = func(t Touch) { stage.do(func() { touch(t) }) }
	}
	if processing := o.Prompt.Processing; processing != nil {
		o.Prompt.Processing = func(c ctap2.Command) { stage.do(func() { processing(c) }) }
	}
	if findings := o.Findings; findings != nil {
		o.Findings = func(f ctap2.Finding) { stage.do(func() { findings(f) }) }
	}
	double := New(k.dev.Device, o)
	double.info, double.dev.deaf = k.info, k.dev.deaf
	return double
}

// oneAtATime runs functions one after the other, until its end.
type oneAtATime struct {
	mu   sync.Mutex
	over bool
}

func (s *oneAtATime) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		f()
	}
}

func (s *oneAtATime) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}
