package hid

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fidokey/fidokey/transport"
)

const (
	slotInterval = 100 * time.Millisecond // between two looks at what is plugged in
	// settleTime is how long a key that was plugged in may take until it can be
	// opened: it starts, udev gives the user rights to it, and other programs
	// look at it first.
	settleTime = 5 * time.Second
)

// A Slot waits until a person has unplugged one key and plugged it in again. The
// key is told by what it says of itself when it is not open: two of the same
// model without serial numbers look alike, and it is for the caller to compare
// more once the key is open.
type Slot struct {
	key    Info
	others []Info // keys that stayed when ours was unplugged
	gone   bool   // one of them that looks like ours left too

	devices func() ([]Info, error)
	open    func(path string) (Port, error)
}

// NewSlot returns a Slot for a key that is plugged in.
func NewSlot(backend Backend, key Info) *Slot {
	return &Slot{
		key:     key,
		devices: func() ([]Info, error) { return Devices(backend) },
		open:    func(path string) (Port, error) { return OpenPath(backend, path) },
	}
}

// Removed returns once the key is not there any more, or with an error when ctx
// ends.
func (s *Slot) Removed(ctx context.Context) error {
	return s.watch(ctx, "the key is still plugged in", func(present []Info) (bool, error) {
		s.others = present
		return !slices.Contains(present, s.key), nil
	})
}

// Inserted waits until the key is plugged in again, at any place, and opens it.
// Keys that were there before, and keys of another kind, are left alone. If there
// is a choice of several, that is an error.
func (s *Slot) Inserted(ctx context.Context) (transport.Device, error) {
	var dev *Device
	var since time.Time // our key is there
	err := s.watch(ctx, "the key is not plugged in", func(present []Info) (bool, error) {
		path, err := s.newcomer(present)
		if path == "" || err != nil {
			since = time.Time{}
			return false, err
		}
		if since.IsZero() {
			since = time.Now()
		}
		dev, err = s.try(ctx, path, since.Add(settleTime))
		if err != nil && time.Since(since) < settleTime && ctx.Err() == nil {
			return false, nil // it may have been too early
		}
		return err == nil, err
	})
	if err != nil {
		return nil, err
	}
	return dev, nil
}

// newcomer returns the path of the key that may be ours, if one came.
func (s *Slot) newcomer(present []Info) (path string, err error) {
	s.others = slices.DeleteFunc(s.others, func(i Info) bool {
		left := !slices.Contains(present, i) // and its path is free for others
		s.gone = s.gone || left && s.looksLikeOurs(i)
		return left
	})
	for _, i := range present {
		if !s.looksLikeOurs(i) || slices.Contains(s.others, i) {
			continue
		}
		if path != "" || s.gone {
			return "", fmt.Errorf("which one is the key that was unplugged? %s looks like another one of the same kind", i.Path)
		}
		path = i.Path
	}
	return path, nil
}

func (s *Slot) looksLikeOurs(i Info) bool {
	i.Path = s.key.Path
	return i == s.key
}

// try opens a key that may just have been plugged in.
func (s *Slot) try(ctx context.Context, path string, until time.Time) (*Device, error) {
	port, err := s.open(path)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithDeadline(ctx, until)
	defer stop()
	return Open(ctx, port)
}

// watch looks at what is plugged in, again and again, until there is a result.
// seen is how things stand if ctx ends.
func (s *Slot) watch(ctx context.Context, seen string, look func(present []Info) (done bool, err error)) error {
	var failed error
	for {
		if ctx.Err() != nil {
			return transport.Ended(ctx, seen, failed)
		}
		present, err := s.devices()
		failed = err
		// FreeBSD does not tell what is a key, and cannot tell that one came.
		if errors.Is(err, transport.ErrUnsupported) {
			return err
		}
		if err == nil { // else the list changed while it was read
			if done, err := look(present); done || err != nil {
				return err
			}
		}
		select {
		case <-time.After(slotInterval):
		case <-ctx.Done():
		}
	}
}
