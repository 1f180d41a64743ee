package hid_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

// inBubble runs a test with an open fake key and time that does not pass.
func inBubble(t *testing.T, f func(t *testing.T, p *fakePort, d *hid.Device)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newFake()
		d := p.open(t)
		f(t, p, d)
	})
}

// wantUsable fails unless the next exchange works.
func wantUsable(t *testing.T, p *fakePort, d *hid.Device) {
	t.Helper()
	p.handle = p.answer(cbor, 0, 0x42)
	if answer, err := d.Exchange(t.Context(), []byte{4}); err != nil || !bytes.Equal(answer, []byte{0, 0x42}) {
		t.Errorf("next answer %x, error %v", answer, err)
	}
}

func wantCommands(t *testing.T, p *fakePort, want ...byte) {
	t.Helper()
	if got := p.sent(); !bytes.Equal(got, want) {
		t.Errorf("commands %x, want %x", got, want)
	}
}

func wantElapsed(t *testing.T, start time.Time, want time.Duration) {
	t.Helper()
	if got := time.Since(start); got != want {
		t.Errorf("took %v, want %v", got, want)
	}
}

func TestTimeouts(t *testing.T) {
	for name, test := range map[string]struct {
		chatter func(p *fakePort)
		want    string
	}{
		"silence":         {func(*fakePort) {}, "no answer"},
		"processing":      {func(p *fakePort) { p.every(100*time.Millisecond, ours, keepalive, 1) }, "still processing"},
		"waits for touch": {func(p *fakePort) { p.every(100*time.Millisecond, ours, keepalive, 2) }, "waiting for a touch"},
		"other status":    {func(p *fakePort) { p.every(100*time.Millisecond, ours, keepalive, 9) }, "status 0x09"},
		"foreign reports": {func(p *fakePort) { p.every(time.Millisecond, foreign, cbor, 0) }, "no answer"},
		"half an answer":  {func(p *fakePort) { p.push(frames(64, ours, cbor, pattern(100))[0]) }, "answer incomplete"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
				p.handle = func(_ uint32, cmd byte, _ []byte) bool {
					if cmd == cbor {
						test.chatter(p)
					}
					return cmd != initCmd
				}
				start := time.Now()
				_, err := d.Exchange(t.Context(), []byte{1})
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), test.want+": ") {
					t.Errorf("error %v, want %v with %q", err, context.DeadlineExceeded, test.want)
				}
				wantElapsed(t, start, hid.DefaultTimeout+2*time.Second) // two to drain
				if name == "half an answer" {
					wantCommands(t, p, cbor, initCmd)
				} else {
					wantCommands(t, p, cbor, cancel, initCmd)
				}
				if !strings.Contains(name, " ") { // no chatter goes on
					wantUsable(t, p, d)
				}
			})
		})
	}
}

func TestOwnDeadlineIsKept(t *testing.T) {
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		for _, timeout := range []time.Duration{time.Second, time.Hour} {
			p.handle = func(_ uint32, cmd byte, _ []byte) bool {
				if cmd == cancel {
					p.send(ours, cbor, 0x2d)
				}
				return true
			}
			ctx, stop := context.WithTimeout(t.Context(), timeout)
			start := time.Now()
			if _, err := d.Exchange(ctx, []byte{1}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
			}
			stop()
			wantElapsed(t, start, timeout)
			wantCommands(t, p, cbor, cancel)
			wantUsable(t, p, d)
			p.sent()
		}
	})
}

func TestTimeoutOfOtherCommandsResets(t *testing.T) {
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		start := time.Now()
		if err := d.Wink(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		wantElapsed(t, start, time.Second)
		wantCommands(t, p, wink, initCmd) // CANCEL is for CBOR only
		wantUsable(t, p, d)
	})
}

func TestBusyForEver(t *testing.T) {
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		p.handle = func(uint32, byte, []byte) bool { p.send(ours, errorCmd, 6); return true }
		ctx, stop := context.WithTimeout(t.Context(), 950*time.Millisecond)
		defer stop()
		start := time.Now()
		_, err := d.Exchange(ctx, []byte{4})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, hid.ErrChannelBusy) {
			t.Errorf("error %v, want %v and %v", err, context.DeadlineExceeded, hid.ErrChannelBusy)
		}
		wantElapsed(t, start, 950*time.Millisecond)
		wantCommands(t, p, bytes.Repeat([]byte{cbor}, 10)...) // nothing to cancel
		wantUsable(t, p, d)
	})
}

func TestCancel(t *testing.T) {
	for name, test := range map[string]struct {
		onCancel func(p *fakePort)
		answer   []byte // nil: the context's error
		commands []byte
		took     time.Duration
	}{
		"cancelled": {
			func(p *fakePort) { p.send(ours, cbor, 0x2d) }, nil, []byte{cbor, cancel}, 0,
		},
		"cancelled after keepalives": {
			func(p *fakePort) {
				p.send(ours, keepalive, 2)
				p.send(ours, keepalive, 1)
				time.AfterFunc(time.Second, func() { p.send(ours, cbor, 0x2d) })
			}, nil, []byte{cbor, cancel}, time.Second,
		},
		"done in spite": {
			func(p *fakePort) { p.send(ours, cbor, append([]byte{0}, pattern(200)...)...) },
			append([]byte{0}, pattern(200)...), []byte{cbor, cancel}, 0,
		},
		"failed in spite": {
			func(p *fakePort) { p.send(ours, cbor, 0x27) }, nil, []byte{cbor, cancel}, 0,
		},
		"error message": {
			func(p *fakePort) { p.send(ours, errorCmd, 1) }, nil, []byte{cbor, cancel, initCmd}, 0,
		},
		"answer without a status": {
			func(p *fakePort) { p.send(ours, cbor) }, nil, []byte{cbor, cancel, initCmd}, 0,
		},
		"silence": {
			func(*fakePort) {}, nil, []byte{cbor, cancel, initCmd}, 2 * time.Second,
		},
		"done too late": { // see below: just before the answer to INIT
			func(*fakePort) {}, nil, []byte{cbor, cancel, initCmd}, 2 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
				cause := errors.New("user went away")
				ctx, end := context.WithCancelCause(t.Context())
				ctx, seen := statuses(ctx)
				p.handle = func(_ uint32, cmd byte, _ []byte) bool {
					switch cmd {
					case cbor:
						p.send(ours, keepalive, 2)
						time.AfterFunc(5*time.Second, func() { end(cause) })
					case cancel:
						test.onCancel(p)
					case initCmd:
						if name == "done too late" {
							p.send(ours, cbor, 0, 1, 2)
						}
						return false
					}
					return true
				}
				start := time.Now()
				answer, err := d.Exchange(ctx, []byte{1})
				switch {
				case test.answer != nil:
					if err != nil || !bytes.Equal(answer, test.answer) {
						t.Errorf("answer %x, error %v", answer, err)
					}
				case !errors.Is(err, cause), !errors.Is(err, context.Canceled), answer != nil:
					t.Errorf("answer %x, error %v, want %v", answer, err, cause)
				case !strings.Contains(err.Error(), "waiting for a touch: user went away"):
					t.Errorf("error %q does not say what was going on", err)
				}
				wantElapsed(t, start, 5*time.Second+test.took)
				wantCommands(t, p, test.commands...)
				if want := []transport.Status{transport.StatusUPNeeded}; !slices.Equal(*seen, want) {
					t.Errorf("reported %v, want %v: no prompt after the cancel", *seen, want)
				}
				wantUsable(t, p, d)
			})
		})
	}
}

func TestCancelWhileWritingSendsTheWholeMessage(t *testing.T) {
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		ctx, end := context.WithCancel(t.Context())
		request := pattern(300) // six packets
		whole := false
		p.wrote = func(n int) {
			if n == 2 {
				end()
			}
		}
		p.handle = func(_ uint32, cmd byte, data []byte) bool {
			switch cmd {
			case cbor:
				whole = bytes.Equal(data, request)
			case cancel:
				p.send(ours, cbor, 0x2d)
			}
			return true
		}
		if _, err := d.Exchange(ctx, request); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
		if !whole {
			t.Error("the key got half a message")
		}
		wantCommands(t, p, cbor, cancel)
		p.wrote = nil
		wantUsable(t, p, d)
	})
}

func TestCancelWhileTheAnswerArrives(t *testing.T) {
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		ctx, end := context.WithCancel(t.Context())
		want := append([]byte{0}, pattern(200)...)
		answer := frames(64, ours, cbor, want)
		p.handle = func(uint32, byte, []byte) bool {
			p.push(answer[:2]...)
			time.AfterFunc(time.Second, end)
			time.AfterFunc(1100*time.Millisecond, func() { p.push(answer[2:]...) })
			return true
		}
		if got, err := d.Exchange(ctx, []byte{1}); err != nil || !bytes.Equal(got, want) {
			t.Errorf("answer %x, error %v", got, err)
		}
		wantCommands(t, p, cbor) // a cancel would be one for the next request
		wantUsable(t, p, d)
	})
}

// A slowPort takes a second to set a deadline that is over.
type slowPort struct{ *fakePort }

func (p slowPort) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && t.Before(time.Now()) {
		time.Sleep(time.Second)
	}
	return p.fakePort.SetReadDeadline(t)
}

func TestContextThatEndsWithTheAnswerLeavesTheNextCallAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newFake()
		d, err := hid.Open(t.Context(), slowPort{p})
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		ctx, end := context.WithCancel(t.Context())
		p.handle = func(uint32, byte, []byte) bool {
			end()
			p.send(ours, cbor, 0, 1)
			return true
		}
		if answer, err := d.Exchange(ctx, []byte{1}); err != nil || !bytes.Equal(answer, []byte{0, 1}) {
			t.Errorf("answer %x, error %v", answer, err)
		}
		p.handle = func(uint32, byte, []byte) bool {
			time.AfterFunc(5*time.Second, func() { p.send(ours, cbor, 0, 2) })
			return true
		}
		if answer, err := d.Exchange(t.Context(), []byte{1}); err != nil || !bytes.Equal(answer, []byte{0, 2}) {
			t.Errorf("next answer %x, error %v", answer, err)
		}
	})
}

func TestCancelWhileBusy(t *testing.T) {
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		ctx, end := context.WithCancel(t.Context())
		p.handle = func(uint32, byte, []byte) bool {
			p.send(ours, errorCmd, 6)
			time.AfterFunc(50*time.Millisecond, end)
			return true
		}
		start := time.Now()
		if _, err := d.Exchange(ctx, []byte{1}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
		wantElapsed(t, start, 50*time.Millisecond)
		wantCommands(t, p, cbor)
		wantUsable(t, p, d)
	})
}

func TestResyncIsRepeatedWhileBusy(t *testing.T) {
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		inits := 0
		p.handle = func(channel uint32, cmd byte, nonce []byte) bool {
			if cmd != initCmd {
				return true
			}
			if inits++; inits == 1 {
				p.send(ours, errorCmd, 4) // left over: to be ignored
				p.send(ours, errorCmd, 6)
				// Behind the error there is an answer all the same, so there
				// will be two.
			}
			return false
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := d.Exchange(ctx, []byte{1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		wantCommands(t, p, cbor, cancel, initCmd, initCmd)
		wantUsable(t, p, d)
	})
}

func TestKeyThatNeverAnswersIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		p.handle = func(uint32, byte, []byte) bool { return true }
		start := time.Now()
		_, err := d.Exchange(t.Context(), []byte{1})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		wantElapsed(t, start, hid.DefaultTimeout+3*time.Second)
		p.sent()
		_, err = d.Exchange(t.Context(), []byte{1})
		if err == nil || !strings.Contains(err.Error(), "given up") || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("next error %v, want one that says the key was given up", err)
		}
		wantCommands(t, p)
	})
}

func TestCallsWaitForEachOther(t *testing.T) {
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		p.handle = func(_ uint32, cmd byte, _ []byte) bool {
			time.AfterFunc(10*time.Second, func() { p.send(ours, cmd, 0) })
			return true
		}
		first := make(chan error)
		go func() {
			_, err := d.Exchange(t.Context(), []byte{1})
			first <- err
		}()
		synctest.Wait()

		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		start := time.Now()
		if _, err := d.Exchange(ctx, []byte{1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want %v", err, context.DeadlineExceeded)
		}
		wantElapsed(t, start, time.Second)
		wantCommands(t, p, cbor) // the first only

		second := make(chan error)
		go func() { second <- d.Wink(t.Context()) }()
		if err := <-first; err != nil {
			t.Error(err)
		}
		if err := <-second; err != nil {
			t.Error(err)
		}
		wantElapsed(t, start, 20*time.Second)
	})
}

func TestUnpluggedKey(t *testing.T) {
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		gone := errors.Join(transport.ErrClosed, errors.New("input/output error"))
		p.handle = func(uint32, byte, []byte) bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.readErr = gone
			return true
		}
		for range 2 {
			if _, err := d.Exchange(t.Context(), []byte{1}); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("error %v, want %v", err, transport.ErrClosed)
			}
		}
		wantCommands(t, p, cbor) // neither cancel nor INIT nor a second request
		if err := d.Close(); err != nil || p.closed != 1 {
			t.Errorf("close: %v, port closed %d times", err, p.closed)
		}
	})
	inBubble(t, func(t *testing.T, p *fakePort, d *hid.Device) {
		p.writeErr = os.ErrClosed
		for range 2 {
			if _, err := d.Exchange(t.Context(), pattern(200)); !errors.Is(err, os.ErrClosed) {
				t.Errorf("error %v, want %v", err, os.ErrClosed)
			}
		}
		wantCommands(t, p, cbor)
	})
}

func TestClose(t *testing.T) {
	p := newFake()
	d := p.open(t)
	for range 2 {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	if p.closed != 1 {
		t.Errorf("port closed %d times, want once", p.closed)
	}
	if _, err := d.Exchange(t.Context(), []byte{1}); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("error %v, want %v", err, transport.ErrClosed)
	}
	if err := d.Lock(t.Context(), 1); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("error %v, want %v", err, transport.ErrClosed)
	}
	wantCommands(t, p)
}
