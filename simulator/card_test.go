package simulator_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/internal/ctaptest"
	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/nfc"
)

const selectApplet = "00a4040008a0000006472f000100"

// A reader holds a card.
type reader struct {
	*key
	card *simulator.Card
}

func newReader(t *testing.T, options ...func(*simulator.Config)) *reader {
	t.Helper()
	k := newKey(t, append([]func(*simulator.Config){full23()}, options...)...)
	r := &reader{k, simulator.NewCard(k.Authenticator)}
	t.Cleanup(func() { r.card.Close() })
	return r
}

// field takes the card away and lays it on the reader again.
func (r *reader) field() {
	r.card.PowerOff()
	r.card.PowerOn()
}

func (r *reader) transmit(apdu []byte) (data []byte, sw uint16) {
	r.Helper()
	answer, err := r.card.Transmit(r.Context(), apdu)
	if err != nil || len(answer) < 2 {
		r.Fatalf("%x: answer %x, %v", apdu, answer, err)
	}
	n := len(answer) - 2
	return answer[:n], binary.BigEndian.Uint16(answer[n:])
}

// want transmits digits and compares the whole answer.
func (r *reader) want(name, apdu, answer string) {
	r.Helper()
	raw, err := hex.DecodeString(apdu)
	if err != nil {
		r.Fatal(err)
	}
	if data, sw := r.transmit(raw); fmt.Sprintf("%x%04x", data, sw) != answer {
		r.Errorf("%s: %s: %x%04x, want %s", name, apdu, data, sw, answer)
	}
}

func (r *reader) selected() *reader {
	r.Helper()
	r.want("SELECT", selectApplet, hex.EncodeToString([]byte("U2F_V2"))+"9000")
	return r
}

// longAPDU is an NFCCTAP_MSG in extended length.
func longAPDU(p1 byte, msg []byte) []byte {
	b := append([]byte{0x80, 0x10, p1, 0, 0}, binary.BigEndian.AppendUint16(nil, uint16(len(msg)))...)
	return append(append(b, msg...), 0, 0)
}

// block is one block of an NFCCTAP_MSG in short length, without status updates.
func block(last bool, msg []byte) []byte {
	if !last {
		return append([]byte{0x90, 0x10, 0, 0, byte(len(msg))}, msg...)
	}
	return append(append([]byte{0x80, 0x10, 0, 0, byte(len(msg))}, msg...), 0)
}

// exchange sends a message in blocks of these sizes, of which the last one goes
// on to the end, and fetches the whole answer.
func (r *reader) exchange(msg []byte, sizes ...int) (status byte, reply map[int]any) {
	r.Helper()
	for i := 0; len(msg) > 255 || i < len(sizes) && sizes[i] < len(msg); i++ {
		n := 255
		if i < len(sizes) {
			n = sizes[i]
		}
		if data, sw := r.transmit(block(false, msg[:n])); sw != 0x9000 || len(data) > 0 {
			r.Fatalf("block: %x, SW %04x", data, sw)
		}
		msg = msg[n:]
	}
	answer, sw := r.transmit(block(true, msg))
	for sw>>8 == 0x61 {
		var part []byte
		part, sw = r.transmit([]byte{0, 0xc0, 0, 0, 0})
		answer = append(answer, part...)
	}
	if sw != 0x9000 {
		r.Fatalf("SW %04x", sw)
	}
	return r.read(answer)
}

func TestCardSelect(t *testing.T) {
	r := newReader(t)
	for _, name := range []string{"NFC-004", "NFC-003"} {
		r.want(name, "80108000010400", "6985")
		r.want(name, "00a4040008a0000006472f000200", "6a82")
		r.want(name, "00a4040000", "6a82")
		r.want(name, "00a4000002"+"3f00", "6a86")
		r.want(name, "0003000000", "6985")
		r.field()
	}
	r.selected() // NFC-001
	r.field()
	r.want("NFC-004", "80108000010400", "6985")

	plain := newReader(t, func(c *simulator.Config) { c.Profile = simulator.DefaultProfile() })
	plain.want("NFC-002", selectApplet, hex.EncodeToString([]byte("FIDO_2_0"))+"9000")
	plain.want("no U2F", "0003000000", "6d00")
}

func TestCardMessages(t *testing.T) {
	r := newReader(t).selected()
	status, info := r.exchange([]byte{getInfo})                   // NFC-005, NFC-012
	if status != ok || !slices.Contains(info[9].([]any), "nfc") { // NFC-026
		t.Errorf("NFC-005, NFC-026: status %#02x, transports %v", status, info[9])
	}
	whole, sw := r.transmit(longAPDU(0, []byte{getInfo}))
	if sw != 0x9000 || len(whole) <= 256 || !bytes.Equal(whole[1:], encode(info)) { // NFC-006, NFC-015
		t.Errorf("NFC-006, NFC-015: %d bytes, SW %04x", len(whole), sw)
	}
	for i, sizes := range [][]int{nil, {1}, {100, 1, 1}, {3, 0, 200}} { // NFC-008, NFC-009
		params := with(resident(testRP, fmt.Sprint("user", i)), descriptors(make([]byte, 200)), 5)
		if status, _ := r.exchange(request(makeCredential, params), sizes...); status != ok {
			t.Errorf("NFC-008, NFC-009: status %#02x", status)
		}
	}
	if data, sw := r.transmit(longAPDU(0, request(makeCredential, creation()))); sw != 0x9000 || data[0] != ok { // NFC-007
		t.Errorf("NFC-007: %x, SW %04x", data, sw)
	}
	if n := len(r.prompts); n != 4 { // of five touches the tap was one
		t.Errorf("%d touches", n)
	}
	r.want("NFC-014", "00c0000000", "6985")
	r.want("error status", "80100000013f00", "019000")
}

// TestCardGetResponse is NFC-013.
func TestCardGetResponse(t *testing.T) {
	r := newReader(t).selected()
	whole, _ := r.transmit(longAPDU(0, []byte{getInfo}))
	answer, sw := r.transmit([]byte{0x80, 0x10, 0, 0, 1, getInfo, 10})
	if sw != 0x6100 || len(answer) != 10 {
		t.Fatalf("%d bytes, SW %04x", len(answer), sw)
	}
	for _, le := range []byte{16, 0, 200, 0, 0} {
		class := byte(0x80) // which some platforms use
		if le == 16 {
			class = 0
		}
		part, next := r.transmit([]byte{class, 0xc0, 0, 0, le})
		answer, sw = append(answer, part...), next
		left := len(whole) - len(answer)
		want := uint16(0x9000)
		if left > 0 {
			want = 0x6100 | uint16(min(left, 256)&0xff)
		}
		if sw != want {
			t.Fatalf("SW %04x with %d bytes left", sw, left)
		}
		if left == 0 {
			break
		}
	}
	if !bytes.Equal(answer, whole) {
		t.Errorf("parts %x, want %x", answer, whole)
	}
	r.want("all fetched", "00c0000000", "6985")
	r.transmit([]byte{0x80, 0x10, 0, 0, 1, getInfo, 10})
	r.want("other command", "00030000ff", hex.EncodeToString([]byte("U2F_V2"))+"9000")
	r.want("forgotten", "00c0000000", "6985")
}

func TestCardRefuses(t *testing.T) {
	r := newReader(t).selected()
	for _, c := range []struct{ name, apdu, want string }{
		{"NFC-016 unknown INS", "8042000000", "6d00"},
		{"NFC-016 unknown INS of U2F", "0042000000", "6d00"},
		{"NFC-017 unknown INS", "80420000000000", "6d00"},
		{"NFC-018 wrong class", "c0108000010400", "6e00"},
		{"NFC-018 class of U2F", "00108000010400", "6e00"},
		{"U2F-018 class of CTAP2", "8003000000", "6e00"},
		{"NFC-019 Lc too large", "801080000304", "6700"},
		{"NFC-019 Lc too small", "8010800001040000", "6700"},
		{"NFC-020 Lc too large", "801080000000030400", "6700"},
		{"NFC-020 Lc too small", "8010800000000104040000", "6700"},
		{"NFC-021 P1", "80100100010400", "6a86"},
		{"NFC-021 P2", "80108001010400", "6a86"},
		{"NFC-022 no data", "8010800000", "6700"},
		{"nothing to poll for", "8011000000", "6985"},
		{"P1 of a poll", "8011010000", "6a86"},
		{"P1 of the control", "80120000", "6a86"},
		{"cut off", "8010", "6700"},
	} {
		r.want(c.name, c.apdu, c.want)
	}
	r.want("NFC-010 first block", "901080000106", "9000")
	r.want("NFC-010 other INS", "0003000000", "6883")
	r.want("NFC-010 dropped", "80100000013f00", "019000")
	r.want("NFC-011 first block", "901080000106", "9000")
	r.selected()
	r.want("NFC-011 nothing left over", "80100000013f00", "019000")
	r.want("NFC-025 end", "80120100", "9000")
	r.want("NFC-025 refused", "80108000010400", "6985")
	r.selected()
}

func TestCardSeries(t *testing.T) {
	r := newReader(t).selected()
	for _, user := range []string{"alice", "bob", "carol"} {
		r.exchange(request(makeCredential, resident(testRP, user)))
	}
	for name, between := range map[string]func(){
		"NFC-027": func() { r.field(); r.selected() },
		"NFC-030": func() { r.selected() },
		"NFC-025": func() { r.want("end", "80120100", "9000"); r.selected() },
	} {
		if status, _ := r.exchange(request(getAssertion, sign(testRP))); status != ok {
			t.Fatalf("status %#02x", status)
		}
		if status, _ := r.exchange([]byte{getNextAssertion}); status != ok {
			t.Errorf("%s: status %#02x", name, status)
		}
		between()
		if status, _ := r.exchange([]byte{getNextAssertion}); status != notAllowed {
			t.Errorf("%s: status %#02x", name, status)
		}
	}
	r.setPIN(testPIN) // NFC-028
	old := r.token(2, permMC, testRP)
	r.field()
	r.selected()
	if status, _ := r.exchange(request(makeCredential, old.authorize(creation()))); status != pinAuthInvalid {
		t.Errorf("NFC-028: status %#02x", status)
	}
}

// TestCardTap: to lay the key on the reader is one touch, for two minutes.
func TestCardTap(t *testing.T) {
	r := newReader(t)
	for _, c := range []struct {
		name    string
		wait    time.Duration
		prompts int
	}{{"at once", 0, 1}, {"in time", 2 * time.Minute, 1}, {"too late", 2*time.Minute + 1, 2}} {
		r.field()
		r.selected()
		r.prompts = nil
		r.clock.Advance(c.wait)
		for range 2 {
			if status, _ := r.exchange(request(makeCredential, creation())); status != ok {
				t.Errorf("%s: status %#02x", c.name, status)
			}
		}
		if len(r.prompts) != c.prompts {
			t.Errorf("%s: %d touches, want %d", c.name, len(r.prompts), c.prompts)
		}
	}
	r.field()
	r.prompts = nil
	r.create(creation()) // over USB no field counts
	if len(r.prompts) != 1 {
		t.Errorf("USB: %d touches", len(r.prompts))
	}
}

// TestCardDefers has a touch that comes late: NFC-023 and NFC-024.
func TestCardDefers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hand{touches: make(chan simulator.Presence)}
		r := newReader(t, func(c *simulator.Config) { c.Presence = h.presence }).selected()
		create := block(true, request(makeCredential, creation()))
		if data, sw := r.transmit(create); sw != 0x9000 && sw>>8 != 0x61 || data[0] != ok { // takes the tap
			t.Fatalf("%x, SW %04x", data, sw)
		}
		create[2] = 0x80
		pending := func(name string, apdu []byte) {
			t.Helper()
			if data, sw := r.transmit(apdu); sw != 0x9100 || !bytes.Equal(data, []byte{2}) {
				t.Errorf("%s: %x, SW %04x", name, data, sw)
			}
		}
		poll := []byte{0x80, 0x11, 0, 0, 0}
		pending("NFC-023", create)
		pending("NFC-023", poll)
		h.touches <- simulator.PresenceTouched
		if data, sw := r.transmit(poll); sw>>8 != 0x61 || data[0] != ok {
			t.Errorf("NFC-023: %x, SW %04x", data, sw)
		}
		r.want("nothing left", "8011000000", "6985")

		pending("NFC-024", create)
		r.want("NFC-024", "8011110000", "2d9000")
		pending("another command", create)
		r.want("another command", "80108000010b"+"00", "029100") // waits for its own touch
		r.selected()
		r.want("SELECT ends it", "8011000000", "6985")

		// Without the bit nothing is deferred, and the end of ctx cancels.
		create[2] = 0
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := r.card.Transmit(ctx, create); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("P1 = 00: %v", err)
		}
		if h.wanted.Load() != 0 {
			t.Error("the request goes on")
		}
		go func() {
			time.Sleep(time.Minute)
			h.touches <- simulator.PresenceDeclined
		}()
		if data, sw := r.transmit(create); sw != 0x9000 || data[0] != operationDenied {
			t.Errorf("P1 = 00: %x, SW %04x", data, sw)
		}
		create[2] = 0x80

		// The field goes while a command runs.
		go func() {
			time.Sleep(50 * time.Millisecond)
			r.card.PowerOff()
		}()
		if _, err := r.card.Transmit(t.Context(), create); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("field gone: %v", err)
		}
		synctest.Wait()
		if _, err := r.card.Transmit(t.Context(), create); !errors.Is(err, transport.ErrClosed) || h.wanted.Load() != 0 {
			t.Errorf("field gone: %v, %d touches wanted", err, h.wanted.Load())
		}
		r.card.PowerOn()
		r.want("new field", "8011000000", "6985")
	})
}

func TestCardU2F(t *testing.T) {
	r := newReader(t).selected()
	data, sw := r.transmit(u2fAPDU(1, 3, registerData())) // U2F-025
	first := r.parseRegistration(data, sw)
	data, sw = r.transmit(shortAPDU(1, 3, registerData()))
	for sw>>8 == 0x61 {
		var part []byte
		part, sw = r.transmit([]byte{0, 0xc0, 0, 0, 0})
		data = append(data, part...)
	}
	r.parseRegistration(data, sw)
	apdu := shortAPDU(2, 7, authenticateData(first.handle))
	r.want("U2F-008", hex.EncodeToString(apdu), "6985")
	// In a chain, as readers without extended length send it.
	chained := append([]byte{0x10, 2, 7, 0, 32}, challenge...)
	r.want("chain", hex.EncodeToString(chained), "9000")
	rest := authenticateData(first.handle)[32:]
	r.want("chain", hex.EncodeToString(append([]byte{0, 2, 7, 0, byte(len(rest))}, rest...)), "6985")
}

func TestCardVectors(t *testing.T) {
	var v struct {
		Select, SelectResponseU2F, SelectResponseFIDO2Only       ctaptest.Hex
		GetInfoShort, GetInfoShortNoGetResponse, GetInfoExtended ctaptest.Hex
		StatusUpdate, NFCCTAPGetResponse                         ctaptest.Hex
		NFCCTAPGetResponseCancel, ISOGetResponse, ControlEnd     ctaptest.Hex
		Chained301Bytes                                          struct{ APDUs []ctaptest.Hex }
	}
	ctaptest.Vectors(t, "nfc", &v)
	synctest.Test(t, func(t *testing.T) {
		h := &hand{touches: make(chan simulator.Presence)}
		r := newReader(t, func(c *simulator.Config) { c.Presence = h.presence })
		want := func(apdu ctaptest.Hex, answer string) {
			t.Helper()
			r.want("vector", hex.EncodeToString(apdu), answer)
		}
		want(v.Select, hex.EncodeToString(v.SelectResponseU2F))
		for _, apdu := range []ctaptest.Hex{v.GetInfoShort, v.GetInfoShortNoGetResponse} {
			if data, sw := r.transmit(apdu); sw>>8 != 0x61 || len(data) != 256 {
				t.Errorf("%x: %x, SW %04x", apdu, data, sw)
			}
			if data, sw := r.transmit(v.ISOGetResponse); sw>>8 != 0x61 || len(data) != 16 {
				t.Errorf("%x: %x, SW %04x", v.ISOGetResponse, data, sw)
			}
		}
		if data, sw := r.transmit(v.GetInfoExtended); sw != 0x9000 || data[0] != ok {
			t.Errorf("%x: %x, SW %04x", v.GetInfoExtended, data, sw)
		}
		want(v.Chained301Bytes.APDUs[0], "9000")
		want(v.Chained301Bytes.APDUs[1], "129000") // zeroes after the command byte
		r.transmit(block(true, []byte{selection})) // takes the tap
		r.want("selection", "80108000010b"+"00", hex.EncodeToString(v.StatusUpdate))
		want(v.NFCCTAPGetResponse, hex.EncodeToString(v.StatusUpdate))
		want(v.NFCCTAPGetResponseCancel, "2d9000")
		want(v.ControlEnd, "9000")

		plain := newReader(t, func(c *simulator.Config) { c.Profile = simulator.DefaultProfile() })
		plain.want("vector", hex.EncodeToString(v.Select), hex.EncodeToString(v.SelectResponseFIDO2Only))
	})
}

// TestCardWithClient drives the card with this module's client.
func TestCardWithClient(t *testing.T) {
	for name, options := range map[string][]nfc.Option{
		"short": nil, "extended": {nfc.ExtendedLength()}, "no status updates": {nfc.WithoutStatusUpdates()},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReader(t)
			device, err := nfc.Open(t.Context(), r.card, options...)
			if err != nil {
				t.Fatal(err)
			}
			if device.Version() != "U2F_V2" {
				t.Errorf("version %q", device.Version())
			}
			for _, msg := range [][]byte{{getInfo}, request(makeCredential, resident(testRP, "alice")), request(getAssertion, sign(testRP))} {
				answer, err := device.Exchange(t.Context(), msg)
				if err != nil {
					t.Fatal(err)
				}
				if status, _ := r.read(answer); status != ok {
					t.Errorf("%x: status %#02x", msg, status)
				}
			}
			answer, err := device.Message(t.Context(), u2fAPDU(1, 3, registerData()))
			if err != nil {
				t.Fatal(err)
			}
			n := len(answer) - 2
			r.parseRegistration(answer[:n], binary.BigEndian.Uint16(answer[n:]))
			if err := device.Close(); err != nil {
				t.Error(err)
			}
			if _, err := r.card.Transmit(t.Context(), []byte{0, 0xa4, 4, 0}); !errors.Is(err, transport.ErrClosed) {
				t.Errorf("closed: %v", err)
			}
		})
	}
}

// FuzzCard transmits arbitrary APDUs, each with its length before it. Whatever
// comes, there is a status word, and after SELECT the card works.
func FuzzCard(f *testing.F) {
	add := func(apdus ...string) {
		var input []byte
		for _, apdu := range apdus {
			raw, err := hex.DecodeString(apdu)
			if err != nil {
				f.Fatal(err)
			}
			input = append(append(input, byte(len(raw))), raw...)
		}
		f.Add(input)
	}
	add(selectApplet, "80108000010400", "00c0000010", "8011000000", "80120100")
	add(selectApplet, "901080000106", "8010800002a0"+"0000")
	add(selectApplet, "0003000000", hex.EncodeToString(u2fAPDU(1, 3, registerData())))
	add("00a4040008a0000006472f000200", "80108000000001040000", "8011110000")
	f.Fuzz(func(t *testing.T, input []byte) {
		r := newReader(t)
		for len(input) > 0 {
			n := min(int(input[0]), len(input)-1)
			if _, sw := r.transmit(input[1 : 1+n]); sw == 0x6f00 {
				t.Errorf("%x: SW %04x", input[1:1+n], sw)
			}
			input = input[1+n:]
		}
		r.selected()
		if status, _ := r.exchange([]byte{getInfo}); status != ok {
			t.Errorf("getInfo: status %#02x", status)
		}
	})
}

// TestCardPowerCycleAPDU: what a test tool sends that cannot move a card.
func TestCardPowerCycleAPDU(t *testing.T) {
	r := newReader(t)
	r.setPIN(testPIN)
	token := r.token(2, permMC, testRP)
	request := longAPDU(0, request(makeCredential, token.authorize(creation())))
	r.want("nearly", "00ee0000041256abf1", "6985")
	r.selected()
	r.want("power cycle", "00ee0000041256abf0", "9000")
	r.want("no applet is selected", "80100000010400", "6985")
	r.selected()
	if answer, sw := r.transmit(request); sw != 0x9000 || answer[0] != pinAuthInvalid {
		t.Errorf("the token lives: %x %04x", answer, sw)
	}
	r.want("power cycle before SELECT", "00ee0000041256abf0", "9000")
}
