package simulator

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/transport"
)

// Bytes of a command on the wire.
const (
	wirePing      = 0x81
	wireMsg       = 0x83
	wireLock      = 0x84
	wireInit      = 0x86
	wireWink      = 0x88
	wireCBOR      = 0x90
	wireCancel    = 0x91
	wireKeepalive = 0xbb
	wireError     = 0xbf
)

var (
	waitForTouch = []byte{0x01} // to the key below
	askInfo      = []byte{0x04}
	infoAnswer   = []byte{0x00, 0xa0}
	cancelled    = []byte{0x2d}
)

// A hidKey answers every message at once, but for waitForTouch: that one waits
// until the key is touched.
type hidKey struct {
	touch   chan struct{}
	working atomic.Int32 // exchanges under way
	origin  atomic.Uint32
	cycles  int
}

func (k *hidKey) PowerCycle() { k.cycles++ }

func (*hidKey) clock() Clock { return systemClock{} }

func (k *hidKey) hidTraits() hidTraits {
	return hidTraits{
		powered: true, lives: uint64(k.cycles),
		capabilities: capabilityWink | capabilityCBOR | capabilityNMSG,
		claimed:      capabilityWink | capabilityCBOR | capabilityNMSG,
	}
}

func (k *hidKey) message(context.Context, origin, []byte) []byte { panic("no U2F") }

func (k *hidKey) exchange(ctx context.Context, from origin, msg []byte) []byte {
	k.working.Add(1)
	defer k.working.Add(-1)
	k.origin.Store(from.channel)
	if !bytes.Equal(msg, waitForTouch) {
		return infoAnswer
	}
	transport.Report(ctx, transport.StatusUPNeeded)
	select {
	case <-k.touch:
		return []byte{0x00}
	case <-ctx.Done():
		return cancelled
	}
}

// A hidBench is a host with a framing of its own and the device it tests.
type hidBench struct {
	*testing.T
	port *Port
	key  *hidKey
}

func newHIDBench(t *testing.T) *hidBench {
	k := &hidKey{touch: make(chan struct{})}
	b := &hidBench{T: t, port: newHID(k).Port(), key: k}
	t.Cleanup(func() { b.port.Close() })
	return b
}

// A hidMessage is what the device sent, or "silence" as the zero value.
type hidMessage struct {
	channel uint32
	command byte
	data    []byte
}

func (m hidMessage) String() string {
	return fmt.Sprintf("%08x %02x %x", m.channel, m.command, m.data)
}

func hidFailure(channel uint32, code byte) hidMessage {
	return hidMessage{channel, wireError, []byte{code}}
}

// write sends one report that begins with these bytes.
func (b *hidBench) write(packet ...byte) {
	b.Helper()
	report := make([]byte, 64)
	copy(report, packet)
	if _, err := b.port.Write(report); err != nil {
		b.Fatal(err)
	}
}

// start sends an initialization packet that announces size bytes.
func (b *hidBench) start(channel uint32, command byte, size int, data ...byte) {
	b.Helper()
	p := binary.BigEndian.AppendUint32(nil, channel)
	b.write(append(append(p, command, byte(size>>8), byte(size)), data...)...)
}

// more sends a continuation packet.
func (b *hidBench) more(channel uint32, seq byte, data ...byte) {
	b.Helper()
	b.write(append(append(binary.BigEndian.AppendUint32(nil, channel), seq), data...)...)
}

// send sends a whole message.
func (b *hidBench) send(channel uint32, command byte, data []byte) {
	b.Helper()
	n := min(len(data), 57)
	b.start(channel, command, len(data), data[:n]...)
	for seq := byte(0); n < len(data); seq++ {
		part := data[n:min(len(data), n+59)]
		b.more(channel, seq, part...)
		n += len(part)
	}
}

// read returns the next message, whose reports have to be well formed and to
// come within d.
func (b *hidBench) read(d time.Duration) (hidMessage, bool) {
	b.Helper()
	b.port.SetReadDeadline(time.Now().Add(d))
	report := make([]byte, 64)
	if _, err := b.port.Read(report); errors.Is(err, os.ErrDeadlineExceeded) {
		return hidMessage{}, false
	} else if err != nil {
		b.Fatal(err)
	}
	m, size, rest := firstReport(b, report)
	for seq := byte(0); len(m.data) < size; seq++ {
		if _, err := b.port.Read(report); err != nil {
			b.Fatalf("message stops after %d of %d bytes: %v", len(m.data), size, err)
		}
		if binary.BigEndian.Uint32(report) != m.channel || report[4] != seq {
			b.Fatalf("want continuation %d of channel %08x, got % x", seq, m.channel, report)
		}
		n := min(59, size-len(m.data))
		m.data, rest = append(m.data, report[5:5+n]...), report[5+n:]
	}
	if slices.ContainsFunc(rest, func(c byte) bool { return c != 0 }) {
		b.Fatalf("bytes after the message: % x", report)
	}
	return m, true
}

func firstReport(tb testing.TB, report []byte) (m hidMessage, size int, rest []byte) {
	tb.Helper()
	if report[4]&0x80 == 0 {
		tb.Fatalf("want an initialization packet, got % x", report)
	}
	size = int(binary.BigEndian.Uint16(report[5:]))
	n := min(57, size)
	m = hidMessage{binary.BigEndian.Uint32(report), report[4], bytes.Clone(report[7 : 7+n])}
	return m, size, report[7+n:]
}

func (b *hidBench) want(channel uint32, command byte, data []byte) {
	b.Helper()
	b.wantMessage(hidMessage{channel, command, data})
}

func (b *hidBench) wantMessage(want hidMessage) {
	b.Helper()
	if got, ok := b.read(50 * time.Millisecond); !ok || got.String() != want.String() {
		b.Fatalf("got %v (any: %v), want %v", got, ok, want)
	}
}

// silent makes sure that nothing comes for a while.
func (b *hidBench) silent(d time.Duration) {
	b.Helper()
	if got, ok := b.read(d); ok {
		b.Fatalf("want silence, got %v", got)
	}
}

// open allocates a channel.
func (b *hidBench) open() uint32 {
	b.Helper()
	nonce := make([]byte, 8)
	rand.Read(nonce)
	return b.init(hidBroadcast, nonce)
}

// init sends INIT and returns the channel from the answer, which is checked.
func (b *hidBench) init(channel uint32, nonce []byte) uint32 {
	b.Helper()
	b.send(channel, wireInit, nonce)
	m, ok := b.read(50 * time.Millisecond)
	if !ok || m.channel != channel || m.command != wireInit || len(m.data) != 17 ||
		!bytes.Equal(m.data[:8], nonce) || m.data[12] != 2 {
		b.Fatalf("answer to INIT: %v (any: %v)", m, ok)
	}
	return binary.BigEndian.Uint32(m.data[8:])
}

// alive makes sure that the device answers on a new channel.
func (b *hidBench) alive() {
	b.Helper()
	c := b.open()
	b.send(c, wirePing, []byte("still there?"))
	b.want(c, wirePing, []byte("still there?"))
}

// awaitTouch sends the message that waits for a touch and reads the keepalive
// that says so.
func (b *hidBench) awaitTouch(channel uint32) {
	b.Helper()
	b.send(channel, wireCBOR, waitForTouch)
	b.want(channel, wireKeepalive, []byte{2})
}

var hidNonce = []byte{0, 1, 2, 3, 4, 5, 6, 7}

// TestHIDCases has the cases of the conformance catalogue that a device with
// LOCK and WINK and without U2F has to pass, each by its name there.
func TestHIDCases(t *testing.T) {
	cases := []struct {
		id, rule string
		run      func(b *hidBench)
	}{
		{"HID-001", "nobody asked, nothing said", func(b *hidBench) { b.silent(3 * time.Second) }},
		{"HID-002", "continuation of nothing", func(b *hidBench) {
			b.more(1, 0, 1, 2, 3)
			b.more(b.open(), 0, 1, 2, 3)
			b.silent(time.Second)
		}},
		{"HID-003", "INIT", func(b *hidBench) { b.init(hidBroadcast, hidNonce) }},
		{"HID-004", "INIT hands out usable channels", func(b *hidBench) {
			if c := b.open(); c == 0 || c == hidBroadcast {
				b.Fatalf("channel %08x", c)
			}
		}},
		{"HID-005", "channels differ", func(b *hidBench) {
			if x, y, z := b.open(), b.open(), b.open(); x == y || y == z || z == x {
				b.Fatalf("channels %08x, %08x and %08x", x, y, z)
			}
		}},
		{"HID-006", "capabilities", func(b *hidBench) {
			b.send(hidBroadcast, wireInit, hidNonce)
			if m, ok := b.read(time.Second); !ok || m.data[16] != 0x0d {
				b.Fatalf("answer to INIT: %v", m)
			}
		}},
		{"HID-007", "short nonce", func(b *hidBench) {
			b.send(hidBroadcast, wireInit, hidNonce[:7])
			b.wantMessage(hidFailure(hidBroadcast, 0x03))
		}},
		{"HID-008", "long nonce", func(b *hidBench) {
			b.send(hidBroadcast, wireInit, make([]byte, 9))
			b.wantMessage(hidFailure(hidBroadcast, 0x03))
			b.send(hidBroadcast, wireInit, make([]byte, 100))
			b.wantMessage(hidFailure(hidBroadcast, 0x03))
			b.silent(time.Second)
		}},
		{"HID-009", "INIT on an allocated channel", func(b *hidBench) {
			c := b.open()
			if got := b.init(c, hidNonce); got != c {
				b.Fatalf("channel %08x became %08x", c, got)
			}
		}},
		{"HID-010", "INIT drops a half sent message", func(b *hidBench) {
			c := b.open()
			b.start(c, wirePing, 100)
			b.init(c, hidNonce)
			b.more(c, 0)
			b.silent(time.Second)
			b.send(c, wirePing, []byte("again"))
			b.want(c, wirePing, []byte("again"))
		}},
		{"HID-011", "INIT on broadcast disturbs nobody", func(b *hidBench) {
			c, payload := b.open(), countedBytes(100)
			b.start(c, wirePing, 100, payload[:57]...)
			b.open()
			b.more(c, 0, payload[57:]...)
			b.want(c, wirePing, payload)
		}},
		{"HID-012", "PING of 0 bytes", hidPings(0)},
		{"HID-013", "PING of 1 byte", hidPings(1)},
		{"HID-014", "PING of 57 bytes", hidPings(57)},
		{"HID-015", "PING of 58 bytes", hidPings(58)},
		{"HID-016", "PING of 1024 bytes", hidPings(1024)},
		{"HID-017", "PING of 7609 bytes", hidPings(7609)},
		{"HID-018", "PING keeps leading zeros", func(b *hidBench) {
			c := b.open()
			b.send(c, wirePing, []byte{0, 0, 0, 1})
			b.want(c, wirePing, []byte{0, 0, 0, 1})
		}},
		{"HID-019", "PING takes no time", func(b *hidBench) {
			begin := time.Now()
			hidPings(1000)(b)
			if d := time.Since(begin); d > 0 {
				b.Fatalf("took %v of the bubble's time", d)
			}
		}},
		{"HID-020", "filler is ignored", func(b *hidBench) {
			c := b.open()
			b.start(c, wirePing, 1, 0xaa, 0xbb, 0xcc)
			b.want(c, wirePing, []byte{0xaa})
		}},
		{"HID-021", "message over the limit", func(b *hidBench) {
			c := b.open()
			for _, size := range []int{7610, 0xffff} {
				b.start(c, wirePing, size)
				b.wantMessage(hidFailure(c, 0x03))
				b.start(c, wireCBOR, size)
				b.wantMessage(hidFailure(c, 0x03))
			}
			b.silent(time.Second)
		}},
		{"HID-022", "sequence number skipped", hidSequences(0, 2)},
		{"HID-023", "sequence number repeated", hidSequences(0, 0)},
		{"HID-024", "sequence begins at 1", hidSequences(1)},
		{"HID-025", "second start before the end", func(b *hidBench) {
			c := b.open()
			for _, second := range []byte{wirePing, wireCBOR, wireCancel, 0xaa} {
				b.start(c, wirePing, 100)
				b.start(c, second, 0)
				b.wantMessage(hidFailure(c, 0x04))
				b.more(c, 0)
				b.silent(time.Second)
			}
		}},
		{"HID-026", "message never completed", func(b *hidBench) {
			c := b.open()
			b.start(c, wirePing, 1024)
			b.more(c, 0)
			time.Sleep(300 * time.Millisecond) // each packet has the whole time
			b.more(c, 1)
			b.silent(400 * time.Millisecond)
			if m, ok := b.read(600 * time.Millisecond); !ok || m.String() != hidFailure(c, 0x05).String() {
				b.Fatalf("got %v, want %v", m, hidFailure(c, 0x05))
			}
			b.more(c, 2)
			b.silent(time.Second)
		}},
		{"HID-027", "start from another channel", func(b *hidBench) {
			a, other, payload := b.open(), b.open(), countedBytes(100)
			b.start(a, wirePing, 100, payload[:57]...)
			for _, c := range []uint32{other, 0x12345678} { // busy comes before unknown
				b.send(c, wirePing, nil)
				b.wantMessage(hidFailure(c, 0x06))
			}
			for _, c := range []uint32{0, hidBroadcast} { // but not before reserved
				b.send(c, wirePing, nil)
				b.wantMessage(hidFailure(c, 0x0b))
			}
			b.more(other, 0) // continues nothing
			b.more(a, 0, payload[57:]...)
			b.want(a, wirePing, payload) // HID-028
		}},
		{"HID-029", "getInfo while another waits for a touch", func(b *hidBench) {
			a, c := b.open(), b.open()
			b.awaitTouch(a)
			b.send(c, wireCBOR, askInfo)
			b.wantMessage(hidFailure(c, 0x06))
			b.send(a, wireCBOR, askInfo) // nor may the same channel ask twice
			b.wantMessage(hidFailure(a, 0x06))
			b.more(a, 0)
			b.key.touch <- struct{}{}
			b.want(a, wireCBOR, []byte{0})
		}},
		{"HID-030", "INIT on channel 0", func(b *hidBench) {
			b.send(0, wireInit, hidNonce)
			b.wantMessage(hidFailure(0, 0x0b))
		}},
		{"HID-031", "PING on channel 0", func(b *hidBench) {
			b.send(0, wirePing, nil)
			b.wantMessage(hidFailure(0, 0x0b))
		}},
		{"HID-032", "PING on broadcast", func(b *hidBench) {
			b.send(hidBroadcast, wirePing, nil)
			b.wantMessage(hidFailure(hidBroadcast, 0x0b))
		}},
		{"HID-033", "CBOR on broadcast", func(b *hidBench) {
			b.send(hidBroadcast, wireCBOR, askInfo)
			b.wantMessage(hidFailure(hidBroadcast, 0x0b))
		}},
		{"HID-034", "channel never handed out", func(b *hidBench) {
			b.send(0x12345678, wirePing, nil)
			b.wantMessage(hidFailure(0x12345678, 0x0b))
			b.init(0x12345678, hidNonce) // but INIT may be sent on it, and opens it
			b.send(0x12345678, wirePing, hidNonce)
			b.want(0x12345678, wirePing, hidNonce)
		}},
		{"HID-035", "unknown command", func(b *hidBench) {
			c := b.open()
			for _, command := range []byte{0xaa, wireKeepalive, wireError, 0xc0, 0xff} {
				b.send(c, command, nil)
				b.wantMessage(hidFailure(c, 0x01))
			}
		}},
		{"HID-036", "CBOR without a command", func(b *hidBench) {
			c := b.open()
			b.send(c, wireCBOR, nil)
			b.wantMessage(hidFailure(c, 0x03))
		}},
		{"HID-038", "MSG without U2F", func(b *hidBench) {
			c := b.open()
			b.send(c, wireMsg, []byte{0, 3, 0, 0, 0, 0, 0})
			b.wantMessage(hidFailure(c, 0x01))
		}},
		{"HID-039", "WINK", func(b *hidBench) {
			c := b.open()
			b.send(c, wireWink, nil)
			b.want(c, wireWink, nil)
			b.send(c, wireWink, []byte{1})
			b.wantMessage(hidFailure(c, 0x03))
		}},
		{"HID-041", "CANCEL of nothing", func(b *hidBench) {
			b.send(b.open(), wireCancel, nil)
			b.send(0x12345678, wireCancel, nil)
			b.silent(time.Second)
		}},
		{"HID-042", "KEEPALIVE", func(b *hidBench) {
			c := b.open()
			b.awaitTouch(c) // the first comes at once
			for range 100 {
				begin := time.Now()
				m, ok := b.read(100 * time.Millisecond)
				if !ok || m.String() != (hidMessage{c, wireKeepalive, []byte{2}}).String() {
					b.Fatalf("got %v (any: %v), want a keepalive", m, ok)
				}
				if d := time.Since(begin); d < 75*time.Millisecond {
					b.Fatalf("keepalive after %v", d)
				}
			}
		}},
		{"HID-043", "CANCEL", func(b *hidBench) {
			c := b.open()
			b.awaitTouch(c)
			b.send(c, wireCancel, nil)
			b.want(c, wireCBOR, cancelled)
			b.silent(time.Second)
		}},
		{"HID-044", "CANCEL twice", func(b *hidBench) {
			c := b.open()
			b.awaitTouch(c)
			b.send(c, wireCancel, nil)
			b.want(c, wireCBOR, cancelled)
			b.send(c, wireCancel, nil)
			b.silent(time.Second)
			b.awaitTouch(c)
			b.send(c, wireCancel, nil)
			b.send(c, wireCancel, nil) // before the answer
			b.want(c, wireCBOR, cancelled)
			b.silent(time.Second)
		}},
		{"HID-045", "CANCEL on another channel", func(b *hidBench) {
			a, c := b.open(), b.open()
			b.awaitTouch(a)
			b.send(c, wireCancel, nil)
			b.send(0x12345678, wireCancel, nil)
			if m, ok := b.read(100 * time.Millisecond); !ok || m.command != wireKeepalive {
				b.Fatalf("got %v, want a keepalive", m)
			}
			b.key.touch <- struct{}{}
			b.want(a, wireCBOR, []byte{0})
		}},
		{"HID-047", "INIT on the channel that waits for a touch", func(b *hidBench) {
			c := b.open()
			b.awaitTouch(c)
			b.init(c, hidNonce)
			b.silent(time.Second)
			if n := b.key.working.Load(); n != 0 {
				b.Fatalf("%d requests are still under way", n)
			}
			b.send(c, wireCBOR, askInfo)
			b.want(c, wireCBOR, infoAnswer)
		}},
		{"HID-048", "LOCK of 0 s", func(b *hidBench) {
			c, other := b.open(), b.open()
			b.send(c, wireLock, []byte{0})
			b.want(c, wireLock, nil)
			b.send(other, wirePing, nil)
			b.want(other, wirePing, nil)
		}},
		{"HID-049", "LOCK keeps others out", func(b *hidBench) {
			c, other := b.open(), b.open()
			b.send(c, wireLock, []byte{8})
			b.want(c, wireLock, nil)
			time.Sleep(7900 * time.Millisecond)
			for _, command := range []byte{wirePing, wireCBOR, wireLock, wireWink} {
				b.send(other, command, []byte{0})
				b.wantMessage(hidFailure(other, 0x06))
			}
			b.open()
			b.send(c, wirePing, hidNonce)
			b.want(c, wirePing, hidNonce)
		}},
		{"HID-050", "LOCK is released", func(b *hidBench) {
			c, other := b.open(), b.open()
			b.send(c, wireLock, []byte{8})
			b.want(c, wireLock, nil)
			b.send(c, wireLock, []byte{0})
			b.want(c, wireLock, nil)
			b.send(other, wirePing, nil)
			b.want(other, wirePing, nil)
		}},
		{"HID-051", "LOCK runs out", func(b *hidBench) {
			c, other := b.open(), b.open()
			b.send(c, wireLock, []byte{1})
			b.want(c, wireLock, nil)
			time.Sleep(1500 * time.Millisecond)
			b.send(other, wirePing, nil)
			b.want(other, wirePing, nil)
		}},
		{"HID-052", "LOCK of 11 s", func(b *hidBench) {
			c := b.open()
			b.send(c, wireLock, []byte{11})
			b.wantMessage(hidFailure(c, 0x02))
			b.send(c, wireLock, []byte{10})
			b.want(c, wireLock, nil)
		}},
		{"HID-053", "LOCK of a wrong length", func(b *hidBench) {
			c := b.open()
			b.send(c, wireLock, nil)
			b.wantMessage(hidFailure(c, 0x03))
			b.send(c, wireLock, []byte{1, 1})
			b.wantMessage(hidFailure(c, 0x03))
		}},
		{"HID-054", "many INITs", func(b *hidBench) {
			first := b.open()
			for range 200 {
				b.open()
			}
			b.send(first, wirePing, nil)
			b.want(first, wirePing, nil)
			for range 255 {
				b.open()
			}
			b.send(first, wirePing, nil) // used a while ago, others longer ago
			b.want(first, wirePing, nil)
			for range 256 {
				b.open()
			}
			b.send(first, wirePing, nil) // recycled
			b.wantMessage(hidFailure(first, 0x0b))
		}},
		{"HID-055", "a report of zeros", func(b *hidBench) {
			b.write()
			b.silent(time.Second)
		}},
	}
	for _, c := range cases {
		t.Run(c.id+"/"+c.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newHIDBench(t)
				c.run(b)
				b.init(1, hidNonce) // ends what is under way
				for b.anything(time.Millisecond) {
				}
				b.alive()
			})
		})
	}
}

func countedBytes(n int) []byte {
	s := make([]byte, n)
	for i := range s {
		s[i] = byte(i)
	}
	return s
}

// hidPings sends a PING of size bytes, and counts the reports of the answer.
func hidPings(size int) func(*hidBench) {
	return func(b *hidBench) {
		c, payload := b.open(), make([]byte, size)
		rand.Read(payload)
		b.send(c, wirePing, payload)
		if got, want := b.port.waiting, 1+(max(size-57, 0)+58)/59; got != want {
			b.Errorf("%d reports, want %d", got, want)
		}
		b.want(c, wirePing, payload)
	}
}

// hidSequences sends continuations with these numbers, of which the last is wrong.
func hidSequences(numbers ...byte) func(*hidBench) {
	return func(b *hidBench) {
		c := b.open()
		b.start(c, wirePing, 1000)
		for _, seq := range numbers {
			b.silent(time.Millisecond)
			b.more(c, seq)
		}
		b.wantMessage(hidFailure(c, 0x04))
		b.more(c, numbers[len(numbers)-1]+1)
		b.silent(time.Second)
	}
}

// TestHIDKeepalive has what the catalogue leaves open: the status of a request
// that needs no touch at first, and changes of status.
func TestHIDKeepalive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := hidScript(func(ctx context.Context) []byte {
			time.Sleep(100 * time.Millisecond)
			transport.Report(ctx, transport.StatusUPNeeded)
			time.Sleep(10 * time.Millisecond)
			transport.Report(ctx, transport.StatusUPNeeded)
			time.Sleep(10 * time.Millisecond)
			transport.Report(ctx, transport.StatusProcessing)
			time.Sleep(10 * time.Millisecond)
			return []byte{0}
		})
		b := &hidBench{T: t, port: newHID(key).Port()}
		defer b.port.Close()
		c, begin := b.open(), time.Now()
		b.send(c, wireCBOR, []byte{1})
		for _, step := range []struct {
			at      time.Duration
			command byte
			data    byte
		}{
			{75 * time.Millisecond, wireKeepalive, 1},
			{100 * time.Millisecond, wireKeepalive, 2},
			{120 * time.Millisecond, wireKeepalive, 1},
			{130 * time.Millisecond, wireCBOR, 0},
		} {
			m, _ := b.read(time.Second)
			if m.String() != (hidMessage{c, step.command, []byte{step.data}}).String() || time.Since(begin) != step.at {
				t.Errorf("after %v: %v, want %02x %02x after %v", time.Since(begin), m, step.command, step.data, step.at)
			}
		}
		b.silent(time.Second)
	})
}

type hidScript func(ctx context.Context) []byte

func (k hidScript) exchange(ctx context.Context, _ origin, _ []byte) []byte { return k(ctx) }
func (hidScript) message(context.Context, origin, []byte) []byte            { panic("no U2F") }
func (hidScript) PowerCycle()                                               {}
func (hidScript) clock() Clock                                              { return systemClock{} }
func (hidScript) hidTraits() hidTraits                                      { return new(hidKey).hidTraits() }

// TestHIDAnswerTooLong makes sure that what no message can carry is an error
// message.
func TestHIDAnswerTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for size, want := range map[int]byte{7609: wireCBOR, 7610: wireError} {
			b := &hidBench{T: t, port: newHID(hidScript(func(context.Context) []byte { return make([]byte, size) })).Port()}
			b.send(b.open(), wireCBOR, []byte{1})
			if m, _ := b.read(time.Second); m.command != want {
				t.Errorf("answer of %d bytes: %v", size, m)
			}
			b.port.Close()
		}
	})
}

func TestHIDOriginIsTheChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHIDBench(t)
		for range 2 {
			c := b.open()
			b.send(c, wireCBOR, askInfo)
			b.want(c, wireCBOR, infoAnswer)
			if got := b.key.origin.Load(); got != c {
				t.Errorf("origin %08x, want %08x", got, c)
			}
		}
	})
}

// TestHIDAuthenticator has the cases that need the authenticator itself.
func TestHIDAuthenticator(t *testing.T) {
	newBench := func(t *testing.T) *hidBench {
		a, err := New(Config{MaxMsgSize: 1200, Presence: func(ctx context.Context, _ PresenceRequest) Presence {
			<-ctx.Done()
			return PresenceNone
		}})
		if err != nil {
			t.Fatal(err)
		}
		b := &hidBench{T: t, port: NewHID(a).Port()}
		t.Cleanup(func() {
			if err := errors.Join(b.port.Close(), a.Close()); err != nil {
				t.Error(err)
			}
		})
		return b
	}
	t.Run("HID-046/selection, then CANCEL", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			c := b.open()
			b.send(c, wireCBOR, []byte{0x0b})
			b.want(c, wireKeepalive, []byte{2})
			b.send(c, wireCancel, nil)
			b.want(c, wireCBOR, cancelled)
			b.send(c, wireCBOR, []byte{0x0b})
			b.send(c, wireCancel, nil) // at once
			m, ok := b.read(time.Millisecond)
			for ok && m.command == wireKeepalive {
				m, ok = b.read(time.Millisecond)
			}
			if want := (hidMessage{c, wireCBOR, cancelled}); m.String() != want.String() {
				b.Errorf("got %v, want %v", m, want)
			}
			b.silent(time.Second)
		})
	})
	t.Run("HID-047/INIT drops the request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			c := b.open()
			b.send(c, wireCBOR, []byte{0x0b})
			b.want(c, wireKeepalive, []byte{2})
			b.init(c, hidNonce)
			b.send(c, wireCBOR, askInfo) // the authenticator is free again
			if m, ok := b.read(time.Second); !ok || m.command != wireCBOR || m.data[0] != 0 {
				b.Errorf("answer to getInfo: %v", m)
			}
		})
	})
	t.Run("CBR-020/one byte above maxMsgSize", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t)
			c := b.open()
			b.send(c, wireCBOR, append([]byte{0x04}, make([]byte, 1200)...))
			b.want(c, wireCBOR, []byte{0x39}) // CTAP2_ERR_REQUEST_TOO_LARGE
			hidPings(7609)(b)                 // is not the authenticator's business
		})
	})
}

// TestHIDVectors replays reports of a published host, report by report.
func TestHIDVectors(t *testing.T) {
	var v struct {
		InitRequest, GetInfo, Cancel, KeepaliveUpNeeded, ErrorBusy, Lock3s []ctaptest.Hex
		Ping200                                                            struct{ Frames []ctaptest.Hex }
	}
	ctaptest.Vectors(t, "ctaphid", &v)
	synctest.Test(t, func(t *testing.T) {
		b := newHIDBench(t)
		replay := func(sent []ctaptest.Hex, want ...ctaptest.Hex) {
			t.Helper()
			for _, report := range sent {
				b.write(report...)
			}
			report := make([]byte, 64)
			b.port.SetReadDeadline(time.Now().Add(time.Millisecond))
			for _, w := range want {
				if n, err := b.port.Read(report); err != nil || !bytes.Equal(report[:n], w) {
					t.Errorf("sent %x\n got %x (%v)\nwant %x", sent, report[:n], err, w)
				}
			}
			b.silent(time.Millisecond)
		}
		const channel = 0x01020304
		b.init(channel, hidNonce)
		answer, err := hex.DecodeString("ffffffff8600110001020304050607" + "00000001" + "02" + "010000" + "0d")
		if err != nil {
			t.Fatal(err)
		}
		replay(v.InitRequest, append(answer, make([]byte, 64-len(answer))...))
		replay(v.Ping200.Frames, v.Ping200.Frames...)
		replay(v.Cancel)

		b.send(channel, wireCBOR, waitForTouch)
		replay(nil, v.KeepaliveUpNeeded...)
		replay(v.GetInfo, v.ErrorBusy...)
		b.send(channel, wireCancel, nil)
		b.want(channel, wireCBOR, cancelled)

		b.write(v.Lock3s[0]...)
		b.want(channel, wireLock, nil)
		time.Sleep(2900 * time.Millisecond)
		b.send(1, wirePing, nil)
		b.wantMessage(hidFailure(1, 0x06))
		time.Sleep(100 * time.Millisecond)
		b.send(1, wirePing, nil)
		b.want(1, wirePing, nil)
	})
}

// TestHIDPowerCycle makes sure that the key is new to the host afterwards.
func TestHIDPowerCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHIDBench(t)
		first, second := b.open(), b.open()
		b.send(second, wireLock, []byte{10})
		b.want(second, wireLock, nil)
		b.awaitTouch(second)
		b.port.hid.PowerCycle()
		b.silent(time.Second)
		if b.key.cycles != 1 || b.key.working.Load() != 0 {
			t.Errorf("the key was power cycled %d times", b.key.cycles)
		}
		b.send(first, wirePing, nil)
		b.wantMessage(hidFailure(first, 0x0b))
		b.alive()
	})
}

// TestHIDClose makes sure that nothing is left: no request, no timer, no reader.
// The bubble would not end otherwise.
func TestHIDClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHIDBench(t)
		b.awaitTouch(b.open())
		read := make(chan error)
		b.port.SetReadDeadline(time.Time{})
		go func() {
			_, err := b.port.Read(make([]byte, 64))
			read <- err
		}()
		synctest.Wait()
		if err := b.port.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-read; !errors.Is(err, transport.ErrClosed) {
			t.Errorf("the waiting Read returned %v", err)
		}
		if n := b.key.working.Load(); n != 0 {
			t.Errorf("%d requests are under way after Close", n)
		}
		if _, err := b.port.Read(make([]byte, 64)); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Read after Close returned %v", err)
		}
		if _, err := b.port.Write(make([]byte, 64)); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Write after Close returned %v", err)
		}
		if err := b.port.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}

		// A door may be slower to close than the HID.
		b.port.hid.Attach(func(report []byte) { t.Errorf("after Close: % x", report) })
		b.port.hid.Receive(append([]byte{0, 0, 0, 1, wirePing}, make([]byte, 59)...))
	})
}

func TestPortDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHIDBench(t)
		report := make([]byte, 64)
		read := func() error { _, err := b.port.Read(report); return err }

		begin := time.Now()
		b.port.SetReadDeadline(begin.Add(time.Second))
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
		b.send(hidBroadcast, wireInit, hidNonce)
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("past deadline and a report: %v", err)
		}
		b.port.SetReadDeadline(time.Time{})
		if err := read(); err != nil || report[4] != wireInit {
			t.Errorf("no deadline and a report: %v", err)
		}

		// A deadline set from elsewhere ends a Read that waits.
		begin = time.Now()
		time.AfterFunc(time.Second, func() { b.port.SetReadDeadline(time.Now()) })
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestPortReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newHIDBench(t)
		if in, out := b.port.ReportSizes(); in != 64 || out != 64 {
			t.Errorf("sizes %d and %d", in, out)
		}
		for _, size := range []int{0, 63, 65} {
			if _, err := b.port.Write(make([]byte, size)); err == nil {
				t.Errorf("a report of %d bytes was taken", size)
			}
		}
		// A host that does not read loses the oldest reports, no others.
		c := b.open()
		for i := range portReports + 2 {
			b.send(c, wirePing, []byte{byte(i), byte(i >> 8)})
		}
		for i := range portReports {
			b.want(c, wirePing, []byte{byte(i + 2), byte((i + 2) >> 8)})
		}
		b.silent(time.Second)
	})
}

func TestHIDAllocatesNothingPerReport(t *testing.T) {
	h := newHID(&hidKey{})
	defer h.Close()
	h.Receive(slices.Concat([]byte{0, 0, 0, 1, wireInit, 0, 8}, make([]byte, 57)))
	ping := slices.Concat([]byte{0, 0, 0, 1, wirePing, 0, 100}, make([]byte, 57))
	rest := slices.Concat([]byte{0, 0, 0, 1, 0}, make([]byte, 59))
	if n := testing.AllocsPerRun(100, func() { h.Receive(ping); h.Receive(rest) }); n != 0 {
		t.Errorf("%v allocations per message", n)
	}
}

// FuzzHID throws reports at the device (HID-056): what comes back is well
// formed, and afterwards the device answers.
func FuzzHID(f *testing.F) {
	f.Add([]byte("\xff\xff\xff\xff\x86\x00\x08abcdefgh"))
	f.Add(slices.Concat([]byte{0, 0, 0, 1, wirePing, 0, 100}, make([]byte, 57), []byte{0, 0, 0, 1, 0}))
	f.Add(slices.Concat([]byte{0, 0, 0, 1, wireCBOR, 0, 1, 1}, make([]byte, 56), []byte{0, 0, 0, 1, wireInit, 0, 8}))
	f.Add(slices.Concat([]byte{0, 0, 0, 1, wireLock, 0, 1, 9}, make([]byte, 56), []byte{0, 0, 0, 2, wirePing}))
	f.Fuzz(func(t *testing.T, reports []byte) {
		synctest.Test(t, func(t *testing.T) {
			b := newFuzzBench(t)
			b.throw(reports)
			b.recover()
		})
	})
}

func TestHIDRandomReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, report := newFuzzBench(t), make([]byte, 64)
		for range 10_000 {
			rand.Read(report)
			b.throw(report)
		}
		b.recover()
	})
}

// newFuzzBench has a key that gives up waiting for a touch after a second, and
// channels 1 and 2 open.
func newFuzzBench(t *testing.T) *hidBench {
	b := &hidBench{T: t, port: newHID(hidScript(func(ctx context.Context) []byte {
		transport.Report(ctx, transport.StatusUPNeeded)
		select {
		case <-time.After(time.Second):
			return []byte{0x2f}
		case <-ctx.Done():
			return cancelled
		}
	})).Port()}
	t.Cleanup(func() { b.port.Close() })
	b.open()
	b.open()
	return b
}

// throw sends the bytes as reports, half of them on an open channel, which
// random bytes would hardly hit, and checks what comes back.
func (b *hidBench) throw(reports []byte) {
	b.Helper()
	for report := range slices.Chunk(reports, 64) {
		if len(report) > 4 && report[0]&1 == 0 {
			copy(report, []byte{0, 0, 0, 1 + report[1]&1})
		}
		b.write(report...)
		for b.anything(time.Microsecond) {
		}
	}
}

// recover waits until every request, message and lock has run out, and makes
// sure that the device is as good as new.
func (b *hidBench) recover() {
	b.Helper()
	for begin := time.Now(); time.Since(begin) < 11*time.Second; {
		b.anything(time.Second)
	}
	b.alive()
}

// anything reads a message that only has to be whole and of a known command.
func (b *hidBench) anything(d time.Duration) bool {
	b.Helper()
	m, ok := b.read(d)
	known := []byte{wirePing, wireLock, wireInit, wireWink, wireCBOR, wireKeepalive, wireError}
	if ok && !slices.Contains(known, m.command) {
		b.Fatalf("message of an unknown command: %v", m)
	}
	return ok
}
