package nfc

import (
	"context"
	"fmt"
	"slices"

	"github.com/fidokey/fidokey/transport"
)

// ReaderInfo describes a smart-card reader and the card in it. The reader may be
// the smart-card interface of a USB key.
type ReaderInfo struct {
	Name    string // for OpenReader; the system's, with the reader's own words in it
	Present bool   // a card is there
	Mute    bool   // and does not answer
	Busy    bool   // and another program has it for itself
	ATR     []byte // of the card, its answer to reset
	// Changes counts the cards that came and went, where the system does.
	Changes uint16
	// Transport is "nfc" or "smart-card", or empty where that cannot be told.
	Transport string
	// Pretender says why a key in this reader is not to be used as a FIDO key
	// unless somebody names the reader; it is empty for all others.
	Pretender string
}

// Readers lists the smart-card readers, those of pretenders too. It waits for a
// look of its own at the system, for a tenth of a second at most while others
// watch. A build without PC/SC returns an error that wraps
// transport.ErrUnsupported, see [Supported].
func Readers(ctx context.Context) ([]ReaderInfo, error) { return system.readers(ctx) }

// OpenReader connects to the card in a reader, which other programs may use too.
// While one of them has it for itself OpenReader waits; in the end its error wraps
// transport.ErrBusy. It wraps ErrNoReader or ErrNoCard if that is what there is.
//
// The Card has a client of the smart-card service and a goroutine of its own.
// Nothing in PC/SC ends an APDU but the card: when ctx ends, Transmit returns at
// once, while that goroutine, with a thread, stays until the card has answered or
// was taken away; then it cleans up, if the Card was closed meanwhile.
func OpenReader(ctx context.Context, reader string) (Card, error) {
	card, err := system.open(ctx, reader)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", reader, err)
	}
	return card, nil
}

// Watch calls f with the readers as they are, and again whenever that changed,
// until ctx ends, whose error it returns. What f gets is always the latest: a slow
// f misses steps, which Changes shows. While the system cannot say, as without the
// smart-card service, f gets an error.
func Watch(ctx context.Context, f func([]ReaderInfo, error)) error {
	return system.watch(ctx, func(readers []ReaderInfo, err error) bool { f(readers, err); return false })
}

// WaitForCard waits until there is a card in a reader, or, if the name is empty, in
// any that is no pretender's.
func WaitForCard(ctx context.Context, reader string) (ReaderInfo, error) {
	return system.waitForCard(ctx, reader)
}

func (s *service) waitForCard(ctx context.Context, reader string) (found ReaderInfo, err error) {
	err = s.await(ctx, "no card was laid on", func(readers []ReaderInfo) (bool, error) {
		for _, r := range readers {
			if r.Present && !r.Mute && (r.Name == reader || reader == "" && r.Pretender == "") {
				found = r
				return true, nil
			}
		}
		if reader != "" && !slices.ContainsFunc(readers, func(r ReaderInfo) bool { return r.Name == reader }) {
			return false, fmt.Errorf("%s: %w", reader, ErrNoReader)
		}
		return false, nil
	})
	return found, err
}

// await looks at the readers until there is a result. If they cannot be seen at
// first, that is an error; later it may be a service that is restarted. seen is how
// things stand if ctx ends.
func (s *service) await(ctx context.Context, seen string, look func([]ReaderInfo) (done bool, err error)) error {
	var failed, result error
	first := true
	err := s.watch(ctx, func(readers []ReaderInfo, err error) (done bool) {
		failed = err
		if err != nil {
			result = err
			done = first
			first = false
			return done
		}
		first = false
		done, result = look(readers)
		return done || result != nil
	})
	if err != nil { // ctx ended
		return transport.Ended(ctx, seen, failed)
	}
	return result
}

// readers is one look.
func (s *service) readers(ctx context.Context) ([]ReaderInfo, error) {
	sub := &subscriber{latest: make(chan view, 1), once: true}
	s.subscribe(sub)
	defer s.unsubscribe(sub)
	select {
	case v := <-sub.latest:
		return slices.Clone(v.readers), v.err
	case <-ctx.Done():
		return nil, transport.Ended(ctx, "the smart-card service has not listed its readers", nil)
	}
}
