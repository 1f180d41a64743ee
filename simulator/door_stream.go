package simulator

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
)

// ServeTCP is a door on a TCP port, until ctx ends; it then returns nil. In both
// directions each report follows its length, two bytes, the high one first. Any
// number of clients may be connected.
func ServeTCP(ctx context.Context, a *Authenticator, c DoorConfig) error {
	if err := c.check(); err != nil {
		return fmt.Errorf("simulator: TCP: %w", err)
	}
	return serveStream(ctx, a, c, func(address string) (net.Listener, error) {
		return net.Listen("tcp", address)
	})
}

// ServeUnix is [ServeTCP] on a Unix socket, which only this user can open.
func ServeUnix(ctx context.Context, a *Authenticator, c DoorConfig) error {
	return serveStream(ctx, a, c, listenUnix)
}

// listenUnix takes the place of a socket that nobody listens at any more.
func listenUnix(path string) (net.Listener, error) {
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if conn, err := net.Dial("unix", path); err == nil {
			conn.Close()
			return nil, fmt.Errorf("%s is in use by another program", path)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeSocket == 0 {
			return nil, fmt.Errorf("%s is there and is no socket", path)
		}
		os.Remove(path)
		l, err = net.Listen("unix", path)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func serveStream(ctx context.Context, a *Authenticator, c DoorConfig, listen func(address string) (net.Listener, error)) error {
	h := NewHID(a)
	defer h.Close()
	door := &streamDoor{hid: h, hub: newHub(h)}
	var o opener
	return a.WhilePowered(ctx, func(ctx context.Context) error {
		var l net.Listener
		err := o.open(ctx, func() (err error) { l, err = listen(c.Address); return err })
		if err != nil || l == nil {
			return doorError(err)
		}
		c.Address = l.Addr().String() // the same one after power-off
		c.ready(l.Addr())
		return serveListener(ctx, l, func(conn net.Conn) { door.client(ctx, conn) })
	})
}

// A streamDoor serves the connections of one listener.
type streamDoor struct {
	hid *HID
	hub *hub
}

// serveListener serves all connections at the same time. It ends with ctx; whoever
// serves a connection must, too.
func serveListener(ctx context.Context, l net.Listener, serve func(conn net.Conn)) error {
	var clients sync.WaitGroup
	defer clients.Wait()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	defer l.Close()
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("simulator: %w", err)
		}
		clients.Go(func() { serve(conn) })
	}
}

// client serves one connection until either side ends it.
func (d *streamDoor) client(ctx context.Context, conn net.Conn) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	reports, leave := d.hub.join()
	var writer sync.WaitGroup
	writer.Go(func() {
		for report := range reports {
			frame := binary.BigEndian.AppendUint16(nil, uint16(len(report)))
			if _, err := conn.Write(append(frame, report...)); err != nil {
				conn.Close()
			}
		}
	})
	for {
		report, err := readFrame(conn)
		if err != nil {
			break
		}
		d.hid.Receive(report)
	}
	conn.Close()
	if leave() == 0 {
		d.hid.hangUp() // nobody is left to wait for an answer
	}
	writer.Wait()
}

// readFrame reads one report. Length 0, or one that no report has, ends the
// connection, for what follows would make no sense.
func readFrame(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint16(size[:])
	if n == 0 || n > hidReportSize {
		return nil, fmt.Errorf("frame of %d bytes", n)
	}
	report := make([]byte, n)
	_, err := io.ReadFull(r, report)
	return report, err
}

// doorError is nil for a door that was not opened since its context ended.
func doorError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("simulator: %w", err)
}
