package bench

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.bug.st/serial"
)

// serialRelay is a relay at a serial port, which most of those on USB are.
type serialRelay struct {
	Device   string `yaml:"device"`
	Protocol string `yaml:"protocol"`
	Channel  *int   `yaml:"channel"`
	Baud     int    `yaml:"baud"`
	// On and Off are for protocol bytes: hexadecimal digits.
	On  string `yaml:"on"`
	Off string `yaml:"off"`

	open func(r *serialRelay) (serialPort, error)
	mu   sync.Mutex
	port serialPort
}

// serialPort is what is used of a serial.Port.
type serialPort interface {
	io.WriteCloser
	Drain() error
	SetRTS(on bool) error
	SetDTR(on bool) error
}

// openSerial opens the port. Where one of its lines is the relay, both are low at
// first; no other port is asked for its lines, for not all have some.
func openSerial(r *serialRelay) (serialPort, error) {
	mode := &serial.Mode{BaudRate: r.Baud}
	if r.Protocol == "rts" || r.Protocol == "dtr" {
		mode.InitialStatusBits = &serial.ModemOutputBits{}
	}
	return serial.Open(r.Device, mode)
}

// A relayProtocol says what is sent to a relay.
type relayProtocol struct {
	first, last int // channels
	message     func(channel int, on bool) []byte
}

// relayProtocols are those of common boards. The protocols rts and dtr move a line
// of the port itself, bytes sends what the file says.
var relayProtocols = map[string]relayProtocol{
	// LCUS-1 and its like, with the sum of what came before at the end.
	"lcus": {1, 8, func(channel int, on bool) []byte {
		m := []byte{0xa0, byte(channel), bit(on)}
		return append(m, m[0]+m[1]+m[2])
	}},
	// KMTronic, and others with its commands.
	"kmtronic": {1, 8, func(channel int, on bool) []byte { return []byte{0xff, byte(channel), bit(on)} }},
	// Numato, in words. Channels above 9 are letters.
	"numato": {0, 31, func(channel int, on bool) []byte {
		return fmt.Appendf(nil, "relay %s %c\r", onOff(on), "0123456789ABCDEFGHIJKLMNOPQRSTUV"[channel])
	}},
	// USB-RLY of Devantech: one letter for each relay.
	"devantech": {1, 8, func(channel int, on bool) []byte {
		if on {
			return []byte{byte('e' - 1 + channel)}
		}
		return []byte{byte('o' - 1 + channel)}
	}},
}

func bit(on bool) byte {
	if on {
		return 1
	}
	return 0
}

func (r *serialRelay) files() []*string { return []*string{&r.Device} }

func (r *serialRelay) check() error {
	if r.Device == "" {
		return errors.New("device is a serial port, as /dev/ttyUSB0")
	}
	if r.Baud == 0 {
		r.Baud = 9600
	}
	switch r.Protocol {
	case "rts", "dtr":
		return nil
	case "bytes":
		for _, digits := range []string{r.On, r.Off} {
			if m, err := decodeHex(digits); err != nil || len(m) == 0 {
				return errors.New("on and off are hexadecimal digits with the protocol bytes")
			}
		}
		return nil
	}
	p, ok := relayProtocols[r.Protocol]
	if !ok {
		return fmt.Errorf("protocol %q: must be %s, rts, dtr or bytes", r.Protocol, strings.Join(slices.Sorted(maps.Keys(relayProtocols)), ", "))
	}
	if r.Channel == nil {
		r.Channel = &p.first
	}
	if *r.Channel < p.first || *r.Channel > p.last {
		return fmt.Errorf("channel %d: must be from %d to %d", *r.Channel, p.first, p.last)
	}
	return nil
}

func decodeHex(digits string) ([]byte, error) {
	return hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
}

// hold opens the port, once: some boards begin anew whenever it is opened.
func (r *serialRelay) hold() (err error) {
	if r.port == nil {
		if r.port, err = r.open(r); err != nil {
			r.port = nil
			err = fmt.Errorf("%s: %w", r.Device, err)
		}
	}
	return err
}

func (r *serialRelay) Set(_ context.Context, on bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.hold(); err != nil {
		return err
	}
	var message []byte
	switch r.Protocol {
	case "rts":
		return r.port.SetRTS(on)
	case "dtr":
		return r.port.SetDTR(on)
	case "bytes":
		digits := r.Off
		if on {
			digits = r.On
		}
		message, _ = decodeHex(digits)
	default:
		message = relayProtocols[r.Protocol].message(*r.Channel, on)
	}
	if _, err := r.port.Write(message); err != nil {
		err = errors.Join(fmt.Errorf("%s: %w", r.Device, err), r.port.Close())
		r.port = nil // the board was unplugged, and may come back
		return err
	}
	return r.port.Drain()
}

func (r *serialRelay) Probe(context.Context) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Device + " can be opened", r.hold()
}

func (r *serialRelay) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.port == nil {
		return nil
	}
	port := r.port
	r.port = nil
	return port.Close()
}
