package hid

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/fidokey/fidokey/transport"
)

// A locker is a Port that programs take turns at: whoever has the lock has the
// key to itself until the port is closed. A lock that another program has is a
// transport.ErrBusy.
type locker interface{ tryLock() error }

// lock waits for the port's lock.
func (d *Device) lock(ctx context.Context) error { return Lock(ctx, d.port) }

// Lock waits until no other program has the device node of a port, as Open does,
// and takes it until the port is closed. It is for whoever moves the reports of a
// Port without a Device. All who lock do so of their own accord, so a lock that the
// system cannot give is no reason to stop.
func Lock(ctx context.Context, p Port) error {
	port, ok := p.(locker)
	if !ok {
		return nil
	}
	err := retryBusy(ctx, port.tryLock)
	if err != nil && !errors.Is(err, transport.ErrBusy) {
		transport.Tolerate(ctx, transport.Finding{What: "no lock against other programs: " + err.Error(), Where: "device node"})
		return nil
	}
	return err
}

// retryBusy repeats try until it returns something else than a
// transport.ErrBusy, as ErrChannelBusy is.
func retryBusy(ctx context.Context, try func() error) error {
	for {
		err := try()
		if !errors.Is(err, transport.ErrBusy) {
			return err
		}
		select {
		case <-time.After(busyDelay):
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			// Nothing of ours runs on the key, so there is nothing to cancel:
			// the error stays an ErrChannelBusy.
			return fmt.Errorf("%w: %w", err, transport.Ended(ctx, "key used by another program", nil))
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

// read waits for the next report of a channel, which is good until the next read.
// Every program that has the key open sees all reports; those of other channels
// are skipped.
func (d *Device) read(ctx context.Context, id channel, seen string) (report []byte, err error) {
	for {
		n, err := d.port.Read(d.in)
		switch {
		case ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded):
			return nil, transport.Ended(ctx, seen, nil)
		case err != nil:
			return nil, d.fail(err)
		case n < continueHeader:
			return nil, cutShort(d.in[:n], len(d.in))
		case channel(d.in) == id:
			return d.in[:n], nil
		}
	}
}

// add takes a report of the channel. Some keys save themselves the padding of
// the last report of a message.
func (d *Device) add(ctx context.Context, a *assembler, report []byte) (done bool, err error) {
	done, err = a.add(report, len(d.in))
	if err == nil && len(report) < len(d.in) {
		tolerate(ctx, a.command, report, "report of %d bytes, not %d", len(report), len(d.in))
	}
	return done, err
}

// tolerate reports what a key should not have sent.
func tolerate(ctx context.Context, where command, raw []byte, format string, args ...any) {
	transport.Tolerate(ctx, transport.Finding{
		What: fmt.Sprintf(format, args...), Where: where.String(), Raw: slices.Clone(raw),
	})
}

// receive waits for the answer to a command on our channel, and reports
// keepalives meanwhile. An answer that had begun to arrive in a goes on.
func (d *Device) receive(ctx context.Context, a *assembler, cmd command) ([]byte, error) {
	release, err := d.wakeWith(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	var status transport.Status // the last
	seen := "no answer"
	for {
		report, err := d.read(ctx, d.channel, seen)
		if err != nil {
			return nil, err
		}
		done, err := d.add(ctx, a, report)
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
			now := transport.Status(a.message[0])
			if now != status && !now.Known() {
				tolerate(ctx, cmdKeepalive, report, "unknown %v", now)
			}
			status = now
			seen = status.LastSeen()
			transport.Report(ctx, status)
		case cmdInit:
			// A second answer to a resync that had to be repeated.
			if done {
				tolerate(ctx, cmdInit, report, "one more answer")
			}
		default:
			return nil, fmt.Errorf("%w: %s answered with %s", ErrFraming, cmd, a.command)
		}
	}
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
	seen := "no answer"
	astray := false // something that has no place on the broadcast channel was there
	for {
		report, err := d.read(ctx, id, seen)
		if err != nil {
			return err
		}
		if isStart(report) {
			a.started = false // nobody is going to finish what had begun
		}
		done, err := d.add(ctx, &a, report)
		if err != nil {
			seen = err.Error()
			continue
		}
		switch {
		case a.command == cmdInit && done:
			if answer, ours := bytes.CutPrefix(a.message, nonce[:]); ours {
				return d.accept(ctx, answer)
			}
			if id != broadcast {
				tolerate(ctx, cmdInit, report, "answer with another nonce")
			}
		case a.command == cmdError && done:
			// On our own channel it may belong to the aborted message.
			if len(a.message) == 1 && (id == broadcast || Error(a.message[0]) == ErrChannelBusy) {
				return Error(a.message[0])
			}
		case id == broadcast && a.command != cmdInit && !astray:
			astray = true // once: there may be no end of them
			tolerate(ctx, a.command, report, "sent on the broadcast channel")
		}
	}
}
