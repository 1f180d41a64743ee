package hid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// findings returns a context that collects what was tolerated.
func findings(ctx context.Context) (context.Context, *[]string) {
	var seen []string
	return transport.WithFindings(ctx, func(f transport.Finding) { seen = append(seen, f.Where+": "+f.What) }), &seen
}

func wantFindings(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("findings %q, want %q", got, want)
	}
}

func TestFindingsOfOpen(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(p *fakePort, nonce []byte)
		want   []string
	}{
		"nothing": {func(p *fakePort, nonce []byte) {
			p.send(everyone, initCmd, initAnswer([]byte("STALE!!!"), foreign)...) // of another program
			p.send(foreign, cbor, 0)
			p.send(everyone, initCmd, initAnswer(nonce, ours)...)
		}, nil},
		"long answer": {func(p *fakePort, nonce []byte) {
			p.send(everyone, initCmd, append(initAnswer(nonce, ours), 1, 2, 3)...)
		}, []string{"CTAPHID_INIT: answer of 20 bytes, not 17"}},
		"no padding": {func(p *fakePort, nonce []byte) {
			p.push(frames(64, everyone, initCmd, initAnswer(nonce, ours))[0][:24])
		}, []string{"CTAPHID_INIT: report of 24 bytes, not 64"}},
		"illegal capabilities": {func(p *fakePort, nonce []byte) {
			answer := initAnswer(nonce, ours)
			answer[16] = 0xd3
			p.send(everyone, initCmd, answer...)
		}, []string{"CTAPHID_INIT: unknown capabilities 0xd0"}},
		"astray": {func(p *fakePort, nonce []byte) {
			p.send(everyone, keepalive, 1)
			p.send(everyone, keepalive, 1) // said once
			p.send(everyone, initCmd, initAnswer(nonce, ours)...)
		}, []string{"CTAPHID_KEEPALIVE: sent on the broadcast channel"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newFake()
			p.handle = func(_ uint32, cmd byte, nonce []byte) bool { test.answer(p, nonce); return true }
			ctx, seen := findings(t.Context())
			d, err := hid.Open(ctx, p)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			wantFindings(t, *seen, test.want...)
		})
	}
}

func TestFindingsOfExchange(t *testing.T) {
	long := frames(64, ours, cbor, pattern(100))
	for name, test := range map[string]struct {
		reports [][]byte
		want    []string
	}{
		"nothing": {long, nil},
		"unknown status": {append([][]byte{
			frames(64, ours, keepalive, []byte{9})[0], frames(64, ours, keepalive, []byte{9})[0], // said once
			frames(64, ours, keepalive, []byte{1})[0],
		}, long...), []string{"CTAPHID_KEEPALIVE: unknown status 0x09"}},
		"one more answer to INIT": {append(frames(64, ours, initCmd, initAnswer(pattern(8), ours)), long...),
			[]string{"CTAPHID_INIT: one more answer"}},
		"no padding":              {[][]byte{long[0], long[1][:5+43]}, []string{"CTAPHID_CBOR: report of 48 bytes, not 64"}},
		"not all of the padding":  {[][]byte{long[0], long[1][:63]}, []string{"CTAPHID_CBOR: report of 63 bytes, not 64"}},
		"keepalive of eight byte": {append([][]byte{frames(64, ours, keepalive, []byte{2})[0][:8]}, long...), []string{"CTAPHID_KEEPALIVE: report of 8 bytes, not 64"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newFake()
			d := p.open(t)
			p.handle = func(uint32, byte, []byte) bool { p.push(test.reports...); return true }
			ctx, seen := findings(t.Context())
			if answer, err := d.Exchange(ctx, []byte{4}); err != nil || !bytes.Equal(answer, pattern(100)) {
				t.Errorf("answer %x, error %v", answer, err)
			}
			wantFindings(t, *seen, test.want...)
		})
	}
}

// TestFindingsOfResync: what happens while a channel is reset is told as well,
// though the context has ended.
func TestFindingsOfResync(t *testing.T) {
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		p.handle = func(_ uint32, cmd byte, nonce []byte) bool {
			if cmd == initCmd {
				p.send(ours, cbor, 0) // what INIT aborts may have been on its way
				p.send(ours, initCmd, initAnswer([]byte("STALE!!!"), ours)...)
				p.send(ours, initCmd, initAnswer(nonce, 0x05060708)...)
			}
			return true
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		ctx, seen := findings(ctx)
		if _, err := d.Exchange(ctx, []byte{4}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		wantFindings(t, *seen, "CTAPHID_INIT: answer with another nonce", "CTAPHID_INIT: channel 01020304 became 05060708")
	})
}

// TestBusyAfterATimeout: a key goes on with a request that it did not cancel, and
// turns down the next one until it is done.
func TestBusyAfterATimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		begin := time.Now()
		p.handle = func(_ uint32, cmd byte, _ []byte) bool {
			switch {
			case cmd == cbor && time.Since(begin) == 0: // works for five seconds
			case cmd == cbor && time.Since(begin) < 5*time.Second:
				p.send(ours, errorCmd, 6)
			case cmd == cbor:
				p.send(ours, cbor, 0, 7)
			}
			return cmd != initCmd
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := d.Exchange(ctx, []byte{1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		p.sent()
		if answer, err := d.Exchange(t.Context(), []byte{4}); err != nil || !bytes.Equal(answer, []byte{0, 7}) {
			t.Errorf("answer %x, error %v", answer, err)
		}
		wantElapsed(t, begin, 5*time.Second)
		wantCommands(t, p, bytes.Repeat([]byte{cbor}, 21)...) // from 3 s on, every 100 ms
	})
}

// TestDeadKeyAmongOthers opens five keys at once, two of which are of no use: one
// is silent, the other does not stop talking.
func TestDeadKeyAmongOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 3*time.Second)
		defer stop()
		start := time.Now()
		var all sync.WaitGroup
		for i := range 5 {
			p := newFake()
			switch i {
			case 1:
				p.handle = func(uint32, byte, []byte) bool { return true }
			case 3:
				p.handle = func(uint32, byte, []byte) bool { p.every(10*time.Millisecond, everyone, keepalive, 1); return true }
			}
			all.Go(func() {
				d, err := hid.Open(ctx, p)
				if i%2 == 0 {
					if err != nil {
						t.Errorf("key %d: %v", i, err)
						return
					}
					wantElapsed(t, start, 0)
					d.Close()
					return
				}
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "no answer") {
					t.Errorf("key %d: error %v, want %v", i, err, context.DeadlineExceeded)
				}
				wantElapsed(t, start, 3*time.Second)
				if p.closed != 1 {
					t.Errorf("key %d: port closed %d times", i, p.closed)
				}
			})
		}
		all.Wait()
	})
}
