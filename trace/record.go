package trace

import (
	"context"
	"errors"
	"time"

	"github.com/fidokey/fidokey/transport"
)

// maxKeepalives of one exchange are written down; a key sends about 400 while it
// waits half a minute for a touch.
const maxKeepalives = 10000

// Record returns a device that does what dev does and writes it down. It has the
// methods Message, or Message, Wink, Ping and Lock, where dev has them; what else
// dev can do is found by [transport.As].
func Record(dev transport.Device, w *Writer) transport.Device {
	r := &recorder{Device: dev, w: w}
	m, ok := dev.(messenger)
	if !ok {
		return r
	}
	withMessage := &messageRecorder{r, m}
	if h, ok := dev.(hidDevice); ok {
		return &hidRecorder{withMessage, h}
	}
	return withMessage
}

// messenger is a device that carries U2F, as all transports of ours do.
type messenger interface {
	Message(ctx context.Context, apdu []byte) ([]byte, error)
}

// hidDevice is what a device on USB HID can do besides.
type hidDevice interface {
	Ping(ctx context.Context, data []byte) ([]byte, error)
	Wink(ctx context.Context) error
	Lock(ctx context.Context, seconds int) error
}

type recorder struct {
	transport.Device
	w *Writer
}

// Unwrap returns the device that is recorded.
func (r *recorder) Unwrap() transport.Device { return r.Device }

func (r *recorder) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	return r.record(ctx, KindCBOR, msg, r.Device.Exchange)
}

// record makes a call and writes it down.
func (r *recorder) record(ctx context.Context, kind Kind, request []byte, call func(context.Context, []byte) ([]byte, error)) ([]byte, error) {
	begin := time.Now()
	e := Exchange{Kind: kind, At: micros(begin.Sub(r.w.start)), Request: request}
	heard := transport.WithStatus(ctx, func(s transport.Status) {
		if len(e.Keepalives) < maxKeepalives {
			e.Keepalives = append(e.Keepalives, Keepalive{micros(time.Since(begin)), s})
		}
		transport.Report(ctx, s)
	})
	response, err := call(heard, request)
	e.Took = micros(time.Since(begin))
	e.Cancelled = ctx.Err() != nil
	if err != nil {
		e.Error, e.Closed = err.Error(), errors.Is(err, transport.ErrClosed)
	} else {
		e.Response = response
	}
	r.w.Add(e)
	return response, err
}

type messageRecorder struct {
	*recorder
	dev messenger
}

func (r *messageRecorder) Message(ctx context.Context, apdu []byte) ([]byte, error) {
	return r.record(ctx, KindMsg, apdu, r.dev.Message)
}

type hidRecorder struct {
	*messageRecorder
	hid hidDevice
}

func (r *hidRecorder) Ping(ctx context.Context, data []byte) ([]byte, error) {
	return r.record(ctx, KindPing, data, r.hid.Ping)
}

func (r *hidRecorder) Wink(ctx context.Context) error {
	_, err := r.record(ctx, KindWink, nil, func(ctx context.Context, _ []byte) ([]byte, error) {
		return nil, r.hid.Wink(ctx)
	})
	return err
}

func (r *hidRecorder) Lock(ctx context.Context, seconds int) error {
	_, err := r.record(ctx, KindLock, []byte{byte(seconds)}, func(ctx context.Context, _ []byte) ([]byte, error) {
		return nil, r.hid.Lock(ctx, seconds)
	})
	return err
}
