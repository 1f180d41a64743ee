package simulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"
)

// Events of /dev/uhid (linux/uhid.h): a 32-bit number in the host's byte order,
// then what belongs to it. The kernel fills up what is written short.
const (
	uhidDestroy        = 1
	uhidStart          = 2
	uhidOutput         = 6
	uhidGetReport      = 9
	uhidGetReportReply = 10
	uhidCreate2        = 11
	uhidInput2         = 12
	uhidSetReport      = 13
	uhidSetReportReply = 14

	uhidEventSize = 4380 // bytes of an event that is read
	uhidDataMax   = 4096 // bytes of room for a report
	uhidBusUSB    = 3
)

// uhidQueue is how many events wait between the goroutine that reads and the one
// that acts. The kernel keeps 32 and loses the rest without a word, so the reader
// must never wait.
const uhidQueue = 1024

// ServeUHID makes h a HID device of the Linux system, which every program sees as
// a security key, until ctx ends; it then returns nil. It needs the right to
// write to /dev/uhid. The caller closes h.
//
// The kernel loses reports of long messages: [Config.MaxMsgSize] should be at
// most 1200.
func ServeUHID(ctx context.Context, h *HID, c UHIDConfig) error {
	if h.ReportSize() != hidReportSize {
		return fmt.Errorf("simulator: uhid: reports have %d bytes, not %d", hidReportSize, h.ReportSize())
	}
	if c.Device == "" {
		c.Device = "/dev/uhid"
	}
	f, err := os.OpenFile(c.Device, os.O_RDWR, 0)
	if err != nil {
		return uhidOpenError(err)
	}
	if err := serveUHID(ctx, f, h, c); err != nil {
		return fmt.Errorf("simulator: %s: %w", c.Device, err)
	}
	return nil
}

// uhidOpenError adds what to do about it.
func uhidOpenError(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENODEV):
		return fmt.Errorf("simulator: %w: the kernel module uhid is not loaded: run modprobe uhid as root", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("simulator: %w: run as root, or let your group use it with the udev rule "+
			`KERNEL=="uhid", GROUP="NAME", MODE="0660"`, err)
	}
	return fmt.Errorf("simulator: %w", err)
}

// serveUHID is ServeUHID on an open device, which it closes.
func serveUHID(ctx context.Context, f io.ReadWriteCloser, h *HID, c UHIDConfig) error {
	create, err := c.createEvent()
	if err != nil {
		f.Close()
		return err
	}
	if _, err := f.Write(create); err != nil {
		f.Close()
		return err
	}
	alive, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	events := make(chan uhidEvent, uhidQueue)
	var reader sync.WaitGroup
	reader.Go(func() { cancel(readUHID(alive, f, events)) })
	h.Attach(uhidSender(f, cancel))

	err = handleUHID(alive, f, h, events, c.Ready)
	h.Attach(func([]byte) {})
	_, _ = f.Write(uhidEventOf(uhidDestroy, nil)) // closing does the same
	f.Close()                                     // ends the reader
	reader.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// handleUHID acts on events until ctx ends, and returns the cause.
func handleUHID(ctx context.Context, w io.Writer, h *HID, events <-chan uhidEvent, ready func()) error {
	for {
		var e uhidEvent
		select {
		case e = <-events:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		var err error
		switch e.kind {
		case uhidStart:
			if ready != nil {
				ready()
				ready = nil
			}
		case uhidOutput:
			h.Receive(e.report[:e.size])
		case uhidGetReport: // there are no feature reports; a program would wait 5 s for an answer
			_, err = w.Write(uhidRefusal(uhidGetReportReply, e.id))
		case uhidSetReport:
			_, err = w.Write(uhidRefusal(uhidSetReportReply, e.id))
		}
		if err != nil {
			return err
		}
	}
}

// A uhidEvent is what is of use of an event that was read.
type uhidEvent struct {
	kind   uint32
	id     uint32 // of a GET_REPORT or SET_REPORT
	report [hidReportSize]byte
	size   int // of the report; 0 if it does not have 64 bytes
}

// readUHID does nothing but read, until that fails.
func readUHID(ctx context.Context, r io.Reader, events chan<- uhidEvent) error {
	buf := make([]byte, uhidEventSize)
	for {
		n, err := r.Read(buf)
		if err != nil {
			return err
		}
		e, ok := parseUHID(buf[:n])
		if !ok {
			continue
		}
		select {
		case events <- e:
		case <-ctx.Done():
			return nil
		}
	}
}

// parseUHID decodes an event; false if it is cut short. An OUTPUT that a program
// wrote to a hidraw node has a report ID of 00 before the report.
func parseUHID(event []byte) (e uhidEvent, ok bool) {
	if len(event) < 4 {
		return e, false
	}
	e.kind = binary.NativeEndian.Uint32(event)
	payload := event[4:]
	switch e.kind {
	case uhidOutput: // data[4096] size:16 rtype:8
		if len(payload) < uhidDataMax+2 {
			return e, false
		}
		size := int(binary.NativeEndian.Uint16(payload[uhidDataMax:]))
		switch {
		case size == hidReportSize:
			e.size = copy(e.report[:], payload[:size])
		case size == hidReportSize+1 && payload[0] == 0:
			e.size = copy(e.report[:], payload[1:size])
		}
	case uhidGetReport, uhidSetReport: // id:32 ...
		if len(payload) < 4 {
			return e, false
		}
		e.id = binary.NativeEndian.Uint32(payload)
	}
	return e, true
}

// uhidSender returns the function that sends input reports, for [HID.Attach].
func uhidSender(w io.Writer, failed context.CancelCauseFunc) func(report []byte) {
	event := uhidEventOf(uhidInput2, make([]byte, 2+hidReportSize)) // size:16 data
	binary.NativeEndian.PutUint16(event[4:], hidReportSize)
	return func(report []byte) {
		if isLateInBurst(report) {
			time.Sleep(burstPause)
		}
		copy(event[6:], report)
		if _, err := w.Write(event); err != nil {
			failed(err)
		}
	}
}

// createEvent is CREATE2: name[128] phys[64] uniq[64] rd_size:16 bus:16 vendor:32
// product:32 version:32 country:32 rd_data.
func (c UHIDConfig) createEvent() ([]byte, error) {
	id := c.complete()
	descriptor := hidReportDescriptor(hidReportSize)
	var e bytes.Buffer
	for _, s := range []struct {
		text string
		room int
	}{{id.Name, 128}, {"", 64}, {id.Serial, 64}} {
		if len(s.text) >= s.room {
			return nil, fmt.Errorf("%q is longer than %d bytes", s.text, s.room-1)
		}
		e.WriteString(s.text)
		e.Write(make([]byte, s.room-len(s.text)))
	}
	b := binary.NativeEndian.AppendUint16(e.Bytes(), uint16(len(descriptor)))
	b = binary.NativeEndian.AppendUint16(b, uhidBusUSB)
	b = binary.NativeEndian.AppendUint32(b, uint32(id.Vendor))
	b = binary.NativeEndian.AppendUint32(b, uint32(id.Product))
	b = append(b, make([]byte, 4+4)...) // version, country
	return uhidEventOf(uhidCreate2, append(b, descriptor...)), nil
}

// uhidRefusal answers a GET_REPORT or SET_REPORT: id:32 err:16.
func uhidRefusal(kind uint32, id uint32) []byte {
	payload := binary.NativeEndian.AppendUint32(nil, id)
	return uhidEventOf(kind, binary.NativeEndian.AppendUint16(payload, uint16(syscall.EIO)))
}

func uhidEventOf(kind uint32, payload []byte) []byte {
	return append(binary.NativeEndian.AppendUint32(nil, kind), payload...)
}
