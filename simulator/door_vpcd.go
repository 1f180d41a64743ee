package simulator

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// VPCDAddress is where the virtual reader of vsmartcard listens by default.
const VPCDAddress = "127.0.0.1:35963"

// What the reader sends in one byte; whatever is longer is an APDU.
const (
	vpcdPowerOff = 0x00
	vpcdPowerOn  = 0x01
	vpcdReset    = 0x02
	vpcdATR      = 0x04 // also how it looks whether the card is there
)

const (
	// vpcdPause is how long the card stays away from the reader: longer than
	// the 400 ms between two looks of the reader, which would else miss it.
	vpcdPause = 500 * time.Millisecond
	// vpcdPatience is how long the reader may take to look at a new card.
	vpcdPatience = 10 * time.Second
)

// Errors of [ServeVPCD] when it begins.
var (
	ErrNoVirtualReader   = errors.New("no virtual reader listens there")
	ErrVirtualReaderBusy = errors.New("the virtual reader does not look at the card: it has another one")
)

// ServeVPCD puts the key as a card into a virtual PC/SC reader, that of the package
// vsmartcard-vpcd, until ctx ends; it then returns nil. The card dials the reader at
// c.Address, and again whenever pcscd was away. Unplugging the key takes the card
// out.
func ServeVPCD(ctx context.Context, a *Authenticator, c DoorConfig, options ...CardOption) error {
	return serveVPCD(ctx, a, &vpcdDoor{DoorConfig: c, card: newCard(a, options), pause: vpcdPause, patience: vpcdPatience})
}

func serveVPCD(ctx context.Context, a *Authenticator, door *vpcdDoor) error {
	if err := door.check(); err != nil {
		return fmt.Errorf("simulator: vpcd: %w", err)
	}
	return a.WhilePowered(ctx, door.serve)
}

// A vpcdDoor is a card and the reader that it goes to.
type vpcdDoor struct {
	DoorConfig
	card            *Card
	pause, patience time.Duration
	met             bool // the reader has looked at the card once
}

// serve puts the card into the reader again and again.
func (d *vpcdDoor) serve(ctx context.Context) error {
	for {
		err := d.visit(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case !d.met:
			return fmt.Errorf("simulator: vpcd: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(d.pause):
		}
	}
}

// visit is one stay in the reader. It always ends in an error.
func (d *vpcdDoor) visit(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", d.Address)
	if err != nil {
		return fmt.Errorf("%w (%w)", ErrNoVirtualReader, err)
	}
	var apdus sync.WaitGroup
	defer apdus.Wait()
	defer d.card.PowerOff()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	defer conn.Close()

	d.card.PowerOff() // which it is, but the key may have been unplugged since
	driver := bufio.NewReader(vpcdConn{conn})
	if !d.met {
		conn.SetReadDeadline(time.Now().Add(d.patience))
	}
	for looked := false; ; looked = true {
		message, err := readVPCD(driver)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return ErrVirtualReaderBusy
		}
		if err != nil {
			return err
		}
		if !looked {
			d.met = true
			conn.SetReadDeadline(time.Time{})
			d.ready(conn.RemoteAddr())
		}
		if !d.card.sameLife() {
			return errPowerCycled // which a reader sees as another card
		}
		if len(message) > 1 {
			apdus.Go(func() { d.transmit(ctx, conn, message) })
			continue
		}
		d.control(conn, message[0])
	}
}

// control does what the reader asks for besides APDUs. The end of the field also
// ends the APDU at work.
func (d *vpcdDoor) control(conn net.Conn, command byte) {
	switch command {
	case vpcdPowerOff:
		d.card.PowerOff()
	case vpcdPowerOn, vpcdReset:
		d.card.PowerOn()
	case vpcdATR:
		writeVPCD(conn, d.card.ATR())
	}
}

// transmit passes an APDU on, while the reader may say other things.
func (d *vpcdDoor) transmit(ctx context.Context, conn net.Conn, apdu []byte) {
	answer, err := d.card.Transmit(ctx, apdu)
	if err != nil {
		conn.Close() // a card that is gone; the reader takes anything for an answer
		return
	}
	writeVPCD(conn, answer)
}

// readVPCD reads a message, which follows its length.
func readVPCD(r io.Reader) ([]byte, error) {
	var size [2]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(size[:]))
	if len(message) == 0 {
		return nil, errors.New("an empty message")
	}
	_, err := io.ReadFull(r, message)
	return message, err
}

// writeVPCD writes a message at once: in two parts it would take 40 ms. Whether
// that worked shows at the next read.
func writeVPCD(conn net.Conn, message []byte) {
	frame := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(message)), uint16(len(message)))
	_, _ = conn.Write(append(frame, message...))
}

// A vpcdConn acknowledges at once what it reads: the driver sends a length, and
// the message only when that is acknowledged, for which TCP may take 40 ms.
type vpcdConn struct{ net.Conn }

func (c vpcdConn) Read(b []byte) (int, error) {
	acknowledgeAtOnce(c.Conn)
	return c.Conn.Read(b)
}
