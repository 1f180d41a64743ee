package simulator

import (
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/internal/ctaptest"
)

// usbVectors are messages that another implementation made.
type usbVectors struct {
	OpReqDevlist, OpRepDevlist, OpReqImport, OpRepImport    ctaptest.Hex
	CmdSubmitGetDeviceDescriptor, RetSubmitDeviceDescriptor ctaptest.Hex
	CmdUnlink, RetUnlinkOk, DeviceDescriptor                ctaptest.Hex
}

// TestUSBVectors: bytes in, bytes out.
func TestUSBVectors(t *testing.T) {
	var v usbVectors
	ctaptest.Vectors(t, "usbip", &v)
	b := newUSBBench(t, USBIdentity{Serial: "4711"})
	exchange := func(request, want []byte) {
		t.Helper()
		b.write(request)
		answer := make([]byte, len(want))
		if _, err := io.ReadFull(b.conn, answer); err != nil || !bytes.Equal(answer, want) {
			t.Errorf("answer %x, %v\nwant %x", answer, err, want)
		}
	}
	exchange(v.CmdSubmitGetDeviceDescriptor, v.RetSubmitDeviceDescriptor)
	b.seq = 3
	if seq := b.fetch(64); seq != 4 { // the one that CmdUnlink takes back
		t.Fatal(seq)
	}
	exchange(v.CmdUnlink, v.RetUnlinkOk)
}

// usbText is a string descriptor in hexadecimal.
func usbText(s string) string {
	b := []byte{byte(2 + 2*len(s)), 3}
	for _, c := range []byte(s) {
		b = append(b, c, 0)
	}
	return hex.EncodeToString(b)
}

// TestUSBControl asks for all that there is, and for what there is not.
func TestUSBControl(t *testing.T) {
	var v struct{ ReportDescriptor ctaptest.Hex }
	ctaptest.Vectors(t, "ctaphid", &v)
	configuration := "090229000101008032" + "090400000203000000" + "092111010001222200" + "07058103400005" + "07050103400005"
	b := newUSBBench(t, USBIdentity{Maker: "Acme", Name: "Key", Vendor: 0x1050, Product: 0x0407})
	for _, c := range []struct{ what, setup, want string }{
		{"device", "8006 0001 0000 ff00", "12010002000000405010070400010102" + "0001"}, // no serial number
		{"its beginning", "8006 0001 0000 0800", "1201000200000040"},
		{"another device", "8006 0101 0000 ff00", "stall"},
		{"configuration", "8006 0002 0000 ff00", configuration},
		{"its beginning", "8006 0002 0000 0900", configuration[:18]},
		{"second configuration", "8006 0102 0000 ff00", "stall"},
		{"languages", "8006 0003 0000 ff00", "04030904"},
		{"maker", "8006 0103 0904 ff00", usbText("Acme")},
		{"name", "8006 0203 0904 0002", usbText("Key")},
		{"serial number", "8006 0303 0904 ff00", "stall"},
		{"string 4", "8006 0403 0904 ff00", "stall"},
		{"name in German", "8006 0203 0704 ff00", "stall"},
		{"device qualifier", "8006 0006 0000 0a00", "stall"},
		{"debug", "8006 000a 0000 ff00", "stall"},
		{"BOS", "8006 000f 0000 0500", "stall"},
		{"report", "8106 0022 0000 ff00", hex.EncodeToString(v.ReportDescriptor)},
		{"HID", "8106 0021 0000 ff00", configuration[36:54]},
		{"report of interface 1", "8106 0022 0100 ff00", "stall"},
		{"physical", "8106 0023 0000 ff00", "stall"},

		{"device status", "8000 0000 0000 0200", "0000"},
		{"interface status", "8100 0000 0000 0200", "0000"},
		{"status of interface 1", "8100 0000 0100 0200", "stall"},
		{"endpoint status", "8200 0000 8100 0200", "0000"},
		{"endpoint status", "8200 0000 0100 0200", "0000"},
		{"status of endpoint 0", "8200 0000 0000 0200", "0000"},
		{"status of endpoint 2", "8200 0000 8200 0200", "stall"},
		{"clear halt", "0201 0000 8100 0000", ""},
		{"clear halt of endpoint 3", "0201 0000 8300 0000", "stall"},
		{"remote wake-up", "0003 0100 0000 0000", "stall"},
		{"test mode", "0003 0200 0001 0000", "stall"},

		{"idle", "a102 0000 0000 0100", "00"},
		{"set idle", "210a 007d 0000 0000", ""},
		{"idle", "a102 0000 0000 0100", "7d"},
		{"set idle of report 1", "210a 017d 0000 0000", "stall"},
		{"protocol", "a103 0000 0000 0100", "stall"},
		{"set protocol", "210b 0000 0000 0000", "stall"},
		{"get report", "a101 0001 0000 4000", "stall"},
		{"set report", "2109 0002 0000 4000", "stall"},
		{"a vendor's request", "c001 0000 0000 0100", "stall"},

		{"interface", "810a 0000 0000 0100", "00"},
		{"set interface", "010b 0000 0000 0000", ""},
		{"set interface to another setting", "010b 0100 0000 0000", "stall"},
		{"address", "0005 0700 0000 0000", ""},
		{"configuration", "8008 0000 0000 0100", "01"},
		{"set configuration 2", "0009 0200 0000 0000", "stall"},
		{"configuration", "8008 0000 0000 0100", "01"},
		{"set configuration 0", "0009 0000 0000 0000", ""},
		{"configuration", "8008 0000 0000 0100", "00"},
		{"interface of none", "810a 0000 0000 0100", "stall"},
		{"set configuration 1", "0009 0100 0000 0000", ""},
		{"interface", "810a 0000 0000 0100", "00"},
		{"idle, as at first", "a102 0000 0000 0100", "00"},
	} {
		want, refused := c.want, c.want == "stall"
		if data, ok := b.control(strings.ReplaceAll(c.setup, " ", "")); ok == refused || ok && hex.EncodeToString(data) != want {
			t.Errorf("%s: %x, %v, want %s", c.what, data, ok, want)
		}
	}
}

// TestUSBShortReports: the descriptors say how long reports are.
func TestUSBShortReports(t *testing.T) {
	d, err := newUSBDescriptors(USBIdentity{}, 32)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasSuffix(d.configuration, unhex(t, "07058103200005 07050103200005")) || !bytes.Contains(d.report, unhex(t, "7508 9520 8102")) {
		t.Errorf("%x\n%x", d.configuration, d.report)
	}
}

func TestUSBIdentityRefused(t *testing.T) {
	for _, id := range []USBIdentity{{Name: strings.Repeat("n", 127)}, {Maker: strings.Repeat("\U0001f511", 64)}} {
		err := ServeUSBIP(t.Context(), newPlainKey(t), DoorConfig{Address: "127.0.0.1:0"}, id)
		if err == nil || !strings.Contains(err.Error(), "is longer than") {
			t.Errorf("%+v: %v", id, err)
		}
	}
}

func newPlainKey(t *testing.T) *Authenticator {
	t.Helper()
	a, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

var usbInit = []byte("\xff\xff\xff\xff\x86\x00\x08abcdefgh")

// TestUSBReports: URBs wait for reports and reports for URBs, in order.
func TestUSBReports(t *testing.T) {
	b := newUSBBench(t, USBIdentity{})
	first, second := b.fetch(64), b.fetch(64)
	for _, waiting := range []uint32{first, second} {
		out := b.put(usbInit...)
		if r := b.read(); r.seq != out || r.status != 0 || r.actual != 64 {
			t.Fatalf("answer to an output report: %+v", r)
		}
		if report := b.want(3, waiting, 0); len(report) != 64 || !bytes.HasPrefix(report, []byte("\xff\xff\xff\xff\x86\x00\x11abcdefgh")) {
			t.Fatalf("input report %x", report)
		}
	}
	for nonce := range byte(3) { // before the host asks for an answer
		report := bytes.Clone(usbInit)
		report[7] = nonce
		b.want(3, b.put(report...), 0)
	}
	for nonce := range byte(3) {
		if report := b.want(3, b.fetch(512), 0); len(report) != 64 || report[7] != nonce {
			t.Fatalf("report %d: %x", nonce, report)
		}
	}

	// An URB without room, a report of another length, endpoints that are not there.
	b.want(3, b.put(usbInit...), 0)
	b.want(3, b.fetch(63), -75)
	b.write(append(b.header(1, false, 1, 0, 3), 1, 2, 3))
	b.want(3, b.seq, 0)
	b.write(b.header(1, true, 2, 0, 64))
	b.want(3, b.seq, -32)
	b.write(b.header(1, false, 3, 0, 0))
	b.want(3, b.seq, -32)
	b.control("0009000000000000")
	b.want(3, b.fetch(64), -32)
	b.want(3, b.put(usbInit...), -32)
}

// TestUSBUnlink takes back what waits, and what does not.
func TestUSBUnlink(t *testing.T) {
	b := newUSBBench(t, USBIdentity{})
	lost, kept := b.fetch(64), b.fetch(64)
	b.want(4, b.unlink(lost), -104)
	b.want(4, b.unlink(lost), 0)
	out := b.put(usbInit...)
	b.want(3, out, 0)
	b.want(3, kept, 0) // and not the other one
	b.want(4, b.unlink(out), 0)
	b.want(4, b.unlink(kept), 0)
	b.want(4, b.unlink(4711), 0)

	// An output report that the key cannot take yet.
	for range usbReportsBusy + 1 {
		b.want(3, b.put(usbInit...), 0)
	}
	b.put(usbInit...)
	b.want(4, b.unlink(b.seq), -104)
	b.want(3, b.fetch(64), 0)
	b.want(4, b.unlink(4711), 0) // nothing is left to be taken
}

// TestUSBHalt halts the endpoints and brings them back.
func TestUSBHalt(t *testing.T) {
	b := newUSBBench(t, USBIdentity{})
	waiting := b.fetch(64)
	b.write(func() []byte {
		h := b.header(1, false, 0, 0, 0)
		copy(h[40:], unhex(t, "0203 0000 8100 0000"))
		return h
	}())
	halt := b.seq
	b.want(3, waiting, -32)
	b.want(3, halt, 0)
	b.want(3, b.fetch(64), -32)
	b.want(3, b.put(usbInit...), 0)
	b.control("0203000001000000")
	b.want(3, b.put(usbInit...), -32)
	for _, endpoint := range []string{"81", "01"} {
		if status, _ := b.control("82000000" + endpoint + "000200"); !bytes.Equal(status, []byte{1, 0}) {
			t.Errorf("status of endpoint %s: %x", endpoint, status)
		}
		b.control("02010000" + endpoint + "000000")
	}
	b.want(3, b.fetch(64), 0) // the report waited
	b.want(3, b.put(usbInit...), 0)
}

// TestUSBLongMessage: the longest message comes back whole, to a host that asks
// for the answer only when all is sent.
func TestUSBLongMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newUSBBench(t, USBIdentity{})
		b.want(3, b.put(0, 0, 0, 1, wireInit, 0, 8), 0)
		b.want(3, b.fetch(64), 0)
		b.want(3, b.put(0, 0, 0, 1, wirePing, 0x1d, 0xb9, 0xaa), 0)
		for seq := range byte(128) {
			b.want(3, b.put(0, 0, 0, 1, seq, seq), 0)
		}
		if report := b.want(3, b.fetch(64), 0); !bytes.Equal(report[:8], []byte{0, 0, 0, 1, wirePing, 0x1d, 0xb9, 0xaa}) {
			t.Fatalf("first report %x", report)
		}
		begin := time.Now()
		for seq := range byte(128) {
			if report := b.want(3, b.fetch(64), 0); report[4] != seq || report[5] != seq {
				t.Fatalf("report %d: %x", seq, report)
			}
		}
		if d := time.Since(begin); d != 96*time.Millisecond {
			t.Errorf("a program would lose reports: all within %v, want 96ms", d)
		}
	})
}

// TestUSBHostFetchesNothing: what waits for a host that does not ask is bounded,
// and none of it is lost when the host asks after all.
func TestUSBHostFetchesNothing(t *testing.T) {
	b := newUSBBench(t, USBIdentity{})
	const taken, more = usbReportsBusy + 1, 100
	var nonces []byte
	for i := range taken + more {
		report := bytes.Clone(usbInit)
		report[7] = byte(i)
		nonces = append(nonces, byte(i))
		if out := b.put(report...); i < taken {
			b.want(3, out, 0)
		}
	}
	for i, nonce := range nonces {
		fetched := b.fetch(64)
		got := b.want(3, fetched, 0)
		if got[7] != nonce {
			t.Fatalf("answer %d has nonce %d, want %d", i, got[7], nonce)
		}
		if i < more { // makes room for another output report
			if r := b.read(); r.command != 3 || r.status != 0 || r.actual != 64 {
				t.Fatalf("output report %d: %+v", taken+i, r)
			}
		}
	}

	for range usbPending + 1 {
		b.fetch(64)
	}
	if err := <-b.ended; err == nil || !strings.Contains(err.Error(), "transfers wait") {
		t.Errorf("too many URBs: %v", err)
	}
}

// TestUSBKeepalivesGiveWay: a host that does not ask for a day finds one keepalive,
// and the answer.
func TestUSBKeepalivesGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newUSBBench(t, USBIdentity{})
		b.want(3, b.put(0, 0, 0, 1, wireInit, 0, 8), 0)
		b.want(3, b.fetch(64), 0)
		b.want(3, b.put(0, 0, 0, 1, wireCBOR, 0, 1, waitForTouch[0]), 0)
		time.Sleep(24 * time.Hour)
		close(b.key.touch)
		synctest.Wait()
		if report := b.want(3, b.fetch(64), 0); report[4] != wireKeepalive || report[7] != 2 {
			t.Errorf("report %x, want the last keepalive", report)
		}
		if report := b.want(3, b.fetch(64), 0); !bytes.Equal(report[4:8], []byte{wireCBOR, 0, 1, 0}) {
			t.Errorf("report %x, want the answer", report)
		}
	})
}

// TestUSBHostReadsNothing: the key is not kept waiting by a full connection, does
// not take more and more from it, and can be unplugged.
func TestUSBHostReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newUSBBench(t, USBIdentity{})
		sent := make(chan int, 1)
		go func() {
			n := 0
			for ; n < 100_000; n++ {
				if _, err := b.conn.Write(b.header(2, false, 0, 4711)); err != nil {
					break
				}
			}
			sent <- n
		}()
		synctest.Wait()
		b.link.hid.Receive(append(bytes.Clone(usbInit), make([]byte, 64-len(usbInit))...)) // returns
		b.unplug()
		if n := <-sent; n > 1000 {
			t.Errorf("%d requests were taken without an answer", n)
		}
		if err := <-b.ended; err != nil {
			t.Error(err)
		}
	})
}

// TestUSBUnplugged: whoever is waited for, the wait ends with the host.
func TestUSBUnplugged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newUSBBench(t, USBIdentity{})
		b.want(3, b.put(0, 0, 0, 1, wireInit, 0, 8), 0)
		b.want(3, b.put(0, 0, 0, 1, wireCBOR, 0, 1, waitForTouch[0]), 0)
		synctest.Wait()
		if b.key.working.Load() != 1 {
			t.Fatal("the key does not wait")
		}
		b.conn.Close()
		if err := <-b.ended; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if b.key.working.Load() != 0 {
			t.Error("the key still waits for a touch")
		}
	})
}

// TestUSBBusReset: the key forgets what it did for the host, and keeps its power.
func TestUSBBusReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newUSBBench(t, USBIdentity{})
		b.want(3, b.put(0, 0, 0, 1, wireInit, 0, 8), 0)
		b.want(3, b.put(0, 0, 0, 1, wireCBOR, 0, 1, waitForTouch[0]), 0)
		synctest.Wait()
		if _, ok := b.control("2303040000000000"); !ok {
			t.Error("reset refused")
		}
		synctest.Wait()
		if b.key.working.Load() != 0 || b.key.cycles != 0 {
			t.Errorf("%d commands go on, %d power cycles", b.key.working.Load(), b.key.cycles)
		}
		b.want(3, b.fetch(64), -32) // not configured
		b.control("0009010000000000")
		waiting := b.fetch(64) // the answer to INIT is forgotten
		b.want(3, b.put(0, 0, 0, 1, wirePing, 0, 1, 0xaa), 0)
		if report := b.want(3, waiting, 0); !bytes.Equal(report[:8], []byte{0, 0, 0, 1, wirePing, 0, 1, 0xaa}) {
			t.Errorf("report %x: the channel must still be there", report)
		}
	})
}

// TestUSBGarbage: a host that sends nonsense is gone, with a reason.
func TestUSBGarbage(t *testing.T) {
	submit := "00000001 00000001 00010002 %s 00000000 %s 00000000 %s 00000000 0000000000000000"
	header := func(direction, length, packets string) string {
		s := submit
		for _, part := range []string{direction, length, packets} {
			s = strings.Replace(s, "%s", part, 1)
		}
		return s
	}
	for name, message := range map[string]string{
		"command 0":             "00000000" + strings.Repeat("00", 44),
		"an answer":             "00000003 00000001 00010002" + strings.Repeat("00", 36),
		"another device":        "00000001 00000001 00010003" + strings.Repeat("00", 36),
		"unlink elsewhere":      "00000002 00000001 00020002" + strings.Repeat("00", 36),
		"direction 2":           header("00000002 00000000", "00000000", "00000000"),
		"endpoint 16":           header("00000001 00000010", "00000000", "00000000"),
		"4 GB to the key":       header("00000000 00000001", "ffffffff", "00000000"),
		"4 GB from the key":     header("00000001 00000001", "ffffffff", "00000000"),
		"isochronous":           header("00000001 00000001", "00000040", "00000008"),
		"another protocol":      hex.EncodeToString([]byte("GET / HTTP/1.1\r\nHost: 127.0.0.1:3240\r\nAccept: */*\r\n\r\n"))[:96],
		"cut short":             "00000001 0000",
		"cut short in a report": header("00000000 00000001", "00000040", "00000000") + "ffff",
	} {
		t.Run(name, func(t *testing.T) {
			b := newUSBBench(t, USBIdentity{})
			go func() {
				b.conn.Write(unhex(t, message))
				if strings.HasPrefix(name, "cut short") {
					b.conn.Close()
				}
			}()
			if err := <-b.ended; err == nil {
				t.Error("no error")
			}
			if _, err := b.conn.Read(make([]byte, 1)); err == nil {
				t.Error("the connection is open")
			}
		})
	}
}

// FuzzUSB sends arbitrary bytes as a host's.
func FuzzUSB(f *testing.F) {
	var v usbVectors
	ctaptest.Vectors(f, "usbip", &v)
	f.Add([]byte(v.CmdSubmitGetDeviceDescriptor))
	f.Add([]byte(v.CmdUnlink))
	f.Add(append(bytes.Clone(v.CmdSubmitGetDeviceDescriptor), v.CmdUnlink...))
	f.Fuzz(func(t *testing.T, sent []byte) {
		b := newUSBBench(t, USBIdentity{})
		go func() {
			b.conn.Write(sent)
			b.conn.Close()
		}()
		io.Copy(io.Discard, b.conn)
		<-b.ended
		if n := len(b.link.ins) + len(b.link.outs); n > usbPending+1 {
			t.Errorf("%d URBs wait", n)
		}
	})
}
