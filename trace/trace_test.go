package trace_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/trace"
	"github.com/fidokey/fidokey/transport"
)

// key is a device with the methods of one on NFC.
type key struct {
	transport.Device
	exchange func(ctx context.Context, msg []byte) ([]byte, error)
}

func (k *key) Exchange(ctx context.Context, msg []byte) ([]byte, error) { return k.exchange(ctx, msg) }

func (k *key) Message(_ context.Context, apdu []byte) ([]byte, error) { return []byte{0x90, 0}, nil }

func (*key) Version() string { return "U2F_V2" }

// usbKey has those of one on USB.
type usbKey struct{ key }

func (*usbKey) Ping(_ context.Context, data []byte) ([]byte, error) { return data, nil }
func (*usbKey) Wink(context.Context) error                          { return transport.ErrUnsupported }
func (*usbKey) Lock(context.Context, int) error                     { return nil }

// TestRecord: what is written down is what was said, with times, and can be read.
func TestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var file bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		dev := &usbKey{key{exchange: func(ctx context.Context, msg []byte) ([]byte, error) {
			switch msg[0] {
			case 0x0b:
				time.Sleep(75 * time.Millisecond)
				transport.Report(ctx, transport.StatusUPNeeded)
				time.Sleep(25 * time.Millisecond)
				return []byte{0}, nil
			case 0x07:
				return nil, errors.Join(errors.New("pulled out"), transport.ErrClosed)
			case 0x02:
				cancel()
				return nil, context.Cause(ctx)
			}
			return []byte{0, 0xa1, 2, 0x42, 0xcc, 0xcc}, nil
		}}}
		w := trace.NewWriter(&file, trace.Header{Tool: "test", Device: "none"})
		start := time.Now().UTC()
		recorded := trace.Record(dev, w)

		heard := 0
		listening := transport.WithStatus(ctx, func(transport.Status) { heard++ })
		time.Sleep(time.Millisecond)
		if answer, err := recorded.Exchange(listening, []byte{0x0b}); err != nil || !bytes.Equal(answer, []byte{0}) || heard != 1 {
			t.Errorf("%x, %v, %d keepalives", answer, err, heard)
		}
		if answer, err := recorded.Exchange(ctx, []byte{6, 0xa1, 6, 0x42, 0xcc, 0xcc}); err != nil || answer[4] != 0xcc {
			t.Errorf("the answer itself: %x, %v", answer, err)
		}
		if _, err := recorded.Exchange(ctx, []byte{0x07}); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("unplugged: %v", err)
		}
		if wink, ok := transport.As[interface{ Wink(context.Context) error }](recorded); !ok || !errors.Is(wink.Wink(ctx), transport.ErrUnsupported) {
			t.Error("wink")
		}
		if ping, ok := transport.As[interface {
			Ping(context.Context, []byte) ([]byte, error)
		}](recorded); !ok {
			t.Error("no ping")
		} else if answer, err := ping.Ping(ctx, []byte{1, 2}); err != nil || len(answer) != 2 {
			t.Errorf("ping: %x, %v", answer, err)
		}
		if lock, ok := recorded.(interface {
			Lock(context.Context, int) error
		}); !ok || lock.Lock(ctx, 10) != nil {
			t.Error("lock")
		}
		if u2f, ok := recorded.(interface {
			Message(context.Context, []byte) ([]byte, error)
		}); !ok {
			t.Error("no U2F")
		} else if _, err := u2f.Message(ctx, []byte{0, 3, 0, 0}); err != nil {
			t.Error(err)
		}
		if _, err := recorded.Exchange(ctx, []byte{2}); err == nil {
			t.Error("not cancelled")
		}
		if err := w.Err(); err != nil {
			t.Fatal(err)
		}

		got, err := trace.Read(&file)
		if err != nil {
			t.Fatal(err)
		}
		want := &trace.Trace{
			Header: trace.Header{Version: 1, Start: start, Tool: "test", Device: "none"},
			Exchanges: []trace.Exchange{
				{Kind: "cbor", At: 1000, Took: 100_000, Request: []byte{0x0b}, Response: []byte{0}, Keepalives: []trace.Keepalive{{75_000, 2}}},
				{Kind: "cbor", At: 101_000, Request: []byte{6, 0xa1, 6, 0x42, 0, 0}, Response: []byte{0, 0xa1, 2, 0x42, 0, 0}},
				{Kind: "cbor", At: 101_000, Request: []byte{7}, Error: "pulled out\ndevice closed", Closed: true},
				{Kind: "wink", At: 101_000, Error: "not supported"},
				{Kind: "ping", At: 101_000, Request: []byte{1, 2}, Response: []byte{1, 2}},
				{Kind: "lock", At: 101_000, Request: []byte{10}},
				{Kind: "msg", At: 101_000, Request: []byte{0, 3, 0, 0}, Response: []byte{0x90, 0}},
				{Kind: "cbor", At: 101_000, Request: []byte{2}, Error: "context canceled", Cancelled: true},
			},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

// TestRecordKeepsMethods: a recorded device can do what it could do before, and
// no more.
func TestRecordKeepsMethods(t *testing.T) {
	type (
		messenger interface {
			Message(context.Context, []byte) ([]byte, error)
		}
		winker    interface{ Wink(context.Context) error }
		versioned interface{ Version() string }
	)
	w := trace.NewWriter(&bytes.Buffer{}, trace.Header{})
	for _, tt := range []struct {
		name                   string
		dev                    transport.Device
		message, wink, version bool
	}{
		{"bare", struct{ transport.Device }{}, false, false, false},
		{"NFC", &key{}, true, false, true},
		{"USB", &usbKey{}, true, true, true},
	} {
		dev := trace.Record(tt.dev, w)
		_, direct := dev.(messenger)
		_, message := transport.As[messenger](dev)
		_, wink := transport.As[winker](dev)
		_, version := transport.As[versioned](dev)
		if message != tt.message || direct != message || wink != tt.wink || version != tt.version {
			t.Errorf("%s: message %v, wink %v, version %v", tt.name, message, wink, version)
		}
	}
}

// full is a disk that takes so many more lines.
type full struct{ left int }

var errFull = errors.New("disk full")

func (f *full) Write(b []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errFull
	}
	return len(b), nil
}

func TestWriteError(t *testing.T) {
	for left := range 3 {
		disk := &full{left}
		w := trace.NewWriter(disk, trace.Header{})
		dev := trace.Record(&key{exchange: func(context.Context, []byte) ([]byte, error) { return []byte{0}, nil }}, w)
		for range 3 {
			if answer, err := dev.Exchange(t.Context(), []byte{4}); err != nil || len(answer) != 1 {
				t.Errorf("%d lines: the exchange failed: %v", left, err)
			}
		}
		if err := w.Err(); !errors.Is(err, errFull) {
			t.Errorf("%d lines: error %v", left, err)
		}
		if disk.left != -1 {
			t.Errorf("%d lines: it went on writing", left)
		}
	}
}

const header = `{"trace":1,"start":"2026-10-06T12:00:00Z","later":true}` + "\n"

func TestRead(t *testing.T) {
	const good = `{"kind":"cbor","at":1,"took":2,"request":"04","response":"00","later":{}}` + "\n"
	for _, tt := range []struct {
		name, text string
		exchanges  int
		ok         bool
	}{
		{"good", header + good + good, 2, true},
		{"no exchange", header, 0, true},
		{"empty", "", 0, false},
		{"no header", good, 0, false},
		{"version 3", `{"trace":3}` + "\n" + good, 0, false},
		{"cut off", header + good + good[:20], 1, false},
		{"odd digits", header + `{"kind":"cbor","request":"0"}`, 0, false},
		{"no kind", header + `{"request":"04"}`, 0, false},
		{"before the start", header + `{"kind":"cbor","at":-1}`, 0, false},
		{"keepalives out of order", header + `{"kind":"cbor","keepalives":[{"at":2,"status":1},{"at":1,"status":1}]}`, 0, false},
		{"long line", header + good + strings.Repeat(" ", 1<<20) + good, 1, false},
		{"unknown kind", header + `{"kind":"smoke"}`, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := trace.Read(strings.NewReader(tt.text))
			if (err == nil) != tt.ok || err != nil && !errors.Is(err, trace.ErrFormat) {
				t.Errorf("error %v", err)
			}
			if len(got.Exchanges) != tt.exchanges {
				t.Errorf("%d exchanges", len(got.Exchanges))
			}
		})
	}
	if _, err := trace.Read(io.MultiReader(strings.NewReader(header), endless{})); !errors.Is(err, trace.ErrFormat) {
		t.Errorf("endless line: %v", err)
	}
}

func TestReadAtMost(t *testing.T) {
	text := header + strings.Repeat(`{"kind":"x"}`+"\n", 10)
	if got, err := trace.ReadAtMost(strings.NewReader(text), int64(len(text)), 10); err != nil || len(got.Exchanges) != 10 {
		t.Errorf("%d exchanges, %v", len(got.Exchanges), err)
	}
	if _, err := trace.ReadAtMost(strings.NewReader(text), int64(len(text))-1, 10); !errors.Is(err, trace.ErrFormat) {
		t.Errorf("too long: %v", err)
	}
	if got, err := trace.ReadAtMost(strings.NewReader(text), int64(len(text)), 9); !errors.Is(err, trace.ErrFormat) || len(got.Exchanges) != 9 {
		t.Errorf("too many: %d exchanges, %v", len(got.Exchanges), err)
	}
}

// endless has no line breaks.
type endless struct{}

func (endless) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// FuzzRead: whatever is read can be written, and read again.
func FuzzRead(f *testing.F) {
	f.Add([]byte(header + `{"kind":"cbor","at":1,"took":2,"request":"04","response":"00a0","keepalives":[{"at":1,"status":2}]}`))
	f.Add([]byte(header + `{"kind":"msg","error":"x","closed":true,"cancelled":true}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		first, _ := trace.Read(bytes.NewReader(data))
		if first.Version != trace.Version || first.Start.Year() < 1 || first.Start.Year() > 9999 {
			return
		}
		var file bytes.Buffer
		w := trace.NewWriter(&file, first.Header)
		for _, e := range first.Exchanges {
			w.Add(e)
		}
		if err := w.Err(); err != nil {
			t.Fatal(err)
		}
		if file.Len() > 1<<20 {
			return
		}
		second, err := trace.Read(&file)
		if err != nil || len(second.Exchanges) != len(first.Exchanges) {
			t.Fatalf("%d exchanges, then %d: %v", len(first.Exchanges), len(second.Exchanges), err)
		}
	})
}
