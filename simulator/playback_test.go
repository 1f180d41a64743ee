package simulator_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/trace"
	"github.com/fidokey/fidokey/transport"
)

func readTrace(t *testing.T, lines ...string) *trace.Trace {
	t.Helper()
	played, err := trace.Read(strings.NewReader(`{"trace":1,"start":"2026-10-06T12:00:00Z"}` + "\n" + strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return played
}

func TestPlayback(t *testing.T) {
	p := simulator.NewPlayback(readTrace(t,
		`{"kind":"cbor","request":"04","response":"00a0"}`,
		`{"kind":"cbor","request":"06a106420000","response":"31"}`,
		`{"kind":"msg","request":"00030000","response":"5532465f56329000"}`,
		`{"kind":"wink"}`,
		`{"kind":"ping","request":"0102","response":"0102"}`,
		`{"kind":"lock","request":"0a"}`,
		`{"kind":"cbor","request":"0b","error":"pulled out","closed":true}`,
		`{"kind":"cbor","request":"0b","error":"no answer","cancelled":true}`,
		`{"kind":"cbor","request":"0b","error":"garbage"}`,
	), simulator.PlaybackOptions{})
	ctx := t.Context()
	asked := func(request []byte, want string) {
		t.Helper()
		answer, err := p.Exchange(ctx, request)
		if err != nil || !bytes.Equal(answer, fromHex(t, want)) {
			t.Errorf("%x: %x, %v", request, answer, err)
		}
	}
	asked([]byte{4}, "00a0")
	// Another request changes nothing; a secret may be another.
	if _, err := p.Exchange(ctx, []byte{6, 0xa1, 6, 0x43, 1, 2, 3}); !errors.Is(err, simulator.ErrPlayback) ||
		!strings.Contains(err.Error(), "06a10643000000") || !strings.Contains(err.Error(), "06a106420000") {
		t.Errorf("another request: %v", err)
	}
	if _, err := p.Message(ctx, []byte{6, 0xa1, 6, 0x42, 1, 2}); !errors.Is(err, simulator.ErrPlayback) {
		t.Errorf("another kind: %v", err)
	}
	asked([]byte{6, 0xa1, 6, 0x42, 1, 2}, "31")
	if answer, err := p.Message(ctx, []byte{0, 3, 0, 0}); err != nil || !bytes.HasPrefix(answer, []byte("U2F_V2")) {
		t.Errorf("U2F: %x, %v", answer, err)
	}
	if err := p.Wink(ctx); err != nil {
		t.Error(err)
	}
	if answer, err := p.Ping(ctx, []byte{1, 2}); err != nil || len(answer) != 2 {
		t.Errorf("ping: %x, %v", answer, err)
	}
	if err := p.Lock(ctx, 10); err != nil {
		t.Error(err)
	}
	if _, err := p.Exchange(ctx, []byte{0x0b}); !errors.Is(err, transport.ErrClosed) || !strings.Contains(err.Error(), "pulled out") {
		t.Errorf("closed: %v", err)
	}
	if _, err := p.Exchange(ctx, []byte{0x0b}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if left := p.Left(); left != 1 {
		t.Errorf("%d left", left)
	}
	if _, err := p.Exchange(ctx, []byte{0x0b}); err == nil || err.Error() != "garbage" {
		t.Errorf("another error: %v", err)
	}
	if _, err := p.Exchange(ctx, []byte{4}); !errors.Is(err, simulator.ErrPlayback) || p.Left() != 0 {
		t.Errorf("at the end: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if _, err := p.Exchange(ctx, []byte{4}); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestPlaybackTime: in real time a playback takes as long as the recording, and
// can be cancelled; otherwise it takes none.
func TestPlaybackTime(t *testing.T) {
	const waits = `{"kind":"cbor","took":3000000,"request":"0b","response":"00","keepalives":[{"at":1000000,"status":1},{"at":2000000,"status":2}]`
	for _, tt := range []struct {
		name       string
		line       string
		realTime   bool
		cancel     time.Duration
		took       time.Duration
		keepalives int
		answered   bool
	}{
		{"at once", waits + "}", false, 0, 0, 2, true},
		{"in real time", waits + "}", true, 0, 3 * time.Second, 2, true},
		{"cancelled", waits + "}", true, 1500 * time.Millisecond, 1500 * time.Millisecond, 1, false},
		{"answered in spite of the cancel", waits + `,"cancelled":true}`, true, 1500 * time.Millisecond, 1500 * time.Millisecond, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := simulator.NewPlayback(readTrace(t, tt.line), simulator.PlaybackOptions{RealTime: tt.realTime})
				why := errors.New("enough")
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tt.cancel > 0 {
					time.AfterFunc(tt.cancel, func() { cancel(why) })
				}
				var heard []transport.Status
				begin := time.Now()
				answer, err := p.Exchange(transport.WithStatus(ctx, func(s transport.Status) { heard = append(heard, s) }), []byte{0x0b})
				if took := time.Since(begin); took != tt.took {
					t.Errorf("it took %v", took)
				}
				if len(heard) != tt.keepalives {
					t.Errorf("keepalives %v", heard)
				}
				if tt.answered != (err == nil && bytes.Equal(answer, []byte{0})) || !tt.answered && !errors.Is(err, why) {
					t.Errorf("%x, %v", answer, err)
				}
			})
		})
	}
}
