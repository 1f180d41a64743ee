package nfc_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/fidokey/fidokey/transport"
	"github.com/fidokey/fidokey/transport/nfc"
)

// A sharedCard says at a Begin what begins tells it to.
type sharedCard struct {
	*fakeCard
	begins     []error
	held, most int
}

func (c *sharedCard) Begin(context.Context) error {
	var err error
	if len(c.begins) > 0 {
		err, c.begins = c.begins[0], c.begins[1:]
	}
	if err == nil || errors.Is(err, nfc.ErrReset) {
		c.held++
	}
	c.most = max(c.most, c.held)
	return err
}

func (c *sharedCard) End() { c.held-- }

func openShared(t *testing.T) (*nfc.Device, *sharedCard) {
	t.Helper()
	card := &sharedCard{fakeCard: &fakeCard{responses: script("5532465f56329000")}}
	dev, err := nfc.Open(t.Context(), card)
	if err != nil {
		t.Fatal(err)
	}
	card.got = nil
	return dev, card
}

// TestTransactions: each call of a Device is one, however it ends.
func TestTransactions(t *testing.T) {
	dev, card := openShared(t)
	card.begins = []error{nil, nil, transport.ErrClosed, nil}
	card.responses = script("00aa9000", "6700", "009000")
	for i, want := range []error{nil, nfc.ErrWrongLength, transport.ErrClosed, nil} {
		if _, err := dev.Exchange(t.Context(), []byte{4}); !errors.Is(err, want) {
			t.Errorf("call %d: error %v, want %v", i, err, want)
		}
		if card.held != 0 {
			t.Fatalf("call %d: %d transactions are left", i, card.held)
		}
	}
	if card.most != 1 {
		t.Errorf("%d transactions at a time", card.most)
	}
}

// A wrapper is a Card that looks at what another does.
type wrapper struct{ nfc.Card }

func (w wrapper) Unwrap() nfc.Card { return w.Card }

// TestTransactionsThroughWrapper: what is wrapped keeps other programs out all the same.
func TestTransactionsThroughWrapper(t *testing.T) {
	card := &sharedCard{fakeCard: &fakeCard{responses: script("5532465f56329000", "009000")}}
	dev, err := nfc.Open(t.Context(), wrapper{wrapper{card}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dev.Exchange(t.Context(), []byte{4}); err != nil {
		t.Error(err)
	}
	if card.most != 1 || card.held != 0 {
		t.Errorf("%d transactions at a time, %d are left", card.most, card.held)
	}
}

// clientPIN is a command of that name without anything else in it.
func clientPIN(subcommand byte) []byte { return []byte{6, 0xa2, 1, 2, 2, subcommand} }

// TestPINAfterReset: a reset has voided the secret that the PIN is encrypted with, so
// the key would take it for a wrong one. What has none is sent, after SELECT.
func TestPINAfterReset(t *testing.T) {
	for _, c := range []struct {
		msg  []byte
		sent bool
	}{
		{[]byte{4}, true},
		{clientPIN(1), true}, {clientPIN(2), true}, {clientPIN(7), true},
		{clientPIN(3), false}, {clientPIN(4), false}, {clientPIN(5), false},
		{clientPIN(6), false}, {clientPIN(8), false}, {clientPIN(9), false},
		{[]byte{6}, false}, {[]byte{6, 0xff}, false},
	} {
		dev, card := openShared(t)
		card.begins = []error{nfc.ErrReset}
		card.responses = script("5532465f56329000", "009000")
		_, err := dev.Exchange(t.Context(), c.msg)
		if sent := len(card.got) == 2; sent != c.sent || sent != (err == nil) || card.got[0][1] != 0xa4 || err != nil && !errors.Is(err, nfc.ErrReset) {
			t.Errorf("%x: the card got %x, error %v", c.msg, card.got, err)
		}
		card.got = nil
		if _, err := dev.Exchange(t.Context(), c.msg); err != nil || len(card.got) != 1 {
			t.Errorf("%x once more: the card got %x, error %v", c.msg, card.got, err)
		}
	}
}

// TestPINAfterDeselection: the same for another program's SELECT.
func TestPINAfterDeselection(t *testing.T) {
	for _, refusal := range []string{"6985", "6999"} {
		dev, card := open(t, script(refusal, "5532465f56329000", "009000"))
		var sw nfc.StatusWord
		if _, err := dev.Exchange(t.Context(), clientPIN(5)); !errors.As(err, &sw) {
			t.Errorf("error %v, want the refusal", err)
		}
		if ins := instructions(card); !slices.Equal(ins, []byte{0x10, 0xa4}) {
			t.Errorf("the card got instructions %x", ins)
		}
		if _, err := dev.Exchange(t.Context(), clientPIN(5)); err != nil {
			t.Error(err)
		}
	}
}

// TestU2FAfterReset: U2F needs the applet as well.
func TestU2FAfterReset(t *testing.T) {
	dev, card := openShared(t)
	card.begins = []error{nfc.ErrReset}
	card.responses = script("5532465f56329000", "5532465f56329000")
	if _, err := dev.Message(t.Context(), unhex("00030000")); err != nil {
		t.Fatal(err)
	}
	if ins := instructions(card.fakeCard); !slices.Equal(ins, []byte{0xa4, 0x03}) {
		t.Errorf("the card got instructions %x", ins)
	}
}

func instructions(card *fakeCard) (ins []byte) {
	for _, apdu := range card.got {
		ins = append(ins, apdu[1])
	}
	return ins
}
