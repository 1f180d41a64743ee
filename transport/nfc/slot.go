package nfc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fidokey/fidokey/transport"
)

// settleTime is how long a card that was laid on may take until it can be opened:
// it lies badly at first, and other programs look at it.
const settleTime = 5 * time.Second

// A Slot waits until a person has taken a card away from a reader and laid it on
// again, or pulled the USB key whose interface the reader is.
type Slot struct {
	service *service
	reader  string
	options []Option
}

// NewSlot returns a Slot for a reader. The options are those of the Device that
// Inserted opens.
func NewSlot(reader string, options ...Option) *Slot {
	return &Slot{service: system, reader: reader, options: options}
}

// Removed returns once the card is not there any more, or with an error when ctx
// ends.
func (s *Slot) Removed(ctx context.Context) error {
	var before *ReaderInfo
	return s.service.await(ctx, "the card is still there", func(readers []ReaderInfo) (bool, error) {
		i := slices.IndexFunc(readers, func(r ReaderInfo) bool { return r.Name == s.reader })
		if i < 0 || !readers[i].Present {
			return true, nil
		}
		if before == nil {
			before = &readers[i]
		}
		return readers[i].Changes != before.Changes, nil
	})
}

// Inserted waits until there is a card again, and opens it. What a card answers
// stands; one that does not answer as it should may lie badly, and is tried again for
// some seconds.
func (s *Slot) Inserted(ctx context.Context) (transport.Device, error) {
	var since time.Time // a card is there
	for {
		err := s.service.await(ctx, "no card was laid on", func(readers []ReaderInfo) (bool, error) {
			return slices.ContainsFunc(readers, func(r ReaderInfo) bool { return r.Name == s.reader && r.Present }), nil
		})
		if err != nil {
			return nil, err
		}
		if since.IsZero() {
			since = time.Now()
		}
		dev, err := s.try(ctx)
		var answer StatusWord
		switch {
		case err == nil:
			return dev, nil
		case ctx.Err() != nil, errors.As(err, &answer):
			return nil, err
		case errors.Is(err, ErrNoCard):
			since = time.Time{} // it was taken away again
		case time.Since(since) >= settleTime:
			return nil, err
		}
		pause(ctx)
	}
}

// try opens a card that may just have been laid on.
func (s *Slot) try(ctx context.Context) (*Device, error) {
	ctx, stop := context.WithTimeout(ctx, settleTime)
	defer stop()
	card, err := s.service.open(ctx, s.reader)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.reader, err)
	}
	return Open(ctx, card, s.options...)
}
