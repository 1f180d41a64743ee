package hid

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fidokey/fidokey/transport"
)

// DefaultTimeout ends each call of a Device, and Open, when the context has no
// deadline of its own.
const DefaultTimeout = 30 * time.Second

const (
	busyDelay     = 100 * time.Millisecond // between two tries while the key is busy
	drainTimeout  = 2 * time.Second        // from a cancel to the key's answer
	resyncTimeout = time.Second            // for an INIT that resets our channel
)

// Capability is the set of flags in the answer to CTAPHID_INIT. Some keys claim
// too much or too little; the calls of a Device do not depend on it.
type Capability byte

const (
	CapabilityWink Capability = 0x01 // blinks on CTAPHID_WINK
	capabilityLock Capability = 0x02 // of a draft
	CapabilityCBOR Capability = 0x04 // speaks CTAP2
	CapabilityNMSG Capability = 0x08 // does not speak U2F
)

// String returns the specification's names, as in "WINK|CBOR"; bits without a
// name are in hexadecimal, and the empty set is "none".
func (c Capability) String() string {
	if c == 0 {
		return "none"
	}
	var names []string
	for _, flag := range []struct {
		bit  Capability
		name string
	}{{CapabilityWink, "WINK"}, {CapabilityCBOR, "CBOR"}, {CapabilityNMSG, "NMSG"}} {
		if c&flag.bit != 0 {
			names = append(names, flag.name)
			c &^= flag.bit
		}
	}
	if c != 0 {
		names = append(names, fmt.Sprintf("%#02x", byte(c)))
	}
	return strings.Join(names, "|")
}

// A Device is a key with a CTAPHID channel of our own. It implements
// [transport.Device]. Calls from several goroutines wait for each other.
//
// When the context of a call ends, the call takes up to three seconds more: to
// cancel the work on the key, and if the key stays silent to reset the channel.
// A key that does not answer even then is given up: all later calls fail.
type Device struct {
	port    Port
	turn    transport.Turn
	in, out []byte // one report each
	fault   error  // why the device is of no use any more
	closed  bool

	channel      channel
	protocol     byte
	version      [3]byte // major, minor, build
	capabilities Capability
}

// Open asks the key behind port for a channel, with one CTAPHID_INIT on the
// broadcast channel. The Device owns port; after an error port is closed.
//
// On Linux programs take turns: Open waits until no other has locked the device
// node, and locks it until Close. So nothing comes between the commands of a
// series, and nobody takes our token away. A wait that ctx ends is a
// [transport.ErrBusy].
func Open(ctx context.Context, port Port) (*Device, error) {
	d, err := open(ctx, port)
	if err != nil {
		port.Close()
		return nil, err
	}
	return d, nil
}

func open(ctx context.Context, port Port) (*Device, error) {
	in, out := port.ReportSizes()
	if in < minReport || out < minReport {
		return nil, fmt.Errorf("reports of %d and %d bytes are too short for CTAPHID, which needs %d", in, out, minReport)
	}
	d := &Device{port: port, turn: transport.NewTurn(), in: make([]byte, in), out: make([]byte, out)}
	ctx, release, err := d.turn.Take(ctx, DefaultTimeout)
	if err != nil {
		return nil, err
	}
	defer release()
	if err := d.lock(ctx); err != nil {
		return nil, err
	}
	if err := d.handshake(ctx, broadcast); err != nil {
		return nil, fmt.Errorf("%s: %w", cmdInit, err)
	}
	return d, nil
}

// Capabilities returns the flags that the key sent when it was opened.
func (d *Device) Capabilities() Capability { return d.capabilities }

// ClaimsCTAP2 reports whether the key says that it speaks CTAP2.
func (d *Device) ClaimsCTAP2() bool { return d.capabilities&CapabilityCBOR != 0 }

// ClaimsWink reports whether the key says that it can wink.
func (d *Device) ClaimsWink() bool { return d.capabilities&CapabilityWink != 0 }

// Transport returns "usb", for software keys too.
func (d *Device) Transport() string { return "usb" }

// Version returns the key's device version. Its meaning is the maker's.
func (d *Device) Version() (major, minor, build byte) {
	return d.version[0], d.version[1], d.version[2]
}

// ProtocolVersion returns the version of CTAPHID, which is 2.
func (d *Device) ProtocolVersion() byte { return d.protocol }

// Exchange sends a CTAP2 command in CTAPHID_CBOR and returns the answer, which
// has at least a status byte. Keepalives are passed to [transport.Report].
//
// When ctx ends, the request is cancelled with CTAPHID_CANCEL. An answer with
// status 00 that arrives in spite of it is returned without an error.
func (d *Device) Exchange(ctx context.Context, msg []byte) ([]byte, error) {
	if len(msg) == 0 {
		return nil, fmt.Errorf("%s: %w: a message without a command", cmdCBOR, ErrInvalidLen)
	}
	answer, err := d.call(ctx, cmdCBOR, msg)
	if err == nil && len(answer) == 0 {
		return nil, fmt.Errorf("%w: %s answer without a status", ErrFraming, cmdCBOR)
	}
	return answer, err
}

// Message sends a U2F command APDU of extended length in CTAPHID_MSG and
// returns the response APDU, whose last two bytes are the status word.
func (d *Device) Message(ctx context.Context, apdu []byte) ([]byte, error) {
	return d.call(ctx, cmdMsg, apdu)
}

// Ping sends data in CTAPHID_PING and returns what came back, which should be
// the same.
func (d *Device) Ping(ctx context.Context, data []byte) ([]byte, error) {
	return d.call(ctx, cmdPing, data)
}

// Wink makes the key blink for a moment, if it can: see [CapabilityWink]. Some
// keys never answer, others are deaf for a second or two afterwards.
func (d *Device) Wink(ctx context.Context) error {
	_, err := d.call(ctx, cmdWink, nil)
	return err
}

// Lock keeps the other channels, and so other programs, off the key for 1 to 10
// seconds. Zero ends an earlier lock.
func (d *Device) Lock(ctx context.Context, seconds int) error {
	if seconds < 0 || seconds > 10 {
		return fmt.Errorf("%s: %w: %d seconds, not 0 to 10", cmdLock, ErrInvalidPar, seconds)
	}
	_, err := d.call(ctx, cmdLock, []byte{byte(seconds)})
	return err
}

// Close waits for a running call and closes the port. Later calls return
// transport.ErrClosed; closing once more does nothing.
func (d *Device) Close() error {
	defer d.turn.Wait()()
	if d.closed {
		return nil
	}
	d.closed = true
	d.fault = transport.ErrClosed
	return d.port.Close()
}

// call carries out one command on our channel.
func (d *Device) call(ctx context.Context, cmd command, data []byte) ([]byte, error) {
	if most := maxPayload(len(d.out)); len(data) > most {
		return nil, fmt.Errorf("%s: %w: %d bytes, and %d fit", cmd, ErrInvalidLen, len(data), most)
	}
	ctx, release, err := d.turn.Take(ctx, DefaultTimeout)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmd, err)
	}
	defer release()
	if d.fault != nil {
		return nil, fmt.Errorf("%s: %w", cmd, transport.NotDone(d.fault))
	}

	var a assembler
	answer, err := d.transact(ctx, &a, cmd, data)
	if err != nil {
		answer, err = d.settle(ctx, &a, cmd, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmd, err)
	}
	return answer, nil
}

// transact sends a request and waits for its answer, again and again while the
// key is busy with another channel.
func (d *Device) transact(ctx context.Context, a *assembler, cmd command, data []byte) (answer []byte, err error) {
	err = retryBusy(ctx, func() error {
		// What came before cannot be the answer. One report too many would have each
		// answer taken for that to the request behind it, for ever.
		d.port.Drain()
		if err := d.send(d.channel, cmd, data); err != nil {
			return err
		}
		answer, err = d.receive(ctx, a, cmd)
		return err
	})
	return answer, err
}

// settle makes the channel fit for the next call after err, the error of a call
// to which there may be an answer yet. ctx has ended, or is good for nothing.
func (d *Device) settle(ctx context.Context, a *assembler, cmd command, err error) ([]byte, error) {
	var code Error
	if d.fault != nil || errors.As(err, &code) {
		return nil, err // nothing of ours runs on the key
	}
	// Nobody is to be asked for a touch any more: keepalives are not reported.
	ctx = transport.WithStatus(context.WithoutCancel(ctx), func(transport.Status) {})
	var end *transport.EndedError
	if errors.As(err, &end) && cmd == cmdCBOR {
		answer, ok := d.cancel(ctx, a)
		switch {
		case ok && answer[0] == 0:
			return answer, nil
		case ok:
			return nil, transport.NotDone(err)
		case d.fault != nil:
			return nil, err
		}
	}
	d.resync(ctx, err)
	return nil, err
}

// cancel ends the running CBOR request and takes its answer off the channel.
// CTAPHID_CANCEL has no answer of its own (section 11.2.9.1.5).
func (d *Device) cancel(ctx context.Context, a *assembler) (answer []byte, ok bool) {
	ctx, stop := context.WithTimeout(ctx, drainTimeout)
	defer stop()
	// A key whose answer is on its way has nothing to cancel, and might keep
	// the cancel for the next request.
	if !a.started || a.command != cmdCBOR {
		if err := d.send(d.channel, cmdCancel, nil); err != nil {
			return nil, false
		}
	}
	answer, err := d.receive(ctx, a, cmdCBOR)
	return answer, err == nil && len(answer) > 0
}

// resync aborts whatever the key does for our channel, with an INIT on it
// (section 11.2.9.1.3). A key that does not follow is of no use any more.
func (d *Device) resync(ctx context.Context, reason error) {
	ctx, stop := context.WithTimeout(ctx, resyncTimeout)
	defer stop()
	if err := d.handshake(ctx, d.channel); err != nil && d.fault == nil {
		// Not wrapped: time-outs of this call are none of later ones.
		d.fault = fmt.Errorf("key given up after an earlier call (%v): no answer to %s (%v)", reason, cmdInit, err)
	}
}

// initSize is the length of the answer to CTAPHID_INIT behind its nonce.
const initSize = 9

// accept takes over the answer to CTAPHID_INIT, without its nonce. An answer may
// be longer in later versions of the protocol.
func (d *Device) accept(ctx context.Context, answer []byte) error {
	if len(answer) < initSize {
		return fmt.Errorf("%w: %s answer of %d bytes, not 17", ErrFraming, cmdInit, 8+len(answer))
	}
	id := channel(answer)
	if id == broadcast || id == (channel{}) {
		return fmt.Errorf("%w: %s answer allocates channel %x", ErrFraming, cmdInit, id)
	}
	if len(answer) > initSize {
		tolerate(ctx, cmdInit, answer, "answer of %d bytes, not 17", 8+len(answer))
	}
	if d.channel != (channel{}) && d.channel != id {
		tolerate(ctx, cmdInit, answer, "channel %x became %x", d.channel, id)
	}
	d.channel = id
	d.protocol = answer[4]
	d.version = [3]byte(answer[5:8])
	d.capabilities = Capability(answer[8])
	if unknown := d.capabilities &^ (CapabilityWink | capabilityLock | CapabilityCBOR | CapabilityNMSG); unknown != 0 {
		tolerate(ctx, cmdInit, answer, "unknown capabilities %v", unknown)
	}
	return nil
}
