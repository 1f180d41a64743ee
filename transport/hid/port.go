package hid

import "time"

// A Port moves single reports to and from one FIDO HID interface, below the
// framing. A Port carries its owner's reads and writes one after the other;
// SetReadDeadline and Close may be called while Read blocks.
//
// Errors of a device that is gone wrap transport.ErrClosed.
type Port interface {
	// Read waits for the next input report and copies it, without a report
	// number, into report. Past the deadline it returns os.ErrDeadlineExceeded,
	// even when a report is at hand: a device that never stops talking cannot
	// put off the deadline.
	Read(report []byte) (int, error)

	// Write sends one output report, given without a report number.
	Write(report []byte) (int, error)

	// SetReadDeadline sets the end of the present and of all later reads, and
	// wakes a Read that is past it. The zero time is no deadline.
	SetReadDeadline(t time.Time) error

	// Drain throws away the reports that wait to be read, past the deadline too, and
	// does not wait for more. A Device calls it before each request: CTAPHID has no
	// numbers that tell the answers to two requests apart.
	Drain()

	// ReportSizes returns the length of input and output reports in bytes,
	// without a report number.
	ReportSizes() (in, out int)

	// Close releases the device and wakes Read.
	Close() error
}
