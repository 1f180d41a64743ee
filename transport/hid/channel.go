package hid

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/fidokey/fidokey/transport"
)

// retryBusy repeats try until it returns something else than ErrChannelBusy.
func retryBusy(ctx context.Context, try func() error) error {
	for {
		err := try()
		if !errors.Is(err, ErrChannelBusy) {
			return err
		}
		select {
		case <-time.After(busyDelay):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			// Nothing of ours runs on the key, so there is nothing to cancel:
			// the error stays an ErrChannelBusy.
			return fmt.Errorf("%w: %w", err, ended(ctx, "key used by another program"))
		}
	}
}

// fail notes that the port is of no use any more.
func (d *Device) fail(err error) error {
	d.fault = err
	return err
}

// send writes one message. It does not look at a context: the key would wait
// for the rest of half a message, and refuse the next one.
func (d *Device) send(id channel, cmd command, data []byte) error {
	return writePackets(d.out, id, cmd, data, func(report []byte) error {
		if _, err := d.port.Write(report); err != nil {
			return d.fail(err)
		}
		return nil
	})
}

// past is a deadline that is over.
var past = time.Unix(1, 0)

// wakeWith makes a Read that blocks return when ctx ends. The function that it
// returns takes this back. It waits if ctx is ending just now, so that the
// deadline that belongs to ctx cannot overtake one that is set later.
func (d *Device) wakeWith(ctx context.Context) (release func(), err error) {
	if err := d.port.SetReadDeadline(time.Time{}); err != nil {
		return nil, d.fail(err)
	}
	fired := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(fired)
		// An error here means that the port is closed, which Read says too.
		_ = d.port.SetReadDeadline(past)
	})
	return func() {
		if !stop() {
			<-fired
		}
	}, nil
}

// read waits for the next report of a channel and leaves it in d.in. Every
// program that has the key open sees all reports; those of other channels are
// skipped.
func (d *Device) read(ctx context.Context, id channel, seen string) error {
	for {
		n, err := d.port.Read(d.in)
		switch {
		case ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded):
			return ended(ctx, seen)
		case err != nil:
			return d.fail(err)
		case n != len(d.in):
			return fmt.Errorf("%w: report of %d bytes, not %d", ErrFraming, n, len(d.in))
		case channel(d.in) == id:
			return nil
		}
	}
}

// receive waits for the answer to a command on our channel, and reports
// keepalives meanwhile. An answer that had begun to arrive in a goes on.
func (d *Device) receive(ctx context.Context, a *assembler, cmd command) ([]byte, error) {
	release, err := d.wakeWith(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	seen := "no answer"
	for {
		if err := d.read(ctx, d.channel, seen); err != nil {
			return nil, err
		}
		done, err := a.add(d.in)
		if err != nil {
			return nil, err
		}
		switch a.command {
		case cmd:
			seen = "answer incomplete"
			if done {
				return a.message, nil
			}
		case cmdKeepalive, cmdError:
			if len(a.message) != 1 || !done {
				return nil, fmt.Errorf("%w: %s of %d bytes, not 1", ErrFraming, a.command, a.size)
			}
			if a.command == cmdError {
				return nil, Error(a.message[0])
			}
			status := transport.Status(a.message[0])
			seen = lastSeen(status)
			transport.Report(ctx, status)
		case cmdInit:
			// A second answer to a resync that had to be repeated.
		default:
			return nil, fmt.Errorf("%w: %s answered with %s", ErrFraming, cmd, a.command)
		}
	}
}

// lastSeen words a keepalive for the error of a time-out.
func lastSeen(status transport.Status) string {
	if status == transport.StatusProcessing {
		return "still processing"
	}
	return status.String()
}

// handshake sends CTAPHID_INIT and takes over the answer. On the broadcast
// channel it allocates a channel, on ours it resets it.
func (d *Device) handshake(ctx context.Context, id channel) error {
	var nonce [8]byte
	rand.Read(nonce[:])
	return retryBusy(ctx, func() error {
		if err := d.send(id, cmdInit, nonce[:]); err != nil {
			return err
		}
		return d.awaitInit(ctx, id, nonce)
	})
}

// awaitInit waits for the answer to our INIT, among answers to other programs
// and what is left over of the message that INIT aborts.
func (d *Device) awaitInit(ctx context.Context, id channel, nonce [8]byte) error {
	release, err := d.wakeWith(ctx)
	if err != nil {
		return err
	}
	defer release()
	var a assembler
	for {
		if err := d.read(ctx, id, "no answer"); err != nil {
			return err
		}
		if isStart(d.in) {
			a.started = false // nobody is going to finish what had begun
		}
		if done, err := a.add(d.in); err != nil || !done {
			continue
		}
		switch a.command {
		case cmdInit:
			if answer, ours := bytes.CutPrefix(a.message, nonce[:]); ours {
				return d.accept(answer)
			}
		case cmdError:
			// On our own channel it may belong to the aborted message.
			if len(a.message) == 1 && (id == broadcast || Error(a.message[0]) == ErrChannelBusy) {
				return Error(a.message[0])
			}
		}
	}
}
