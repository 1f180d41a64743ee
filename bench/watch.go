package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport/hid"
	"github.com/fidokey/fidokey/transport/nfc"
)

// What goes by on a port and has to do with touches (CTAP 2.1, section 11.2.9).
const (
	hidMessage   = 0x83
	hidCBOR      = 0x90
	hidKeepalive = 0xbb
	hidError     = 0xbf

	messageTimeout = 5

	upNeeded  = 2
	checkOnly = 0x07 // P1 of a U2F authentication that wants no touch

	nfcMessage = 0x10 // NFCCTAP_MSG

	u2fRegister     = 0x01
	u2fAuthenticate = 0x02
)

// What a key on a reader answers that works on a request, one that then waits for a touch
// (section 11.3.7.2), and one that was asked by U2F and not touched.
var (
	nfcWorks   = []byte{0x91, 0x00}
	nfcBlinks  = []byte{upNeeded, 0x91, 0x00}
	notTouched = []byte{0x69, 0x85}
)

// errSlow is a fault of the transport that the key tells of.
var errSlow = errors.New("CTAPHID error MSG_TIMEOUT: the key waited too long for the rest of a message")

// A watchedPort looks at what goes by: the key says that it blinks, and errors that
// are no answer of the key are counted.
type watchedPort struct {
	hid.Port
	place    *Place
	checking bool // the U2F message that is under way wants no touch
	closed   atomic.Bool
}

func (w *watchedPort) Read(report []byte) (int, error) {
	n, err := w.Port.Read(report)
	switch {
	case err == nil:
		w.saw(report[:n])
	case !errors.Is(err, os.ErrDeadlineExceeded):
		w.fault(err)
	}
	return n, err
}

// Write has the finger off the key before a command goes out, so that the touch of
// the last one does not do for it. U2F is asked again and again while it waits.
func (w *watchedPort) Write(report []byte) (int, error) {
	switch {
	case len(report) > 9 && report[4] == hidMessage:
		w.checking = report[9] == checkOnly
	case len(report) > 4 && report[4] == hidCBOR:
		w.place.finger.lift()
	}
	n, err := w.Port.Write(report)
	if err != nil {
		w.fault(err)
	}
	return n, err
}

func (w *watchedPort) Close() error {
	w.closed.Store(true)
	return w.Port.Close()
}

func (w *watchedPort) fault(err error) {
	if !w.closed.Load() {
		w.place.fault(err)
	}
}

// saw looks at the first packets of messages.
func (w *watchedPort) saw(r []byte) {
	if len(r) < 9 {
		return
	}
	size := binary.BigEndian.Uint16(r[5:])
	switch command := r[4]; {
	case command == hidKeepalive && size == 1 && r[7] == upNeeded,
		command == hidMessage && size == 2 && r[7] == 0x69 && r[8] == 0x85 && !w.checking: // conditions not satisfied: not touched
		w.place.finger.blink()
	case command == hidError && size == 1 && r[7] == messageTimeout:
		// The reports of a message came too slowly: the system was busy. A case that is
		// about that passes, and one that passes is not run again.
		w.fault(errSlow)
		fallthrough
	case command == hidCBOR, command == hidMessage, command == hidError:
		w.place.finger.answered()
	}
}

// A watchedCard looks at what goes by on a reader, as a watchedPort does.
type watchedCard struct {
	nfc.Card
	place *Place
	u2f   bool // what is under way is U2F, and wants a touch
}

// Unwrap is for what the card can do besides: keep other programs out.
func (w *watchedCard) Unwrap() nfc.Card { return w.Card }

func (w *watchedCard) Transmit(ctx context.Context, apdu []byte) ([]byte, error) {
	if len(apdu) > 2 && apdu[1] == nfcMessage {
		w.place.finger.lift()
	}
	w.u2f = len(apdu) > 2 && apdu[0] == 0 && (apdu[1] == u2fRegister || apdu[1] == u2fAuthenticate && apdu[2] != checkOnly)
	answer, err := w.Card.Transmit(ctx, apdu)
	switch {
	case err != nil && ctx.Err() == nil:
		w.place.fault(err)
	case bytes.Equal(answer, nfcBlinks), w.u2f && bytes.Equal(answer, notTouched):
		w.place.finger.blink()
	case err == nil && !bytes.HasSuffix(answer, nfcWorks):
		w.place.finger.answered()
	}
	return answer, err
}

// fault notes an error of the transport, unless the bench has cut the power itself.
func (p *Place) fault(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.switching {
		p.faults = append(p.faults, err.Error())
	}
}

// takeFaults returns the faults since the last call.
func (p *Place) takeFaults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	faults := p.faults
	p.faults = nil
	return faults
}

func (p *Place) softPort() hid.Port { return simulator.NewHID(p.soft.key).Port() }
func (p *Place) softCard() nfc.Card { return simulator.NewCard(p.soft.key) }

func (p *Place) noDriver(what string) error {
	return fmt.Errorf("key %s: %w: its %s is none", p.Name, ErrNoDriver, what)
}
