package hid_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/hid"
)

var _ transport.Device = (*hid.Device)(nil)

type vectors struct {
	InitRequest        []ctaptest.Hex
	InitResponse       []ctaptest.Hex
	InitResponseFields struct {
		Nonce, CID                    ctaptest.Hex
		Protocol, Major, Minor, Build byte
		Capabilities                  string
	}
	Ping200 struct {
		CID, Payload ctaptest.Hex
		Frames       []ctaptest.Hex
	}
	GetInfo, Cancel, KeepaliveUpNeeded, ErrorBusy, Lock3s []ctaptest.Hex
	MaxPayload, FramesForMaxPayload                       int
}

// readVectors returns the known answers; their channel is ours.
func readVectors(t *testing.T) vectors {
	t.Helper()
	var v vectors
	ctaptest.Vectors(t, "ctaphid", &v)
	return v
}

// wantReports fails unless exactly these reports were written.
func wantReports(t *testing.T, p *fakePort, want []ctaptest.Hex) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.written) != len(want) {
		t.Fatalf("%d reports written, want %d", len(p.written), len(want))
	}
	for i := range want {
		if !bytes.Equal(p.written[i], want[i]) {
			t.Errorf("report %d:\n got %x\nwant %x", i, p.written[i], want[i])
		}
	}
	p.written = nil
}

func TestOpenKnownAnswer(t *testing.T) {
	v := readVectors(t)
	p := newFake()
	p.handle = func(_ uint32, _ byte, nonce []byte) bool {
		response := slices.Clone(v.InitResponse[0])
		copy(response[7:], nonce)
		p.push(response)
		return true
	}
	d, err := hid.Open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	request := slices.Clone(v.InitRequest[0])
	copy(request[7:], p.written[0][7:15]) // the nonce is random
	wantReports(t, p, []ctaptest.Hex{request})

	f := v.InitResponseFields
	if got := d.ProtocolVersion(); got != f.Protocol {
		t.Errorf("protocol version %d, want %d", got, f.Protocol)
	}
	if major, minor, build := d.Version(); major != f.Major || minor != f.Minor || build != f.Build {
		t.Errorf("version %d.%d.%d, want %d.%d.%d", major, minor, build, f.Major, f.Minor, f.Build)
	}
	c := d.Capabilities()
	if got := fmt.Sprintf("0x%02x (%s)", byte(c), c); got != f.Capabilities {
		t.Errorf("capabilities %s, want %s", got, f.Capabilities)
	}

	p.handle = p.answer(ping)
	if _, err := d.Ping(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := p.written[0][:4]; !bytes.Equal(got, f.CID) {
		t.Errorf("message on channel %x, want %x", got, f.CID)
	}
}

func TestKnownAnswers(t *testing.T) {
	v := readVectors(t)
	p := newFake()
	d := p.open(t)

	p.handle = func(uint32, byte, []byte) bool {
		for _, frame := range v.Ping200.Frames {
			p.push(frame)
		}
		return true
	}
	echo, err := d.Ping(t.Context(), v.Ping200.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(echo, v.Ping200.Payload) {
		t.Errorf("ping returned %x", echo)
	}
	wantReports(t, p, v.Ping200.Frames)

	p.handle = func(uint32, byte, []byte) bool {
		p.push(v.KeepaliveUpNeeded[0])
		p.send(ours, cbor, 0, 0xa0)
		return true
	}
	ctx, seen := statuses(t.Context())
	answer, err := d.Exchange(ctx, []byte{0x04})
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(answer, []byte{0, 0xa0}) {
		t.Errorf("answer %x, want 00a0", answer)
	}
	if !slices.Equal(*seen, []transport.Status{transport.StatusUPNeeded}) {
		t.Errorf("keepalives %v, want one for a touch", *seen)
	}
	wantReports(t, p, v.GetInfo)

	p.handle = p.answer(lock)
	if err := d.Lock(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	wantReports(t, p, v.Lock3s)

	synctest.Test(t, func(t *testing.T) {
		p := newFake()
		d := p.open(t)
		busy := true
		p.handle = func(uint32, byte, []byte) bool {
			if busy {
				busy = false
				p.push(v.ErrorBusy[0])
			} else {
				p.send(ours, cbor, 0)
			}
			return true
		}
		start := time.Now()
		if _, err := d.Exchange(t.Context(), []byte{0x04}); err != nil {
			t.Error(err)
		}
		if waited := time.Since(start); waited != 100*time.Millisecond {
			t.Errorf("tried a busy key again after %v, want 100 ms", waited)
		}
		wantReports(t, p, append(slices.Clone(v.GetInfo), v.GetInfo...))

		ctx, stop := context.WithCancel(t.Context())
		p.handle = func(_ uint32, cmd byte, _ []byte) bool {
			if cmd == cancel {
				p.send(ours, cbor, 0x2d)
			} else {
				time.AfterFunc(time.Second, stop)
			}
			return true
		}
		if _, err := d.Exchange(ctx, []byte{0x04}); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want %v", err, context.Canceled)
		}
		wantReports(t, p, append(slices.Clone(v.GetInfo), v.Cancel...))
	})
}

func TestMessageLengths(t *testing.T) {
	v := readVectors(t)
	sizes := []struct{ in, out, most, reports int }{
		{64, 64, v.MaxPayload, v.FramesForMaxPayload},
		{8, 8, 385, 129},
		{32, 32, 3481, 129},
		{64, 32, 3481, 129},
		{512, 512, 65401, 129},
		{1024, 1024, 65535, 65}, // the length field ends it
	}
	for _, s := range sizes {
		t.Run(fmt.Sprintf("reports of %d and %d", s.in, s.out), func(t *testing.T) {
			p := newFake()
			p.in, p.out = s.in, s.out
			d := p.open(t)
			p.handle = func(channel uint32, cmd byte, data []byte) bool {
				p.send(channel, cmd, data...)
				return true
			}
			for n, reports := range map[int]int{
				0: 1, 1: 1, s.out - 7: 1, s.out - 6: 2, 2*s.out - 12: 2, 2*s.out - 11: 3, s.most: s.reports,
			} {
				data := pattern(n)
				echo, err := d.Ping(t.Context(), data)
				if err != nil {
					t.Fatalf("%d bytes: %v", n, err)
				}
				if !bytes.Equal(echo, data) {
					t.Errorf("%d bytes came back changed", n)
				}
				for i, report := range p.written {
					if len(report) != s.out {
						t.Fatalf("report %d has %d bytes", i, len(report))
					}
				}
				if len(p.written) != reports {
					t.Errorf("%d bytes in %d reports, want %d", n, len(p.written), reports)
				}
				p.sent()
			}
			if _, err := d.Ping(t.Context(), make([]byte, s.most+1)); !errors.Is(err, hid.ErrInvalidLen) {
				t.Errorf("%d bytes: error %v, want %v", s.most+1, err, hid.ErrInvalidLen)
			}
			if n := len(p.sent()); n != 0 {
				t.Errorf("a message that does not fit caused %d packets", n)
			}
		})
	}
}

// pattern returns n bytes, none of them zero.
func pattern(n int) []byte {
	data := make([]byte, n)
	for i := range data {
		data[i] = byte(i%251) + 1
	}
	return data
}

func TestInvalidInputCausesNoIO(t *testing.T) {
	p := newFake()
	d := p.open(t)
	ended, end := context.WithCancelCause(t.Context())
	cause := errors.New("window closed")
	end(cause)
	for name, call := range map[string]func() error{
		"empty CBOR message": func() error { _, err := d.Exchange(t.Context(), nil); return err },
		"long CBOR message":  func() error { _, err := d.Exchange(t.Context(), make([]byte, 7610)); return err },
		"long APDU":          func() error { _, err := d.Message(t.Context(), make([]byte, 7610)); return err },
		"lock below zero":    func() error { return d.Lock(t.Context(), -1) },
		"lock too long":      func() error { return d.Lock(t.Context(), 11) },
		"ended context": func() error {
			_, err := d.Exchange(ended, []byte{4})
			if !errors.Is(err, cause) || !errors.Is(err, context.Canceled) {
				t.Errorf("ended context: error %v, want %v and %v", err, cause, context.Canceled)
			}
			return err
		},
	} {
		if call() == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if n := len(p.sent()); n != 0 {
		t.Errorf("%d packets written", n)
	}
}

func TestUnusableOpenCausesNoIO(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	for name, test := range map[string]struct {
		ctx     context.Context
		in, out int
		want    string
	}{
		"ended context":        {ended, 64, 64, "context canceled"},
		"input without space":  {t.Context(), 7, 64, "reports of 7 and 64 bytes"},
		"output without space": {t.Context(), 64, 0, "reports of 64 and 0 bytes"},
	} {
		p := newFake()
		p.in, p.out = test.in, test.out
		_, err := hid.Open(test.ctx, p)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, test.want)
		}
		if len(p.written) != 0 || p.closed != 1 {
			t.Errorf("%s: %d packets written, closed %d times", name, len(p.written), p.closed)
		}
	}
}

func TestOpenSkipsWhatIsNotOurs(t *testing.T) {
	p := newFake()
	p.handle = func(channel uint32, cmd byte, nonce []byte) bool {
		p.send(foreign, cbor, 0)
		p.push(append([]byte{0xff, 0xff, 0xff, 0xff, 3}, make([]byte, 59)...)) // the rest of another message
		p.send(everyone, initCmd, initAnswer([]byte("STALE!!!"), foreign)...)
		p.send(everyone, initCmd, nonce[:4]...)
		p.send(everyone, keepalive, 1)
		p.push(frames(64, everyone, cbor, pattern(200))[0])                    // and no more of it
		p.send(everyone, initCmd, append(initAnswer(nonce, ours), 1, 2, 3)...) // of a later version
		return true
	}
	d := p.open(t)
	p.handle = p.answer(cbor, 0)
	if _, err := d.Exchange(t.Context(), []byte{4}); err != nil {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	for name, test := range map[string]struct {
		answer func(p *fakePort, nonce []byte)
		is     error
		want   string
	}{
		"silence":       {func(*fakePort, []byte) {}, context.DeadlineExceeded, "no answer"},
		"error message": {func(p *fakePort, _ []byte) { p.send(everyone, errorCmd, 1) }, hid.ErrInvalidCmd, "CTAPHID_INIT: ERR_INVALID_CMD (CTAPHID error 0x01)"},
		"always busy":   {func(p *fakePort, _ []byte) { p.send(everyone, errorCmd, 6) }, hid.ErrChannelBusy, "used by another program: context deadline exceeded"},
		"short answer":  {func(p *fakePort, nonce []byte) { p.send(everyone, initCmd, initAnswer(nonce, ours)[:16]...) }, hid.ErrFraming, "answer of 16 bytes"},
		"channel zero":  {func(p *fakePort, nonce []byte) { p.send(everyone, initCmd, initAnswer(nonce, 0)...) }, hid.ErrFraming, "channel 00000000"},
		"broadcast":     {func(p *fakePort, nonce []byte) { p.send(everyone, initCmd, initAnswer(nonce, everyone)...) }, hid.ErrFraming, "channel ffffffff"},
		"cut answer": {func(p *fakePort, nonce []byte) {
			p.push(frames(64, everyone, initCmd, initAnswer(nonce, ours))[0][:23])
		}, context.DeadlineExceeded, "report of 23 bytes, not 64"},
		"empty report":   {func(p *fakePort, _ []byte) { p.push(nil) }, hid.ErrFraming, "report of 0 bytes, not 64"},
		"device is gone": {func(p *fakePort, _ []byte) { p.readErr = transport.ErrClosed }, transport.ErrClosed, "closed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newFake()
				p.handle = func(_ uint32, _ byte, nonce []byte) bool { test.answer(p, nonce); return true }
				start := time.Now()
				_, err := hid.Open(t.Context(), p)
				if !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %v with %q", err, test.is, test.want)
				}
				if p.closed != 1 {
					t.Errorf("port closed %d times, want once", p.closed)
				}
				if waited := time.Since(start); waited > hid.DefaultTimeout {
					t.Errorf("took %v, want at most %v", waited, hid.DefaultTimeout)
				}
			})
		})
	}
}

func TestBrokenAnswers(t *testing.T) {
	long := frames(64, ours, cbor, pattern(200))
	start := func(cmd byte, length int) []byte {
		return append([]byte{1, 2, 3, 4, cmd, byte(length >> 8), byte(length)}, make([]byte, 57)...)
	}
	for name, test := range map[string]struct {
		reports [][]byte
		want    string
	}{
		"continuation first":    {long[1:], "continuation packet 0 where a message should start"},
		"start in the middle":   {[][]byte{long[0], long[0]}, "CTAPHID_CBOR packet in the middle of CTAPHID_CBOR"},
		"keepalive in between":  {[][]byte{long[0], start(keepalive, 1)}, "CTAPHID_KEEPALIVE packet in the middle"},
		"sequence number left":  {[][]byte{long[0], long[2]}, "continuation packet 1 of CTAPHID_CBOR where 0 was due"},
		"sequence number again": {[][]byte{long[0], long[1], long[1]}, "continuation packet 0 of CTAPHID_CBOR where 1 was due"},
		"other command":         {[][]byte{start(ping, 1)}, "CTAPHID_CBOR answered with CTAPHID_PING"},
		"vendor command":        {[][]byte{start(0xc1, 500)}, "answered with CTAPHID command 0x41"},
		"too long":              {[][]byte{start(cbor, 7610)}, "CTAPHID_CBOR announces 7610 bytes, and 7609 fit"},
		"empty keepalive":       {[][]byte{start(keepalive, 0)}, "CTAPHID_KEEPALIVE of 0 bytes, not 1"},
		"long error":            {[][]byte{start(errorCmd, 100)}, "CTAPHID_ERROR of 100 bytes, not 1"},
		"cut report":            {[][]byte{long[0][:63]}, "report of 63 bytes, not 64"},
		"cut last report":       {[][]byte{long[0], long[1], long[2], long[3][:5+200-57-2*59-1]}, "report of 29 bytes, not 64"},
		"empty report":          {[][]byte{{}}, "report of 0 bytes, not 64"},
		"no status byte":        {[][]byte{start(cbor, 0)}, "CTAPHID_CBOR answer without a status"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newFake()
				d := p.open(t)
				p.handle = func(_ uint32, cmd byte, _ []byte) bool {
					if cmd == cbor {
						p.push(test.reports...)
						// What comes behind must not be taken for the next answer.
						p.push(long[2])
					}
					return cmd == cbor
				}
				_, err := d.Exchange(t.Context(), []byte{4})
				if !errors.Is(err, hid.ErrFraming) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("error %v, want %v with %q", err, hid.ErrFraming, test.want)
				}
				if name == "no status byte" {
					return // a complete message: long[2] would be the next answer's
				}
				p.handle = p.answer(cbor, 0, 1)
				if answer, err := d.Exchange(t.Context(), []byte{4}); err != nil || !bytes.Equal(answer, []byte{0, 1}) {
					t.Errorf("next answer %x, error %v", answer, err)
				}
			})
		})
	}
}

func TestForeignReportsAreSkipped(t *testing.T) {
	p := newFake()
	d := p.open(t)
	want := pattern(150)
	p.handle = func(uint32, byte, []byte) bool {
		for i, report := range frames(64, ours, cbor, want) {
			p.send(foreign, keepalive, 1)
			p.push(frames(64, foreign, cbor, pattern(500))[i])
			p.send(everyone, initCmd, initAnswer([]byte("01234567"), foreign)...)
			p.push(report)
		}
		return true
	}
	ctx, seen := statuses(t.Context())
	answer, err := d.Exchange(ctx, []byte{4})
	if err != nil || !bytes.Equal(answer, want) {
		t.Errorf("answer %x, error %v", answer, err)
	}
	if len(*seen) != 0 {
		t.Errorf("keepalives %v of another channel were reported", *seen)
	}
}

func TestKeyErrors(t *testing.T) {
	p := newFake()
	d := p.open(t)
	for code, want := range map[hid.Error]string{
		hid.ErrInvalidSeq: "CTAPHID_PING: ERR_INVALID_SEQ (CTAPHID error 0x04)",
		0x2a:              "CTAPHID_PING: CTAPHID error 0x2a",
	} {
		p.handle = func(uint32, byte, []byte) bool { p.send(ours, errorCmd, byte(code)); return true }
		_, err := d.Ping(t.Context(), nil)
		if !errors.Is(err, code) || err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
		if sent := p.sent(); !bytes.Equal(sent, []byte{ping}) {
			t.Errorf("commands %x, want the ping alone", sent)
		}
	}
	if got, want := hid.ErrLockRequired.String(), "ERR_LOCK_REQUIRED"; got != want {
		t.Errorf("name %s, want %s", got, want)
	}
}

func TestMessageAndWink(t *testing.T) {
	p := newFake()
	d := p.open(t)
	p.handle = p.answer(msg, 'U', '2', 0x90, 0)
	answer, err := d.Message(t.Context(), []byte{0, 3, 0, 0, 0, 0, 0})
	if err != nil || string(answer) != "U2\x90\x00" {
		t.Errorf("answer %x, error %v", answer, err)
	}
	p.handle = p.answer(wink)
	if err := d.Wink(t.Context()); err != nil {
		t.Error(err)
	}
	if sent := p.sent(); !bytes.Equal(sent, []byte{msg, wink}) {
		t.Errorf("commands %x", sent)
	}
}

func TestCapabilityString(t *testing.T) {
	for c, want := range map[hid.Capability]string{
		0: "none", 1: "WINK", 5: "WINK|CBOR", 8: "NMSG", 0x82: "0x82", 0x16: "CBOR|0x12",
	} {
		if got := c.String(); got != want {
			t.Errorf("%#02x is %q, want %q", byte(c), got, want)
		}
	}
}

// loopPort returns the same reports for each message of one report.
type loopPort struct {
	fakePort
	reports [][]byte
	next    int
}

func (p *loopPort) Write(report []byte) (int, error) { p.next = 0; return len(report), nil }
func (p *loopPort) SetReadDeadline(time.Time) error  { return nil }
func (p *loopPort) Read(report []byte) (n int, _ error) {
	n = copy(report, p.reports[p.next])
	p.next++
	return n, nil
}

// switchPort lets the test change the port below an open device.
type switchPort struct{ hid.Port }

func TestAllocationsDoNotGrowWithReports(t *testing.T) {
	fake := newFake()
	port := &switchPort{fake}
	d, err := hid.Open(t.Context(), port)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	allocs := func(payload int, keepalives int) float64 {
		loop := &loopPort{fakePort: fakePort{in: 64, out: 64}}
		for range keepalives {
			loop.reports = append(loop.reports, frames(64, foreign, cbor, nil)[0], frames(64, ours, keepalive, []byte{1})[0])
		}
		loop.reports = append(loop.reports, frames(64, ours, ping, pattern(payload))...)
		port.Port = loop
		data := pattern(payload)
		return testing.AllocsPerRun(20, func() {
			if _, err := d.Ping(t.Context(), data); err != nil {
				t.Fatal(err)
			}
		})
	}
	few, many := allocs(100, 1), allocs(7609, 100)
	port.Port = fake
	if many > few {
		t.Errorf("%v allocations for 129 reports, %v for 2", many, few)
	}
	if few > 16 {
		t.Errorf("%v allocations for a short message", few)
	}
}
