package simulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Messages of USB/IP before a device is imported.
const (
	usbipVersion       = 0x0111
	usbipListRequest   = 0x8005
	usbipListAnswer    = 0x0005
	usbipImportRequest = 0x8003
	usbipImportAnswer  = 0x0003

	usbipOK       = 0
	usbipBusy     = 2 // another host has the device
	usbipNoDevice = 4

	usbipFullSpeed = 2
	usbipBusID     = "1-1"
	usbipPath      = "/sys/devices/fidokey/usb1/1-1"
	usbipPathSize  = 256
	usbipIDSize    = 32

	usbipHandshake = 10 * time.Second // for a host to say what it wants
)

// ServeUSBIP serves the key as a USB device, by USB/IP on a TCP port that is
// customarily 3240, until ctx ends; it then returns nil. A Linux host makes it a
// key of its own with "usbip attach -r HOST -b 1-1", which needs the kernel module
// vhci-hcd.
//
// One host can have the key at a time. To take it is to plug it in: what
// [Authenticator.PowerCycle] forgets is forgotten, at the other doors too. To give
// it back leaves those alone, and so does a reset of the bus. After
// [Authenticator.PowerOn] the host must take it again.
func ServeUSBIP(ctx context.Context, a *Authenticator, c DoorConfig, id USBIdentity) error {
	if err := c.check(); err != nil {
		return fmt.Errorf("simulator: USB/IP: %w", err)
	}
	h := NewHID(a)
	defer h.Close()
	d, err := newUSBDescriptors(id, h.ReportSize())
	if err != nil {
		return fmt.Errorf("simulator: USB/IP: %w", err)
	}
	var o opener
	return a.WhilePowered(ctx, func(ctx context.Context) error {
		var l net.Listener
		err := o.open(ctx, func() (err error) { l, err = net.Listen("tcp", c.Address); return err })
		if err != nil || l == nil {
			return doorError(err)
		}
		c.Address = l.Addr().String() // the same one after power-off
		c.ready(l.Addr())
		door := &usbipDoor{hid: h, descriptors: d, powerUp: a.PowerCycle}
		return serveListener(ctx, l, func(conn net.Conn) { _ = door.host(ctx, conn) }) // an error is the host's: it loses the connection
	})
}

// A usbipDoor serves the connections of one listener.
type usbipDoor struct {
	hid         *HID
	descriptors *usbDescriptors
	powerUp     func()
	taken       atomic.Bool // by a host
}

// host serves a connection: a question, or all that a host does with the device.
func (d *usbipDoor) host(ctx context.Context, conn net.Conn) error {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(usbipHandshake))
	var head [8]byte // version, code, status
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	if version := binary.BigEndian.Uint16(head[:]); version != usbipVersion {
		return fmt.Errorf("USB/IP version %#x", version)
	}
	switch code := binary.BigEndian.Uint16(head[2:]); code {
	case usbipListRequest:
		_, err := conn.Write(d.list())
		return err
	case usbipImportRequest:
		return d.importTo(ctx, conn)
	default:
		return fmt.Errorf("USB/IP request %#x", code)
	}
}

// list tells of the device while it can be had, with its interface.
func (d *usbipDoor) list() []byte {
	answer := usbipAnswer(usbipListAnswer, usbipOK)
	if d.taken.Load() {
		return binary.BigEndian.AppendUint32(answer, 0)
	}
	answer = binary.BigEndian.AppendUint32(answer, 1)
	return append(append(answer, d.record()...), usbClassHID, 0, 0, 0)
}

// importTo gives the device to a host until that goes away.
func (d *usbipDoor) importTo(ctx context.Context, conn net.Conn) error {
	var id [usbipIDSize]byte
	if _, err := io.ReadFull(conn, id[:]); err != nil {
		return err
	}
	status := uint32(usbipOK)
	switch name, _, _ := bytes.Cut(id[:], []byte{0}); {
	case string(name) != usbipBusID:
		status = usbipNoDevice
	case !d.taken.CompareAndSwap(false, true):
		status = usbipBusy
	}
	if status != usbipOK {
		_, err := conn.Write(usbipAnswer(usbipImportAnswer, status))
		return err
	}
	defer d.taken.Store(false)
	d.powerUp()
	if _, err := conn.Write(append(usbipAnswer(usbipImportAnswer, usbipOK), d.record()...)); err != nil {
		return err
	}
	return errors.Join(conn.SetDeadline(time.Time{}), newUSBLink(conn, d.hid, d.descriptors).run(ctx))
}

func usbipAnswer(code uint16, status uint32) []byte {
	answer := binary.BigEndian.AppendUint16(nil, usbipVersion)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(answer, code), status)
}

// record is the device as USB/IP describes one.
func (d *usbipDoor) record() []byte {
	record := make([]byte, usbipPathSize+usbipIDSize, 312)
	copy(record, usbipPath)
	copy(record[usbipPathSize:], usbipBusID)
	for _, n := range []uint32{usbBus, usbNumber, usbipFullSpeed} {
		record = binary.BigEndian.AppendUint32(record, n)
	}
	device := d.descriptors.device
	for _, offset := range []int{8, 10, 12} { // idVendor, idProduct, bcdDevice
		record = binary.BigEndian.AppendUint16(record, binary.LittleEndian.Uint16(device[offset:]))
	}
	record = append(record, device[4:7]...)    // class, subclass, protocol
	return append(record, usbConfigured, 1, 1) // configuration chosen, configurations, interfaces
}
