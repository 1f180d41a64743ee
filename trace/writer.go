package trace

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// A Writer writes a trace. It may be used from several goroutines, and for
// several devices one after the other.
type Writer struct {
	start time.Time

	mu  sync.Mutex
	to  io.Writer
	err error
}

// NewWriter writes the header, with the time of now if h has none, and [Version] if
// it has not RunVersion.
func NewWriter(to io.Writer, h Header) *Writer {
	w := &Writer{start: time.Now(), to: to}
	if h.Version != RunVersion {
		h.Version = Version
	}
	if h.Start.IsZero() {
		h.Start = w.start
	}
	h.Start = h.Start.UTC().Truncate(time.Microsecond)
	w.line(h)
	return w
}

// Add redacts an exchange and writes it, in one Write. After an error nothing
// more is written.
func (w *Writer) Add(e Exchange) {
	e.Response = RedactResponse(e.Kind, e.Request, e.Response)
	e.Request = RedactRequest(e.Kind, e.Request)
	w.line(e)
}

func (w *Writer) line(v any) {
	line, err := json.Marshal(v)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil && err == nil {
		_, err = w.to.Write(append(line, '\n'))
	}
	if w.err == nil && err != nil {
		w.err = fmt.Errorf("trace: %w", err)
	}
}

// Err returns the first error. The exchanges themselves go on in spite of it.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}
