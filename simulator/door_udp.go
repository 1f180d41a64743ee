package simulator

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// powerCycleDatagram stands for unplugging the key and
// plugging it in again. It gets no answer.
var powerCycleDatagram = []byte{
	0xac, 0x10, 0x52, 0xca, 0x95, 0xe5, 0x69, 0xde, 0x69, 0xe0, 0x2e, 0xbf, 0xf3, 0x33, 0x48, 0x5f,
	0x13, 0xf9, 0xb2, 0xda, 0x34, 0xc5, 0xa8, 0xa3, 0x40, 0x52, 0x66, 0x97, 0xa9, 0xab, 0x2e, 0x0b,
	0x39, 0x4d, 0x8d, 0x04, 0x97, 0x3c, 0x13, 0x40, 0x05, 0xbe, 0x1a, 0x01, 0x40, 0xbf, 0xf6, 0x04,
	0x5b, 0xb2, 0x6e, 0xb7, 0x7a, 0x73, 0xea, 0xa4, 0x78, 0x13, 0xf6, 0xb4, 0x9a, 0x72, 0x50, 0xdc,
}

// ServeUDP is a door on a UDP port, customarily 8111, until ctx ends; it then
// returns nil. Each datagram is a report. The answers go to whoever sent the last
// datagram on their channel; with a replyPort that is not 0 they all go to that
// port on loopback, customarily 7112.
func ServeUDP(ctx context.Context, a *Authenticator, c DoorConfig, replyPort uint16) error {
	if err := c.check(); err != nil {
		return fmt.Errorf("simulator: UDP: %w", err)
	}
	h := NewHID(a)
	defer h.Close()
	var o opener
	return a.WhilePowered(ctx, func(ctx context.Context) error {
		address, err := net.ResolveUDPAddr("udp", c.Address)
		if err != nil {
			return fmt.Errorf("simulator: %w", err)
		}
		var conn *net.UDPConn
		err = o.open(ctx, func() (err error) { conn, err = net.ListenUDP("udp", address); return err })
		if err != nil || conn == nil {
			return doorError(err)
		}
		c.Address = conn.LocalAddr().String()
		door := &udpDoor{hid: h, conn: conn, peers: map[uint32]netip.AddrPort{}}
		if replyPort != 0 {
			door.fixed = netip.AddrPortFrom(loopbackLike(conn), replyPort)
		}
		h.Attach(door.send)
		defer h.Attach(func([]byte) {})
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		defer conn.Close()
		c.ready(conn.LocalAddr())
		return door.serve(ctx)
	})
}

// loopbackLike returns the loopback address of the family that conn has.
func loopbackLike(conn *net.UDPConn) netip.Addr {
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
	if local.Is6() && !local.IsUnspecified() {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

type udpDoor struct {
	hid   *HID
	conn  *net.UDPConn
	fixed netip.AddrPort // where answers go; not valid: to the peer

	mu    sync.Mutex
	peers map[uint32]netip.AddrPort // by channel
}

func (d *udpDoor) serve(ctx context.Context) error {
	datagram := make([]byte, hidReportSize+1)
	for {
		n, peer, err := d.conn.ReadFromUDPAddrPort(datagram)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("simulator: %w", err)
		case err != nil || n < 4: // also the echo of an answer that nobody wanted
			continue
		}
		if bytes.Equal(datagram[:n], powerCycleDatagram) {
			d.hid.PowerCycle()
			continue
		}
		d.note(binary.BigEndian.Uint32(datagram), peer)
		d.hid.Receive(datagram[:n])
	}
}

// note remembers who uses a channel.
func (d *udpDoor) note(channel uint32, peer netip.AddrPort) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.peers) > hidChannels { // more than can be in use
		clear(d.peers)
	}
	d.peers[channel] = peer
}

func (d *udpDoor) send(report []byte) {
	d.mu.Lock()
	to := d.peers[binary.BigEndian.Uint32(report)]
	d.mu.Unlock()
	if d.fixed.IsValid() {
		to = d.fixed
	}
	if to.IsValid() {
		d.conn.WriteToUDPAddrPort(report, to) // a datagram may be lost anyway
	}
}
