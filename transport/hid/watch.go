package hid

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/fidokey/fidokey/transport"
)

// Watch calls f with the keys that are plugged in, and again whenever that has
// changed, until ctx ends, whose error it returns. A key that comes may not be
// ready to be opened yet. While the list cannot be read, f gets an error. A backend
// that cannot tell what is plugged in ends Watch with one that wraps
// transport.ErrUnsupported.
func Watch(ctx context.Context, backend Backend, f func([]Info, error)) error {
	return watch(ctx, func() ([]Info, error) { return Devices(backend) }, f)
}

func watch(ctx context.Context, devices func() ([]Info, error), f func([]Info, error)) error {
	var last []Info
	var failed error
	for first := true; ctx.Err() == nil; first = false {
		now, err := devices()
		if errors.Is(err, transport.ErrUnsupported) {
			return err
		}
		slices.SortFunc(now, func(a, b Info) int { return strings.Compare(a.Path, b.Path) })
		if first || !slices.Equal(now, last) || (err == nil) != (failed == nil) {
			f(slices.Clone(now), err)
		}
		last, failed = now, err
		select {
		case <-time.After(slotInterval):
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}
