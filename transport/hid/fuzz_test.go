package hid_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// FuzzExchange lets a key answer with arbitrary reports.
func FuzzExchange(f *testing.F) {
	for _, seed := range [][][]byte{
		frames(64, ours, cbor, pattern(200)),
		frames(64, ours, keepalive, []byte{2}),
		frames(64, ours, errorCmd, []byte{6}),
		frames(64, ours, initCmd, initAnswer([]byte("01234567"), ours)),
		frames(64, foreign, cbor, nil),
		append(frames(64, ours, cbor, pattern(200))[:2], frames(64, ours, cbor, pattern(200))...),
		{{}},
	} {
		f.Add(byte(64), slices.Concat(seed...))
	}
	f.Add(byte(8), slices.Concat(frames(8, ours, cbor, pattern(20))...))
	f.Fuzz(func(t *testing.T, size byte, stream []byte) {
		size = max(size, 8)
		synctest.Test(t, func(t *testing.T) {
			p := newFake()
			p.in, p.out = int(size), int(size)
			d := p.open(t)
			reports := slices.Collect(slices.Chunk(stream, int(size)))
			n := len(reports)
			p.handle = func(_ uint32, cmd byte, _ []byte) bool {
				if cmd == cbor {
					p.push(reports...)
					reports = nil
				}
				return cmd != initCmd
			}
			answer, err := d.Exchange(t.Context(), pattern(100))
			if (len(answer) == 0) == (err == nil) {
				t.Errorf("answer %x, error %v", answer, err)
			}
			if len(answer) > n*int(size) {
				t.Errorf("%d bytes from %d reports of %d", len(answer), n, size)
			}
			// Whatever came, the channel is clean unless the key was given up.
			p.handle = p.answer(cbor, 0, 0x42)
			if answer, err := d.Exchange(t.Context(), []byte{4}); err == nil && len(answer) == 0 {
				t.Error("an empty answer without an error")
			}
		})
	})
}

// FuzzOpen lets a key answer INIT with arbitrary reports, in which the bytes
// "NONCE..." stand for the nonce.
func FuzzOpen(f *testing.F) {
	nonce := []byte("NONCE...")
	f.Add(slices.Concat(frames(64, everyone, initCmd, initAnswer(nonce, ours))...))
	f.Add(slices.Concat(frames(64, everyone, initCmd, initAnswer(nonce, 0))...))
	f.Add(slices.Concat(frames(64, everyone, errorCmd, []byte{6})...))
	f.Add(slices.Concat(frames(64, everyone, initCmd, pattern(100))...))
	f.Fuzz(func(t *testing.T, stream []byte) {
		synctest.Test(t, func(t *testing.T) {
			p := newFake()
			p.readErr = transport.ErrClosed
			p.handle = func(_ uint32, _ byte, actual []byte) bool {
				for report := range slices.Chunk(stream, 64) {
					report = slices.Clone(report)
					if len(report) == 64 && slices.Equal(report[7:15], nonce) {
						copy(report[7:], actual)
					}
					p.push(report)
				}
				return true
			}
			d, err := hid.Open(t.Context(), p)
			if err != nil {
				if p.closed != 1 {
					t.Errorf("port closed %d times after %v", p.closed, err)
				}
				return
			}
			defer d.Close()
			p.readErr, p.queue = nil, nil
			p.handle = func(uint32, byte, []byte) bool { return true }
			if _, err := d.Exchange(t.Context(), []byte{4}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
			}
		})
	})
}
