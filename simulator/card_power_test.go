package simulator_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fidokey/fidokey/simulator"
	"github.com/fidokey/fidokey/transport"
)

// TestCardATR checks the form of the two answers to reset (ISO 7816-3, section 8.2).
func TestCardATR(t *testing.T) {
	for name, card := range map[string]*simulator.Card{
		"3b8d8001":          simulator.NewCard(newKey(t).Authenticator),
		"3b8d81" + "31fe15": simulator.NewCard(newKey(t).Authenticator, simulator.ContactCard()),
	} {
		atr := card.ATR()
		var check byte
		for _, b := range atr[1:] {
			check ^= b
		}
		if check != 0 || !bytes.HasSuffix(atr[:len(atr)-1], []byte("fidokey")) || !bytes.HasPrefix(atr, unhex(t, name)) {
			t.Errorf("%x", atr)
		}
	}
}

func unhex(t *testing.T, digits string) []byte {
	t.Helper()
	b, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCardBesidesUSB: a key that hangs on USB keeps its power when it is taken off
// a reader, and what goes on over USB goes on.
func TestCardBesidesUSB(t *testing.T) {
	r := newReader(t)
	port := simulator.NewHID(r.Authenticator).Port()
	defer port.Close()
	r.setPIN(testPIN)
	token := r.token(2, permMC, testRP)
	r.field()
	r.selected()
	if data, sw := r.transmit(longAPDU(0, request(makeCredential, token.authorize(creation())))); sw != 0x9000 || data[0] != ok {
		t.Errorf("the token died with the field: %x, SW %04x", data, sw)
	}

	// A new field is a new tap and a new time to reset, all the same.
	r.clock.Advance(time.Hour)
	r.want("reset late", "80100000010700", "309000")
	r.field()
	r.selected()
	r.prompts = nil
	r.want("reset in a new field", "80100000010700", "009000")
	if len(r.prompts) != 0 {
		t.Errorf("the tap is no touch: %v", r.prompts)
	}

	// Off USB it has no power without the field.
	r.setPIN(testPIN)
	token = r.token(2, permMC, testRP)
	port.Close()
	r.field()
	r.selected()
	if data, sw := r.transmit(longAPDU(0, request(makeCredential, token.authorize(creation())))); sw != 0x9000 || data[0] != pinAuthInvalid {
		t.Errorf("the token outlived the field: %x, SW %04x", data, sw)
	}
}

// TestFieldDropBesidesUSB: a command of the other door waits for its touch all the
// same, and only the card's own ends.
func TestFieldDropBesidesUSB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hand{touches: make(chan simulator.Presence)}
		r := newReader(t, func(c *simulator.Config) { c.Presence = h.presence })
		usb := simulator.NewHID(r.Authenticator)
		defer usb.Close()
		answer := make(chan []byte, 1)
		go func() {
			b, _ := r.Exchange(t.Context(), []byte{selection})
			answer <- b
		}()
		synctest.Wait()
		r.field()
		synctest.Wait()
		h.touches <- simulator.PresenceTouched
		if b := <-answer; !bytes.Equal(b, []byte{ok}) {
			t.Errorf("the command over USB: %x", b)
		}
	})
}

// TestTwoReaders: what a key on two readers remembers ends with the second field.
func TestTwoReaders(t *testing.T) {
	r := newReader(t)
	other := simulator.NewCard(r.Authenticator)
	r.setPIN(testPIN)
	token := r.token(2, permMC, testRP)
	other.Close()
	r.selected()
	if data, sw := r.transmit(longAPDU(0, request(makeCredential, token.authorize(creation())))); sw != 0x9000 || data[0] != ok {
		t.Errorf("%x, SW %04x", data, sw)
	}
	if n := r.Counters().PowerCycles; n != 0 {
		t.Errorf("%d power cycles", n)
	}
	r.card.Close()
	if n := r.Counters().PowerCycles; n != 1 {
		t.Errorf("%d power cycles", n)
	}
}

// TestContactCard: to be put in is no touch, and the transport is another one.
func TestContactCard(t *testing.T) {
	for _, tt := range []struct {
		allowed []string
		reset   string
		touches int
	}{{[]string{"nfc", "usb"}, "279000", 1}, {[]string{"smart-card"}, "009000", 2}} {
		k := newKey(t, full23(), func(c *simulator.Config) { c.Profile.GetInfo.TransportsForReset = tt.allowed })
		r := &reader{k, simulator.NewCard(k.Authenticator, simulator.ContactCard())}
		r.selected()
		r.want("selection", "80100000010b00", "009000")
		r.want("reset", "80100000010700", tt.reset)
		if len(r.prompts) != tt.touches {
			t.Errorf("%v: %d touches", tt.allowed, len(r.prompts))
		}
	}
}

// TestNoButton: only a new tap helps, and nobody waits for another touch.
func TestNoButton(t *testing.T) {
	r := newReader(t, func(c *simulator.Config) { c.Profile.NoButton = true }).selected()
	for range 2 {
		r.want("tapped", "80100000010b00", "009000")
		r.want("selection again", "80100000010b00", "2f9000")
		create := longAPDU(0, request(makeCredential, creation()))
		if data, sw := r.transmit(create); sw != 0x9000 || data[0] != operationDenied {
			t.Errorf("%x, SW %04x", data, sw)
		}
		r.want("U2F", hex.EncodeToString(u2fAPDU(1, 3, registerData())), "6985")
		r.field()
		r.selected()
	}
	if len(r.prompts) != 0 {
		t.Errorf("touches wanted: %v", r.prompts)
	}
	r.create(creation()) // over USB it has one
}

// TestCardPowerCycle: a key that is unplugged and plugged in forgets what the card
// was doing, and was not there while it was unplugged.
func TestCardPowerCycle(t *testing.T) {
	r := newReader(t).selected()
	r.want("takes the tap", "80100000010b00", "009000")
	r.PowerCycle()
	r.want("not selected", "80100000010b00", "6985")
	r.selected()
	r.prompts = nil
	r.want("a new tap", "80100000010b00", "009000")
	if len(r.prompts) != 0 {
		t.Errorf("touches wanted: %v", r.prompts)
	}
	r.PowerOff()
	if _, err := r.card.Transmit(t.Context(), unhex(t, selectApplet)); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("unplugged: %v", err)
	}
	r.PowerOn()
	r.selected()
	r.touch = func(context.Context) simulator.Presence { // takes the tap, then the touch is cut short
		r.PowerCycle()
		return simulator.PresenceTouched
	}
	r.want("takes the tap", "80100000010b00", "009000")
	if _, err := r.card.Transmit(t.Context(), unhex(t, "80100000010b00")); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("cycled meanwhile: %v", err)
	}
}

// TestCardU2FIsCounted: U2F over a card has the quirks of the key.
func TestCardU2FIsCounted(t *testing.T) {
	r := newReader(t, func(c *simulator.Config) { c.Profile.Quirks.U2FUnknownHandle = 0x6f01 }).selected()
	unknown := shortAPDU(2, 7, authenticateData(make([]byte, 64)))
	r.want("unknown handle", hex.EncodeToString(unknown), "6f01")
	if r.Counters().Commands["u2f.02"] != 1 {
		t.Errorf("counters: %+v", r.Counters())
	}
}
